//! Guarantees of the decision, tested as properties and in a closed loop with a toy service.

use proptest::prelude::*;

use super::decision::{Inputs, Limit};
use super::lag;
use super::overload::Outside;
use super::policy::{Common, Direction, StepKind, StepPolicy};
use super::serving::{History, Policy, Replicas, Signals, decide};
use super::signal::Signal;
use super::toy::{TICK, Toy, between, policy};

#[test]
fn a_step_up_is_answered_at_once_in_at_most_two_steps() {
    let mut toy = Toy::new(4);
    toy.run(720, |_| 150.0);
    let changes = toy.run(60, |_| 450.0);
    let ups = changes.windows(2).filter(|pair| pair[1] > pair[0]).count() + 1;
    assert!(ups <= 2, "{changes:?}");
    let capacity = 60.0; // 0.1 / (1 - x / 100) = 0.25
    assert!((450.0 / capacity..2.5 * 450.0 / capacity).contains(&f64::from(toy.current)), "{changes:?}");
}

#[test]
fn after_a_step_down_the_replicas_are_lowered_and_stay_stable() {
    let mut toy = Toy::new(10);
    toy.run(720, |_| 450.0);
    let high = toy.current;
    toy.run(720, |_| 150.0);
    assert!(toy.current <= high / 2, "from {high} to {}", toy.current);
    assert!(toy.run(360, |_| 150.0).len() <= 2);
}

#[test]
fn a_new_service_well_within_its_target_gets_no_replicas_for_a_guessed_capacity() {
    // Found on a real cluster: 4 requests/s with a latency of 1/25 of the target raised one replica to three, then to five.
    let mut toy = Toy::new(1);
    toy.policy = Policy { common: between(1, 5), ..policy() };
    toy.unloaded = 0.01;
    let rising = toy.run(120, |tick| f64::from(tick.min(24)) / 2.0);
    assert_eq!(rising, Vec::<u32>::new(), "12 requests/s of the 96 that one replica serves");
}

#[test]
fn a_load_that_begins_on_an_idle_server_does_not_teach_that_replicas_serve_little() {
    // Found on a real cluster: 6 requests/s raised one replica to three, which served 8.8/s each as it seemed, and in truth 31/s.
    let mut toy = Toy::new(1);
    toy.policy = Policy { common: Common { window: 20.0, ..between(1, 5) }, target: 0.1, ..policy() };
    (toy.unloaded, toy.saturation) = (0.02, 31.0);
    toy.run(60, |_| 0.0);
    for (rate, cpu) in [(2.3, 0.45), (3.9, 0.3)] {
        let signals = Signals { rate: Signal::fresh(rate), cpu: Signal::fresh(cpu), ..toy.signals(6.0) };
        let decision = decide(&toy.policy, &signals, &mut toy.history, toy.now);
        assert_eq!(decision.replicas, 1, "{decision:?}");
        toy.apply(&decision);
    }
    assert_eq!(toy.run(60, |_| 6.0), Vec::<u32>::new());
}

#[test]
fn slow_first_requests_of_an_idle_server_do_not_raise_the_replicas() {
    // Found on a busy machine: 6 requests/s, of which the first ones took 227 ms of 250, raised one replica to two.
    for latency in [0.227, 0.4] {
        let mut toy = Toy::new(1);
        toy.policy = Policy { common: Common { window: 20.0, ..between(1, 5) }, ..policy() };
        toy.run(60, |_| 0.0);
        for (rate, cpu) in [(1.1, 0.06), (2.4, 0.1), (3.9, 0.15)] {
            let (latency, rate) = (Signal::fresh(latency), Signal::fresh(rate));
            let signals = Signals { rate, latency, cpu: Signal::fresh(cpu), ..toy.signals(6.0) };
            let decision = decide(&toy.policy, &signals, &mut toy.history, toy.now);
            assert_eq!(decision.replicas, 1, "{decision}");
            toy.apply(&decision);
        }
        assert_eq!(toy.run(60, |_| 6.0), Vec::<u32>::new());
    }
}

#[test]
fn nothing_is_learned_from_warming_replicas() {
    let mut toy = Toy::new(4);
    toy.run(360, |_| 150.0);
    let learned = toy.history.learned;
    let mut signals = toy.signals(150.0);
    signals.latency = Signal::fresh(0.4);
    signals.replicas.warm = 2;
    for tick in 0..20 {
        decide(&toy.policy, &signals, &mut toy.history, toy.now + f64::from(tick) * TICK);
    }
    assert_eq!(toy.history.learned, learned);
}

