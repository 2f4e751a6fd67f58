//! Row S22 of the fault matrix: new pods are slow at first, so every scale-up raises the latency that it should lower.

use serde_json::json;

use super::{
    fleet::{DOUBLE, HIGH, Load, TICK},
    model, serving,
    site::Site,
};
use crate::signals::fake::readings;

/// Between 2 and 60 servers that take a minute to become ready. In the 20 s after that they are slower by the factor `cold`.
fn servers(cold: f64) -> Site {
    let latency = json!({"quantile": "P95", "targetMilliseconds": 75});
    let servers = serving(json!({"minReplicas": 2, "maxReplicas": 60, "latency": latency}));
    let mut site = Site::new(model("packages", json!({"serving": servers})));
    (site.fleets[0].startup, site.fleets[0].cold) = (60, cold);
    site
}

/// Runs until a time. Returns the reported numbers of replicas, each with the time of the change.
fn until(site: &mut Site, now: &mut i64, end: i64, load: Load) -> Vec<(i64, i32)> {
    let mut reported = Vec::new();
    while *now < end {
        *now += TICK;
        let recorded = site.go_on(load, *now);
        let samples: Vec<_> = recorded
            .iter()
            .map(|(series, about, value)| ("shop", "packages", *series, about.as_str(), value.clone(), 0))
            .collect();
        site.tick(Some(&readings(&samples, *now)), *now);
        reported.extend(site.reported("serving").map(|status| (*now, status.replicas)));
    }
    reported.dedup_by_key(|(_, replicas)| *replicas);
    reported
}

/// How often the number of replicas changed its direction.
fn turns(reported: &[(i64, i32)]) -> usize {
    let ups: Vec<bool> = reported.windows(2).map(|pair| pair[1].1 > pair[0].1).collect();
    ups.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

fn most(reported: &[(i64, i32)]) -> i32 {
    reported.iter().map(|(_, replicas)| *replicas).max().expect("reported")
}

#[test]
fn s22_cold_pods_cause_no_further_scale_up() {
    let step = |cold| {
        let (mut site, mut now) = (servers(cold), 0);
        until(&mut site, &mut now, 1800, HIGH);
        let before = site.reported("serving").expect("reported").replicas;
        assert!((6..=8).contains(&before), "six are needed: {before}");
        until(&mut site, &mut now, 3600, DOUBLE)
    };
    let (cold, warm) = (step(8.0), step(1.0));
    assert!(most(&cold) <= most(&warm) + 1, "{cold:?} instead of {warm:?}");
    assert!(cold.last().is_some_and(|(_, replicas)| (12..=18).contains(replicas)), "twelve are needed: {cold:?}");
    assert!(turns(&cold) <= 3 && cold.len() <= 12, "up, down, and few other changes: {cold:?}");
    let early: Vec<_> = cold.iter().take_while(|(at, _)| *at < 1800 + 60 + 20).collect();
    assert!(early.is_sorted_by_key(|(_, replicas)| replicas), "lowered while pods start: {cold:?}");
}

/// A node is lost: all pods start again under the same load.
#[test]
fn s22_replacing_all_pods_at_once_is_not_taken_for_load() {
    let (mut site, mut now) = (servers(4.0), 0);
    until(&mut site, &mut now, 1800, HIGH);
    let before = site.reported("serving").expect("reported").replicas;
    let desired = site.fleets[0].desired as usize;
    site.fleets[0].ready = vec![now + 60; desired];
    let reported = until(&mut site, &mut now, 3600, HIGH);
    assert!(reported.iter().all(|(_, replicas)| *replicas >= before.min(6)), "{reported:?}");
    assert!(most(&reported) <= before + 2 && turns(&reported) <= 1, "{reported:?}");
}

#[test]
fn s22_a_square_wave_of_load_causes_no_flapping() {
    let (mut site, mut now) = (servers(4.0), 0);
    until(&mut site, &mut now, 1800, HIGH);
    for period in 0..6 {
        for load in [DOUBLE, HIGH] {
            let end = now + 300;
            let reported = until(&mut site, &mut now, end, load);
            assert!(turns(&reported) <= 3, "period {period}, {load:?}: {reported:?}");
            // At most twelve are needed. After these loads, half as much again has to be expected at any time.
            assert!(reported.iter().all(|(_, replicas)| (6..=36).contains(replicas)), "period {period}: {reported:?}");
        }
    }
}
