//! Servers that do not answer: which pods are evidence, and what follows from what their kubelets report.

use serde_json::json;

use super::{
    super::{kubelets::Kubelet, own_cpu::OwnCpu, running, workload::Pods},
    at, model,
    objects::{latency, run},
    serving,
    site::Site,
};
use crate::{
    observe::PodFacts,
    scaling::Signal,
    scaling::overload::ProbeFailure,
    signals::{FailedProbe, PodCpu, Series},
};

/// A pod that started long ago, with this name and of this template.
fn pod(name: &str, template: &str, created_at: i64) -> PodFacts {
    PodFacts {
        name: name.into(),
        template: template.into(),
        started: true,
        created_at: at(created_at),
        component: "serving".into(),
        ..PodFacts::default()
    }
}

#[test]
fn pods_that_start_crash_or_are_of_a_new_version_are_no_evidence() {
    let good = pod("good", "a", -3600);
    let starting = PodFacts { name: "starting".into(), started: false, ..good.clone() };
    let crashing = PodFacts { name: "crashing".into(), restarted_at: Some(at(-60)), ..good.clone() };
    let crashed_once = PodFacts { name: "crashed-once".into(), restarted_at: Some(at(-7200)), ..good.clone() };
    let newer = pod("newer", "b", -100);
    let all = [&good, &starting, &crashing, &crashed_once, &newer];
    let names = |is_rolling| -> Vec<String> {
        running(&all, is_rolling, at(0)).into_iter().map(|pod| pod.name.clone()).collect()
    };
    assert_eq!(names(false), ["good", "crashed-once", "newer"]);
    assert_eq!(names(true), ["good", "crashed-once"]);
}

/// Four servers that carry their load, whose metric source is about to fail.
fn site() -> Site {
    let mut site = Site::new(model("packages", json!({"serving": serving(latency())})));
    run(&mut site, 0, 600, super::fleet::Load { requests: 65.0, messages: 0.0 });
    site
}

/// Until `to` nothing is measured, and kubelets report this CPU use and failed probes.
fn silent(site: &mut Site, from: i64, to: i64, cores: f64, failure: Option<ProbeFailure>) {
    for now in (from + 5..=to).step_by(5) {
        site.go_on(super::fleet::Load { requests: 0.0, messages: 0.0 }, now);
        site.tick(None, now);
        for of in site.scaler.silent() {
            let names = of.names();
            let cpu = names.iter().map(|name| PodCpu {
                namespace: "shop".into(),
                pod: name.clone(),
                cores,
                at: at(now - 5),
                window: 15.0,
            });
            let failed = failure.map(|failure| FailedProbe { pod: names[0].clone(), failure, at: at(now) });
            let failed: Vec<FailedProbe> = failed.into_iter().collect();
            site.scaler.reported(&of, &Ok(cpu.collect()), Some(&failed));
        }
    }
}

#[test]
fn a_metric_source_that_is_away_while_servers_use_all_of_their_cpu_raises() {
    let mut site = site();
    let before = site.told("serving").expect("decided").replicas;
    silent(&mut site, 600, 630, 0.98, None);
    let told = site.told("serving").expect("decided").clone();
    assert!(told.replicas >= 4 * before, "{told:?}");
    assert!(
        told.message.contains("the metric source does not answer while the servers use all of their CPU"),
        "{told:?}"
    );
    assert_eq!(told.reason, "Overloaded");
    let window = site.fleets[0].window.expect("an autoscaler");
    assert_eq!(window, (told.replicas as u32, 20), "the autoscaler may add more");
    assert_eq!((site.scaling_active().status.as_str(), site.scaling_active().reason.as_str()), ("True", "Overloaded"));

    // It ends when signals come back, and gives nothing up at once.
    run(&mut site, 630, 720, super::fleet::Load { requests: 65.0, messages: 0.0 });
    let after = site.told("serving").expect("decided").clone();
    assert_ne!(after.reason, "Overloaded", "{after:?}");
    let window = site.fleets[0].window.expect("an autoscaler");
    assert_eq!(window.0, window.1, "the decision is exact again");
}

#[test]
fn where_neither_the_source_nor_kubelets_measure_the_servers_own_counters_raise() {
    for (cores, raises) in [(0.98, true), (0.4, false)] {
        let mut site = site();
        let before = site.told("serving").expect("decided").replicas;
        let mut own = OwnCpu::default();
        for now in (605..=630).step_by(5) {
            site.go_on(super::fleet::Load { requests: 0.0, messages: 0.0 }, now);
            site.tick(None, now);
            for of in site.scaler.silent() {
                let used = f64::from(now as u32) * cores;
                own.add(at(now), of.names().into_iter().map(|pod| (pod, used)).collect());
                site.scaler.reported_directly(&of, &own);
            }
        }
        let told = site.told("serving").expect("decided");
        assert_eq!(told.replicas > before, raises, "{told:?}");
    }
}