#[test]
fn an_impossible_target_is_reported_and_does_not_add_replicas_without_end() {
    let mut toy = Toy::new(4);
    toy.unloaded = 0.4;
    let changes = toy.run(720, |_| 150.0);
    assert!(toy.current <= 12, "{changes:?}");
    let decision = toy.tick(150.0);
    assert!(matches!(decision.limit, Limit::Impossible(unloaded) if unloaded > 0.25), "{decision}");
}

#[test]
fn a_slow_dependency_at_most_doubles_the_replicas_before_they_are_frozen() {
    let mut toy = Toy::new(4);
    toy.run(1440, |_| 150.0);
    let before = toy.current;
    toy.dependency = 0.3;
    let mut reported = false;
    for _ in 0..360 {
        let limit = toy.tick(150.0).limit;
        reported |= matches!(limit, Limit::DoesNotHelp | Limit::Impossible(_));
    }
    assert!(reported && toy.current <= 2 * before + 1, "{before} {}", toy.current);
    toy.dependency = 0.0;
    toy.run(720, |_| 150.0);
    // Little is learned at a light load, so the last replicas are removed late.
    assert!(toy.current <= 2 * before, "{before} {}", toy.current);
}

#[test]
fn replicas_added_slowly_in_an_overload_do_not_count_as_ineffective() {
    let mut toy = Toy::new(8);
    toy.run(720, |_| 450.0);
    // Half as fast: with fewer than twelve replicas the latency is at its maximum, and one more replica does not lower it.
    (toy.unloaded, toy.saturation) = (0.15, 40.0);
    let policies = vec![StepPolicy { kind: StepKind::Pods, value: 1, period_seconds: 30.0 }];
    toy.policy.common.behavior.scale_up = Direction { policies, ..Direction::default() };
    let changes = toy.run(180, |_| 450.0);
    assert!(toy.current > 12, "{changes:?}");
}

#[test]
fn latency_above_the_target_adds_replicas_that_the_load_alone_does_not_need() {
    let mut toy = Toy::new(4);
    toy.run(720, |_| 200.0);
    let before = toy.current;
    toy.unloaded = 0.17; // a slower model: 32 requests per second at the target, 60 before
    let changes = toy.run(120, |_| 200.0);
    assert!(toy.current > before && toy.current <= 4 * before, "{before} {changes:?}");
}

#[test]
fn the_replicas_are_not_lowered_in_an_outage_of_the_metrics_and_for_a_window_after_it() {
    let mut toy = Toy::new(10);
    toy.run(360, |_| 450.0);
    let high = toy.current;
    for _ in 0..60 {
        let signals = Signals { rate: Signal::Missing("no answer"), ..toy.signals(450.0) };
        let decision = decide(&toy.policy, &signals, &mut toy.history, toy.now);
        assert_eq!(decision.replicas, high, "{decision}");
        toy.apply(&decision);
    }
    for _ in 0..3 {
        let decision = toy.tick(10.0);
        assert!(decision.replicas >= high, "{decision}");
    }
}

#[test]
fn the_replicas_are_not_lowered_while_a_version_is_rolled_out() {
    let mut toy = Toy::new(10);
    toy.run(360, |_| 450.0);
    let high = toy.current;
    for _ in 0..200 {
        let signals = Signals { rolling_out: true, ..toy.signals(50.0) };
        let decision = decide(&toy.policy, &signals, &mut toy.history, toy.now);
        assert!(decision.replicas >= high, "{decision}");
        toy.apply(&decision);
    }
    toy.run(200, |_| 50.0);
    assert!(toy.current < high / 2, "{high} {}", toy.current);
}

#[test]
fn steps_are_limited_as_configured() {
    let mut toy = Toy::new(4);
    let policies = vec![StepPolicy { kind: StepKind::Pods, value: 2, period_seconds: 60.0 }];
    toy.policy.common.behavior.scale_up.policies = policies;
    toy.run(720, |_| 150.0);
    let before = toy.current;
    let limited = toy.tick(450.0);
    assert_eq!((limited.replicas, limited.limit), (before + 2, Limit::Step), "{limited}");
    toy.run(10, |_| 450.0);
    assert_eq!(toy.current, before + 2);
    toy.run(3, |_| 450.0);
    assert_eq!(toy.current, before + 4);
}

#[test]
fn the_estimates_survive_a_restart() {
    let mut toy = Toy::new(4);
    toy.run(720, |_| 200.0);
    let before = toy.current;
    let learned = toy.history.learned;
    toy.history = History::resume(learned);
    assert!(!toy.history.learned.differs_from(&learned) && learned.differs_from(&History::default().learned));
    let changes = toy.run(120, |_| 200.0);
    assert!(changes.iter().all(|replicas| replicas.abs_diff(before) <= 1), "{before} {changes:?}");
}

