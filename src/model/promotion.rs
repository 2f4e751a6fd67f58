//! Which versions may serve: the gates of the spec, and what people request by annotations.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{FieldPath, InvalidField};
use crate::{
    api::{
        APPROVE_ANNOTATION, Better, Gate, PAUSE_ANNOTATION, PIN_ANNOTATION, Promotion, PromotionMode,
        ROLLBACK_ANNOTATION, RecommenderModelSpec,
    },
    text::decimal,
};

/// What a version has to fulfil, as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Whether a version that passes waits for an approval.
    pub is_manual: bool,
    /// How long a version is watched once it serves.
    pub watch: SignedDuration,
    /// Number of versions that are kept.
    pub kept: usize,
    /// The bounds of metrics.
    pub bounds: Vec<Bounds>,
    /// The level of significance of a regression; none: the noise of the test sets does not excuse one.
    pub level: Option<f64>,
    /// The highest age of the data of a version that is promoted.
    pub max_data_age: Option<SignedDuration>,
    /// The least and the most bytes of an artifact.
    pub bytes: (Option<i64>, Option<i64>),
}

/// The bounds of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// The name of the metric.
    pub metric: String,
    /// The least value.
    pub minimum: Option<f64>,
    /// The largest value.
    pub maximum: Option<f64>,
    /// Per cent by which it may be worse than the version that serves, and than the best one.
    pub regressions: [Option<f64>; 2],
    /// Whether a lower value is better.
    pub is_lower_better: bool,
}

/// Which versions of a spec may serve.
///
/// # Errors
/// Every gate that cannot be read, or that no version can pass.
pub(super) fn policy(spec: &RecommenderModelSpec) -> Result<Policy, Vec<InvalidField>> {
    let path = FieldPath::spec().field("promotion");
    let problems = |of: Vec<(String, String)>| of.into_iter().map(|(at, why)| path.field(&at).problem(why)).collect();
    Policy::new(&spec.promotion).map_err(problems)
}

impl Policy {
    /// Reads a spec.
    ///
    /// # Errors
    /// The fields that are wrong, below `spec.promotion`, with what to write instead.
    pub fn new(spec: &Promotion) -> Result<Self, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let mut number = |path: String, text: &Option<String>| {
            let parsed = text.as_ref().map(|text| (text, decimal(text)))?;
            if parsed.1.is_none() {
                problems.push((path, format!("{:?} is no decimal number: write for example \"0.20\"", parsed.0)));
            }
            parsed.1
        };
        let bounds: Vec<Bounds> =
            spec.gates.iter().enumerate().map(|(index, gate)| bounds(index, gate, &mut number)).collect();
        let level = number("significanceLevel".into(), &spec.significance_level);
        for (index, of) in bounds.iter().enumerate() {
            if of.minimum.zip(of.maximum).is_some_and(|(minimum, maximum)| minimum > maximum) {
                let message = "must not be above maximum, because no version would pass: write a lower number";
                problems.push((format!("gates[{index}].minimum"), message.into()));
            }
            if bounds[..index].iter().any(|before| before.metric == of.metric) {
                let message = format!("{:?} has a gate already: put all of its bounds into one", of.metric);
                problems.push((format!("gates[{index}].metric"), message));
            }
        }
        let bytes = (spec.min_artifact_bytes, spec.max_artifact_bytes);
        if bytes.0.zip(bytes.1).is_some_and(|(least, most)| least > most) {
            let message = "must not be above maxArtifactBytes, because no version would pass: write a lower number";
            problems.push(("minArtifactBytes".into(), message.into()));
        }
        if problems.is_empty() {
            Ok(Self {
                is_manual: spec.mode == PromotionMode::Manual,
                watch: SignedDuration::from_secs(spec.watch_seconds.into()),
                kept: usize::try_from(spec.keep_versions).unwrap_or_default(),
                bounds,
                level,
                max_data_age: spec.max_data_age_hours.map(|hours| SignedDuration::from_hours(hours.into())),
                bytes,
            })
        } else {
            Err(problems)
        }
    }

    /// Whether there are gates.
    pub fn has_gates(&self) -> bool {
        !self.bounds.is_empty() || self.max_data_age.is_some() || self.bytes != (None, None)
    }

    /// The least values of metrics.
    pub fn minimums(&self) -> Vec<(&str, f64)> {
        self.bounds.iter().filter_map(|of| Some((of.metric.as_str(), of.minimum?))).collect()
    }

    /// What most likely means something else, or has no effect: fields below `spec.promotion`, and why.
    pub fn warnings(&self) -> Vec<(String, String)> {
        let is_doubtful = |of: &Bounds| {
            of.maximum.is_some() && of.minimum.is_none() && of.regressions != [None, None] && !of.is_lower_better
        };
        let doubtful = self.bounds.iter().enumerate().filter(|(_, of)| is_doubtful(of));
        let why = "a lower value counts as worse, and it has a maximum only: write Lower if a lower one is better, or a minimum as well";
        let doubtful = doubtful.map(|(index, _)| (format!("gates[{index}].better"), why.to_owned()));
        let is_idle = self.level.is_some() && self.bounds.iter().all(|of| of.regressions == [None, None]);
        let idle =
            "has no effect, because no gate is about a regression: set maxRegressionPercent in one, or remove it";
        doubtful.chain(is_idle.then(|| ("significanceLevel".into(), idle.into()))).collect()
    }
}

