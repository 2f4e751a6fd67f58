//! Settings that are valid and seldom meant.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{FieldPath, InvalidField, Model};
use crate::{
    api::{Dependency, Objective as DesiredObjective, conditions::types},
    catalog::promql::counter_without_rate,
    monitoring::dependencies::{label_without_health, reports_health},
};

/// Longest pause of a server before its SIGTERM that is not warned of: 300 s. Load balancers need up to a minute.
const LONGEST_PAUSE_SECONDS: i64 = 300;

/// A warning.
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    /// The condition that reports it.
    pub condition: &'static str,
    /// Its field, and what to write instead.
    pub problem: InvalidField,
}

/// The conditions that report warnings.
const WARNED: [&str; 4] =
    [types::SERVING_READY, types::DEPENDENCIES_HEALTHY, types::TRAINING_READY, types::PROMOTION_READY];

impl Model {
    /// The warnings about the object.
    pub fn warnings(&self) -> Vec<Warning> {
        let of = |condition| self.warnings_of(condition).into_iter().map(move |problem| Warning { condition, problem });
        WARNED.into_iter().flat_map(of).collect()
    }

    /// The warnings that a condition reports.
    pub fn warnings_of(&self, condition: &str) -> Vec<InvalidField> {
        match condition {
            types::SERVING_READY => {
                let of_pods = [self.no_eviction(), self.long_pause()].into_iter().flatten();
                of_pods.chain(self.counters_of_servers()).collect()
            }
            types::DEPENDENCIES_HEALTHY => self.dependencies().into_iter().chain(self.counters_of_queues()).collect(),
            types::TRAINING_READY => {
                let of_schedules = [self.early_age(), self.long_jitter(), self.covered_partial()].into_iter().flatten();
                of_schedules.chain(self.short_ages()).collect()
            }
            types::PROMOTION_READY => {
                let path = FieldPath::spec().field("promotion");
                let of_gates = self.promotion.warnings().into_iter();
                let of_gates = of_gates.map(|(field, why)| path.field(&field).problem(why));
                of_gates.chain(self.refused_reload()).chain(self.futile_reload()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A greatest age of a base that it reaches before the next full run.
    fn early_age(&self) -> Option<InvalidField> {
        let hours = self.training.partial.as_ref()?.max_base_age_hours?;
        let pause = self.schedule.as_ref()?.longest_pause_seconds()?;
        (hours * 3600 < pause).then(|| {
            FieldPath::spec().field("training.partial.maxBaseAgeHours").problem(format!(
                "two full runs are up to {} h apart, so that partial runs pause for the rest of that time: write more than that, and \
                 the hours that a full run takes",
                (pause + 3599) / 3600
            ))
        })
    }

    /// A jitter above the longest time between two runs, with which each may start after the next one is due.
    fn long_jitter(&self) -> Option<InvalidField> {
        let jitter = self.training.jitter_seconds?;
        let pauses = self.schedule.iter().chain(&self.partial_schedule).filter_map(|of| of.longest_pause_seconds());
        let pause = pauses.min().filter(|pause| jitter > *pause)?;
        Some(FieldPath::spec().field("training.jitterSeconds").problem(format!(
            "two runs of a schedule are at most {pause} s apart, so that a run may start only after the next one is due, with data as \
             old: write at most {pause}"
        )))
    }

    /// A schedule of partial runs of which each is due together with a full one, which covers it.
    fn covered_partial(&self) -> Option<InvalidField> {
        let (full, partial) = (&self.training.full, self.training.partial.as_ref()?);
        let is_same =
            partial.schedule.is_some() && partial.schedule == full.schedule && partial.time_zone == full.time_zone;
        is_same.then(|| {
            FieldPath::spec().field("training.partial.schedule").problem(
                "a full run is due at each of these times and covers the partial one, so that none starts: write other times, as in \
                 \"*/15 * * * *\"",
            )
        })
    }

    /// Objectives on an age that is exceeded before the next run by schedule.
    fn short_ages(&self) -> Vec<InvalidField> {
        // Where partial runs pause until the next full one, only that one renews the age.
        let partial = self.partial_schedule.as_ref().filter(|_| self.early_age().is_none());
        let pauses = self.schedule.iter().chain(partial);
        let Some(pause) = pauses.filter_map(|of| of.longest_pause_seconds()).min() else { return Vec::new() };
        let objectives = self.monitoring.iter().flat_map(|of| of.objectives.iter().enumerate());
        let of = |(index, of): (usize, &DesiredObjective)| {
            let ages = [("modelAge", &of.model_age), ("dataAge", &of.data_age)];
            let (field, age) = ages.into_iter().find_map(|(field, age)| Some((field, age.as_ref()?)))?;
            (i64::from(age.max_hours) * 3600 <= pause).then(|| {
                FieldPath::spec().field(&format!("monitoring.objectives[{index}].{field}.maxHours")).problem(format!(
                    "two runs by schedule are up to {} h apart, so that the age is exceeded before the next one: write more than that, \
                     and the hours that a run takes, or train more often",
                    (pause + 3599) / 3600
                ))
            })
        };
        objectives.filter_map(of).collect()
    }

    /// Dependencies that nothing is recorded of, whose health is not known, or whose `critical` nothing depends on.
    fn dependencies(&self) -> Vec<InvalidField> {
        let spec = FieldPath::spec();
        let all = spec.items("dependencies", &self.dependencies);
        if self.monitoring.is_none() {
            let unrecorded = "nothing is recorded of it without spec.monitoring: set that, or remove the dependency";
            return all.map(|(path, _)| path.problem(unrecorded)).collect();
        }
        let is_moot = |of: &Dependency| !of.critical && of.exporter.is_some() && !reports_health(of);
        let moot = "it has no effect, because this exporter does not report whether the dependency is up: remove it";
        let unmatched = |label: &str| {
            format!(
                "the series that show whether the dependency is up do not have the label {label}, so that it would never be known: write \
                 labels of the target, such as instance or job"
            )
        };
        all.filter_map(|(path, of)| {
            let label = label_without_health(of).map(|label| path.field("matchLabels").problem(unmatched(label)));
            label.or_else(|| is_moot(of).then(|| path.field("critical").problem(moot)))
        })
        .collect()
    }

    /// Counters where a rate of requests is asked for.
    fn counters_of_servers(&self) -> Vec<InvalidField> {
        let Some(monitoring) = &self.monitoring else { return Vec::new() };
        let path = FieldPath::spec().field("monitoring");
        let front = monitoring.front.as_ref().and_then(|of| of.custom.as_ref());
        let custom = monitoring.metrics.custom.as_ref();
        let rates = [
            ("metrics.custom.requests", custom.map(|of| &of.requests)),
            ("metrics.custom.errors", custom.and_then(|of| of.errors.as_ref())),
            ("front.custom.requests", front.map(|of| &of.requests)),
        ];
        rates.into_iter().filter_map(|(field, text)| no_rate(path.field(field), text?)).collect()
    }

    /// Counters where a rate of messages is asked for.
    fn counters_of_queues(&self) -> Vec<InvalidField> {
        let spec = FieldPath::spec();
        let all = spec.items("dependencies", &self.dependencies);
        let all = all.filter_map(|(path, of)| Some((path.field("custom"), of.custom.as_ref()?)));
        all.flat_map(|(path, of)| {
            let rates = [("consumed", of.consumed.as_ref()), ("arrivals", of.arrivals.as_ref())];
            rates.into_iter().filter_map(|(field, text)| no_rate(path.field(field), text?)).collect::<Vec<_>>()
        })
        .collect()
    }

    /// A pause that makes every rollout and drain wait.
    fn long_pause(&self) -> Option<InvalidField> {
        let asked = self.serving.pod.pre_stop.as_ref().and_then(|hook| hook.sleep_seconds);
        let (field, pause) =
            asked.map_or(("drainSeconds", self.serving.drain_seconds), |seconds| ("pod.preStop.sleepSeconds", seconds));
        let grace = self.serving.termination_grace_seconds;
        (pause > LONGEST_PAUSE_SECONDS).then(|| {
            FieldPath::spec().field("serving").field(field).problem(format!(
                "a server sleeps {pause} s before its SIGTERM, and the {grace} s of spec.serving.terminationGraceSeconds begin only \
                 then, so that a rollout, a scale-down or a drain waits up to {} s: write at most {LONGEST_PAUSE_SECONDS}; load \
                 balancers need 30 to 60",
                pause + grace
            ))
        })
    }

    /// A budget that allows no eviction, with any number of replicas.
    fn no_eviction(&self) -> Option<InvalidField> {
        let budget = self.serving.disruption_budget.as_ref().filter(|budget| budget.enabled)?;
        let workload = self.serving_workload();
        let most = workload.scaling.as_ref().map_or(workload.replicas, |scaling| scaling.max);
        let must_stay = budget.min_available.as_ref().map(|pods| of_pods(pods, most));
        let may_go = budget.max_unavailable.as_ref().map(|pods| of_pods(pods, most));
        let evictable = must_stay.map(|least| most - least).or(may_go)?;
        (evictable <= 0).then(|| {
            FieldPath::spec().field("serving.disruptionBudget").problem(format!(
                "with at most {most} servers none may be evicted, so no node with one can be drained: write maxUnavailable: 1, or \
                 minAvailable below the number of replicas"
            ))
        })
    }
}

/// A counter in a field that takes a rate.
fn no_rate(field: FieldPath, text: &str) -> Option<InvalidField> {
    let counter = counter_without_rate(text)?;
    Some(field.problem(format!(
        "{counter} is a counter by its name, and this takes how much comes per second: write rate({counter}{{...}}[2m])"
    )))
}

/// A number of pods, or per cent of `all`, which a PodDisruptionBudget rounds up.
fn of_pods(pods: &IntOrString, all: i32) -> i32 {
    let number = |text: &str| text.parse::<i32>().unwrap_or_default();
    match pods {
        IntOrString::Int(pods) => *pods,
        IntOrString::String(text) => match text.strip_suffix('%') {
            Some(per_cent) => (number(per_cent) * all + 99) / 100,
            None => number(text),
        },
    }
}
