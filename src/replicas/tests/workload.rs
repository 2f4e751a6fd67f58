//! The state of a workload between ticks and across restarts, and which changes of it are reported.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    super::{explanation::Explanation, plan::ScalingPlan, pods::Pods, tick::Tick, workload::Scaled},
    at, model, seconds, serving,
};
use crate::{
    api::{ScalingStatus, conditions::reasons},
    scaling::{Decision, Limit, decision::Inputs},
    series::Series,
    signals::fake::readings,
};

/// Servers of `shop/packages` with a latency target of 75 ms at p95. Their pods follow a reported decision within a tick.
struct Servers {
    plan: ScalingPlan,
    scaled: Scaled,
    now: i64,
    desired: u32,
    /// Times of the ticks that reported a change.
    changed: Vec<i64>,
}

impl Servers {
    fn new(reported: Option<ScalingStatus>, desired: u32) -> Self {
        Self::with(json!({}), reported, desired)
    }

    /// With additional fields of the autoscaling.
    fn with(more: serde_json::Value, reported: Option<ScalingStatus>, desired: u32) -> Self {
        let mut autoscaling = json!({
            "minReplicas": 2, "maxReplicas": 60, "latency": {"quantile": "P95", "targetMilliseconds": 75},
        });
        for (field, value) in more.as_object().expect("fields") {
            autoscaling[field] = value.clone();
        }
        let model = model("packages", json!({"serving": serving(autoscaling)}));
        let plan = ScalingPlan::new(&model, &model.serving_workload()).expect("decided");
        let scaled = Scaled::new(plan.clone(), Some(pods(desired)), reported, at(0));
        Self { plan, scaled, now: 0, desired, changed: Vec::new() }
    }

    fn reported(&self) -> &ScalingStatus {
        self.scaled.reported().expect("reported")
    }

    /// A tick with so many requests per second, or without any data. The pods do not change.
    fn tick(&mut self, rate: Option<f64>) {
        self.tick_with(rate, &[]);
    }

    /// The same with further series.
    fn tick_with(&mut self, rate: Option<f64>, further: &[(Series, f64)]) {
        self.now += 5;
        let busy = rate.unwrap_or_default() / f64::from(self.desired.max(1)) / 100.0;
        let latency = 0.03 / (1.0 - busy.min(0.98));
        let sample = |series, value: f64| ("shop", "packages", series, "serving", value.to_string(), 0);
        let samples = rate.map(|rate| {
            [
                sample(Series::RequestRate, rate),
                sample(Series::LatestRequestRate, rate),
                sample(Series::Latency, latency),
                sample(Series::Cpu, busy),
            ]
        });
        let further = further.iter().map(|(series, value)| sample(*series, *value));
        let samples: Vec<_> = samples.into_iter().flatten().chain(further).collect();
        let readings = readings(&samples, self.now);
        let (now, clock) = (at(self.now), self.now as f64);
        let object = ("shop", "packages");
        let tick = Tick { object, workload: "serving", source: "default", readings: Some(&readings), now, clock };
        if self.scaled.tick(&tick) == Some(true) {
            self.changed.push(self.now);
        }
    }

    /// Ticks for so many seconds. The autoscaler follows each decision.
    fn run(&mut self, seconds: i64, rate: Option<f64>) {
        for _ in 0..seconds / 5 {
            self.tick(rate);
            self.desired = self.scaled.reported().map_or(self.desired, |reported| reported.replicas as u32);
            self.scaled.update(self.plan.clone(), Some(pods(self.desired)));
        }
    }

    /// The times of reported changes after `begin`, in seconds after it.
    fn changes_after(&self, begin: i64) -> Vec<i64> {
        self.changed.iter().filter(|at| **at > begin).map(|at| at - begin).collect()
    }
}

