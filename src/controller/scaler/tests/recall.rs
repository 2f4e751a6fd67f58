//! A workload remembers the load that was recorded before its operator began.

use serde_json::json;

use super::{
    fleet::{HIGH, TICK},
    model,
    objects::{latency, run},
    serving,
    site::Site,
};
use crate::{
    scaling::past::{Past, PastLoad},
    signals::Subject,
};

/// Seconds until what was learned is in the status, and a tick after that.
const BEFORE: i64 = 900;
const NOW: f64 = (BEFORE + TICK) as f64;

fn site() -> Site {
    Site::new(model("packages", json!({"serving": serving(latency())})))
}

/// An hour of 330 requests/s with, ten minutes ago, so many for a minute.
fn past(crowd: f64) -> Past {
    let loads = (-720..=0).map(|step| {
        let load = if (-120..-108).contains(&step) { crowd } else { 330.0 };
        PastLoad { at: f64::from(step * 5), load, latest: load }
    });
    Past { quarters: vec![], loads: loads.collect() }
}

#[test]
fn only_who_was_decided_on_before_is_asked_for_and_only_once() {
    let mut site = site();
    run(&mut site, 0, BEFORE, HIGH);
    let all = |_: &str| true;
    assert!(site.scaler.forgetful(&all, NOW).is_none(), "it has lived through all there is");

    site.restart(BEFORE);
    assert!(site.scaler.forgetful(&all, NOW).is_none(), "before its first tick");
    run(&mut site, BEFORE, BEFORE + TICK, HIGH);
    assert!(site.scaler.forgetful(&|source| source == "other", NOW).is_none());
    let forgetful = site.scaler.forgetful(&all, NOW).expect("a process that knows nothing");
    let subject = ["shop", "packages", "serving"].map(str::to_owned);
    let [namespace, recommender, workload] = subject;
    assert_eq!(forgetful.subject, Subject { namespace, recommender, workload });

    assert!(site.scaler.remember(&forgetful, &past(330.0), NOW));
    assert!(site.scaler.forgetful(&all, NOW).is_none(), "it remembers");
}

#[test]
fn who_gets_no_answer_is_asked_for_ten_times_and_an_empty_one_is_an_answer() {
    let mut site = site();
    run(&mut site, 0, BEFORE, HIGH);
    site.restart(BEFORE);
    run(&mut site, BEFORE, BEFORE + TICK, HIGH);
    let tried = |clock: f64| site.scaler.forgetful(&|_| true, clock).is_some();
    let minutes: Vec<u32> = (0..1200).filter(|minute| tried(NOW + f64::from(*minute) * 60.0)).collect();
    assert_eq!(minutes, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511]);

    site.restart(BEFORE + TICK);
    run(&mut site, BEFORE + TICK, BEFORE + 2 * TICK, HIGH);
    let forgetful = site.scaler.forgetful(&|_| true, NOW).expect("another process");
    assert!(!site.scaler.remember(&forgetful, &Past::default(), NOW));
    assert!(site.scaler.forgetful(&|_| true, NOW).is_none());
}

#[test]
fn what_is_remembered_is_decided_with() {
    let replicas = |crowd: f64| {
        let mut site = site();
        run(&mut site, 0, BEFORE, HIGH);
        site.restart(BEFORE);
        run(&mut site, BEFORE, BEFORE + TICK, HIGH);
        let forgetful = site.scaler.forgetful(&|_| true, NOW).expect("a process that knows nothing");
        site.scaler.remember(&forgetful, &past(crowd), NOW);
        run(&mut site, BEFORE + TICK, BEFORE + 60, HIGH);
        site.told("serving").expect("told").replicas
    };
    // A share of the highest load of the last 20 minutes is provided for.
    assert!(replicas(3000.0) > replicas(330.0) + 5, "{} {}", replicas(3000.0), replicas(330.0));
}
