//! Service level objectives: whether their goals can be measured, and whether alerts on them can fire.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    FieldPath, InvalidField,
    dependencies::{has_known_exporter, named},
};
use crate::{
    api::{
        AgeObjective, Dependency, LagObjective, LatencyObjective, Metrics, Objective as Desired, RecommenderModelSpec,
    },
    catalog::{self, AppliesTo, Latency, Profile},
    monitoring::{
        alerts::Change,
        dependencies::reports_lag_seconds,
        objectives::{Indicator, Objective},
        profiles,
    },
    series::Series,
};

/// `windowDays` by default: what the burn rates of the alerts were chosen for.
const WINDOW_DAYS: i32 = 30;
/// `minBadRequests` by default, see [`monitoring::objectives`](crate::monitoring::objectives).
const MIN_BAD_REQUESTS: i32 = 10;
/// The least part of the time in which an age may be too high. It rises steadily, so that no single sample is bad.
const LEAST_AGE_BUDGET: f64 = 0.001;
/// The least part of the time in which a lag may be too high. It is sampled every 60 s: at the highest burn rate, 14.4, an alert needs
/// five bad samples within an hour, so that one or two wake no one.
const LEAST_LAG_BUDGET: f64 = 0.005;
/// Largest difference between bounds of buckets that counts as none, as a part of them: decimal fractions are not exact.
const SAME: f64 = 1e-9;

