//! Which version each server answers with, by which the operator knows that it has changed versions without a restart.

use super::{Watched, Workload, promql::series, recording::rule_of};
use crate::{api::monitoring_coreos::Rule, series::Series};

/// Seconds between two evaluations: servers change versions within about a minute, and are asked for it for minutes only.
pub const SECONDS: i32 = 10;

/// The rules; empty unless servers change versions without a restart. The value is when the server was last scraped, so that what it
/// answered with before is told from what it answers with now.
pub fn rules(watched: &Watched) -> Vec<Rule> {
    let info = series("recommender_model_info", &[&watched.matchers(Workload::Serving)]);
    let expr = format!("max by (pod, version) (timestamp({info}))");
    let rule = || rule_of(watched, Workload::Serving, Series::PodVersion.name(), expr);
    watched.reloads.then(rule).into_iter().collect()
}
