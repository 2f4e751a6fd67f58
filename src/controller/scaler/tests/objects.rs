//! All objects that scale: the source that each is read from, and when one is removed.

use serde_json::{Value, json};

use super::{
    fleet::{DOUBLE, HIGH, Load, TICK},
    model, serving,
    site::Site,
};
use crate::{
    api::conditions::reasons,
    model::Model,
    signals::{Readings, fake::readings},
};

pub fn latency() -> Value {
    json!({"minReplicas": 2, "maxReplicas": 20, "latency": {"quantile": "P95", "targetMilliseconds": 75}})
}

/// An object with servers and a worker `events` that scale.
fn both() -> Model {
    let lag = json!({"dependency": "events", "catchUpSeconds": 120});
    let worker = json!({"name": "events", "autoscaling": {"minReplicas": 1, "maxReplicas": 20, "lag": lag}});
    model("packages", json!({"serving": serving(latency()), "workers": [worker]}))
}

fn measured(site: &mut Site, now: i64, load: Load) -> Readings {
    let recorded = site.go_on(load, now);
    let samples: Vec<_> = recorded
        .iter()
        .map(|(series, about, value)| ("shop", "packages", *series, about.as_str(), value.clone(), 0))
        .collect();
    readings(&samples, now)
}

pub fn run(site: &mut Site, from: i64, to: i64, load: Load) {
    for now in (from + TICK..=to).step_by(TICK as usize) {
        let readings = measured(site, now, load);
        site.tick(Some(&readings), now);
    }
}

/// The label `workload` of each series of the metric `scaling_replicas`.
fn series(site: &Site) -> Vec<String> {
    exposed(site, "scaling_replicas").into_iter().map(|(workload, _)| workload).collect()
}

/// The label `workload` and the value of each series of a metric.
fn exposed(site: &Site, metric: &str) -> Vec<(String, f64)> {
    let text = String::from_utf8(site.metrics.encode().expect("encodes")).expect("UTF-8");
    let prefix = format!("recommender_operator_{metric}{{");
    let parsed = |line: &str| {
        let (labels, value) = line.strip_prefix(&prefix)?.rsplit_once("} ")?;
        let workload = labels.split_once("workload=\"")?.1.split('"').next()?;
        Some((workload.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(parsed).collect()
}

/// Only so can an alert tell ticks that never decide from an object that needs no decisions.
#[test]
fn decisions_are_counted_from_zero_as_soon_as_a_workload_has_a_deployment() {
    let mut site = Site::new(both());
    let decisions = |site: &Site| exposed(site, "scaling_decisions_total");
    assert_eq!(decisions(&site), [("events".into(), 0.0), ("serving".into(), 0.0)]);
    run(&mut site, 0, 300, HIGH);
    assert!(decisions(&site).iter().all(|(_, made)| (50.0..=60.0).contains(made)), "{:?}", decisions(&site));

    let fleets = std::mem::take(&mut site.fleets);
    site.reconcile(300);
    assert_eq!(decisions(&site), [], "without Deployments no decisions are due");
    site.fleets = fleets;
    site.reconcile(300);
    assert_eq!(decisions(&site).len(), 2);
    site.scaler.forget("uid", site.metrics.scaling());
    assert_eq!(decisions(&site), []);
}

#[test]
fn a_workload_that_loses_its_autoscaling_is_removed_together_with_its_metrics() {
    let mut site = Site::new(both());
    run(&mut site, 0, 300, HIGH);
    assert_eq!(series(&site), ["events", "serving"]);
    assert!(site.reported("serving").is_some() && site.reported("events").is_some());

    let worker = json!({"name": "events", "replicas": 3});
    site.model = model("packages", json!({"serving": serving(latency()), "workers": [worker]}));
    site.reconcile(300);
    assert_eq!(series(&site), ["serving"]);
    assert_eq!(site.reported("events"), None);

    site.model = model("packages", json!({"serving": {"image": "s", "replicas": 3}}));
    site.reconcile(300);
    assert_eq!(series(&site), [] as [String; 0]);
    assert_eq!(site.reported("serving"), None);
    assert!(!site.scaler.reads(&|_| true), "no source is read for it");
}

#[test]
fn a_deleted_object_is_removed_together_with_its_metrics() {
    let mut site = Site::new(both());
    run(&mut site, 0, 300, HIGH);
    site.scaler.forget("uid", site.metrics.scaling());
    assert_eq!(series(&site), [] as [String; 0]);
    assert!(!site.scaler.reads(&|_| true));
    site.scaler.forget("uid", site.metrics.scaling());
}

#[test]
fn decisions_for_an_object_are_made_from_its_own_source_only() {
    let mut object = both();
    object.monitoring.as_mut().expect("set").source = Some("thanos".into());
    let mut site = Site::new(object);
    assert!(site.scaler.reads(&|name| name == "thanos"));
    assert!(!site.scaler.reads(&|name| name == "default"));
    let readings = measured(&mut site, TICK, HIGH);
    let tick = |source: &'static str| {
        let (metrics, now) = (site.metrics.scaling(), super::at(TICK));
        site.scaler.tick(&|name| name == source, Some(&readings), metrics, now, TICK as f64)
    };
    assert_eq!(tick("default"), []);
    let enqueued = tick("thanos");
    let names: Vec<_> = enqueued.iter().map(|object| (object.namespace.as_deref(), object.name.as_str())).collect();
    assert_eq!(names, [(Some("shop"), "packages")], "once, although there were decisions for two workloads");
}

/// Before the first tick, the autoscaler gets the replicas that the status reports.
#[test]
fn a_restart_changes_neither_replicas_nor_status() {
    let mut site = Site::new(both());
    run(&mut site, 0, 600, DOUBLE);
    let windows = |site: &Site| -> Vec<_> { site.fleets.iter().map(|fleet| fleet.window).collect() };
    let (before, status) = (windows(&site), site.status.clone());
    assert!(before.iter().all(|window| window.is_some_and(|(min, max)| min == max && min > 6)), "{before:?}");
    site.restart(600);
    assert_eq!((windows(&site), &site.status), (before, &status));
}

#[test]
fn advisory_scaling_is_reported_and_creates_no_autoscaler() {
    let mut advisory = latency();
    advisory["advisory"] = json!(true);
    let mut site = Site::new(model("packages", json!({"serving": serving(advisory)})));
    run(&mut site, 0, 600, HIGH);
    assert_eq!(site.scaling_active().reason, reasons::ADVISORY);
    run(&mut site, 600, 660, DOUBLE);
    assert!(site.reported("serving").expect("reported").replicas > 8);
    assert_eq!((site.fleets[0].window, site.fleets[0].desired), (None, 6));
}