/// Pods that have been ready for an hour.
fn pods(desired: u32) -> Pods {
    let ready_since = vec![at(-3600); desired as usize];
    let running = (0..desired).map(|pod| (format!("pod-{pod}"), None)).collect();
    Pods { desired, ready: desired, ready_since, running, startup: Some(20.0), rolling_out: false, ..Pods::default() }
}

fn status(replicas: i32) -> ScalingStatus {
    ScalingStatus { replicas, reason: "Load".into(), message: "up".into(), decisions: Vec::new(), learned: None }
}

/// With `several` processes per pod the recorded rates are nonsense, also those that were recorded before it was noticed.
#[test]
fn rates_of_several_processes_in_a_pod_neither_raise_nor_lower_replicas_nor_teach_anything() {
    let mut servers = Servers::new(None, 6);
    servers.run(1200, Some(300.0));
    let before = servers.reported().clone();
    for rate in [Some(9000.0), None, Some(1.0)] {
        for _ in 0..60 {
            servers.tick_with(rate, &[(Series::SeveralProcesses, 6.0)]);
            assert_eq!(servers.reported().replicas, before.replicas, "after {} s", servers.now);
        }
    }
    let reported = servers.reported();
    assert_eq!(reported.reason, reasons::METRICS_MISSING);
    assert!(
        reported.message.contains("several processes answer the scrapes of 6 servers in turn"),
        "{}",
        reported.message
    );
    assert!(reported.message.contains("PROMETHEUS_MULTIPROC_DIR"), "{}", reported.message);
    // The status has an estimate that is off by up to a tenth.
    let capacity = |status: &ScalingStatus| -> f64 {
        let learned = status.learned.as_ref().and_then(|learned| learned.requests_per_replica.as_ref());
        learned.and_then(|decimal| decimal.parse().ok()).expect("an estimate")
    };
    let (learned, known) = (capacity(reported), capacity(&before));
    assert!((0.9..1.1).contains(&(learned / known)), "{learned} {known}");
    let is_queried = |servers: &Servers| servers.scaled.unresponsive("shop").is_some_and(|of| of.metrics.is_some());
    assert!(!is_queried(&servers), "a reading of one process says nothing about the others");
    let mut unrecorded = Servers::new(None, 6);
    unrecorded.run(300, None);
    assert!(is_queried(&unrecorded), "servers are queried where no rate is recorded");
}

#[test]
fn scrapes_that_are_refused_are_told_apart_from_series_that_are_not_recorded() {
    let mut servers = Servers::new(None, 6);
    servers.run(1200, Some(300.0));
    for _ in 0..60 {
        servers.tick_with(None, &[(Series::Unanswered, 6.0)]);
    }
    let message = servers.reported().message.clone();
    assert!(message.contains("6 servers are known to Prometheus, and none of their scrapes succeeds"), "{message}");
    assert!(message.contains("mesh with strict mTLS"), "{message}");
    let mut unrecorded = Servers::new(None, 6);
    unrecorded.run(1200, Some(300.0));
    unrecorded.run(300, None);
    assert!(unrecorded.reported().message.contains("recommender:requests:rate20s: "), "{:?}", unrecorded.reported());
}

#[test]
fn a_lag_that_is_missing_alone_is_told_apart_from_rules_that_are_not_loaded() {
    let message = |recorded: &[(Series, &str)]| {
        let sample = |(series, value): &(Series, &str)| ("shop", "packages", *series, "events", (*value).to_owned(), 0);
        let readings = readings(&recorded.iter().map(sample).collect::<Vec<_>>(), 0);
        let object = ("shop", "packages");
        let tick =
            Tick { object, workload: "worker", source: "default", readings: Some(&readings), now: at(0), clock: 0.0 };
        let inputs = Inputs::Lag { lag: None, arrivals: 2.0, capacity: 0.0, catch_up: 120.0 };
        let limit = Limit::NoData("the lag is missing");
        let decision = Decision { replicas: 0, current: 0, unclamped: 0, limit, inputs, others: vec![] };
        Explanation { decision: &decision, tick: &tick, dependency: Some("events"), evidence: None }.message()
    };
    let alone = "recommender:lag_messages is unknown although arrivals are recorded";
    let found = message(&[(Series::Arrivals, "2")]);
    assert!(found.contains(alone), "{found}");
    let found = message(&[]);
    assert!(!found.contains(alone) && found.contains("recommender:lag_messages: "), "{found}");
    let found = message(&[(Series::Arrivals, "2"), (Series::Lag, "-1")]);
    assert!(found.contains("its exporter does not know"), "{found}");
}

