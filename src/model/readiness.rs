//! What trainings and promotions wait for (`spec.training.readiness`, `spec.promotion.readiness`), and what the schema cannot check of it:
//! whether the inputs can be observed.

use jiff::SignedDuration;

use super::{
    FieldPath, InvalidField,
    dependencies::{has_known_exporter, named},
};
use crate::{
    api::{Dependency, RecommenderModelSpec, TrainingInput, TrainingReadiness},
    monitoring::dependencies::{recorded, reports_health},
    series::Series,
};

/// The readiness of promotions, which has no minNewEvents.
const PROMOTION: &str = "promotion.readiness";

/// What the runs of an object wait for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readiness {
    /// All of these.
    pub inputs: Vec<Input>,
    /// Time after which a run starts anyway; none: never.
    pub max_wait: Option<SignedDuration>,
}

/// What has to be there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// The dependency.
    pub dependency: String,
    /// Whether its exporter reports its health.
    pub has_health: bool,
    /// The most messages that may wait.
    pub max_lag: Option<i64>,
    /// Whether the events until the run was due have to be processed.
    pub events_until_due: bool,
    /// The least messages that have to arrive between two runs.
    pub min_events: Option<i64>,
}

impl Readiness {
    /// The inputs of a spec. `has_health`: whether the exporter of a dependency reports its health.
    fn new(readiness: &TrainingReadiness, has_health: impl Fn(&str) -> bool) -> Self {
        let input = |of: &TrainingInput| Input {
            dependency: of.dependency.clone(),
            has_health: has_health(&of.dependency),
            max_lag: of.max_lag_messages,
            events_until_due: of.events_until_due.unwrap_or_default(),
            min_events: of.min_new_events,
        };
        Self {
            inputs: readiness.inputs.iter().map(input).collect(),
            max_wait: readiness.max_wait_seconds.map(SignedDuration::from_secs),
        }
    }
}

/// What the trainings and the promotions of a spec wait for.
///
/// # Errors
/// Every input that would never be known to be there.
pub(super) fn readiness(spec: &RecommenderModelSpec) -> Result<[Readiness; 2], Vec<InvalidField>> {
    let training = of(spec, "training.readiness", spec.training.readiness.as_ref());
    let promotion = of(spec, PROMOTION, spec.promotion.readiness.as_ref());
    match (training, promotion) {
        (Ok(training), Ok(promotion)) => Ok([training, promotion]),
        (training, promotion) => Err([training, promotion].into_iter().filter_map(Result::err).flatten().collect()),
    }
}

fn of(
    spec: &RecommenderModelSpec,
    field: &str,
    readiness: Option<&TrainingReadiness>,
) -> Result<Readiness, Vec<InvalidField>> {
    let Some(readiness) = readiness else { return Ok(Readiness::default()) };
    let path = FieldPath::spec().field(field);
    if spec.monitoring.is_none() {
        return Err(vec![
            path.problem("without spec.monitoring nothing is known of inputs: set that, or remove readiness"),
        ]);
    }
    let problems: Vec<_> = path
        .items("inputs", &readiness.inputs)
        .flat_map(|(path, input)| problems(&path, input, &spec.dependencies, field == PROMOTION))
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let has_health = |name: &str| spec.dependencies.iter().any(|of| of.name == name && reports_health(of));
    Ok(Readiness::new(readiness, has_health))
}

