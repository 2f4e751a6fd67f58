//! Problems as a reason and a message with remedies.

use std::collections::BTreeMap;

use super::{
    expected::{Expected, Monitor},
    judge::Problem,
    profile::Mismatch,
    selectors::{self, Unloaded},
};
use crate::{
    api::{conditions::reasons, monitoring_coreos::Prometheus},
    kinds::Kind,
    monitoring::Workload,
    signals::Pool,
};

/// What is asked only when there is a problem.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// What the source reports of scrape pools, by name.
    pub pools: BTreeMap<String, Pool>,
    /// The Prometheus objects that can be read.
    pub servers: Vec<Prometheus>,
}

impl Details {
    fn pool(&self, expected: &Expected, monitor: &Monitor) -> &Pool {
        self.pools.get(&monitor.pool(&expected.namespace)).unwrap_or(&Pool::Unknown)
    }
}

/// The reason of the first problem, and a message with all of them.
pub fn describe(expected: &Expected, problems: &[Problem], details: &Details) -> (&'static str, String) {
    let (mut unloaded, mut others) = (Vec::new(), Vec::new());
    for problem in problems {
        match text(expected, problem, details) {
            Text::NotLoaded(object, name) => unloaded.push((object, name)),
            Text::Other(text) => others.push(text),
        }
    }
    let texts: Vec<String> = not_loaded(expected, &unloaded, details).into_iter().chain(others).collect();
    (problems.first().map_or(reasons::AS_SPECIFIED, Problem::reason), texts.join("; "))
}

/// What a message has of a problem.
enum Text<'a> {
    /// An object that is not loaded, and its name.
    NotLoaded(Unloaded<'a>, &'a str),
    /// A sentence.
    Other(String),
}

/// All that is not loaded together, because one remedy often helps all.
fn not_loaded(expected: &Expected, unloaded: &[(Unloaded<'_>, &str)], details: &Details) -> Option<String> {
    if unloaded.is_empty() {
        return None;
    }
    let names: Vec<String> = unloaded.iter().map(|(of, name)| format!("{} {name}", of.kind.as_str())).collect();
    let objects: Vec<Unloaded<'_>> = unloaded.iter().map(|(of, _)| *of).collect();
    let source = &expected.source;
    let why = selectors::explain(&details.servers, &objects, &expected.namespace, source).unwrap_or_else(|| {
        format!(
            "check that a Prometheus selects them (its ruleSelector, serviceMonitorSelector and alike often ask for a \
             label release, which spec.monitoring.labels sets), and that metric source {source:?} of the operator reads it"
        )
    });
    Some(format!("not loaded: {}; {why}", names.join(", ")))
}

fn text<'a>(expected: &Expected, problem: &'a Problem, details: &Details) -> Text<'a> {
    let sentence = match problem {
        Problem::RulesMissing(rules) => {
            return Text::NotLoaded(Unloaded { kind: Kind::PrometheusRule, labels: &rules.labels }, &rules.name);
        }
        Problem::Outdated { rules, group } => format!(
            "group {group} is loaded with earlier rules than those of PrometheusRule {rules}: check that prometheus-operator runs \
             and accepts it (its log), and that Prometheus could reload its configuration"
        ),
        Problem::NotRecorded { why } => format!(
            "the rules record nothing ({} is missing), and metric source {:?} does not list rules ({why}): check that a ruler \
             evaluates the PrometheusRules and stores what they record in this source",
            crate::series::Series::Targets.name(),
            expected.source
        ),
        Problem::Failing { rule, group, error } => {
            format!("rule {rule} of group {group} cannot be evaluated: {error}")
        }
        Problem::Late { group, interval, limit } => format!(
            "group {group} was not evaluated for more than {limit} s, with an interval of {interval} s: check the load of Prometheus"
        ),
        Problem::NoTarget(monitor) => match details.pool(expected, monitor) {
            Pool::Absent | Pool::Unknown => {
                return Text::NotLoaded(Unloaded { kind: monitor.kind, labels: &monitor.labels }, &monitor.name);
            }
            pool => no_target(expected, monitor, pool),
        },
        Problem::Down(monitor) => down(expected, monitor, details.pool(expected, monitor)),
        Problem::Profile(mismatch) => of_profile(expected, mismatch),
    };
    Text::Other(sentence)
}

fn no_target(expected: &Expected, monitor: &Monitor, pool: &Pool) -> String {
    let (kind, name, namespace) = (monitor.kind.as_str(), &monitor.name, &expected.namespace);
    let why = scrape_error(pool);
    match pool {
        Pool::Targets(_) if monitor.kind == Kind::Probe => format!(
            "{kind} {name} is loaded, and its blackbox exporter reports no probe{why}: check spec.monitoring.probe.prober and module, \
             and that Prometheus may reach the exporter"
        ),
        Pool::Targets(_) => format!(
            "{kind} {name} has targets{why}, but metric source {:?} has no series up of them: check its matchLabels in the \
             operator's configuration",
            expected.source
        ),
        _ => format!(
            "{kind} {name} is loaded, but no target is discovered: check that the account of Prometheus may list and watch services, \
             endpointslices and pods in namespace {namespace}"
        ),
    }
}

/// The error of a scrape, in brackets; empty without one.
fn scrape_error(pool: &Pool) -> String {
    match pool {
        Pool::Targets(Some(error)) => format!(" ({error})"),
        _ => String::new(),
    }
}

fn down(expected: &Expected, monitor: &Monitor, pool: &Pool) -> String {
    let (kind, name) = (monitor.kind.as_str(), &monitor.name);
    let why = scrape_error(pool);
    let fields = if monitor.workload == Workload::Serving.label() {
        "spec.monitoring.metrics.path, spec.serving.metricsPort and spec.monitoring.scrape".to_owned()
    } else {
        format!("metrics of worker {} and spec.monitoring.scrape", monitor.workload)
    };
    format!(
        "no target of {kind} {name} answers its scrapes{why}: check {fields}, and network policies in namespace {}",
        expected.namespace
    )
}

fn of_profile(expected: &Expected, mismatch: &Mismatch) -> String {
    let profile = &expected.profile;
    match mismatch {
        Mismatch::Other { found, fits } => format!(
            "the servers expose {}, which fits profile {fits} better than {profile}: set spec.monitoring.metrics.profile to {fits}",
            found.join(", ")
        ),
        Mismatch::IsNative(name) => format!(
            "{name} is stored as a native histogram, which the rules do not read: set spec.monitoring.metrics.histograms to Native"
        ),
        Mismatch::IsClassic(name) => format!(
            "{name} is stored as a classic histogram, and profile {profile} declares a native one: let Prometheus scrape native histograms \
             (scrape_native_histograms), or take a profile with its buckets"
        ),
        Mismatch::Missing(name) => format!(
            "the servers do not expose {name}, which servers of profile {profile} expose from their start: check \
             spec.monitoring.metrics.profile, spec.monitoring.scrape.metricRelabelings, and what docs/profiles.md asks of an application"
        ),
    }
}