/// Even if the autoscaler never followed the order, because it was stopped together with the metrics.
#[test]
fn an_order_from_before_a_restart_is_not_cancelled_by_missing_data() {
    let mut servers = Servers::new(Some(status(8)), 3);
    for _ in 0..120 {
        servers.tick(None);
        assert_eq!(servers.reported().replicas, 8, "after {} s", servers.now);
    }
    assert_eq!(servers.reported().reason, reasons::METRICS_MISSING);
    assert!(servers.reported().decisions.is_empty(), "nothing was decided");
}

#[test]
fn a_scale_up_is_not_cancelled_when_data_go_missing_right_after_it() {
    let mut servers = Servers::new(None, 6);
    servers.run(1200, Some(300.0));
    let before = servers.reported().replicas;
    servers.tick(Some(600.0));
    let raised = servers.reported().replicas;
    assert!(raised > before, "{:?}", servers.reported());
    for _ in 0..60 {
        servers.tick(None); // the pods do not change
        assert_eq!(servers.reported().replicas, raised, "after {} s", servers.now);
    }
}

#[test]
fn learned_estimates_are_resumed_from_the_status_and_invalid_ones_are_ignored() {
    let mut servers = Servers::new(None, 6);
    servers.run(1800, Some(300.0));
    let reported = servers.reported().clone();
    let learned = reported.learned.clone().expect("learned");
    let capacity: f64 = learned.requests_per_replica.expect("a number").parse().expect("a number");
    assert!((45.0..75.0).contains(&capacity), "{capacity}");

    let mut resumed = Servers::new(Some(reported.clone()), reported.replicas as u32);
    resumed.run(60, Some(300.0));
    assert_eq!(resumed.reported().replicas, reported.replicas);
    let decision = resumed.scaled.latest.as_ref().expect("decided").to_string();
    assert!(!decision.contains("still being learned"), "{decision}");

    for json in ["", "{", "null", "[]", "7", r#"{"latency": 3}"#, r#"{"lag": {"capacity": "many"}}"#] {
        let mut broken = reported.clone();
        broken.learned.as_mut().expect("learned").notes = Some(json.into());
        let mut servers = Servers::new(Some(broken), reported.replicas as u32);
        servers.run(60, None);
        assert_eq!(servers.reported().replicas, reported.replicas, "{json}");
        servers.run(60, Some(300.0));
        assert!(servers.reported().replicas >= reported.replicas / 2, "{json}: {:?}", servers.reported());
    }
}

#[test]
fn a_steady_load_is_reported_at_most_every_ten_minutes() {
    let mut servers = Servers::new(None, 6);
    servers.run(1800, Some(300.0));
    let begin = servers.now;
    servers.run(3600, Some(300.0));
    let changed = servers.changes_after(begin);
    assert!(changed.len() <= 6, "learned estimates are reported at most every ten minutes: {changed:?}");
    assert!(changed.windows(2).all(|pair| pair[1] - pair[0] >= 600), "{changed:?}");
}

