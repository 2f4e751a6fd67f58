//! All objects that are decided on: which source each is read from, and when one is forgotten.

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

/// The labels of the series of a metric of ours.
fn series(site: &Site) -> Vec<String> {
    let text = String::from_utf8(site.metrics.encode().expect("encodes")).expect("UTF-8");
    let ours = text.lines().filter(|line| line.starts_with("recommender_operator_scaling_replicas{"));
    ours.map(|line| line.split_once("workload=").expect("a label").1.split('"').nth(1).expect("quoted").to_owned())
        .collect()
}

#[test]
fn a_workload_that_loses_its_autoscaling_is_forgotten_with_its_metrics() {
    let mut site = Site::new(both());
    run(&mut site, 0, 300, HIGH);
    assert_eq!(series(&site), ["events", "serving"]);
    assert!(site.told("serving").is_some() && site.told("events").is_some());

    let worker = json!({"name": "events", "replicas": 3});
    site.model = model("packages", json!({"serving": serving(latency()), "workers": [worker]}));
    site.look(300);
    assert_eq!(series(&site), ["serving"]);
    assert_eq!(site.told("events"), None);

    site.model = model("packages", json!({"serving": {"image": "s", "replicas": 3}}));
    site.look(300);
    assert_eq!(series(&site), [] as [String; 0]);
    assert_eq!(site.told("serving"), None);
    assert!(!site.scaler.reads(&|_| true), "no source is read for it");
}

#[test]
fn an_object_that_is_gone_is_forgotten_with_its_metrics() {
    let mut site = Site::new(both());
    run(&mut site, 0, 300, HIGH);
    site.scaler.forget("uid", site.metrics.scaling());
    assert_eq!(series(&site), [] as [String; 0]);
    assert!(!site.scaler.reads(&|_| true));
    site.scaler.forget("uid", site.metrics.scaling());
}

#[test]
fn an_object_is_decided_on_from_its_own_source_only() {
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
    let touched = tick("thanos");
    let names: Vec<_> = touched.iter().map(|object| (object.namespace.as_deref(), object.name.as_str())).collect();
    assert_eq!(names, [(Some("shop"), "packages")], "once, although two workloads were decided on");
}

/// Before a first tick, what the status says is what the autoscaler gets.
#[test]
fn a_restart_moves_nothing() {
    let mut site = Site::new(both());
    run(&mut site, 0, 600, DOUBLE);
    let windows = |site: &Site| -> Vec<_> { site.fleets.iter().map(|fleet| fleet.window).collect() };
    let (before, status) = (windows(&site), site.status.clone());
    assert!(before.iter().all(|window| window.is_some_and(|(min, max)| min == max && min > 6)), "{before:?}");
    site.restart(600);
    assert_eq!((windows(&site), &site.status), (before, &status));
}

#[test]
fn advice_is_told_and_no_autoscaler_is_made() {
    let mut advisory = latency();
    advisory["advisory"] = json!(true);
    let mut site = Site::new(model("packages", json!({"serving": serving(advisory)})));
    run(&mut site, 0, 600, HIGH);
    assert_eq!(site.scaling_active().reason, reasons::ADVISORY);
    run(&mut site, 600, 660, DOUBLE);
    assert!(site.told("serving").expect("told").replicas > 8);
    assert_eq!((site.fleets[0].window, site.fleets[0].desired), (None, 6));
}