#[test]
fn a_flash_crowd_raises_the_replicas_at_its_first_sample_and_a_single_sample_only_briefly() {
    let mut toy = Toy::new(4);
    toy.run(360, |_| 150.0);
    let before = toy.current;
    let mut signals = toy.signals(150.0);
    signals.latest = Signal::fresh(400.0);
    let decision = decide(&toy.policy, &signals, &mut toy.history, toy.now);
    assert!(decision.replicas >= 8 && decision.limit == Limit::Rising, "{decision}");
    toy.apply(&decision);
    let calm = toy.tick(150.0);
    assert!(calm.replicas >= 8, "{calm}");
    toy.run(24, |_| 150.0);
    assert!(toy.current <= before + 1, "{before} {}", toy.current);
}

#[test]
fn a_rise_is_extended_further_from_an_older_sample() {
    let mut toy = Toy::new(4);
    toy.run(360, |_| 150.0);
    toy.run(24, |tick| 150.0 + 2.0 * f64::from(tick));
    let signals = toy.signals(198.0);
    let aged = |age: f64| {
        let rate = Signal::Fresh { value: 198.0, age };
        let signals = Signals { rate, latest: rate, ..signals };
        decide(&toy.policy, &signals, &mut toy.history.clone(), toy.now).inputs
    };
    let [new, old] = [0.0, 15.0].map(|age| match aged(age) {
        Inputs::Serving { provisioned, .. } => provisioned,
        other => panic!("{other:?}"),
    });
    assert!((4.0..12.0).contains(&(old - new)), "3 ticks of 2 requests/s each: {new} {old}");
}

/// The replicas after each change within the third hour of a constant load with 5 % of noise.
fn changes_of_a_noisy_load(rate: f64, seed: u32) -> Vec<u32> {
    let mut toy = Toy::new(8);
    let noisy = |tick: u32| rate * (0.95 + 0.1 * uniform(u64::from(seed) << 32 | u64::from(tick)));
    toy.run(1440, noisy);
    toy.run(720, |tick| noisy(tick + 1440))
}

#[test]
fn a_noisy_load_at_the_boundary_between_two_numbers_of_replicas_does_not_flap() {
    // Found by the property below, six in 60,000 cases: 9 to 20 changes within the hour. A load above the capacity in one of the
    // first minutes had made a line through 30 s the cheapest plan for hours, and it swings by more than a replica has to spare.
    let found = [
        (268.33, 352),
        (215.850_808_924_804_14, 811),
        (220.409_904_180_228_32, 418),
        (222.264_349_069_122, 432),
        (265.053_379_829_197_6, 789),
        (267.404_223_659_758_4, 789),
        (271.346_849_936_950_8, 518),
    ];
    for (rate, seed) in found {
        let changes = changes_of_a_noisy_load(rate, seed);
        assert!(changes.len() <= 4, "{rate} requests/s, seed {seed}: {changes:?}");
    }
}

fn any_signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        4 => (0.0..2000.0f64).prop_map(Signal::fresh),
        1 => (0.0..2000.0f64).prop_map(|value| Signal::Stale { value, age: 60.0 }),
        1 => Just(Signal::Missing("no sample")),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), Just(f64::MAX)].prop_map(Signal::fresh),
    ]
}

prop_compose! {
    fn any_signals()(
        rate in any_signal(), latest in any_signal(), latency in any_signal(), in_flight in any_signal(),
        cpu in any_signal(), current in 0u32..60, ready in 0u32..60, warm in 0u32..60,
    ) -> Signals {
        let (ready, warm) = (ready.min(current), warm.min(ready).min(current));
        let replicas = Replicas { current, ready, warm };
        let (failed, outside) = (Signal::Missing("none"), Outside::default());
        Signals { rate, latest, latency, in_flight, cpu, failed, outside, replicas, rolling_out: false }
    }
}

/// A toy that has learned the capacity of a replica from a wave of load for an hour and a half.
fn experienced(middle: f64) -> Toy {
    let mut toy = Toy::new(6);
    toy.run(1000, |tick| middle * (1.0 + 0.5 * (f64::from(tick) / 60.0).sin()));
    toy
}

