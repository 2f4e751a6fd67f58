//! The triggers of trainings, and what the schema cannot check of them: whether what they wait for is recorded.

use jiff::SignedDuration;

use super::{FieldPath, InvalidField, dependencies::has_known_exporter, unknown};
use crate::{
    api::{Dependency, RecommenderModelSpec, TrainingKind, TrainingTrigger},
    monitoring::{Workload, dependencies},
    series::Series,
};

/// `forSeconds` by default: two values that are recorded every two minutes.
const FOR_SECONDS: i64 = 300;
/// Least `forSeconds`: signals are recorded every minute or two.
const LEAST_FOR_SECONDS: i64 = 60;
/// `coolDownSeconds` by default: longer than most trainings take. While its version may still be promoted no signal counts anyway.
const COOL_DOWN_SECONDS: i64 = 3600;

/// A trigger of the spec.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerPlan {
    /// Its name.
    pub name: String,
    /// The kind of run that it starts.
    pub kind: TrainingKind,
    /// Least time between two runs that it starts.
    pub cool_down: SignedDuration,
    /// When it starts a run.
    pub condition: Condition,
}

/// The condition of a trigger.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A signal is above a value for a time.
    Above {
        /// The signal.
        series: Series,
        /// The dependency or workload that it is about.
        about: String,
        /// The value.
        value: f64,
        /// The time.
        duration: SignedDuration,
    },
    /// Messages have arrived.
    Events {
        /// At this dependency.
        dependency: String,
        /// So many.
        count: i64,
    },
    /// A dependency works again.
    Recovered {
        /// The dependency.
        dependency: String,
        /// Least time for which it was down.
        down: SignedDuration,
    },
}

impl Condition {
    /// Whether it is met by something that does not last until a run has its data.
    pub const fn is_past(&self) -> bool {
        !matches!(self, Self::Above { .. })
    }

    /// The series that it reads, and what that is about.
    pub fn signal(&self) -> (Series, &str) {
        match self {
            Self::Above { series, about, .. } => (*series, about),
            Self::Events { dependency, .. } => (Series::Arrivals, dependency),
            Self::Recovered { dependency, .. } => (Series::DependencyUp, dependency),
        }
    }
}

