//! Row S22 of the fault matrix: pods that are still loading are slow, so every scale-up raises the latency it is to lower.

use serde_json::json;

use super::{
    fleet::{DOUBLE, HIGH, Load, TICK},
    model, serving,
    site::Site,
};
use crate::signals::fake::readings;

/// Servers that take a minute to get ready and then are so much slower for 20 s, and between 2 and 60 of them.
fn servers(cold: f64) -> Site {
    let latency = json!({"quantile": "P95", "targetMilliseconds": 75});
    let servers = serving(json!({"minReplicas": 2, "maxReplicas": 60, "latency": latency}));
    let mut site = Site::new(model("packages", json!({"serving": servers})));
    (site.fleets[0].startup, site.fleets[0].cold) = (60, cold);
    site
}

/// Goes on until a time; returns the numbers of replicas that were told, each with the time.
fn until(site: &mut Site, now: &mut i64, end: i64, load: Load) -> Vec<(i64, i32)> {
    let mut told = Vec::new();
    while *now < end {
        *now += TICK;
        let recorded = site.go_on(load, *now);
        let samples: Vec<_> = recorded
            .iter()
            .map(|(series, about, value)| ("shop", "packages", *series, about.as_str(), value.clone(), 0))
            .collect();
        site.tick(Some(&readings(&samples, *now)), *now);
        told.extend(site.told("serving").map(|status| (*now, status.replicas)));
    }
    told.dedup_by_key(|(_, replicas)| *replicas);
    told
}

/// How often a number of replicas went the other way.
fn turns(told: &[(i64, i32)]) -> usize {
    let ups: Vec<bool> = told.windows(2).map(|pair| pair[1].1 > pair[0].1).collect();
    ups.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

fn most(told: &[(i64, i32)]) -> i32 {
    told.iter().map(|(_, replicas)| *replicas).max().expect("told")
}

#[test]
fn s22_cold_pods_are_no_reason_for_more() {
    let step = |cold| {
        let (mut site, mut now) = (servers(cold), 0);
        until(&mut site, &mut now, 1800, HIGH);
        let before = site.told("serving").expect("told").replicas;
        assert!((6..=8).contains(&before), "six are needed: {before}");
        until(&mut site, &mut now, 3600, DOUBLE)
    };
    let (cold, warm) = (step(8.0), step(1.0));
    assert!(most(&cold) <= most(&warm) + 1, "{cold:?} instead of {warm:?}");
    assert!(cold.last().is_some_and(|(_, replicas)| (12..=18).contains(replicas)), "twelve are needed: {cold:?}");
    assert!(turns(&cold) <= 3 && cold.len() <= 12, "up, and down, and hardly more: {cold:?}");
    let early: Vec<_> = cold.iter().take_while(|(at, _)| *at < 1800 + 60 + 20).collect();
    assert!(early.is_sorted_by_key(|(_, replicas)| replicas), "down while pods start: {cold:?}");
}

/// A node is lost: all pods start anew under the same load.
#[test]
fn s22_pods_that_are_all_replaced_are_no_load() {
    let (mut site, mut now) = (servers(4.0), 0);
    until(&mut site, &mut now, 1800, HIGH);
    let before = site.told("serving").expect("told").replicas;
    let desired = site.fleets[0].desired as usize;
    site.fleets[0].ready = vec![now + 60; desired];
    let told = until(&mut site, &mut now, 3600, HIGH);
    assert!(told.iter().all(|(_, replicas)| *replicas >= before.min(6)), "{told:?}");
    assert!(most(&told) <= before + 2 && turns(&told) <= 1, "{told:?}");
}

#[test]
fn s22_a_square_wave_does_not_make_it_flap() {
    let (mut site, mut now) = (servers(4.0), 0);
    until(&mut site, &mut now, 1800, HIGH);
    for period in 0..6 {
        for load in [DOUBLE, HIGH] {
            let end = now + 300;
            let told = until(&mut site, &mut now, end, load);
            assert!(turns(&told) <= 3, "period {period}, {load:?}: {told:?}");
            // Twelve are needed at most; after what was seen, half as much again may come at any time.
            assert!(told.iter().all(|(_, replicas)| (6..=36).contains(replicas)), "period {period}: {told:?}");
        }
    }
}