/// The objectives of a spec.
///
/// # Errors
/// Every one that cannot be measured or whose alerts cannot fire.
pub(super) fn objectives(
    spec: &RecommenderModelSpec,
    changes: &BTreeMap<String, Change>,
) -> Result<Vec<Objective>, Vec<InvalidField>> {
    // An unknown profile is refused by itself.
    let Some(monitoring) = spec.monitoring.as_ref().filter(|of| profiles::find(&of.metrics.profile).is_some()) else {
        return Ok(Vec::new());
    };
    let (mut objectives, mut problems, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (path, desired) in FieldPath::spec().field("monitoring").items("objectives", &monitoring.objectives) {
        if !names.insert(&desired.name) {
            let twice = format!("there is another objective {:?}: write another name", desired.name);
            problems.push(path.field("name").problem(twice));
        }
        match objective(&path, desired, &monitoring.metrics, &spec.dependencies, changes) {
            Ok(objective) => objectives.push(objective),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(objectives) } else { Err(problems) }
}

fn objective(
    path: &FieldPath,
    desired: &Desired,
    metrics: &Metrics,
    dependencies: &[Dependency],
    changes: &BTreeMap<String, Change>,
) -> Result<Objective, InvalidField> {
    let age = |series, of: &AgeObjective| Indicator::Age { series, max_hours: of.max_hours };
    let indicators = [
        desired.availability.as_ref().map(|_| availability(path, metrics)),
        desired.latency.as_ref().map(|of| bucket(path, of, &metrics.profile)),
        desired.model_age.as_ref().map(|of| Ok(age(Series::ModelAge, of))),
        desired.data_age.as_ref().map(|of| Ok(age(Series::DataAge, of))),
        desired.lag.as_ref().map(|of| lagging(path, of, dependencies)),
    ];
    let mut indicators = indicators.into_iter().flatten();
    let (Some(indicator), None) = (indicators.next(), indicators.next()) else {
        return Err(path.problem("set exactly one of availability, latency, modelAge, dataAge and lag"));
    };
    let indicator = indicator?;
    let is_of_requests = matches!(indicator, Indicator::Availability | Indicator::Latency { .. });
    let least = match indicator {
        Indicator::Availability | Indicator::Latency { .. } => 0.0,
        Indicator::Age { .. } => LEAST_AGE_BUDGET,
        Indicator::Lag { .. } => LEAST_LAG_BUDGET,
    };
    let error_budget = error_budget(&desired.goal)
        .ok_or_else(|| format!("{:?} is not between 0 and 100 per cent: write for example \"99.9\"", desired.goal));
    let error_budget = error_budget.and_then(|budget| fires(budget, least, changes));
    Ok(Objective {
        name: desired.name.clone(),
        is_critical: is_critical(&indicator, dependencies),
        indicator,
        error_budget: error_budget.map_err(|why| path.field("goal").problem(why))?,
        window_days: desired.window_days.unwrap_or(WINDOW_DAYS),
        min_bad_requests: is_of_requests.then_some(desired.min_bad_requests.unwrap_or(MIN_BAD_REQUESTS)),
    })
}

/// What the recommender can do without for a while wakes no one.
fn is_critical(indicator: &Indicator, dependencies: &[Dependency]) -> bool {
    match indicator {
        Indicator::Availability | Indicator::Latency { .. } => true,
        // It is still served.
        Indicator::Age { .. } => false,
        Indicator::Lag { dependency, .. } => dependencies.iter().any(|of| of.name == *dependency && of.critical),
    }
}

/// What a goal in per cent leaves, as a part of all, with the decimals that a goal can have.
fn error_budget(goal: &str) -> Option<f64> {
    let goal: f64 = goal.parse().ok()?;
    (goal > 0.0 && goal < 100.0).then(|| ((100.0 - goal) * 1e4).round() / 1e6)
}

/// The budget, if there is a value at which each alert on it fires.
fn fires(budget: f64, least: f64, changes: &BTreeMap<String, Change>) -> Result<f64, String> {
    if budget < least {
        return Err(format!(
            "so little time cannot be measured with a sample every one or two minutes: write at most \"{}\"",
            100.0 - 100.0 * least
        ));
    }
    let alerts = catalog::current().alerts.iter().filter(|alert| alert.applies_to == AppliesTo::Objectives);
    let burn_rates = alerts.filter_map(|alert| {
        let change = changes.get(&alert.name).copied().unwrap_or_default();
        let rate = change.threshold.or(alert.threshold.map(|of| of.default))?;
        (!change.is_disabled).then_some((rate, &alert.name))
    });
    match burn_rates.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((rate, alert)) if rate * budget >= 1.0 => {
            // With two decimals, rounded up.
            let least = (100.0 * (1.0 - 1.0 / rate) * 100.0).ceil() / 100.0;
            Err(format!(
                "{alert} would fire above {:.0} %, which is never: write at least \"{least}\", or a lower threshold of the alert",
                100.0 * rate * budget
            ))
        }
        _ => Ok(budget),
    }
}

fn availability(path: &FieldPath, metrics: &Metrics) -> Result<Indicator, InvalidField> {
    let profile = &metrics.profile;
    let in_promql = metrics.custom.as_ref().and_then(|custom| custom.errors.as_ref());
    if profiles::of(profile).errors.is_empty() && in_promql.is_none() {
        return Err(path.field("availability").problem(format!(
            "servers of the profile {profile} do not count the requests that they fail to answer: write latency in its place, or \
             remove the objective"
        )));
    }
    Ok(Indicator::Availability)
}

/// A latency, if it is a bound of the buckets: between two, nothing is known.
fn bucket(path: &FieldPath, of: &LatencyObjective, profile_name: &str) -> Result<Indicator, InvalidField> {
    let path = path.field("latency");
    let profile = profiles::of(profile_name);
    let Some(latency) = &profile.latency else {
        return Err(path.problem(format!(
            "servers of the profile {profile_name} have no histogram of the latency: write availability in its place, or remove the \
             objective"
        )));
    };
    let bucket = bound(of.threshold_milliseconds, profile, latency);
    let bucket = bucket.map_err(|why| path.field("thresholdMilliseconds").problem(why))?;
    Ok(Indicator::Latency { bucket })
}

/// The bound of the buckets of a profile's histogram with so many milliseconds, in the unit of the histogram; any of a native one.
///
/// # Errors
/// There is none, and what to write instead.
pub(super) fn bound(milliseconds: i32, profile: &Profile, latency: &Latency) -> Result<f64, String> {
    let threshold = f64::from(milliseconds) / 1000.0 * f64::from(latency.per_second);
    if latency.limit_seconds.is_infinite() {
        // The share up to any threshold is interpolated between the buckets of a native histogram.
        return Ok(threshold);
    }
    let buckets = profile.buckets();
    let bucket = buckets.iter().find(|bound| is_same(**bound, threshold));
    bucket.copied().ok_or_else(|| {
        let instead = nearest(milliseconds, buckets, latency);
        format!(
            "{milliseconds} is not a bound of the buckets of {}, so that it cannot be measured: {instead}",
            latency.histogram
        )
    })
}

fn is_same(a: f64, b: f64) -> bool {
    (a - b).abs() < SAME * b.abs()
}

/// What to write instead of a threshold: the bounds next to it that are whole milliseconds.
fn nearest(threshold: i32, buckets: &[f64], latency: &Latency) -> String {
    let milliseconds = buckets.iter().map(|bound| bound * 1000.0 / f64::from(latency.per_second));
    let whole: Vec<i32> =
        milliseconds.filter(|of| *of >= 1.0 && is_same(*of, of.round())).map(|of| of.round() as i32).collect();
    let below = whole.iter().rev().find(|of| **of < threshold);
    let above = whole.iter().find(|of| **of > threshold);
    match (below, above) {
        (Some(below), Some(above)) => format!("write {below} or {above}"),
        (Some(below), None) => format!("write at most {below}, the largest"),
        (None, Some(above)) => format!("write at least {above}"),
        (None, None) => "none is a whole number of milliseconds: remove the objective".into(),
    }
}

fn lagging(path: &FieldPath, of: &LagObjective, dependencies: &[Dependency]) -> Result<Indicator, InvalidField> {
    let (path, name) = (path.field("lag.dependency"), &of.dependency);
    let dependency = named(&path, name, dependencies)?;
    if has_known_exporter(dependency) && !reports_lag_seconds(dependency) {
        return Err(path.problem(format!(
            "nothing reports a lag of {name:?} and how fast it is consumed, so that its seconds are not known: name another \
             dependency, or set custom.consumed of this one"
        )));
    }
    Ok(Indicator::Lag { dependency: name.clone(), within_seconds: of.within_seconds })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::catalog::Severity;

    /// The spec of an object with these objectives, dependencies and profile.
    fn spec(objectives: &Value, dependencies: &Value, profile: &str) -> RecommenderModelSpec {
        serde_json::from_value(json!({
            "artifacts": {"persistentVolumeClaim": {"claimName": "models"}},
            "training": {"image": "example.org/trainer:1", "full": {}},
            "serving": {"image": "example.org/server:1"},
            "dependencies": dependencies,
            "monitoring": {"metrics": {"profile": profile}, "objectives": objectives},
        }))
        .expect("a spec")
    }

    fn events() -> Value {
        json!([{"name": "events", "kafka": {"consumerGroup": "g", "topics": ["t"]}, "critical": false},
            {"name": "users", "exporter": {"name": "PostgresExporter"}},
            {"name": "own", "custom": {"lag": "x"}}])
    }

    /// What is wrong with one objective.
    fn problem(objective: &Value, profile: &str) -> String {
        let spec = spec(&json!([objective]), &events(), profile);
        let problems = objectives(&spec, &BTreeMap::new()).err().unwrap_or_default();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    const FAST_API: &str = "FastApiInstrumentator";

    #[test]
    fn objectives_that_can_be_measured_are_taken_over_with_their_defaults() {
        let desired = json!([
            {"name": "availability", "goal": "99.9", "availability": {}},
            {"name": "fast", "goal": "99.5", "windowDays": 7, "minBadRequests": 3, "latency": {"thresholdMilliseconds": 75}},
            {"name": "events", "goal": "99.5", "lag": {"dependency": "events", "withinSeconds": 120}},
            {"name": "fresh", "goal": "99", "modelAge": {"maxHours": 26}},
            {"name": "data", "goal": "99", "dataAge": {"maxHours": 30}},
        ]);
        let found = objectives(&spec(&desired, &events(), FAST_API), &BTreeMap::new()).expect("valid");
        let [availability, fast, events, fresh, data] = &found[..] else { panic!("{found:?}") };
        assert_eq!(
            (availability.error_budget, availability.window_days, availability.min_bad_requests),
            (0.001, 30, Some(10))
        );
        assert_eq!((fast.error_budget, fast.window_days, fast.min_bad_requests), (0.005, 7, Some(3)));
        assert_eq!(fast.indicator, Indicator::Latency { bucket: 0.075 });
        assert!(fast.is_critical && !events.is_critical);
        assert_eq!((events.min_bad_requests, fresh.min_bad_requests), (None, None));
        assert_eq!(fresh.indicator, Indicator::Age { series: Series::ModelAge, max_hours: 26 });
        assert_eq!(data.indicator, Indicator::Age { series: Series::DataAge, max_hours: 30 });
        assert!(!fresh.is_critical && !data.is_critical);
    }

    #[test]
    fn what_cannot_be_measured_is_refused_with_what_to_write_instead() {
        let latency =
            |milliseconds| json!({"name": "fast", "goal": "99", "latency": {"thresholdMilliseconds": milliseconds}});
        let lag = |name| json!({"name": "late", "goal": "99", "lag": {"dependency": name, "withinSeconds": 60}});
        let availability = json!({"name": "up", "goal": "99", "availability": {}});
        let threshold = "spec.monitoring.objectives[0].latency.thresholdMilliseconds:";
        for (objective, profile, path, part) in [
            (
                latency(80),
                FAST_API,
                threshold,
                "80 is not a bound of the buckets of http_request_duration_highr_seconds",
            ),
            (latency(80), FAST_API, threshold, ": write 75 or 100"),
            (latency(5), FAST_API, threshold, ": write at least 10"),
            (latency(60_001), FAST_API, threshold, ": write at most 60000, the largest"),
            (latency(80), "OpenTelemetryLegacy", threshold, ": write 75 or 100"),
            (latency(80), "TensorFlowServing", threshold, ": write at least 140485"),
            (
                latency(75),
                "Triton",
                "spec.monitoring.objectives[0].latency:",
                "have no histogram of the latency: write availability",
            ),
            (
                availability,
                "KServe",
                "spec.monitoring.objectives[0].availability:",
                "do not count the requests that they fail to answer",
            ),
            (lag("mails"), FAST_API, "spec.monitoring.objectives[0].lag.dependency:", "there is no \"mails\""),
            (
                lag("users"),
                FAST_API,
                "spec.monitoring.objectives[0].lag.dependency:",
                "nothing reports a lag of \"users\"",
            ),
            (lag("own"), FAST_API, "spec.monitoring.objectives[0].lag.dependency:", "set custom.consumed"),
            (json!({"name": "none", "goal": "99"}), FAST_API, "spec.monitoring.objectives[0]:", "set exactly one of"),
        ] {
            let found = problem(&objective, profile);
            assert!(found.starts_with(path) && found.contains(part), "{objective} of {profile}: {found}");
        }
    }

    #[test]
    fn a_goal_whose_alerts_can_never_fire_is_refused() {
        let of = |goal: &str| problem(&json!({"name": "up", "goal": goal, "availability": {}}), FAST_API);
        for goal in ["93.06", "94", "99.9999"] {
            assert_eq!(of(goal), "", "{goal}");
        }
        assert_eq!(
            of("93.05"),
            "spec.monitoring.objectives[0].goal: RecommenderObjectiveBurnFast would fire above 100 %, which is never: write at least \
             \"93.06\", or a lower threshold of the alert"
        );
        assert!(of("90").contains("would fire above 144 %"));
        for goal in ["100", "0", "-1", "x", "NaN"] {
            assert!(of(goal).ends_with("is not between 0 and 100 per cent: write for example \"99.9\""), "{goal}");
        }
    }

    #[test]
    fn an_alert_that_the_object_changes_counts_as_changed() {
        let spec = spec(&json!([{"name": "up", "goal": "90", "availability": {}}]), &events(), FAST_API);
        let of = |change| {
            let changes = BTreeMap::from([("RecommenderObjectiveBurnFast".to_owned(), change)]);
            objectives(&spec, &changes).map_err(|problems| problems[0].to_string())
        };
        assert!(of(Change { threshold: Some(9.9), ..Change::default() }).is_ok());
        assert!(of(Change { is_disabled: true, ..Change::default() }).is_ok());
        let severity = of(Change { severity: Some(Severity::Info), ..Change::default() });
        assert!(severity.is_err_and(|why| why.contains("RecommenderObjectiveBurnFast")));
    }

    #[test]
    fn a_share_of_time_in_which_one_sample_would_wake_a_person_is_refused() {
        let lag = |goal| json!({"name": "late", "goal": goal, "lag": {"dependency": "events", "withinSeconds": 60}});
        let age = |goal| json!({"name": "old", "goal": goal, "modelAge": {"maxHours": 26}});
        assert_eq!([problem(&lag("99.5"), FAST_API), problem(&age("99.9"), FAST_API)], ["", ""]);
        for (objective, most) in [(lag("99.6"), "99.5"), (age("99.95"), "99.9")] {
            let found = problem(&objective, FAST_API);
            assert!(found.ends_with(&format!("every one or two minutes: write at most \"{most}\"")), "{found}");
        }
    }

    #[test]
    fn two_objectives_of_the_same_name_are_refused() {
        let twice = json!({"name": "up", "goal": "99", "availability": {}});
        let spec = spec(&json!([twice, twice]), &events(), FAST_API);
        let problems = objectives(&spec, &BTreeMap::new()).expect_err("two of the same name");
        assert_eq!(
            problems[0].to_string(),
            "spec.monitoring.objectives[1].name: there is another objective \"up\": write another name"
        );
    }
}
