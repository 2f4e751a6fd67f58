//! What is remembered of a workload from tick to tick and over restarts, and what of it is news.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    super::{
        policy::Plan,
        workload::{Pods, Scaled, Tick},
    },
    at, model, seconds, serving,
};
use crate::{
    api::{ScalingStatus, conditions::reasons},
    signals::{Series, fake::readings},
};

/// Servers of `shop/packages` with a p95 of 75 ms to keep, whose pods follow what is told within a tick.
struct Servers {
    plan: Plan,
    scaled: Scaled,
    now: i64,
    desired: u32,
    /// When ticks brought news.
    news: Vec<i64>,
}

impl Servers {
    fn new(told: Option<ScalingStatus>, desired: u32) -> Self {
        Self::with(json!({}), told, desired)
    }

    /// With more fields of the autoscaling.
    fn with(more: serde_json::Value, told: Option<ScalingStatus>, desired: u32) -> Self {
        let mut autoscaling = json!({
            "minReplicas": 2, "maxReplicas": 60, "latency": {"quantile": "P95", "targetMilliseconds": 75},
        });
        for (field, value) in more.as_object().expect("fields") {
            autoscaling[field] = value.clone();
        }
        let model = model("packages", json!({"serving": serving(autoscaling)}));
        let plan = Plan::new(&model, &model.serving_workload()).expect("decided");
        let scaled = Scaled::new(plan.clone(), Some(pods(desired)), told, at(0));
        Self { plan, scaled, now: 0, desired, news: Vec::new() }
    }

    fn told(&self) -> &ScalingStatus {
        self.scaled.told().expect("told")
    }

    /// A tick after which the pods are as they were; with this many requests per second, or without any data.
    fn tick(&mut self, rate: Option<f64>) {
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
        let readings = readings(samples.as_ref().map_or(&[], |samples| samples), self.now);
        let (now, clock) = (at(self.now), self.now as f64);
        let object = ("shop", "packages");
        let tick = Tick { object, workload: "serving", source: "default", readings: Some(&readings), now, clock };
        if self.scaled.tick(&tick) == Some(true) {
            self.news.push(self.now);
        }
    }

    /// Ticks for so many seconds; the autoscaler follows each.
    fn run(&mut self, seconds: i64, rate: Option<f64>) {
        for _ in 0..seconds / 5 {
            self.tick(rate);
            self.desired = self.scaled.told().map_or(self.desired, |told| told.replicas as u32);
            self.scaled.update(self.plan.clone(), Some(pods(self.desired)));
        }
    }

    /// When there was news in the seconds after `begin`.
    fn news_after(&self, begin: i64) -> Vec<i64> {
        self.news.iter().filter(|at| **at > begin).map(|at| at - begin).collect()
    }
}

/// Pods that have been ready for long.
fn pods(desired: u32) -> Pods {
    let ready_since = vec![at(-3600); desired as usize];
    Pods { desired, ready: desired, ready_since, startup: Some(20.0), rolling_out: false, ..Pods::default() }
}

fn status(replicas: i32) -> ScalingStatus {
    ScalingStatus { replicas, reason: "Load".into(), message: "up".into(), decisions: Vec::new(), learned: None }
}

/// Also when the autoscaler never followed, as it was stopped together with the metrics.
#[test]
fn what_was_ordered_before_a_restart_is_not_cancelled_by_missing_data() {
    let mut servers = Servers::new(Some(status(8)), 3);
    for _ in 0..120 {
        servers.tick(None);
        assert_eq!(servers.told().replicas, 8, "after {} s", servers.now);
    }
    assert_eq!(servers.told().reason, reasons::METRICS_MISSING);
    assert!(servers.told().decisions.is_empty(), "nothing was decided");
}

#[test]
fn a_raise_is_not_cancelled_when_the_data_go_missing_at_once() {
    let mut servers = Servers::new(None, 6);
    servers.run(1200, Some(300.0));
    let before = servers.told().replicas;
    servers.tick(Some(600.0));
    let raised = servers.told().replicas;
    assert!(raised > before, "{:?}", servers.told());
    for _ in 0..60 {
        servers.tick(None); // the pods are those of before
        assert_eq!(servers.told().replicas, raised, "after {} s", servers.now);
    }
}

#[test]
fn what_was_learned_is_resumed_from_the_status_and_broken_notes_are_ignored() {
    let mut servers = Servers::new(None, 6);
    servers.run(1800, Some(300.0));
    let told = servers.told().clone();
    let learned = told.learned.clone().expect("learned");
    let carries: f64 = learned.requests_per_replica.expect("a number").parse().expect("a number");
    assert!((45.0..75.0).contains(&carries), "{carries}");

    let mut resumed = Servers::new(Some(told.clone()), told.replicas as u32);
    resumed.run(60, Some(300.0));
    assert_eq!(resumed.told().replicas, told.replicas);
    let decision = resumed.scaled.latest.as_ref().expect("decided").to_string();
    assert!(!decision.contains("still being learned"), "{decision}");

    for notes in ["", "{", "null", "[]", "7", r#"{"latency": 3}"#, r#"{"lag": {"capacity": "many"}}"#] {
        let mut broken = told.clone();
        broken.learned.as_mut().expect("learned").notes = Some(notes.into());
        let mut servers = Servers::new(Some(broken), told.replicas as u32);
        servers.run(60, None);
        assert_eq!(servers.told().replicas, told.replicas, "{notes}");
        servers.run(60, Some(300.0));
        assert!(servers.told().replicas >= told.replicas / 2, "{notes}: {:?}", servers.told());
    }
}