/// The triggers of a spec.
///
/// # Errors
/// Every one that could not start a run.
pub(super) fn triggers(spec: &RecommenderModelSpec) -> Result<Vec<TriggerPlan>, Vec<InvalidField>> {
    let path = FieldPath::spec().field("training");
    let all = path.items("triggers", &spec.training.triggers);
    let (mut triggers, mut problems) = (Vec::<TriggerPlan>::new(), Vec::new());
    for (path, desired) in all {
        if triggers.iter().any(|of| of.name == desired.name) {
            let twice = format!("there is another trigger {:?}: write another name", desired.name);
            problems.push(path.field("name").problem(twice));
        }
        let named = spec.dependencies.iter().find(|of| Some(&of.name) == desired.dependency.as_ref());
        if named.is_some_and(|of| !has_known_exporter(of)) {
            continue;
        }
        match trigger(&path, desired, spec) {
            Ok(trigger) => triggers.push(trigger),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(triggers) } else { Err(problems) }
}

fn trigger(
    path: &FieldPath,
    desired: &TrainingTrigger,
    spec: &RecommenderModelSpec,
) -> Result<TriggerPlan, InvalidField> {
    if spec.monitoring.is_none() {
        return Err(path.problem("without spec.monitoring nothing is recorded that could start a run: set that"));
    }
    if desired.run == TrainingKind::Partial && spec.training.partial.is_none() {
        return Err(path
            .field("run")
            .problem("there is no partial training: set spec.training.partial, or write Full"));
    }
    let condition = match (&desired.signal, desired.new_events, desired.recovered_after_seconds) {
        (Some(signal), None, None) => above(path, desired, signal, spec),
        (None, Some(count), None) => {
            let dependency = dependency(path, desired, spec)?;
            let needed = (Series::Arrivals, "newEvents counts arrivals");
            recorded(path, dependency, needed).map(|dependency| Condition::Events { dependency, count })
        }
        (None, None, Some(seconds)) => {
            let dependency = dependency(path, desired, spec)?;
            let needed = (Series::DependencyUp, "recoveredAfterSeconds needs to know whether it is up");
            let down = SignedDuration::from_secs(seconds);
            recorded(path, dependency, needed).map(|dependency| Condition::Recovered { dependency, down })
        }
        _ => Err(path.problem("set exactly one of signal, newEvents and recoveredAfterSeconds")),
    }?;
    if desired.signal.is_none() && (desired.above.is_some() || desired.for_seconds.is_some()) {
        return Err(path.problem("above and forSeconds are for a signal: remove them, or set signal"));
    }
    Ok(TriggerPlan {
        name: desired.name.clone(),
        kind: desired.run,
        cool_down: SignedDuration::from_secs(desired.cool_down_seconds.unwrap_or(COOL_DOWN_SECONDS)),
        condition,
    })
}

fn above(
    path: &FieldPath,
    desired: &TrainingTrigger,
    signal: &str,
    spec: &RecommenderModelSpec,
) -> Result<Condition, InvalidField> {
    let Some(text) = desired.above.as_deref() else {
        return Err(path
            .field("above")
            .problem("it is missing: write the value that starts a run, for example \"0.2\""));
    };
    let is_plain = text.chars().all(|c| c.is_ascii_digit() || "-.".contains(c));
    let value = text.parse().ok().filter(|_| is_plain).ok_or_else(|| {
        path.field("above").problem(format!("{text:?} is no decimal number: write for example \"0.2\""))
    })?;
    let seconds = desired.for_seconds.unwrap_or(FOR_SECONDS);
    if seconds < LEAST_FOR_SECONDS {
        return Err(path.field("forSeconds").problem(format!(
            "{seconds} s are less than the {LEAST_FOR_SECONDS} s between two values of a signal: write {LEAST_FOR_SECONDS} or more"
        )));
    }
    let (series, about) = match &desired.dependency {
        Some(_) => {
            let dependency = dependency(path, desired, spec)?;
            let series = named(path, signal, dependency)?;
            (series, dependency.name.clone())
        }
        None => (of_application(path, signal, spec)?, Workload::Serving.label().to_owned()),
    };
    Ok(Condition::Above { series, about, value, duration: SignedDuration::from_secs(seconds) })
}

/// The series of a name among those that are recorded of a dependency.
fn named(path: &FieldPath, signal: &str, dependency: &Dependency) -> Result<Series, InvalidField> {
    let (field, recorded) = (path.field("signal"), dependencies::recorded(dependency));
    let known = recorded.iter().map(|series| series.short_name());
    recorded.iter().find(|series| series.short_name() == signal).copied().ok_or_else(|| match &recorded[..] {
        [] => field.problem(format!(
            "of the dependency {:?} there is nothing recorded: name a signal of another dependency",
            dependency.name
        )),
        _ => field.problem(format!("of the dependency {:?} {}", dependency.name, unknown(signal, known))),
    })
}

/// A series that the spec states in PromQL.
fn of_application(path: &FieldPath, signal: &str, spec: &RecommenderModelSpec) -> Result<Series, InvalidField> {
    let stated = spec.monitoring.iter().flat_map(|monitoring| monitoring.signals.keys());
    if Series::of_exporters().any(|series| series.short_name() == signal) {
        return Err(path
            .field("dependency")
            .problem(format!("{signal} is recorded of a dependency: write the name of one of spec.dependencies")));
    }
    let is_stated = stated.clone().any(|name| name == signal);
    let series = Series::SIGNALS.into_iter().find(|series| is_stated && series.short_name() == signal);
    series.ok_or_else(|| {
        let remedy = match stated.clone().count() {
            0 => "state it in spec.monitoring.signals, or set dependency".to_owned(),
            _ => format!("write one of {}, or set dependency", stated.cloned().collect::<Vec<_>>().join(", ")),
        };
        path.field("signal").problem(format!("there is no {signal} among spec.monitoring.signals: {remedy}"))
    })
}

fn dependency<'a>(
    path: &FieldPath,
    desired: &TrainingTrigger,
    spec: &'a RecommenderModelSpec,
) -> Result<&'a Dependency, InvalidField> {
    let field = path.field("dependency");
    let Some(name) = &desired.dependency else {
        return Err(field.problem("it is missing: write the name of one of spec.dependencies"));
    };
    super::dependencies::named(&field, name, &spec.dependencies)
}

