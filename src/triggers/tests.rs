use super::*;
use crate::{
    api::{ActiveRun, FinishedRun, ServingStatus, Trigger, TriggerStatus},
    signals::fake::{at, readings},
};

fn drift() -> Condition {
    let (value, duration) = (0.2, SignedDuration::from_secs(600));
    Condition::Above { series: Series::DriftScore, about: "drift".into(), value, duration }
}

fn events(count: i64) -> Condition {
    Condition::Events { dependency: "clicks".into(), count }
}

fn recovered(seconds: i64) -> Condition {
    Condition::Recovered { dependency: "users-db".into(), down: SignedDuration::from_secs(seconds) }
}

fn plan(condition: Condition) -> TriggerPlan {
    TriggerPlan { name: "a".into(), kind: TrainingKind::Full, cool_down: SignedDuration::from_secs(3600), condition }
}

fn state(condition: Condition) -> State {
    let object = OfSource::packages();
    State { object, triggers: vec![Watched::restored(&plan(condition), None, None, None)] }
}

/// Observes a value, or none, at a time in seconds. Returns whether something changed, and since when the condition is met.
fn observe(state: &mut State, value: Option<&str>, second: i64) -> (bool, Option<i64>) {
    let (series, about) = state.triggers[0].plan.condition.signal();
    let (series, about) = (series, about.to_owned());
    let sample = value.map(|value| ("shop", "packages", series, about.as_str(), value.to_owned(), 0));
    let read = readings(&sample.into_iter().collect::<Vec<_>>(), second);
    let is_changed = state.tick(Some(&read), at(second));
    let met = state.observed().met.remove("a");
    (is_changed, met.map(|met| met.since.duration_since(at(0)).as_secs()))
}

#[test]
fn a_signal_has_to_be_above_its_value_all_the_time() {
    let mut state = state(drift());
    for (second, value, expected) in [
        (0, Some("0.31"), (false, None)),
        (300, Some("0.2"), (false, None)),
        (310, Some("0.21"), (false, None)),
        (905, Some("0.4"), (false, None)),
        (910, Some("0.31"), (true, Some(910))),
        (990, Some("0.33"), (false, Some(910))),
        (1000, None, (true, None)),
        (1010, Some("0.3"), (false, None)),
        (1609, Some("0.3"), (false, None)),
        (1610, Some("0.31"), (true, Some(1610))),
        (1700, Some("0.1"), (true, None)),
    ] {
        assert_eq!(observe(&mut state, value, second), expected, "{second}");
    }
    observe(&mut state, Some("9"), 2000);
    observe(&mut state, Some("0.312345"), 2720);
    assert_eq!(state.observed().met["a"].why, "drift_score of drift was 0.3123, above 0.2 for 12 min");
}

#[test]
fn of_a_score_with_several_features_the_largest_counts() {
    let mut state = state(drift());
    let read = |second| {
        let sample = |value: &str| ("shop", "packages", Series::DriftScore, "drift", value.to_owned(), 0);
        readings(&[sample("0.1"), sample("0.5"), sample("0.3")], second)
    };
    state.tick(Some(&read(0)), at(0));
    assert!(state.tick(Some(&read(600)), at(600)));
    assert_eq!(state.observed().met["a"].why, "drift_score of drift was 0.5000, above 0.2 for 10 min");
}

#[test]
fn values_older_than_five_minutes_and_a_source_that_is_gone_start_nothing() {
    let mut state = state(drift());
    let sample = ("shop", "packages", Series::DriftScore, "drift", "0.5".to_owned(), 0);
    let read = readings(&[sample], 0);
    for second in [0, 299] {
        state.tick(Some(&read), at(second));
    }
    assert!(state.triggers[0].since.is_some());
    state.tick(Some(&read), at(301));
    assert_eq!(state.triggers[0].since, None);
    state.tick(Some(&read), at(0));
    state.tick(None, at(600));
    assert_eq!((state.triggers[0].since, state.observed()), (None, Signals::default()));
}

#[test]
fn a_number_that_is_no_multiple_of_its_tenth_is_reported_once_it_has_arrived() {
    for (count, below) in [(105, 100), (25, 24), (12_345, 12_340), (9, 8), (1, 0)] {
        let mut watched = Watched::restored(&plan(events(count)), None, Some(count - 1), None);
        assert_eq!(watched.reported(), Some(below), "{count}");
        watched.events += 1.0;
        assert_eq!(watched.reported(), Some(count), "{count}");
    }
}

