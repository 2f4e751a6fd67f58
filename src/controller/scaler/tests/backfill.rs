//! A workload replays the load that was recorded before the operator started.

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

/// Seconds until the learned estimates are in the status.
const BEFORE: i64 = 900;
/// One tick later, seconds.
const NOW: f64 = (BEFORE + TICK) as f64;

fn site() -> Site {
    Site::new(model("packages", json!({"serving": serving(latency())})))
}

/// An hour of 330 requests/s. Ten minutes ago there were `crowd` requests/s for a minute.
fn past(crowd: f64) -> Past {
    let loads = (-720..=0).map(|step| {
        let load = if (-120..-108).contains(&step) { crowd } else { 330.0 };
        PastLoad { at: f64::from(step * 5), load, latest: load }
    });
    Past { quarters: vec![], loads: loads.collect() }
}

#[test]
fn only_workloads_with_an_earlier_decision_are_backfilled_and_only_once() {
    let mut site = site();
    run(&mut site, 0, BEFORE, HIGH);
    let all = |_: &str| true;
    assert!(site.scaler.next_backfill(&all, NOW).is_none(), "this process saw all of the load");

    site.restart(BEFORE);
    assert!(site.scaler.next_backfill(&all, NOW).is_none(), "before its first tick");
    run(&mut site, BEFORE, BEFORE + TICK, HIGH);
    assert!(site.scaler.next_backfill(&|source| source == "other", NOW).is_none());
    let next_backfill = site.scaler.next_backfill(&all, NOW).expect("due in a new process");
    let subject = ["shop", "packages", "serving"].map(str::to_owned);
    let [namespace, recommender, workload] = subject;
    assert_eq!(next_backfill.subject, Subject { namespace, recommender, workload });

    assert!(site.scaler.replay(&next_backfill, &past(330.0), NOW));
    assert!(site.scaler.next_backfill(&all, NOW).is_none(), "it is backfilled");
}

#[test]
fn an_unanswered_backfill_is_tried_ten_times_and_an_empty_answer_ends_it() {
    let mut site = site();
    run(&mut site, 0, BEFORE, HIGH);
    site.restart(BEFORE);
    run(&mut site, BEFORE, BEFORE + TICK, HIGH);
    let tried = |clock: f64| site.scaler.next_backfill(&|_| true, clock).is_some();
    let minutes: Vec<u32> = (0..1200).filter(|minute| tried(NOW + f64::from(*minute) * 60.0)).collect();
    assert_eq!(minutes, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511]);

    site.restart(BEFORE + TICK);
    run(&mut site, BEFORE + TICK, BEFORE + 2 * TICK, HIGH);
    let next_backfill = site.scaler.next_backfill(&|_| true, NOW).expect("due in another process");
    assert!(!site.scaler.replay(&next_backfill, &Past::default(), NOW));
    assert!(site.scaler.next_backfill(&|_| true, NOW).is_none());
}

#[test]
fn decisions_use_the_backfilled_load() {
    let replicas = |crowd: f64| {
        let mut site = site();
        run(&mut site, 0, BEFORE, HIGH);
        site.restart(BEFORE);
        run(&mut site, BEFORE, BEFORE + TICK, HIGH);
        let next_backfill = site.scaler.next_backfill(&|_| true, NOW).expect("due in a new process");
        site.scaler.replay(&next_backfill, &past(crowd), NOW);
        run(&mut site, BEFORE + TICK, BEFORE + 60, HIGH);
        site.reported("serving").expect("reported").replicas
    };
    // Replicas are provided for a share of the highest load of the last 20 minutes.
    assert!(replicas(3000.0) > replicas(330.0) + 5, "{} {}", replicas(3000.0), replicas(330.0));
}
