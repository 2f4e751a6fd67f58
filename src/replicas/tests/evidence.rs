//! Which pods count as evidence of an overload, and which measurement of their CPU use counts.

use super::{
    super::{
        evidence::{CpuUse, Evidence},
        pods::{Pods, running},
    },
    at,
};
use crate::{observe::PodState, scaling::Signal, series::Series};

/// A running pod with this name, template and creation time.
fn pod(name: &str, template: &str, created_at: i64) -> PodState {
    PodState {
        name: name.into(),
        template: template.into(),
        started: true,
        created_at: at(created_at),
        component: "serving".into(),
        ..PodState::default()
    }
}

fn cpu_use(share: f64, end: i64, seconds: f64) -> Option<CpuUse> {
    Some(CpuUse { share, end: at(end), seconds })
}

#[test]
fn starting_and_crashing_pods_and_those_of_a_new_version_are_no_evidence() {
    let good = pod("good", "a", -3600);
    let starting = PodState { name: "starting".into(), started: false, ..good.clone() };
    let crashing = PodState { name: "crashing".into(), restarted_at: Some(at(-60)), ..good.clone() };
    let crashed_once = PodState { name: "crashed-once".into(), restarted_at: Some(at(-7200)), ..good.clone() };
    let newer = pod("newer", "b", -100);
    let all = [&good, &starting, &crashing, &crashed_once, &newer];
    let names = |is_rolling| -> Vec<String> {
        running(&all, is_rolling, at(0)).into_iter().map(|pod| pod.name.clone()).collect()
    };
    assert_eq!(names(false), ["good", "crashed-once", "newer"]);
    assert_eq!(names(true), ["good", "crashed-once"]);
}

#[test]
fn the_older_version_is_recognised_during_a_rollout_even_if_it_has_the_newest_pod() {
    let [old, new, late] = [pod("old", "a", -3600), pod("new", "b", -100), pod("late", "a", -5)];
    let names: Vec<_> = running(&[&old, &new, &late], true, at(0)).into_iter().map(|pod| pod.name.clone()).collect();
    assert_eq!(names, ["old", "late"]);
}

#[test]
fn the_higher_of_the_kubelets_and_the_servers_own_cpu_use_counts() {
    let evidence = Evidence { cpu: cpu_use(0.97, -20, 15.0), own_cpu: cpu_use(0.25, -1, 10.0), ..Evidence::default() };
    let nothing = |_| Signal::Missing("not asked");
    let share =
        |evidence: &Evidence| evidence.outside(&Pods::default(), true, &nothing, at(0)).cpu.map(|cpu| cpu.share);
    assert_eq!(share(&evidence), Some(0.97));
    assert_eq!(
        share(&Evidence { cpu: cpu_use(0.1, -20, 15.0), own_cpu: cpu_use(0.99, -1, 10.0), ..evidence }),
        Some(0.99)
    );
}

#[test]
fn starting_pods_do_not_count_as_unanswered_scrapes() {
    let pods = Pods { desired: 10, ready: 10, others: 3, rolling_out: true, ..Pods::default() };
    let unanswered = |series| match series {
        Series::Unanswered => Signal::fresh(4.0),
        _ => Signal::Missing("not asked"),
    };
    assert_eq!(Evidence::default().outside(&pods, true, &unanswered, at(0)).unscraped, 1);
}

#[test]
fn the_newer_of_two_measurements_of_the_cpu_use_counts() {
    let recorded = |series| match series {
        Series::ContainerCpu => Signal::Fresh { value: 0.95, age: 2.0 },
        _ => Signal::Missing("not asked"),
    };
    let evidence = Evidence { cpu: cpu_use(0.1, -50, 15.0), ..Evidence::default() };
    let outside = evidence.outside(&Pods::default(), true, &recorded, at(0));
    assert_eq!(outside.cpu.map(|cpu| cpu.share), Some(0.95));
}
