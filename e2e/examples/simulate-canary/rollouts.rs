//! Whole rollouts by the state machine that the operator runs: what becomes of them, and when.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use recommender_operator::{
    model::canary::{Plan, Settings, Step},
    promotion::{
        canary::{Memory, Outcome, Readings, Tick, advance},
        judge::{Comparison, Finding},
    },
};

use crate::{
    Arguments,
    times::Times,
    traffic::{Counted, Run, Samplers, Traffic},
};

/// Weights of the steps.
const WEIGHTS: [i32; 3] = [5, 20, 50];
/// Seconds that a step takes at least, seconds that it may take, and seconds of its warm-up.
const SECONDS: [i64; 3] = [300, 3600, 60];
/// Requests of the canary in a step.
const REQUESTS: i64 = 100;
/// A share that a canary has only in its last step.
const LAST: f64 = 0.5;

/// What rollouts ended with: the seconds until then.
#[derive(Default)]
struct Ends {
    promoted: Times,
    worse: Times,
    inconclusive: Times,
}

/// Prints the table.
pub fn print(arguments: &Arguments) {
    let [least, most, warm_up] = SECONDS;
    println!(
        "\n{} rollouts per row: steps of {WEIGHTS:?} %, each after {warm_up} s of warm-up for {least} to {most} s and at least {REQUESTS} requests\n",
        arguments.rollouts
    );
    println!("| Rollout | Requests/s | Promoted | Back as worse | Back as inconclusive |\n|---|---|---|---|---|");
    for (name, of_errors, of_slow, from) in [
        ("no difference", 1.0, 1.0, 0.0),
        ("errors x 2", 2.0, 1.0, 0.0),
        ("errors x 5", 5.0, 1.0, 0.0),
        ("latency + 20 %", 1.0, 2.0, 0.0),
        ("errors x 5 in the last step only", 5.0, 1.0, LAST),
    ] {
        for requests in arguments.requests.iter().filter(|_| name.contains(&arguments.row)) {
            let counted = vec![(Counted::Errors, of_errors), (Counted::Slow, of_slow)];
            let traffic = Traffic { differs_from: from, ..Traffic::new(*requests, 0.0, counted) };
            let ends = simulate(&traffic, arguments);
            let columns = [&ends.promoted, &ends.worse, &ends.inconclusive].map(|of| of.text(arguments.rollouts));
            println!("| {name} | {requests} | {} |", columns.join(" | "));
        }
    }
}

fn simulate(traffic: &Traffic, arguments: &Arguments) -> Ends {
    let [minimum_seconds, max_seconds, warm_up_seconds] = SECONDS;
    let step = |weight_percent| Step { weight_percent, mirror_percent: 0, minimum_seconds, minimum_requests: REQUESTS };
    let signals = traffic.counted.iter().map(|(counted, _)| counted.signal()).collect();
    let plan = Plan {
        steps: WEIGHTS.map(step).into(),
        warm_up_seconds,
        max_seconds,
        judge: Settings { level: arguments.alpha, margin: arguments.margin, signals },
    };
    let mut ends = Ends::default();
    let mut samplers = Samplers::default();
    for number in 0..arguments.rollouts {
        let mut run = Run::new(traffic, &mut samplers, arguments.seed_of(number));
        let (memory, seconds) = one(&plan, &mut run, arguments.tick);
        let end = memory.end.map(|end| (end.is_promoted, end.finding));
        let of = match end {
            Some((true, _)) => &mut ends.promoted,
            Some((false, Finding::Worse)) => &mut ends.worse,
            _ => &mut ends.inconclusive,
        };
        of.push(seconds);
    }
    ends
}

/// One rollout, and how many seconds it took. It ends, because each step does.
fn one(plan: &Plan, run: &mut Run<'_>, tick: f64) -> (Memory, f64) {
    let window_seconds = tick as i64;
    let mut memory = Memory::new("full-20261121-0300", Timestamp::UNIX_EPOCH);
    let mut counts: BTreeMap<String, Comparison> =
        plan.judge.signals.iter().map(|signal| (signal.name.clone(), Comparison::default())).collect();
    let mut now = Timestamp::UNIX_EPOCH;
    loop {
        now += SignedDuration::from_secs(window_seconds);
        run.set_share(f64::from(memory.weight_percent) / 100.0);
        run.tick(window_seconds as f64, &mut counts);
        let counts = Tick { at: now, window_seconds, signals: counts.clone() };
        let readings = Readings { ready: 1, expected: Some(1), counts: Some(counts), ..Readings::default() };
        let next = advance(plan, memory, &readings, now);
        memory = next.memory;
        if matches!(next.outcome, Outcome::Promote { .. } | Outcome::Back { .. }) {
            return (memory, now.as_second() as f64);
        }
    }
}
