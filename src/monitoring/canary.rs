//! The counters that a canary is compared by: those of each pod, because sums over pods fall and rise with every scrape that fails.
//!
//! They are recorded only while there are pods of a canary, so without one they cost an evaluation of nothing.

use super::{
    Monitored, Workload,
    recording::{Source, distinct, rule_of},
};
use crate::{api::monitoring_coreos::Rule, catalog::Selector, series::Series};

/// A canary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Canary {
    /// What it is compared by.
    pub compared: Compared,
    /// Whether it has a Service of its own, with the name of its Deployment, because an HTTPRoute divides the requests.
    pub is_routed: bool,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// Whether failed requests are.
    pub errors: bool,
    /// The bound of the buckets of the profile's histogram from which on requests are slow, in its unit, if slow ones are.
    pub slow: Option<f64>,
}

/// Seconds between two evaluations: the operator reads a sample for 20 s as fresh, and a canary that does harm is to be found soon.
pub const SECONDS: i32 = 10;

/// The rules; empty without a canary in the spec.
pub fn rules(monitored: &Monitored) -> Vec<Rule> {
    let Some(Canary { compared, .. }) = monitored.canary else { return Vec::new() };
    let source = Source::new(monitored);
    let pods = format!("pod=~{}", monitored.object.canary_pods());
    let canary = source.of_servers("up", &[&pods]);
    let counted = |counters: &[Selector]| of_each_pod(&source, &all(&source, counters));
    let rule = |series: Series, expr: &str| {
        let expr = format!("{} and on () count({canary})", source.trusted_each(expr));
        rule_of(monitored, Workload::Serving, series.name(), expr)
    };
    let requests = rule(Series::PodRequests, &counted(&source.profile.requests));
    let errors = compared.errors.then(|| rule(Series::PodErrors, &counted(&source.profile.errors)));
    let slow = compared.slow.and_then(|bucket| Some(rule(Series::PodSlow, &slow(&source, bucket)?)));
    [Some(requests), errors, slow].into_iter().flatten().collect()
}

/// All elements of some counters.
fn all(source: &Source, counters: &[Selector]) -> String {
    match counters {
        [counter] => source.counter(counter, &[]).now(),
        counters => {
            let each: Vec<_> = counters.iter().map(|of| (of.name.as_str(), source.counter(of, &[]).now())).collect();
            format!("({})", distinct("counter", &each))
        }
    }
}

/// Requests of each pod that took longer than the bound of a bucket.
fn slow(source: &Source, bucket: f64) -> Option<String> {
    let [all, fast] = source.answered(bucket)?;
    Some(format!("{} - {}", of_each_pod(source, &all.now()), of_each_pod(source, &fast.now())))
}

/// The sum of each pod that answers. Before its first request or its first error, a server has no such counter.
fn of_each_pod(source: &Source, counters: &str) -> String {
    format!("sum by (pod) ({counters} or 0 * ({} == 1))", source.of_servers("up", &[]))
}
