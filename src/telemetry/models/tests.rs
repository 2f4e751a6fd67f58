use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use serde_json::json;

use super::*;
use crate::{
    api::{
        ActiveRun, Base, PartialTrainingStatus, PruningStatus, ServingStatus, TrainingStatus, Trigger, VersionState,
    },
    observe::{JobState, Watched},
};

/// A time that is no whole number of hours since 1970.
const NOW: Timestamp = Timestamp::constant(1_795_000_061, 0);

/// A sample of each gauge.
pub fn every_sample() -> Samples {
    Gauge::ALL.map(|gauge| ((gauge, gauge.row().2.iter().map(|label| (*label).to_owned()).collect()), 1.0)).into()
}

fn metrics() -> (Registry, ModelMetrics) {
    let registry = Registry::new();
    let metrics = ModelMetrics::new(&registry);
    (registry, metrics)
}

/// All series, as name, labels without those of the object, and value.
fn exposed(registry: &Registry) -> BTreeMap<String, f64> {
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("encodes");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let of = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let series = series.strip_prefix("recommender_operator_")?;
        let object = r#"namespace="shop",recommender="packages""#;
        let series = series.replace(&format!(",{object}"), "").replace(&format!("{object},"), "");
        Some((series.replace(&format!("{{{object}}}"), ""), value.parse().ok()?))
    };
    lines.map(|line| of(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

fn version(id: &str, state: VersionState) -> Version {
    Version {
        id: id.into(),
        state,
        kind: TrainingKind::Full,
        job: format!("packages-{id}"),
        uri: format!("s3://models/{id}"),
        digest: "sha256:0".into(),
        bytes: 4096,
        metrics: [("precision_at_10".to_owned(), "0.31".to_owned())].into(),
        samples: None,
        standard_errors: BTreeMap::new(),
        gates: Vec::new(),
        canary: None,
        data_through: Some(Time(NOW - SignedDuration::from_hours(3))),
        base: None,
        due_at: Time(NOW - SignedDuration::from_hours(2)),
        started_at: Some(Time(NOW - SignedDuration::from_secs(3690))),
        trained_at: Time(NOW - SignedDuration::from_hours(1)),
        served_at: None,
    }
}

#[test]
fn versions_that_were_refused_or_taken_back_are_counted_since_the_last_one_that_was_not() {
    let counted = |states: &[VersionState]| {
        let versions = states.iter().map(|state| version("full-1", *state)).collect();
        let status = RecommenderModelStatus { versions, ..RecommenderModelStatus::default() };
        let children = Children::default();
        let samples = samples(&Observed {
            status: &status,
            children: &children,
            uid: "u",
            serving_expected: false,
            rules_loaded: None,
        });
        [Gauge::VersionsRefused, Gauge::VersionsRolledBack].map(|gauge| samples.get(&(gauge, Vec::new())).copied())
    };
    let (refused, back, serving) = (VersionState::Rejected, VersionState::RolledBack, VersionState::Serving);
    assert_eq!(counted(&[]), [Some(0.0), Some(0.0)]);
    assert_eq!(counted(&[refused, refused, serving, refused]), [Some(2.0), Some(0.0)]);
    assert_eq!(counted(&[refused, back, back, serving, back]), [Some(1.0), Some(2.0)]);
    assert_eq!(counted(&[back, VersionState::Failed, serving]), [Some(0.0), Some(2.0)]);
    assert_eq!(counted(&[serving, back]), [Some(0.0), Some(0.0)], "a newer one was promoted");
}

fn run(stage: Option<Stage>) -> FinishedRun {
    FinishedRun {
        job: "packages-full-2".into(),
        version: "full-2".into(),
        kind: TrainingKind::Full,
        trigger: Trigger::Schedule,
        cause: None,
        template: "t".into(),
        succeeded: stage.is_none(),
        reason: "Succeeded".into(),
        stage,
        message: String::new(),
        started_at: Some(Time(NOW - SignedDuration::from_secs(90))),
        finished_at: Time(NOW),
    }
}

fn of(status: &RecommenderModelStatus, children: &Children) -> Vec<(String, f64)> {
    let (registry, metrics) = metrics();
    let observed = Observed { status, children, uid: "uid", serving_expected: true, rules_loaded: None };
    metrics.set("shop", "packages", samples(&observed));
    let all = exposed(&registry).into_iter().filter(|(name, _)| !name.starts_with("training_runs_total"));
    all.filter(|(name, _)| !name.starts_with("training_failures_total")).collect()
}

#[test]
fn the_served_version_and_not_the_newest_one_gives_the_age_of_the_model_and_its_quality() {
    let mut served = version("full-1", VersionState::Serving);
    served.trained_at = Time(NOW - SignedDuration::from_hours(30));
    served.data_through = Some(Time(NOW - SignedDuration::from_hours(33)));
    served.metrics.insert("users".into(), "1e3".into());
    let newest = Version { metrics: BTreeMap::new(), ..version("full-2", VersionState::Candidate) };
    let serving = ServingStatus {
        version: Some("full-1".into()),
        rolling_out: Some("full-2".into()),
        rolling_out_since: Some(Time(NOW)),
        replicas: 3,
        ..ServingStatus::default()
    };
    let training = TrainingStatus { last: Some(run(None)), ..TrainingStatus::default() };
    let status = RecommenderModelStatus {
        training: Some(training),
        serving: Some(serving),
        versions: vec![newest, served],
        ..RecommenderModelStatus::default()
    };
    let now = 1_795_000_061.0;
    let expected = [
        ("rollout_started_timestamp_seconds", now),
        ("serving_data_through_timestamp_seconds", now - 33.0 * 3600.0),
        ("serving_expected", 1.0),
        ("serving_ready", 3.0),
        ("serving_trained_timestamp_seconds", now - 30.0 * 3600.0),
        ("serving_version_bytes", 4096.0),
        ("serving_version_metric{metric=\"precision_at_10\"}", 0.31),
        ("serving_version_metric{metric=\"users\"}", 1000.0),
        ("trained_timestamp_seconds", now - 3600.0),
        ("training_duration_seconds{kind=\"Full\"}", 90.0),
        ("training_failed", 0.0),
        ("training_failures_in_a_row", 0.0),
        ("version_info{kind=\"Full\",state=\"Candidate\",version=\"full-2\"}", 1.0),
        ("version_info{kind=\"Full\",state=\"Serving\",version=\"full-1\"}", 1.0),
        ("versions_refused_in_a_row", 0.0),
        ("versions_rolled_back", 0.0),
    ];
    assert_eq!(of(&status, &Children::default()), expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn the_time_since_when_a_version_waits_for_its_inputs_is_exposed_while_it_does() {
    let exposed = |waiting_since: Option<Time>| {
        let serving = Some(ServingStatus { waiting_since, ..ServingStatus::default() });
        let found = of(&RecommenderModelStatus { serving, ..Default::default() }, &Children::default());
        found.into_iter().find(|(name, _)| name == "promotion_waiting_timestamp_seconds").map(|(_, value)| value)
    };
    assert_eq!((exposed(Some(Time(NOW))), exposed(None)), (Some(1_795_000_061.0), None));
}

#[test]
fn jobs_for_pruning_that_fail_are_counted_once_there_was_one() {
    let exposed = |last_job, failures| {
        let pruning = Some(PruningStatus { last_job, failures, ..PruningStatus::default() });
        let found = of(&RecommenderModelStatus { pruning, ..Default::default() }, &Children::default());
        found.into_iter().find(|(name, _)| name == "prune_failures_in_a_row").map(|(_, value)| value)
    };
    assert_eq!([exposed(0, 0), exposed(1, 0), exposed(4, 3)], [None, Some(0.0), Some(3.0)]);
}

#[test]
fn the_time_since_when_it_cannot_be_refreshed_is_exposed_while_it_cannot() {
    let status = |value: &str| {
        let condition = json!({
            "type": types::REFRESHABLE, "status": value, "reason": "Paused", "message": "", "lastTransitionTime": Time(NOW),
        });
        let conditions = vec![serde_json::from_value(condition).expect("a condition")];
        RecommenderModelStatus { conditions, ..RecommenderModelStatus::default() }
    };
    let exposed = |value: &str| {
        let found = of(&status(value), &Children::default());
        found.into_iter().find(|(name, _)| name == "not_refreshable_timestamp_seconds").map(|(_, value)| value)
    };
    assert_eq!(exposed("False"), Some(1_795_000_061.0));
    assert_eq!((exposed("True"), exposed("Unknown")), (None, None));
}

#[test]
fn a_partial_version_does_not_make_the_full_training_younger_and_a_failed_partial_run_counts() {
    let hours = |hours| Time(NOW - SignedDuration::from_hours(hours));
    let base =
        Base { version: "full-1".into(), full: "full-1".into(), full_trained_at: hours(30), data_from: hours(2) };
    let newest =
        Version { kind: TrainingKind::Partial, base: Some(base), ..version("partial-1", VersionState::Candidate) };
    let failed = FinishedRun { kind: TrainingKind::Partial, succeeded: false, ..run(Some(Stage::Fit)) };
    let partial =
        PartialTrainingStatus { last: Some(failed), consecutive_failures: 2, ..PartialTrainingStatus::default() };
    let training = TrainingStatus { last: Some(run(None)), partial: Some(partial), ..TrainingStatus::default() };
    let status = RecommenderModelStatus {
        training: Some(training),
        versions: vec![newest],
        ..RecommenderModelStatus::default()
    };
    let all = of(&status, &Children::default());
    let now = 1_795_000_061.0;
    for (name, value) in [
        ("trained_timestamp_seconds", now - 30.0 * 3600.0),
        ("training_duration_seconds{kind=\"Full\"}", 90.0),
        ("training_failed", 1.0),
        ("training_failures_in_a_row", 2.0),
        ("version_info{kind=\"Partial\",state=\"Candidate\",version=\"partial-1\"}", 1.0),
    ] {
        assert!(all.contains(&(name.to_owned(), value)), "{name}: {all:?}");
    }
}

#[test]
fn pods_are_counted_by_workload_and_state_and_the_active_run_by_its_start() {
    let pod = |component: &str, state: &str| PodState {
        component: component.into(),
        ready_since: (state == "ready").then_some(NOW),
        waits_for: (state.starts_with(char::is_uppercase)).then(|| state.into()),
        is_running: true,
        ..PodState::default()
    };
    let killed = |seconds| PodState {
        out_of_memory_at: Some(NOW - SignedDuration::from_secs(seconds)),
        ..pod("worker-events", "CrashLoopBackOff")
    };
    let pods = [
        pod("serving", "ready"),
        pod("serving", "ready"),
        pod("serving", "running"),
        pod("training", "Unschedulable"),
        PodState { is_running: false, ..pod("training", "running") },
        pod("of another program", "ready"),
        killed(60),
        killed(5),
    ];
    let job = ChildState::Job(JobState {
        version: "full-2".into(),
        due: NOW,
        trigger: Trigger::Schedule,
        cause: None,
        template: "t".into(),
        request: None,
        base: None,
        started_at: Some(NOW),
        end: None,
        pod_due: None,
        suspended: false,
        queue: None,
        refused: None,
    });
    let children = Children::default().with(Watched::Child(Kind::Job), "packages-full-2", job, None);
    let children = pods.into_iter().enumerate().fold(children, |children, (index, pod)| {
        children.with(Watched::Pod, &format!("pod-{index}"), ChildState::Nothing, Some(pod))
    });
    let active = ActiveRun {
        job: "packages-full-2".into(),
        version: "full-2".into(),
        kind: TrainingKind::Full,
        trigger: Trigger::Schedule,
        cause: None,
        blocked: None,
        progress: None,
    };
    let training = TrainingStatus { active: Some(active), ..TrainingStatus::default() };
    let status = RecommenderModelStatus { training: Some(training), ..RecommenderModelStatus::default() };
    let all = of(&status, &children);
    let of = |prefix: &str| all.iter().filter(|(name, _)| name.starts_with(prefix)).cloned().collect::<Vec<_>>();
    let pods = [
        ("pods{state=\"CrashLoopBackOff\",workload=\"events\"}", 2.0),
        ("pods{state=\"Unschedulable\",workload=\"training\"}", 1.0),
        ("pods{state=\"ready\",workload=\"serving\"}", 2.0),
        ("pods{state=\"running\",workload=\"serving\"}", 1.0),
    ];
    assert_eq!(of("pods"), pods.map(|(name, value)| (name.to_owned(), value)));
    let newest = ("out_of_memory_timestamp_seconds{workload=\"events\"}".to_owned(), 1_795_000_056.0);
    assert_eq!(of("out_of_memory"), [newest]);
    let started = ("training_started_timestamp_seconds{kind=\"Full\"}".to_owned(), 1_795_000_061.0);
    assert_eq!(of("training_started"), [started]);
}

#[test]
fn series_that_an_object_no_longer_has_are_removed_and_those_of_others_stay() {
    let (registry, metrics) = metrics();
    let sample = |gauge, label: &str, value| ((gauge, vec![label.to_owned()]), value);
    let pods = |state| Samples::from([((Gauge::Pods, vec!["serving".to_owned(), state]), 1.0)]);
    metrics.set("shop", "packages", pods("running".to_owned()));
    metrics.set("shop", "others", Samples::from([sample(Gauge::ServingMetric, "users", 5.0)]));
    metrics.set("shop", "packages", pods("ready".to_owned()));
    let gauges = |registry: &Registry| -> Vec<String> {
        exposed(registry).into_keys().filter(|name| !name.contains("_total")).collect()
    };
    let others = "serving_version_metric{metric=\"users\",namespace=\"shop\",recommender=\"others\"}";
    assert_eq!(gauges(&registry), ["pods{state=\"ready\",workload=\"serving\"}", others]);
    metrics.remove("shop", "packages");
    metrics.remove("shop", "packages");
    assert_eq!(gauges(&registry), [others]);
    assert!(!exposed(&registry).contains_key("training_failures_total{stage=\"save\"}"));
}

#[test]
fn after_a_failed_run_the_durations_before_it_and_its_stage_are_known() {
    let training = TrainingStatus { last: Some(run(Some(Stage::Save))), ..TrainingStatus::default() };
    let status = RecommenderModelStatus {
        training: Some(training),
        versions: vec![version("full-2", VersionState::Serving), version("full-1", VersionState::Previous)],
        ..RecommenderModelStatus::default()
    };
    let all = of(&status, &Children::default());
    let of_training = all.into_iter().filter(|(name, _)| name.starts_with("training_"));
    let expected = [
        ("training_duration_seconds{kind=\"Full\"}", 90.0),
        ("training_failed", 1.0),
        ("training_failed_timestamp_seconds{stage=\"save\"}", 1_795_000_061.0),
        ("training_failures_in_a_row", 0.0),
    ];
    assert_eq!(of_training.collect::<Vec<_>>(), expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn runs_are_counted_from_zero_by_kind_result_and_stage() {
    let (registry, metrics) = metrics();
    metrics.set("shop", "packages", Samples::new());
    let failures = |registry: &Registry| exposed(registry).get("training_failures_total{stage=\"save\"}").copied();
    assert_eq!(failures(&registry), Some(0.0));
    metrics.run_ended("shop", "packages", &run(Some(Stage::Save)));
    metrics.run_ended("shop", "packages", &run(None));
    assert_eq!(failures(&registry), Some(1.0));
    let runs = |result| exposed(&registry)[&format!("training_runs_total{{kind=\"Full\",result=\"{result}\"}}")];
    assert_eq!([runs("success"), runs("failure")], [1.0, 1.0]);
}

#[test]
fn every_metric_of_the_operator_that_rules_read_is_exposed_with_the_labels_they_read() {
    let object = serde_json::json!({
        "apiVersion": "recommender.dev/v1alpha1", "kind": "RecommenderModel",
        "metadata": {"name": "packages", "namespace": "shop"},
        "spec": {
            "artifacts": {"persistentVolumeClaim": {"claimName": "packages-models"}},
            "training": {"image": "example.org/packages:1", "full": {"args": ["train"]}},
            "serving": {
                "image": "example.org/packages:1", "args": ["serve"], "port": 8000, "probes": {"path": "/health"},
                "autoscaling": {"minReplicas": 1, "maxReplicas": 3, "latency": {"quantile": "P95", "targetMilliseconds": 75}},
                "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}}
            },
            "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}}
        }
    });
    let object = serde_json::from_value(object).expect("an object");
    let model = crate::model::Model::new(&object, NOW).expect("it is valid");
    let file = crate::render::rule_file(&[model]).expect("it has monitoring");

    let operator = crate::telemetry::Metrics::new();
    operator.models().set("shop", "packages", every_sample());
    operator.scaling().observed(["shop", "packages", "serving"], true);
    let text = String::from_utf8(operator.encode().expect("encodes")).expect("UTF-8");
    let exposed: Vec<&str> = text.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let of_scaling = ["held", "at_maximum", "ineffective"].map(|name| format!("recommender_operator_scaling_{name}"));
    let words = file.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let read: std::collections::BTreeSet<&str> =
        words.filter(|word| word.starts_with("recommender_operator_")).collect();
    assert!(read.len() > 15, "{read:?}");
    let missing = read.iter().filter(|name| !exposed.contains(name) && !of_scaling.contains(&(**name).to_owned()));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new());
}