#[test]
fn a_server_that_is_full_by_one_of_its_own_processes_only_is_judged_by_its_kubelet() {
    let kubelet =
        Kubelet { cpu: Some((0.97, at(-20), 15.0)), own_cpu: Some((0.25, at(-1), 10.0)), ..Kubelet::default() };
    let nothing = |_| Signal::Missing("not asked");
    let share = |kubelet: &Kubelet| kubelet.outside(&Pods::default(), true, &nothing, at(0)).cpu.map(|cpu| cpu.share);
    assert_eq!(share(&kubelet), Some(0.97));
    assert_eq!(
        share(&Kubelet { cpu: Some((0.1, at(-20), 15.0)), own_cpu: Some((0.99, at(-1), 10.0)), ..kubelet }),
        Some(0.99)
    );
}

#[test]
fn a_metric_source_that_is_away_while_servers_are_not_busy_holds_and_leaves_the_autoscaler_a_way_up() {
    let mut site = site();
    let before = site.told("serving").expect("decided").replicas;
    silent(&mut site, 600, 720, 0.4, None);
    let told = site.told("serving").expect("decided").clone();
    assert_eq!((told.replicas, told.reason.as_str()), (before, "MetricsMissing"), "{told:?}");
    assert_eq!(site.fleets[0].window, Some((before as u32, 20)));
}

#[test]
fn replicas_that_were_added_while_the_window_was_open_are_not_taken_away_when_signals_return() {
    let mut site = site();
    silent(&mut site, 600, 630, 0.98, None);
    let told = site.told("serving").expect("decided").replicas as u32;
    site.fleets[0].desired = told + 3;
    // Within the window after an outage nothing is lowered.
    for now in (635..650).step_by(5) {
        run(&mut site, now - 5, now, super::fleet::Load { requests: 65.0, messages: 0.0 });
        assert!(site.fleets[0].desired >= told + 3, "{} replicas after {now} s", site.fleets[0].desired);
    }
}

#[test]
fn pods_that_start_beside_those_that_are_ready_are_not_silent() {
    let pods = Pods { desired: 10, ready: 10, others: 3, rolling_out: true, ..Pods::default() };
    let unanswered = |series| match series {
        Series::Unanswered => Signal::fresh(4.0),
        _ => Signal::Missing("not asked"),
    };
    assert_eq!(Kubelet::default().outside(&pods, true, &unanswered, at(0)).unscraped, 1);
}

#[test]
fn the_newer_of_two_measurements_of_the_cpu_use_counts() {
    let recorded = |series| match series {
        Series::ContainerCpu => Signal::Fresh { value: 0.95, age: 2.0 },
        _ => Signal::Missing("not asked"),
    };
    let kubelet = Kubelet { cpu: Some((0.1, at(-50), 15.0)), ..Kubelet::default() };
    let outside = kubelet.outside(&Pods::default(), true, &recorded, at(0));
    assert_eq!(outside.cpu.map(|cpu| cpu.share), Some(0.95));
}

#[test]
fn while_both_versions_are_scaled_the_older_one_is_still_that_of_before() {
    let [old, new, late] = [pod("old", "a", -3600), pod("new", "b", -100), pod("late", "a", -5)];
    let names: Vec<_> = running(&[&old, &new, &late], true, at(0)).into_iter().map(|pod| pod.name.clone()).collect();
    assert_eq!(names, ["old", "late"]);
}

#[test]
fn a_dependency_that_is_down_raises_nothing() {
    for (cores, failure) in [(0.98, ProbeFailure::Answered), (0.05, ProbeFailure::TimedOut)] {
        let mut site = site();
        let before = site.told("serving").expect("decided").replicas;
        site.lose_readiness(3);
        silent(&mut site, 600, 660, cores, Some(failure));
        assert_eq!(site.told("serving").expect("decided").replicas, before, "{failure:?}");
    }
}

#[test]
fn that_no_kubelet_can_be_asked_is_said() {
    let mut site = site();
    for now in (605..=660).step_by(5) {
        site.tick(None, now);
        for of in site.scaler.silent() {
            site.scaler.reported(
                &of,
                &Err("the cluster has no metrics API: is metrics-server installed?".into()),
                None,
            );
        }
    }
    let told = site.told("serving").expect("decided");
    assert!(
        told.message.ends_with(
            "an overload would not be noticed, as the CPU use of the pods is not known: the cluster has no metrics API: is \
             metrics-server installed?"
        ),
        "{told:?}"
    );
}
