//! Pods start, are overloaded, recover and are removed.

use super::super::cohort::IDLE_CPU;
use super::super::world::Servers;
use super::*;

fn run(fleet: &mut Fleet, seconds: std::ops::Range<u32>, load: f64) -> Vec<Second> {
    seconds.map(|now| fleet.second(now, load, None)).collect()
}

/// Five warm pods of 20 requests per second each.
fn five(servers: Servers, fronted: bool) -> Fleet {
    Fleet::new(World { servers, fronted, ..World::new(0.2, 10, None) }, 5)
}

#[test]
fn at_capacity_five_per_cent_are_above_the_target() {
    let world = World::new(0.2, 10, None);
    let second = Fleet::new(world, 10).second(0, world.capacity(1.0) * 10.0, None);
    assert!((second.above - 0.05).abs() < 0.002, "{second:?}");
    assert!((second.exported.busy - 10.0 * (world.capacity(1.0) * 0.2 / 4.0 + IDLE_CPU)).abs() < 1e-9);
}

#[test]
fn behind_a_proxy_a_backlog_grows_until_clients_give_up_and_drains_again() {
    let mut fleet = five(Servers::Blind, true);
    let over = run(&mut fleet, 0..60, 150.0);
    assert!(over[0].failed == 0.0 && over[59].failed > 49.0 && over[59].above > 0.99);
    assert!((over[59].finished - over[59].failed - 100.0).abs() < 1e-6, "the capacity goes to clients that still wait");
    assert!(over[59].exported.in_flight > 500.0 && over.iter().all(|second| second.exported.silent == 0));
    assert_eq!(fleet.pods(60).ready, 5);
    let after = run(&mut fleet, 60..90, 50.0);
    assert!(after[5].above > 0.9 && after[15].above < 0.05, "{:?}", after[15]);
}

#[test]
fn an_overloaded_blind_fleet_answers_nothing_and_recovers_with_more_pods() {
    let mut fleet = five(Servers::Blind, false);
    let over = run(&mut fleet, 0..30, 400.0);
    assert!(over[15].exported.silent == 5 && over[15].exported.requests == 0.0, "no scrape is answered");
    assert!(fleet.pods(30) == Pods { replicas: 5, unready: 5, ..fleet.pods(30) }, "nor any probe");
    assert_eq!(
        (over[25].failed / over[25].finished, over[25].finished),
        (1.0, 600.0),
        "all requests fail, and are retried"
    );
    assert!((fleet.pods(30).measured.cpu - 5.0).abs() < 1e-9, "the kubelets measure it");
    fleet.scale(30, 30);
    let back = run(&mut fleet, 30..120, 400.0);
    let pods = fleet.pods(120);
    assert!(back[70..].iter().all(|second| second.failed == 0.0 && second.exported.silent == 0), "{:?}", back[89]);
    assert_eq!((pods.ready, pods.unready, pods.warm), (30, 0, 30));
}

#[test]
fn a_blind_fleet_does_not_recover_during_a_flash_crowd_without_more_pods() {
    let failed: f64 = run(&mut five(Servers::Blind, false), 0..600, 400.0).iter().map(|second| second.failed).sum();
    let all = 400.0 * 600.0;
    // Five pods could serve a quarter, but serve less: most of their work is for clients that have gone.
    assert!(failed > 0.8 * all && failed < 1.5 * all, "{failed}");
}

#[test]
fn a_visible_fleet_refuses_and_stays_ready() {
    let mut fleet = five(Servers::Visible, false);
    let over = run(&mut fleet, 0..60, 400.0);
    let last = over[59];
    assert_eq!((last.exported.silent, fleet.pods(60).ready), (0, 5));
    assert!((last.exported.requests - last.exported.refused - 100.0).abs() < 1e-6, "{last:?}");
    assert!(
        (last.failed / last.finished - 0.83).abs() < 0.01,
        "half of 500 are retried, at most half of 400: {last:?}"
    );
}

#[test]
fn new_pods_get_new_requests_while_old_pods_work_off_their_backlog() {
    let mut fleet = five(Servers::Blind, false);
    run(&mut fleet, 0..8, 250.0);
    fleet.scale(8, 25);
    run(&mut fleet, 8..18, 100.0);
    let second = fleet.second(18, 100.0, None);
    assert!(fleet.cohorts[0].backlog.total() > 0.0 && fleet.cohorts[0].arriving == 0.0, "{:?}", fleet.cohorts[0]);
    assert!((fleet.cohorts[1].arriving - 100.0).abs() < 51.0 && second.finished > 0.0);
}

#[test]
fn a_pod_starts_then_works_at_half_speed_then_is_warm() {
    let mut fleet = Fleet::new(World::new(0.2, 10, None), 2);
    fleet.scale(0, 4);
    run(&mut fleet, 0..10, 10.0);
    let counts = |fleet: &Fleet, now: u32| (fleet.replicas(), fleet.pods(now).ready, fleet.pods(now).warm);
    assert_eq!(counts(&fleet, 10), (4, 2, 2));
    run(&mut fleet, 10..11, 10.0);
    assert_eq!(counts(&fleet, 11), (4, 4, 2));
    run(&mut fleet, 11..31, 10.0);
    assert_eq!((counts(&fleet, 31), fleet.cohorts.len()), ((4, 4, 4), 1));
    fleet.scale(31, 6);
    fleet.scale(32, 3);
    assert_eq!(counts(&fleet, 32), (3, 3, 3));
}

#[test]
fn scale_down_removes_unready_pods_before_ready_ones() {
    let mut fleet = five(Servers::Blind, false);
    run(&mut fleet, 0..16, 400.0);
    fleet.scale(16, 8);
    run(&mut fleet, 16..27, 20.0);
    assert_eq!((fleet.pods(27).ready, fleet.pods(27).unready), (3, 5));
    fleet.scale(27, 4);
    assert_eq!((fleet.pods(27).ready, fleet.pods(27).unready), (3, 1));
}

#[test]
fn equal_balancing_raises_latency_while_pods_are_cold() {
    let share = |balancing| {
        let world = World { balancing, ..World::new(0.2, 0, None) };
        let mut fleet = Fleet::new(world, 4);
        fleet.scale(0, 8);
        run(&mut fleet, 0..15, 80.0)[14].above
    };
    assert!(share(Balancing::Equal) > 0.2 && share(Balancing::LeastRequest) < 0.05);
}

#[test]
fn the_histogram_counts_served_requests_and_has_the_p95() {
    let world = World::new(0.2, 10, None);
    let mut counts = Histogram::default();
    Fleet::new(world, 10).second(0, 100.0, Some(&mut counts));
    assert!((counts.iter().sum::<f32>() - 100.0).abs() < 0.01);
    let p95 = queue::histogram_quantile(&counts, 0.95).unwrap();
    let truth = 0.2 * Pod::new(4).quantile(0.5, 0.95);
    assert!((p95 / truth - 1.0).abs() < 0.15, "{p95} {truth}");
}