#[test]
fn messages_are_counted_while_arrivals_are_known_and_reported_in_tenths() {
    let mut state = state(events(1000));
    let mut count = |value, second| (observe(&mut state, value, second), state.observed().events["a"].0);
    assert_eq!(count(Some("10"), 0), ((false, None), 0), "nothing is known of the time before");
    assert_eq!(count(Some("10"), 9), ((false, None), 0));
    assert_eq!(count(Some("11"), 10), ((true, None), 100));
    assert_eq!(count(None, 20), ((false, None), 100));
    assert_eq!(count(Some("10"), 60), ((false, None), 100), "nothing is known of the time between");
    assert_eq!(count(Some("10"), 600), ((true, None), 700), "at most a minute");
    assert_eq!(count(Some("10"), 630), ((true, Some(630)), 1000));
    assert_eq!(count(Some("10"), 690), ((false, Some(630)), 1000), "once is enough");
    assert_eq!(state.observed().met["a"].why, "1000 messages arrived at clicks");
}

#[test]
fn a_dependency_recovers_after_it_was_down_for_long_enough() {
    let mut state = state(recovered(60));
    for (second, value, expected) in [
        (0, Some("0"), (false, None)),
        (59, Some("1"), (false, None)),
        (70, Some("0"), (false, None)),
        (100, None, (false, None)),
        (200, Some("1"), (false, None)),
        (300, Some("0"), (false, None)),
        (360, Some("1"), (true, Some(360))),
        (400, Some("1"), (false, Some(360))),
        (500, Some("0"), (true, None)),
    ] {
        assert_eq!(observe(&mut state, value, second), expected, "{second}");
    }
}

fn finished(version: &str) -> FinishedRun {
    serde_json::from_value(serde_json::json!({
        "job": version, "version": version, "kind": "Full", "trigger": "Schedule", "template": "t", "succeeded": true,
        "reason": "Succeeded", "message": "", "finishedAt": "2026-11-21T03:00:00Z",
    }))
    .expect("a run")
}

fn active(version: &str) -> ActiveRun {
    ActiveRun {
        job: version.into(),
        version: version.into(),
        kind: TrainingKind::Full,
        trigger: Trigger::Schedule,
        cause: None,
        blocked: None,
        progress: None,
    }
}

/// The status with the runs of an object, and of its trigger.
fn status(active: Option<ActiveRun>, last: &str, trigger: TriggerStatus) -> RecommenderModelStatus {
    let triggers = vec![TriggerStatus { name: "a".into(), ..trigger }];
    let training = TrainingStatus { active, last: Some(finished(last)), triggers, ..TrainingStatus::default() };
    RecommenderModelStatus { training: Some(training), ..RecommenderModelStatus::default() }
}

fn model(trigger: &str) -> Model {
    let object = format!(
        "{{apiVersion: recommender.dev/v1alpha1, kind: RecommenderModel, metadata: {{name: packages, namespace: shop}},
           spec: {{artifacts: {{persistentVolumeClaim: {{claimName: models}}}},
           training: {{image: a, full: {{}}, partial: {{}}, triggers: [{trigger}]}}, serving: {{image: a}},
           dependencies: [
             {{name: clicks, kafka: {{consumerGroup: g, topics: [t]}}}},
             {{name: users-db, exporter: {{name: PostgresExporter}}}},
             {{name: drift, exporter: {{name: DriftMonitor}}}}],
           monitoring: {{metrics: {{profile: FastApiInstrumentator}}}}}}}}"
    );
    let object = serde_saphyr::from_str(&object).expect("an object");
    Model::new(&object, at(0)).expect("valid")
}

#[test]
fn a_run_begins_the_time_and_the_count_anew_and_a_signal_does_not_count_during_it() {
    let model = model("{name: a, run: Full, signal: drift_score, dependency: drift, above: '0.2', forSeconds: 600}");
    let none = TriggerStatus::default;
    let mut state = State::default();
    state.update(&model, &status(None, "full-1", none()));
    observe(&mut state, Some("0.3"), 0);
    assert_eq!(observe(&mut state, Some("0.3"), 600), (true, Some(600)));
    assert_eq!(state.observed().met["a"].after.as_deref(), Some("full-1"));
    state.update(&model, &status(None, "full-1", none()));
    assert!(!state.observed().met.is_empty(), "no other run was started");
    state.update(&model, &status(Some(active("full-2")), "full-1", none()));
    assert_eq!(observe(&mut state, Some("0.3"), 2000), (false, None));
    state.update(&model, &status(None, "full-2", none()));
    observe(&mut state, Some("0.3"), 3000);
    assert_eq!(observe(&mut state, Some("0.3"), 3599), (false, None));
    assert_eq!(observe(&mut state, Some("0.3"), 3600), (true, Some(3600)));
}