/// A pseudo-random number in 0..1 that depends only on `index` (SplitMix64).
fn uniform(index: u64) -> f64 {
    let mut z = index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_replicas_are_within_bounds_for_any_signals(all in prop::collection::vec(any_signals(), 1..200)) {
        let (policy, mut history) = (policy(), History::default());
        for (tick, signals) in all.iter().enumerate() {
            let decision = decide(&policy, signals, &mut history, tick as f64 * TICK);
            prop_assert!((2..=50).contains(&decision.replicas), "{}", decision);
            prop_assert!(!decision.to_string().contains("NaN"), "{}", decision);
        }
    }

    #[test]
    fn a_missing_invalid_or_stale_signal_never_lowers_the_replicas(
        middle in 60.0..600.0f64, bad in any_signal(), rate in 1.0..900.0f64,
    ) {
        let bad = if bad.value().is_some() { Signal::Missing("no sample") } else { bad };
        let toy = experienced(middle);
        let good = toy.signals(rate);
        for signals in [Signals { rate: bad, ..good }, Signals { latency: bad, ..good }] {
            let mut history = toy.history.clone();
            for tick in 0..200 {
                let decision = decide(&toy.policy, &signals, &mut history, toy.now + f64::from(tick) * TICK);
                prop_assert!(decision.replicas >= toy.current, "{}", decision);
            }
        }
    }

    #[test]
    fn more_load_never_means_fewer_replicas(middle in 60.0..600.0f64, rate in 0.0..900.0f64, more in 1.0..3.0f64) {
        let toy = experienced(middle);
        let signals = toy.signals(rate);
        let larger = Signals {
            rate: Signal::fresh(rate * more), latest: Signal::fresh(rate * more), ..signals
        };
        let replicas = |signals: &Signals| {
            decide(&toy.policy, signals, &mut toy.history.clone(), toy.now).replicas
        };
        prop_assert!(replicas(&larger) >= replicas(&signals));
    }

    #[test]
    fn a_service_that_became_slower_is_not_left_overloaded(
        rate in 30.0..900.0f64, slower in 1.0..2.0f64, current in 1u32..12,
    ) {
        // Found on a trace: in the middle of an overload the target was assessed as impossible. That kept 15 replicas for six
        // hours where 20 were needed, with latencies of seconds.
        let mut toy = Toy::new(current);
        toy.run(720, |tick| rate * (1.0 + 0.3 * (f64::from(tick) / 100.0).sin()));
        (toy.unloaded, toy.saturation) = (toy.unloaded * slower, toy.saturation / slower);
        toy.run(120, |_| rate);
        for _ in 0..240 {
            let latency = toy.signals(rate).latency.value().unwrap_or_default();
            prop_assert!(latency <= 2.0 * toy.policy.target, "{} at {} replicas", latency, toy.current);
            toy.tick(rate);
        }
    }

    #[test]
    fn a_constant_noisy_load_does_not_flap(rate in 30.0..900.0f64, seed in 0u32..1000) {
        let changes = changes_of_a_noisy_load(rate, seed);
        prop_assert!(changes.len() <= 8, "{:?}", changes);
    }

    #[test]
    fn consumers_stay_within_bounds_and_partitions_and_invalid_signals_never_lower_them(
        signals in prop::collection::vec((any_signal(), any_signal(), any_signal(), 0u32..30), 1..100),
        partitions in 1u32..24, min in 0u32..3,
    ) {
        let policy = lag::Policy {
            common: between(min, 30), catch_up: 60.0, max_lag: None, partitions: Some(partitions),
            messages_per_replica: None, pause: 10.0, rates: true,
        };
        let mut history = lag::History::default();
        for (tick, (lag, arrivals, consumed, current)) in signals.into_iter().enumerate() {
            let signals = lag::Signals { lag, arrivals, consumed, current, ready: current, rolling_out: false };
            let decision = lag::decide(&policy, &signals, &mut history, tick as f64 * TICK);
            prop_assert!((min..=30).contains(&decision.replicas), "{}", decision);
            prop_assert!(decision.replicas <= partitions.max(current).max(min), "{}", decision);
            if lag.value().is_none() || arrivals.value().is_none() {
                prop_assert!(decision.replicas >= current.min(30), "{}", decision);
            }
        }
    }

    #[test]
    fn more_lag_or_more_arrivals_never_mean_fewer_consumers(
        lag in 0.0..1e5f64, arrivals in 0.0..1e3f64, more in 1.0..10.0f64, partitions in 1u32..24,
    ) {
        let policy = lag::Policy {
            common: between(1, 30), catch_up: 60.0, max_lag: Some(5e4), partitions: Some(partitions),
            messages_per_replica: Some(20.0), pause: 0.0, rates: true,
        };
        let replicas = |lag: f64, arrivals: f64| {
            let (lag, arrivals) = (Signal::fresh(lag), Signal::fresh(arrivals));
            let consumed = Signal::Missing("none");
            let signals = lag::Signals { lag, arrivals, consumed, current: 1, ready: 1, rolling_out: false };
            lag::decide(&policy, &signals, &mut lag::History::default(), 0.0).replicas
        };
        prop_assert!(replicas(lag * more, arrivals) >= replicas(lag, arrivals));
        prop_assert!(replicas(lag, arrivals * more) >= replicas(lag, arrivals));
    }
}