fn bounds(index: usize, gate: &Gate, number: &mut impl FnMut(String, &Option<String>) -> Option<f64>) -> Bounds {
    let mut field = |name: &str, text| number(format!("gates[{index}].{name}"), text);
    Bounds {
        metric: gate.metric.clone(),
        minimum: field("minimum", &gate.minimum),
        maximum: field("maximum", &gate.maximum),
        regressions: [
            field("maxRegressionPercent", &gate.max_regression_percent),
            field("maxRegressionFromBestPercent", &gate.max_regression_from_best_percent),
        ],
        is_lower_better: gate.better == Some(Better::Lower),
    }
}

/// The values of the annotations of an object that concern its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// The version that may serve.
    pub approve: Option<String>,
    /// The version to roll back to.
    pub rollback: Option<String>,
    /// The version that is to serve as long as the annotation is there.
    pub pin: Option<String>,
    /// Whether no new version is to be promoted.
    pub is_paused: bool,
}

impl Requests {
    /// Of an object with these annotations.
    pub fn of(annotations: &BTreeMap<String, String>) -> Self {
        let value =
            |key: &str| annotations.get(key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        Self {
            approve: value(APPROVE_ANNOTATION),
            rollback: value(ROLLBACK_ANNOTATION),
            pin: value(PIN_ANNOTATION),
            is_paused: value(PAUSE_ANNOTATION).is_some_and(|value| !value.eq_ignore_ascii_case("false")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(gates: Vec<Gate>) -> Promotion {
        let gates = gates.into_iter().map(|gate| Gate { metric: "precision".into(), ..gate });
        Promotion { gates: gates.collect(), ..Promotion::default() }
    }

    #[test]
    fn a_regression_beside_a_maximum_alone_is_warned_of() {
        let warned = |gate| Policy::new(&of(vec![gate])).expect("valid").warnings().len();
        let error = Gate { maximum: Some("1".into()), max_regression_percent: Some("2".into()), ..Gate::default() };
        assert_eq!(warned(error.clone()), 1);
        assert_eq!(warned(Gate { better: Some(Better::Lower), ..error.clone() }), 0);
        assert_eq!(warned(Gate { minimum: Some("0".into()), ..error }), 0);
    }

    #[test]
    fn a_level_without_a_regression_is_warned_of() {
        let warned = |gate| {
            let spec = Promotion { significance_level: Some("0.05".into()), ..of(vec![gate]) };
            Policy::new(&spec).expect("valid").warnings().into_iter().map(|(field, _)| field).collect::<Vec<_>>()
        };
        let minimum = Gate { minimum: Some("0.2".into()), ..Gate::default() };
        assert_eq!(warned(minimum.clone()), ["significanceLevel"]);
        assert!(warned(Gate { max_regression_percent: Some("2".into()), ..minimum }).is_empty());
    }

    #[test]
    fn gates_that_no_version_can_pass_are_refused_with_their_field() {
        let gate = |minimum: &str, maximum: &str| Gate {
            minimum: Some(minimum.into()),
            maximum: Some(maximum.into()),
            ..Gate::default()
        };
        let promotion = Promotion {
            min_artifact_bytes: Some(2),
            max_artifact_bytes: Some(1),
            ..of(vec![gate("0.9", "0.2"), gate("a", "1")])
        };
        let problems = Policy::new(&promotion).expect_err("wrong");
        let fields: Vec<&str> = problems.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["gates[1].minimum", "gates[0].minimum", "gates[1].metric", "minArtifactBytes"]);
    }
}