/// A version in the store of the model.
fn version(model: &Model, id: &str, full: &str, state: VersionState) -> Version {
    let (at, uri) = ("2026-11-21T03:00:00Z", format!("{}/{id}", model.artifacts.root_uri()));
    let base = serde_json::json!({"version": full, "full": full, "fullTrainedAt": at, "dataFrom": at});
    let is_full = id == full;
    let version = serde_json::json!({
        "id": id, "kind": if is_full { "Full" } else { "Partial" }, "job": id, "uri": uri, "digest": "", "bytes": 1,
        "metrics": {}, "dueAt": at, "trainedAt": at, "base": (!is_full).then_some(base),
    });
    Version { state, ..serde_json::from_value(version).expect("a version") }
}

#[test]
fn a_signal_does_not_count_while_a_newer_version_waits_to_serve() {
    use VersionState::{Canary, Candidate, Failed, Rejected, RolledBack};
    let [full, partial] = ["Full", "Partial"].map(|run| {
        model(&format!(
            "{{name: a, run: {run}, signal: drift_score, dependency: drift, above: '0.2', forSeconds: 600}}"
        ))
    });
    let elsewhere = Version { uri: "s3://before/full-2".into(), ..version(&full, "full-2", "full-2", Candidate) };
    let of = |id, root, state| version(&full, id, root, state);
    for (newer, counts) in [
        (of("full-2", "full-2", Candidate), [false, false]),
        (of("full-2", "full-2", Canary), [false, false]),
        (of("partial-3", "full-2", Canary), [false, false]),
        (of("partial-3", "full-1", Canary), [true, false]),
        (of("full-2", "full-2", Rejected), [true, true]),
        (of("full-2", "full-2", Failed), [true, true]),
        (of("full-2", "full-2", RolledBack), [true, true]),
        (elsewhere, [true, true]),
    ] {
        let mut status = status(None, "full-2", TriggerStatus::default());
        let older = of("full-0", "full-0", Candidate);
        let observed = [&full, &partial].map(|model| {
            status.versions = vec![newer.clone(), of("full-1", "full-1", VersionState::Serving), older.clone()];
            status.serving = Some(ServingStatus { version: Some("full-1".into()), ..ServingStatus::default() });
            let mut state = State::default();
            state.update(model, &status);
            observe(&mut state, Some("0.3"), 0);
            let is_met = observe(&mut state, Some("0.3"), 600).1.is_some();
            status.serving = Some(ServingStatus { version: Some(newer.id.clone()), ..ServingStatus::default() });
            state.update(model, &status);
            observe(&mut state, Some("0.3"), 700);
            let begun = if is_met { 600 } else { 1300 };
            assert_eq!(observe(&mut state, Some("0.3"), 1300).1, Some(begun), "its time begins once that serves");
            is_met
        });
        assert_eq!(observed, counts, "{} {:?}", newer.id, newer.state);
    }
}

#[test]
fn after_a_restart_messages_and_a_recovery_that_waits_are_taken_over() {
    let events = model("{name: a, run: Full, dependency: clicks, newEvents: 1000}");
    let recorded = TriggerStatus { new_events: Some(900), ..TriggerStatus::default() };
    let mut state = State::default();
    state.update(&events, &status(None, "full-1", recorded.clone()));
    assert_eq!(state.observed().events["a"], (900, Some("full-1".into())));
    observe(&mut state, Some("10"), 0);
    assert_eq!(observe(&mut state, Some("10"), 10), (true, Some(10)));
    state.update(&events, &status(Some(active("full-2")), "full-1", recorded));
    assert_eq!(state.observed().events["a"], (0, Some("full-2".into())));

    let met_since = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(7)));
    let recorded = TriggerStatus { new_events: Some(1000), met_since, ..TriggerStatus::default() };
    let mut state = State::default();
    state.update(&events, &status(None, "full-1", recorded));
    let met = &state.observed().met["a"];
    assert_eq!((met.since, met.why.as_str()), (at(7), "1000 messages arrived at clicks since full-1"));

    let recovered = model("{name: a, run: Full, dependency: users-db, recoveredAfterSeconds: 60}");
    let met_since = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(7)));
    let recorded = TriggerStatus { met_since, ..TriggerStatus::default() };
    let mut state = State::default();
    state.update(&recovered, &status(None, "full-1", recorded));
    assert_eq!(state.observed().met["a"].since, at(7));
    assert_eq!(state.demanded(), [Series::DependencyUp]);
}
