//! What is wrong with what a source has loaded of an object.

use std::collections::BTreeSet;

use super::{
    expected::{Expected, ExpectedGroup, Monitor, Rules},
    profile::{self, Mismatch},
    rules,
};
use crate::{
    api::conditions::reasons,
    monitoring::Workload,
    series::Series,
    signals::{Evaluated, Group, Loaded, Scraped},
};

/// A group is late when it was not evaluated within so many of its intervals.
const LATE_INTERVALS: f64 = 3.0;
/// The same in seconds, at least: a reload of the configuration takes some.
const LATE_SECONDS: f64 = 60.0;

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// No group of a PrometheusRule is loaded.
    RulesMissing(Rules),
    /// A group of it is missing, or has other rules.
    Outdated {
        /// Name of the PrometheusRule.
        rules: String,
        /// Name of the group.
        group: String,
    },
    /// Nothing is recorded, and the source does not list rules.
    NotRecorded {
        /// Why it does not.
        why: String,
    },
    /// A rule cannot be evaluated.
    Failing {
        /// Its name.
        rule: String,
        /// Name of its group.
        group: String,
        /// The error.
        error: String,
    },
    /// A group is not evaluated in time.
    Late {
        /// Its name.
        group: String,
        /// Its interval, in seconds.
        interval: f64,
        /// Time within which it was not evaluated, in seconds.
        limit: f64,
    },
    /// A workload with ready pods has no target, or nothing is known of its probes.
    NoTarget(Monitor),
    /// None of its targets is up.
    Down(Monitor),
    /// The servers do not expose the series of their profile.
    Profile(Mismatch),
}

impl Problem {
    /// The reasons of problems, in the order in which they are reported: what is not loaded is the cause of the others.
    pub const REASONS: [&str; 5] = [
        reasons::RULES_NOT_LOADED,
        reasons::RULES_FAILING,
        reasons::NOT_SCRAPED,
        reasons::TARGETS_DOWN,
        reasons::PROFILE_MISMATCH,
    ];

    /// The reason of the condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::RulesMissing(_) | Self::Outdated { .. } | Self::NotRecorded { .. } => reasons::RULES_NOT_LOADED,
            Self::Failing { .. } | Self::Late { .. } => reasons::RULES_FAILING,
            Self::NoTarget(_) => reasons::NOT_SCRAPED,
            Self::Down(_) => reasons::TARGETS_DOWN,
            Self::Profile(_) => reasons::PROFILE_MISMATCH,
        }
    }
}

/// What is wrong with what a source has loaded of an object, or remarks on what is not. `ready`: the workloads with ready pods;
/// others need no targets. Problems are in the order of their [reasons](Problem::REASONS).
pub fn judge(expected: &Expected, ready: &BTreeSet<String>, loaded: &Loaded) -> Result<Vec<String>, Vec<Problem>> {
    let (mut remarks, mut problems) = (Vec::new(), Vec::new());
    let is_elsewhere = judge_rules(expected, loaded, &mut remarks, &mut problems);
    let of = |monitor: &Monitor| scraped(expected, loaded, &monitor.workload).cloned().unwrap_or_default();
    // A source to which only recorded series are sent has none of the targets themselves.
    let is_recorded_only = is_elsewhere && expected.monitors.iter().all(|monitor| of(monitor).targets == 0);
    for monitor in expected.monitors.iter().filter(|monitor| ready.contains(&monitor.workload)) {
        let scraped = of(monitor);
        let (targets, up) = match is_recorded_only {
            true => scraped.recorded,
            false => (Some(scraped.targets), Some(scraped.up)),
        };
        match (targets, up) {
            (Some(0), _) => problems.push(Problem::NoTarget(monitor.clone())),
            (_, Some(0)) => problems.push(Problem::Down(monitor.clone())),
            (Some(targets), Some(up)) if up < targets => {
                remarks.push(format!("{} of {targets} targets of {} do not answer", targets - up, monitor.workload));
            }
            _ => {}
        }
        let is_judged = monitor.workload == Workload::Serving.label() && scraped.up > 0;
        let mismatch =
            is_judged.then(|| profile::mismatch(&expected.profile, expected.reads_native, &scraped.names)).flatten();
        problems.extend(mismatch.map(Problem::Profile));
    }
    problems.extend(probe(expected, ready, loaded).cloned().map(Problem::NoTarget));
    problems.sort_by_key(|problem| Problem::REASONS.iter().position(|reason| *reason == problem.reason()));
    if problems.is_empty() { Ok(remarks) } else { Err(problems) }
}

/// The Probe of ready servers of which nothing is recorded, although their targets are.
fn probe<'a>(expected: &'a Expected, ready: &BTreeSet<String>, loaded: &Loaded) -> Option<&'a Monitor> {
    let probe = expected.probe.as_ref().filter(|probe| ready.contains(&probe.workload))?;
    let names = &scraped(expected, loaded, &probe.workload)?.names;
    let is_missing = names.contains(Series::Targets.name()) && !names.contains(Series::ProbeUp.name());
    is_missing.then_some(probe)
}

fn scraped<'a>(expected: &Expected, loaded: &'a Loaded, workload: &str) -> Option<&'a Scraped> {
    loaded.workload(&expected.namespace, &expected.name, workload)
}

/// Returns whether the rules are evaluated by a server that does not list them.
fn judge_rules(expected: &Expected, loaded: &Loaded, remarks: &mut Vec<String>, problems: &mut Vec<Problem>) -> bool {
    let serving = scraped(expected, loaded, Workload::Serving.label());
    let is_recorded = serving.is_some_and(|of| of.names.contains(Series::Targets.name()));
    let groups = match &loaded.groups {
        Ok(groups) => groups,
        Err(why) if is_recorded => {
            remarks.push(format!("judged by the recorded series, because the source does not list rules: {why}"));
            return true;
        }
        Err(why) => {
            problems.push(Problem::NotRecorded { why: why.clone() });
            return false;
        }
    };
    let found = |group: &ExpectedGroup| groups.get(&group.name);
    let is_elsewhere = expected.rules.iter().flat_map(|rules| &rules.groups).all(|group| found(group).is_none());
    if is_elsewhere && is_recorded {
        remarks.push(
            "judged by the recorded series, because the source lists none of the rules: another server evaluates them"
                .into(),
        );
        return true;
    }
    for rules in &expected.rules {
        if rules.groups.iter().all(|group| found(group).is_none()) {
            problems.push(Problem::RulesMissing(rules.clone()));
            continue;
        }
        for group in &rules.groups {
            // Of several of that name, one as it is expected is enough.
            let current = found(group).into_iter().flatten().find(|loaded| rules::is_current(group, loaded));
            problems.extend(match current {
                Some(loaded) => failing(group, loaded),
                None => Some(Problem::Outdated { rules: rules.name.clone(), group: group.name.clone() }),
            });
        }
    }
    false
}

/// What is wrong with a group that is loaded as expected.
fn failing(group: &ExpectedGroup, loaded: &Group) -> Option<Problem> {
    if let Some((rule, error)) = loaded.failed.clone() {
        return Some(Problem::Failing { rule, group: group.name.clone(), error });
    }
    let limit = (LATE_INTERVALS * group.interval_seconds).max(LATE_SECONDS);
    let is_late = match loaded.evaluated {
        Evaluated::Unknown => false,
        Evaluated::Never => true,
        Evaluated::Ago(seconds) => seconds > limit,
    };
    is_late.then(|| Problem::Late { group: group.name.clone(), interval: group.interval_seconds, limit })
}