fn problems(
    path: &FieldPath,
    input: &TrainingInput,
    dependencies: &[Dependency],
    of_promotion: bool,
) -> Vec<InvalidField> {
    let name = &input.dependency;
    let dependency = match named(&path.field("dependency"), name, dependencies) {
        Ok(dependency) => dependency,
        Err(problem) => return vec![problem],
    };
    if !has_known_exporter(dependency) {
        return Vec::new();
    }
    let bounds = [
        ("maxLagMessages", input.max_lag_messages.is_some(), Series::Lag),
        ("eventsUntilDue", input.events_until_due == Some(true), Series::EventLag),
        ("minNewEvents", input.min_new_events.is_some(), Series::Arrivals),
    ];
    let is_recorded = |series| recorded(dependency).contains(&series);
    let bounded = bounds.iter().filter(|(_, is_set, _)| *is_set);
    let unknown = bounded.clone().filter(|(.., series)| !is_recorded(*series)).map(|(field, _, series)| {
        path.field(field).problem(format!(
            "the exporter of {name:?} does not report {}: remove it, or name another dependency",
            series.name()
        ))
    });
    let without_health = (bounded.clone().count() == 0 && !reports_health(dependency)).then(|| {
        let bounds = if of_promotion {
            "maxLagMessages or eventsUntilDue"
        } else {
            "maxLagMessages, eventsUntilDue or minNewEvents"
        };
        path.problem(format!(
            "the exporter of {name:?} does not report whether it is up: set {bounds}, or name another dependency"
        ))
    });
    unknown.chain(without_health).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inputs_of_promotions_are_checked_as_those_of_trainings_and_named_by_their_field() {
        let spec = "{artifacts: {persistentVolumeClaim: {claimName: models}}, training: {image: a, full: {}}, serving: {image: a},
                     promotion: {readiness: {inputs: [{dependency: orders}]}}, monitoring: {metrics: {profile: FastApiInstrumentator}}}";
        let orders: RecommenderModelSpec = serde_saphyr::from_str(spec).expect("a spec");
        let problems = readiness(&orders).expect_err("there is no such dependency");
        let expected = "spec.promotion.readiness.inputs[0].dependency: there is no \"orders\" among spec.dependencies: write the \
                        name of one";
        assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        let drift =
            spec.replace("promotion:", "dependencies: [{name: orders, exporter: {name: DriftMonitor}}], promotion:");
        let drift: RecommenderModelSpec = serde_saphyr::from_str(&drift).expect("a spec");
        let problems = readiness(&drift).expect_err("it reports neither its health nor a bound");
        let expected = "spec.promotion.readiness.inputs[0]: the exporter of \"orders\" does not report whether it is up: set \
                        maxLagMessages or eventsUntilDue, or name another dependency";
        assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }

    fn messages(input: &str, monitoring: &str) -> Vec<String> {
        let spec = format!(
            "{{artifacts: {{persistentVolumeClaim: {{claimName: models}}}},
               training: {{image: a, full: {{}}, readiness: {{inputs: [{input}]}}}},
               serving: {{image: a}},
               dependencies: [
                 {{name: clicks, kafka: {{consumerGroup: g, topics: [t]}}}},
                 {{name: stream, flink: {{job: a}}}},
                 {{name: users-db, exporter: {{name: PostgresExporter}}}},
                 {{name: drift, exporter: {{name: DriftMonitor}}}}]
               {monitoring}}}"
        );
        let spec: RecommenderModelSpec = serde_saphyr::from_str(&spec).expect("a spec");
        readiness(&spec).err().into_iter().flatten().map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn an_input_that_would_never_be_there_is_refused_with_the_field_and_what_to_write_instead() {
        let cases = [
            ("{dependency: users-db}", ""),
            ("{dependency: clicks, maxLagMessages: 0, minNewEvents: 9}", ""),
            ("{dependency: stream, eventsUntilDue: true}", ""),
            (
                "{dependency: orders}",
                "[0].dependency: there is no \"orders\" among spec.dependencies: write the name of one",
            ),
            (
                "{dependency: users-db, maxLagMessages: 9}",
                "[0].maxLagMessages: the exporter of \"users-db\" does not report recommender:lag_messages: remove it, or name \
                 another dependency",
            ),
            (
                "{dependency: clicks, eventsUntilDue: true}",
                "[0].eventsUntilDue: the exporter of \"clicks\" does not report recommender:event_lag_seconds: remove it, or name \
                 another dependency",
            ),
            (
                "{dependency: drift, eventsUntilDue: false}",
                "[0]: the exporter of \"drift\" does not report whether it is up: set maxLagMessages, eventsUntilDue or \
                 minNewEvents, or name another dependency",
            ),
        ];
        let monitoring = ", monitoring: {metrics: {profile: FastApiInstrumentator}}";
        for (input, expected) in cases {
            let expected: Vec<_> = Some(expected)
                .filter(|text| !text.is_empty())
                .map(|of| format!("spec.training.readiness.inputs{of}"))
                .into_iter()
                .collect();
            assert_eq!(messages(input, monitoring), expected, "{input}");
        }
        let unmonitored = "spec.training.readiness: without spec.monitoring nothing is known of inputs: set that, or remove readiness";
        assert_eq!(messages("{dependency: users-db}", ""), [unmonitored]);
    }
}