/// The name of a dependency of which a series is recorded.
fn recorded(
    path: &FieldPath,
    dependency: &Dependency,
    (series, needed): (Series, &str),
) -> Result<String, InvalidField> {
    if dependencies::recorded(dependency).contains(&series) {
        return Ok(dependency.name.clone());
    }
    Err(path.field("dependency").problem(format!(
        "the exporter of {:?} does not report that, and {needed}: name another dependency",
        dependency.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problems of a trigger, of an object with a queue, a database, a monitor of drift and a signal.
    fn problems(trigger: &str) -> Vec<String> {
        let spec = format!(
            "{{artifacts: {{persistentVolumeClaim: {{claimName: models}}}},
               training: {{image: a, full: {{}}, triggers: [{trigger}]}},
               serving: {{image: a}},
               dependencies: [
                 {{name: clicks, kafka: {{consumerGroup: g, topics: [t]}}}},
                 {{name: users-db, exporter: {{name: PostgresExporter}}}},
                 {{name: drift, exporter: {{name: DriftMonitor}}}}],
               monitoring: {{metrics: {{profile: FastApiInstrumentator}}, signals: {{sessions: shop_sessions}}}}}}"
        );
        let spec: RecommenderModelSpec = serde_saphyr::from_str(&spec).expect("a spec");
        let result = triggers(&spec);
        result.err().into_iter().flatten().map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn what_is_recorded_may_start_a_run() {
        for valid in [
            "{name: a, run: Full, signal: drift_score, dependency: drift, above: '0.2', forSeconds: 600}",
            "{name: a, run: Full, signal: lag_messages, dependency: clicks, above: '1000'}",
            "{name: a, run: Full, signal: sessions, above: '1000'}",
            "{name: a, run: Full, dependency: clicks, newEvents: 1000}",
            "{name: a, run: Full, dependency: users-db, recoveredAfterSeconds: 60}",
        ] {
            assert_eq!(problems(valid), Vec::<String>::new(), "{valid}");
        }
    }

    #[test]
    fn what_could_never_start_a_run_is_refused_with_the_field_and_what_to_write_instead() {
        let cases = [
            (
                "{name: a, run: Full, signal: drift_scor, dependency: drift, above: '0.2'}",
                "signal: of the dependency \"drift\" there is no drift_scor; the most similar one is drift_score: write one of drift_score, \
                 drifted_features_ratio, drift_age_seconds",
            ),
            (
                "{name: a, run: Full, signal: drift_score, above: '0.2'}",
                "dependency: drift_score is recorded of a dependency: write the name of one of spec.dependencies",
            ),
            (
                "{name: a, run: Full, signal: business_ratio, above: '0.2'}",
                "signal: there is no business_ratio among spec.monitoring.signals: write one of sessions, or set dependency",
            ),
            (
                "{name: a, run: Full, signal: sessions, above: 1e3}",
                "above: \"1e3\" is no decimal number: write for example \"0.2\"",
            ),
            (
                "{name: a, run: Full, signal: sessions}",
                "above: it is missing: write the value that starts a run, for example \"0.2\"",
            ),
            (
                "{name: a, run: Full, signal: sessions, above: '1', forSeconds: 4}",
                "forSeconds: 4 s are less than the 60 s between two values of a signal: write 60 or more",
            ),
            (
                "{name: a, run: Partial, signal: sessions, above: '1'}",
                "run: there is no partial training: set spec.training.partial, or write Full",
            ),
            (
                "{name: a, run: Full, newEvents: 9}",
                "dependency: it is missing: write the name of one of spec.dependencies",
            ),
            (
                "{name: a, run: Full, newEvents: 9, dependency: orders}",
                "dependency: there is no \"orders\" among spec.dependencies: write the name of one",
            ),
            (
                "{name: a, run: Full, newEvents: 9, dependency: users-db}",
                "dependency: the exporter of \"users-db\" does not report that, and newEvents counts arrivals: name another \
                 dependency",
            ),
            (
                "{name: a, run: Full, recoveredAfterSeconds: 9, dependency: drift}",
                "dependency: the exporter of \"drift\" does not report that, and recoveredAfterSeconds needs to know whether it is \
                 up: name another dependency",
            ),
        ];
        for (trigger, expected) in cases {
            assert_eq!(problems(trigger), [format!("spec.training.triggers[0].{expected}")], "{trigger}");
        }
        let of_item = "spec.training.triggers[0]: set exactly one of signal, newEvents and recoveredAfterSeconds";
        assert_eq!(problems("{name: a, run: Full}"), [of_item]);
        let both = "{name: a, run: Full, newEvents: 9, dependency: clicks, above: '1'}";
        let of_signal = "spec.training.triggers[0]: above and forSeconds are for a signal: remove them, or set signal";
        assert_eq!(problems(both), [of_signal]);
        let valid = "{name: a, run: Full, signal: sessions, above: '1'}";
        let twice = "spec.training.triggers[1].name: there is another trigger \"a\": write another name";
        assert_eq!(problems(&format!("{valid}, {valid}")), [twice]);
    }
}
