//! How long a decision takes: `cargo bench --bench decide`.
//!
//! - `serving`, `lag`: one decision of a workload with experience.
//! - `like Knative`: what the arithmetic of Knative's `Scale` takes on two windows of a sample per second, 60 s and 6 s. Its
//!   own benchmark tells 12 µs (knative/serving, pull request 10374), which includes the collection of the samples.
//! - `10,000 workloads`: one tick over as many histories, so with cold caches.
//! - `a day remembered`: what follows from a day of recorded loads and a week of quarters of an hour, once after a restart.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use recommender_operator::scaling::{
    Behavior, Bounds, Common, Headroom, Signal, lag,
    overload::Outside,
    past::{Past, PastLoad, Replayed},
    serving,
};

const TICK: f64 = 5.0;

fn common() -> Common {
    Common { bounds: Bounds { min: 2, max: 50 }, window: 15.0, behavior: Behavior::default() }
}

fn policy() -> serving::Policy {
    serving::Policy {
        common: common(),
        target: 0.25,
        requests_per_replica: None,
        headroom: Headroom::Balanced,
        startup: 30.0,
        warmup: 20.0,
        delay: 15.0,
    }
}

/// What a service with 60 requests per second and replica at its target shows in a wave of load.
fn signals(tick: u32) -> serving::Signals {
    let rate = 300.0 + 150.0 * (f64::from(tick) / 60.0).sin();
    let current = (rate / 50.0) as u32;
    let busy = rate / f64::from(current) / 100.0;
    let latency = 0.1 / (1.0 - busy);
    serving::Signals {
        rate: Signal::fresh(rate),
        latest: Signal::fresh(rate),
        latency: Signal::fresh(latency),
        in_flight: Signal::fresh(rate * latency),
        cpu: Signal::fresh(busy),
        failed: Signal::Missing("none"),
        outside: Outside::default(),
        replicas: serving::Replicas { current, ready: current, warm: current },
        rolling_out: false,
    }
}

fn experienced(ticks: u32) -> serving::History {
    let (policy, mut history) = (policy(), serving::History::default());
    for tick in 0..ticks {
        serving::decide(&policy, &signals(tick), &mut history, f64::from(tick) * TICK);
    }
    history
}

fn one(criterion: &mut Criterion) {
    let (policy, mut history, mut tick) = (policy(), experienced(2000), 2000);
    criterion.bench_function("serving", |bencher| {
        bencher.iter(|| {
            tick += 1;
            serving::decide(&policy, black_box(&signals(tick)), &mut history, f64::from(tick) * TICK)
        });
    });
    let policy = lag::Policy {
        common: common(),
        catch_up: 120.0,
        max_lag: Some(1e6),
        partitions: Some(12),
        messages_per_replica: None,
        pause: 10.0,
        rates: true,
    };
    let (mut history, mut tick) = (lag::History::default(), 0);
    criterion.bench_function("lag", |bencher| {
        bencher.iter(|| {
            tick += 1;
            let arrivals = 300.0 + 150.0 * (f64::from(tick) / 60.0).sin();
            let (lag, arrivals, consumed) = (Signal::fresh(500.0), Signal::fresh(arrivals), Signal::fresh(arrivals));
            let signals = lag::Signals { lag, arrivals, consumed, current: 6, ready: 6, rolling_out: false };
            lag::decide(&policy, black_box(&signals), &mut history, f64::from(tick) * TICK)
        });
    });
}

/// `Scale` of knative/serving on a minute of samples: the means of both windows, panic, rates of change.
fn like_knative(concurrency: &[f64; 60], ready: f64, panicking: &mut Option<(u32, f64)>, now: u32) -> f64 {
    let mean = |window: &[f64]| window.iter().sum::<f64>() / window.len() as f64;
    let wanted = |mean: f64| (mean / 2.8).ceil().clamp((ready / 2.0).floor(), (ready * 1000.0).ceil());
    let (stable, panic) = (wanted(mean(concurrency)), wanted(mean(&concurrency[54..])));
    if panic / ready >= 2.0 {
        *panicking = Some((now, panicking.map_or(panic, |(_, most)| most.max(panic))));
    } else if panicking.is_some_and(|(since, _)| now - since > 60) {
        *panicking = None;
    }
    panicking.map_or(stable, |(_, most)| most.max(stable))
}

fn knative(criterion: &mut Criterion) {
    let (mut concurrency, mut panicking, mut now) = ([20.0; 60], None, 0);
    criterion.bench_function("like Knative", |bencher| {
        bencher.iter(|| {
            now += 2;
            concurrency[now as usize % 60] = 20.0 + f64::from(now % 7);
            like_knative(black_box(&concurrency), 8.0, &mut panicking, now)
        });
    });
}

fn many(criterion: &mut Criterion) {
    let (policy, mut tick) = (policy(), 400);
    let mut histories = vec![experienced(400); 10_000];
    let mut group = criterion.benchmark_group("a tick");
    group.sample_size(20);
    group.bench_function("10,000 workloads", |bencher| {
        bencher.iter_batched(
            || {
                tick += 1;
                (signals(tick), f64::from(tick) * TICK)
            },
            |(signals, now)| {
                let decide = |history| serving::decide(&policy, &signals, history, now).replicas;
                histories.iter_mut().map(decide).sum::<u32>()
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn replay(criterion: &mut Criterion) {
    let load = |tick: u32| 300.0 + 150.0 * (f64::from(tick) / 60.0).sin() + f64::from(tick * 31 % 97);
    let loads = (0..17_280).map(|tick| {
        let at = (f64::from(tick) - 17_279.0) * TICK;
        PastLoad { at, load: load(tick), latest: load(tick) }
    });
    let quarters = (0..672).map(|quarter| ((f64::from(quarter) - 671.0) * 900.0, 450.0));
    let past = Past { quarters: quarters.collect(), loads: loads.collect() };
    let policy = serving::Policy { requests_per_replica: Some(60.0), ..policy() };
    criterion.bench_function("a day remembered", |bencher| {
        bencher.iter(|| Replayed::of(black_box(&past), &policy, &serving::Learned::default(), 2e9));
    });
}

criterion_group!(benches, one, knative, many, replay);
criterion_main!(benches);