#[test]
fn missing_metrics_and_their_recovery_are_reported_once_they_have_lasted() {
    let mut servers = Servers::new(None, 6);
    servers.run(1800, Some(300.0));
    let replicas = servers.reported().replicas;
    for seconds in [5, 15, 30] {
        let begin = servers.now;
        servers.run(seconds, None);
        servers.run(120, Some(300.0));
        assert_eq!(servers.changes_after(begin), [] as [i64; 0], "missing for {seconds} s");
    }
    let begin = servers.now;
    servers.run(600, None);
    // A missing sample is waited for, so the first decision without one is made at the second tick.
    assert_eq!(servers.changes_after(begin), [40], "reported once");
    assert_eq!((servers.reported().reason.as_str(), servers.reported().replicas), (reasons::METRICS_MISSING, replicas));
    let begin = servers.now;
    servers.run(120, Some(300.0));
    let changed = servers.changes_after(begin);
    assert!(matches!(changed[..], [reported] if (35..=60).contains(&reported)), "{changed:?}");
    assert_ne!(servers.reported().reason, reasons::METRICS_MISSING);
}

#[test]
fn in_the_first_three_minutes_missing_metrics_are_pending() {
    let mut servers = Servers::new(None, 6);
    servers.run(180, None);
    assert_eq!(servers.scaled.reported(), None);
    servers.run(5, None);
    assert_eq!((servers.reported().reason.as_str(), servers.reported().replicas), (reasons::METRICS_MISSING, 6));

    let mut unready = Servers::new(None, 6);
    unready.plan.startup = Some(600.0);
    for _ in 0..120 {
        unready.tick(None);
        unready.scaled.update(unready.plan.clone(), Some(Pods { ready: 0, ready_since: vec![], ..pods(6) }));
    }
    let since_pods = unready.scaled.reported();
    assert!(since_pods.is_some(), "the time counts from the one tick with ready pods");
    let mut never = Servers::new(None, 6);
    never.scaled.update(never.plan.clone(), Some(Pods { ready: 0, ready_since: vec![], ..pods(6) }));
    for _ in 0..120 {
        never.tick(None);
    }
    assert_eq!(never.scaled.reported(), None, "without pods there is nothing to measure");
}

#[test]
fn no_decision_is_made_while_the_deployment_is_not_in_the_cache() {
    let mut servers = Servers::new(Some(status(8)), 8);
    servers.scaled.update(servers.plan.clone(), None);
    for _ in 0..60 {
        servers.tick(Some(0.0));
    }
    assert_eq!(servers.reported(), &status(8));
}

#[test]
fn the_last_ten_changes_are_reported_newest_first() {
    let mut servers = Servers::with(json!({"requestsPerReplica": 50}), None, 4);
    for step in 0..16 {
        servers.run(90, Some(150.0 * 1.15_f64.powi(step)));
    }
    let decisions = &servers.reported().decisions;
    assert_eq!(decisions.len(), 10);
    let times: Vec<i64> = decisions.iter().map(|decision| seconds(decision.time.0)).collect();
    assert!(times.windows(2).all(|pair| pair[0] > pair[1]), "{times:?}");
    assert!(decisions.windows(2).all(|pair| pair[0].from == pair[1].to), "{decisions:?}");
    assert_eq!(decisions[0].to, servers.reported().replicas);
    let start =
        |decision: &crate::api::ScalingDecision| if decision.to > decision.from { "up from " } else { "down from " };
    assert!(decisions.iter().all(|decision| decision.message.starts_with(start(decision))), "{decisions:?}");
}

#[test]
fn advisory_decisions_change_no_replicas_and_start_from_the_current_ones() {
    let mut servers = Servers::with(json!({"advisory": true}), None, 6);
    assert!(!servers.plan.acted_on);
    for _ in 0..240 {
        servers.tick(Some(300.0));
    }
    for _ in 0..12 {
        servers.tick(Some(900.0));
    }
    let advised = servers.reported().replicas;
    assert!(advised > 8, "{:?}", servers.reported());
    assert!(servers.reported().message.starts_with("up from 6 to "), "{}", servers.reported().message);
    // A missing sample is waited for, so two ticks are needed.
    (0..2).for_each(|_| servers.tick(None));
    assert_eq!(servers.reported().replicas, 6, "advised replicas were never ordered, so they are not held");
}

