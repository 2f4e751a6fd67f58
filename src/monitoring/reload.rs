//! Which version each server answers with, by which the operator knows that it has changed versions without a restart.

use super::{Monitored, Workload, promql::series, recording::rule_of};
use crate::{api::monitoring_coreos::Rule, series::Series};

/// Seconds between two evaluations: servers change versions within about a minute, and are asked for it for minutes only.
pub const SECONDS: i32 = 10;

/// The rules; empty unless servers change versions without a restart. The value is when the server was last scraped, so that what it
/// answered with before is told from what it answers with now.
pub fn rules(monitored: &Monitored) -> Vec<Rule> {
    let info = series("recommender_model_info", &[&monitored.object.matchers_of(Workload::Serving)]);
    let expr = format!("max by (pod, version) (timestamp({info}))");
    let rule = || rule_of(monitored, Workload::Serving, Series::PodVersion.name(), expr);
    monitored.servers.reloads.then(rule).into_iter().collect()
}