#[test]
fn a_steady_load_is_no_news() {
    let mut servers = Servers::new(None, 6);
    servers.run(1800, Some(300.0));
    let begin = servers.now;
    servers.run(3600, Some(300.0));
    let news = servers.news_after(begin);
    assert!(news.len() <= 6, "what was learned is told every ten minutes at most: {news:?}");
    assert!(news.windows(2).all(|pair| pair[1] - pair[0] >= 600), "{news:?}");
}

#[test]
fn a_trouble_is_told_when_it_lasts_and_its_end_when_that_lasts() {
    let mut servers = Servers::new(None, 6);
    servers.run(1800, Some(300.0));
    let replicas = servers.told().replicas;
    for seconds in [5, 15, 30] {
        let begin = servers.now;
        servers.run(seconds, None);
        servers.run(120, Some(300.0));
        assert_eq!(servers.news_after(begin), [] as [i64; 0], "missing for {seconds} s");
    }
    let begin = servers.now;
    servers.run(600, None);
    // A sample that does not come is waited for, so the first decision without is that of the second tick.
    assert_eq!(servers.news_after(begin), [40], "told once");
    assert_eq!((servers.told().reason.as_str(), servers.told().replicas), (reasons::METRICS_MISSING, replicas));
    let begin = servers.now;
    servers.run(120, Some(300.0));
    let news = servers.news_after(begin);
    assert!(matches!(news[..], [told] if (35..=60).contains(&told)), "{news:?}");
    assert_ne!(servers.told().reason, reasons::METRICS_MISSING);
}

#[test]
fn in_the_first_three_minutes_missing_metrics_are_pending() {
    let mut servers = Servers::new(None, 6);
    servers.run(180, None);
    assert_eq!(servers.scaled.told(), None);
    servers.run(5, None);
    assert_eq!((servers.told().reason.as_str(), servers.told().replicas), (reasons::METRICS_MISSING, 6));

    let mut unready = Servers::new(None, 6);
    unready.plan.startup = Some(600.0);
    for _ in 0..120 {
        unready.tick(None);
        unready.scaled.update(unready.plan.clone(), Some(Pods { ready: 0, ready_since: vec![], ..pods(6) }));
    }
    let since_pods = unready.scaled.told();
    assert!(since_pods.is_some(), "one tick saw pods: from then on it counts");
    let mut never = Servers::new(None, 6);
    never.scaled.update(never.plan.clone(), Some(Pods { ready: 0, ready_since: vec![], ..pods(6) }));
    for _ in 0..120 {
        never.tick(None);
    }
    assert_eq!(never.scaled.told(), None, "without pods there is nothing to measure");
}

#[test]
fn nothing_is_decided_while_the_deployment_is_not_known() {
    let mut servers = Servers::new(Some(status(8)), 8);
    servers.scaled.update(servers.plan.clone(), None);
    for _ in 0..60 {
        servers.tick(Some(0.0));
    }
    assert_eq!(servers.told(), &status(8));
}

#[test]
fn the_last_ten_decisions_are_told_newest_first() {
    let mut servers = Servers::with(json!({"requestsPerReplica": 50}), None, 4);
    for step in 0..16 {
        servers.run(90, Some(150.0 * 1.15_f64.powi(step)));
    }
    let decisions = &servers.told().decisions;
    assert_eq!(decisions.len(), 10);
    let times: Vec<i64> = decisions.iter().map(|decision| seconds(decision.time.0)).collect();
    assert!(times.windows(2).all(|pair| pair[0] > pair[1]), "{times:?}");
    assert!(decisions.windows(2).all(|pair| pair[0].from == pair[1].to), "{decisions:?}");
    assert_eq!(decisions[0].to, servers.told().replicas);
    let says =
        |decision: &crate::api::ScalingDecision| if decision.to > decision.from { "up from " } else { "down from " };
    assert!(decisions.iter().all(|decision| decision.message.starts_with(says(decision))), "{decisions:?}");
}

#[test]
fn advice_changes_nothing_and_follows_the_replicas_there_are() {
    let mut servers = Servers::with(json!({"advisory": true}), None, 6);
    assert!(!servers.plan.acted_on);
    for _ in 0..240 {
        servers.tick(Some(300.0));
    }
    for _ in 0..12 {
        servers.tick(Some(900.0));
    }
    let advised = servers.told().replicas;
    assert!(advised > 8, "{:?}", servers.told());
    assert!(servers.told().message.starts_with("up from 6 to "), "{}", servers.told().message);
    // A sample that does not come is waited for.
    (0..2).for_each(|_| servers.tick(None));
    assert_eq!(servers.told().replicas, 6, "what was never ordered is not held");
}

#[test]
fn a_source_that_is_not_known_is_told_with_the_flag() {
    let mut servers = Servers::new(Some(status(8)), 8);
    let tick = |now: i64, scaled: &mut Scaled| {
        let object = ("shop", "packages");
        let (now, clock) = (at(now), now as f64);
        scaled.tick(&Tick { object, workload: "serving", source: "thanos", readings: None, now, clock })
    };
    let news: Vec<i64> =
        (0..60).map(|tick| tick * 5).filter(|now| tick(*now, &mut servers.scaled) == Some(true)).collect();
    assert_eq!(news, [30]);
    let told = servers.told();
    assert_eq!((told.replicas, told.reason.as_str()), (8, reasons::METRICS_MISSING));
    let flags = r#"the operator has no metric source "thanos": set the value metricSources of its chart, or its flag --prometheus-url or --metric-sources"#;
    assert!(told.message.ends_with(flags), "{}", told.message);
}

#[test]
fn namesakes_in_two_namespaces_do_not_mix() {
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
    assert!(shop.told().replicas >= 5, "{:?}", shop.told());
    assert_eq!(test.told().replicas, 2, "{:?}", test.told());
}