/// Seen on a real cluster: Prometheus was restarted, and "connection refused" stayed in the status for as long as a series was missing after it.
#[test]
fn the_message_of_missing_metrics_follows_their_cause_and_not_each_tick() {
    let mut servers = Servers::new(Some(status(8)), 8);
    servers.run(600, Some(300.0));
    let (begin, before) = (servers.now, servers.reported().replicas);
    let refused = |servers: &mut Servers| {
        servers.now += 5;
        let readings = readings(&[], servers.now).silent("metric source \"default\": connection refused");
        let (now, clock, object) = (at(servers.now), servers.now as f64, ("shop", "packages"));
        let tick = Tick { object, workload: "serving", source: "default", readings: Some(&readings), now, clock };
        if servers.scaled.tick(&tick) == Some(true) {
            servers.changed.push(servers.now);
        }
    };
    (0..24).for_each(|_| refused(&mut servers));
    assert!(servers.reported().message.contains("connection refused"), "{}", servers.reported().message);
    servers.run(25, None);
    assert!(servers.reported().message.contains("connection refused"), "it has not lasted yet");
    servers.run(600, None);
    let reported = servers.reported();
    assert_eq!((reported.reason.as_str(), reported.replicas), (reasons::METRICS_MISSING, before));
    assert!(
        reported.message.contains("recommender:requests:rate20s") && !reported.message.contains("connection refused"),
        "{}",
        reported.message
    );
    assert_eq!(servers.changes_after(begin).len(), 2, "once each: {:?}", servers.changes_after(begin));
}

#[test]
fn an_unknown_source_is_reported_together_with_the_flags_that_configure_it() {
    let mut servers = Servers::new(Some(status(8)), 8);
    let tick = |now: i64, scaled: &mut Scaled| {
        let object = ("shop", "packages");
        let (now, clock) = (at(now), now as f64);
        scaled.tick(&Tick { object, workload: "serving", source: "thanos", readings: None, now, clock })
    };
    let changed: Vec<i64> =
        (0..60).map(|tick| tick * 5).filter(|now| tick(*now, &mut servers.scaled) == Some(true)).collect();
    assert_eq!(changed, [30]);
    let reported = servers.reported();
    assert_eq!((reported.replicas, reported.reason.as_str()), (8, reasons::METRICS_MISSING));
    let flags = r#"the operator has no metric source "thanos": set the value metricSources of its chart, or its flag --prometheus-url or --metric-sources"#;
    assert!(reported.message.ends_with(flags), "{}", reported.message);
}

#[test]
fn objects_of_the_same_name_in_two_namespaces_are_kept_apart() {
    let (mut shop, mut test) = (Servers::new(Some(status(6)), 6), Servers::new(Some(status(6)), 6));
    for tick in 1..240 {
        let now: Timestamp = at(0) + SignedDuration::from_secs(tick * 5);
        let sample = |namespace, series, value: &str| (namespace, "packages", series, "serving", value.to_owned(), 0);
        let samples = [
            sample("shop", Series::RequestRate, "300"),
            sample("shop", Series::Latency, "0.06"),
            sample("test", Series::RequestRate, "1"),
            sample("test", Series::Latency, "0.03"),
        ];
        let readings = readings(&samples, tick * 5);
        for (namespace, servers) in [("shop", &mut shop), ("test", &mut test)] {
            let (object, readings, clock) = ((namespace, "packages"), Some(&readings), tick as f64 * 5.0);
            servers.scaled.tick(&Tick { object, workload: "serving", source: "default", readings, now, clock });
        }
    }
    assert!(shop.reported().replicas >= 5, "{:?}", shop.reported());
    assert_eq!(test.reported().replicas, 2, "{:?}", test.reported());
}
