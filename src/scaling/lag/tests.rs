use super::*;
use crate::scaling::policy::{Behavior, Bounds};

fn between(min: u32, max: u32) -> Common {
    Common { bounds: Bounds { min, max }, window: 15.0, behavior: Behavior::default() }
}

fn policy() -> Policy {
    Policy {
        common: between(1, 20),
        catch_up: 60.0,
        max_lag: None,
        partitions: Some(12),
        messages_per_replica: Some(20.0 / UTILISATION),
        pause: 0.0,
        rates: true,
    }
}

fn signals(lag: f64, arrivals: f64, current: u32) -> Signals {
    let (lag, arrivals) = (Signal::fresh(lag), Signal::fresh(arrivals));
    let consumed = Signal::Missing("not exported");
    Signals { lag, arrivals, consumed, current, ready: current, rolling_out: false }
}

fn once(policy: &Policy, signals: &Signals) -> Decision {
    decide(policy, signals, &mut History::default(), 1000.0)
}

#[test]
fn the_example_of_the_module_documentation_gives_three() {
    assert_eq!(once(&policy(), &signals(600.0, 40.0, 1)).replicas, 3);
}

#[test]
fn partitions_are_shared_evenly_and_never_outnumbered() {
    let shared: Vec<u32> =
        [0.0, 0.5, 1.0, 3.9, 4.2, 6.5, 11.0, 40.0].iter().map(|need| share(*need, Some(12))).collect();
    assert_eq!(shared, [0, 1, 1, 4, 6, 12, 12, 12]);
    assert_eq!((share(4.2, None), share(7.0, Some(0))), (5, 7));
    let decision = once(&policy(), &signals(1e6, 40.0, 1));
    assert_eq!((decision.replicas, decision.limit), (12, Limit::Partitions(12)));
}

#[test]
fn an_invalid_or_missing_lag_keeps_the_replicas() {
    for lag in [Signal::fresh(-1.0), Signal::fresh(f64::NAN), Signal::Missing("the exporter is down")] {
        let decision = once(&policy(), &Signals { lag, ..signals(0.0, 0.0, 7) });
        assert_eq!((decision.replicas, decision.limit), (7, Limit::NoData("the lag is missing")));
    }
}

#[test]
fn a_stale_lag_raises_and_never_lowers_the_replicas() {
    let stale = |value| Signals { lag: Signal::Stale { value, age: 99.0 }, ..signals(0.0, 40.0, 4) };
    assert_eq!(once(&policy(), &stale(3600.0)).replicas, 6);
    assert_eq!(once(&policy(), &stale(0.0)).replicas, 4);
}

#[test]
fn without_arrivals_the_replicas_are_not_lowered() {
    let decision = once(&policy(), &Signals { arrivals: Signal::Missing("no rule"), ..signals(0.0, 0.0, 5) });
    assert_eq!((decision.replicas, decision.limit.reason()), (5, "MetricsMissing"));
}

#[test]
fn idle_consumers_scale_to_zero_after_five_minutes_and_back_up_at_the_first_message() {
    let policy = Policy { common: between(0, 20), ..policy() };
    let (mut history, mut current) = (History::default(), 3);
    let mut zero_at = None;
    for tick in 0..120 {
        let decision = decide(&policy, &signals(0.0, 0.0, current), &mut history, f64::from(tick) * 5.0);
        current = decision.replicas;
        zero_at = zero_at.or((current == 0).then_some(tick * 5));
    }
    assert!(zero_at.is_some_and(|at| (300..400).contains(&at)), "{zero_at:?}");
    assert!(decide(&policy, &signals(1.0, 0.1, 0), &mut history, 600.0).replicas >= 1);
}

#[test]
fn consumers_that_make_no_progress_get_no_more_replicas() {
    let mut history = History::default();
    let stuck = Signals { consumed: Signal::fresh(0.0), ..signals(9e5, 40.0, 4) };
    let decisions: Vec<Decision> =
        (0..40).map(|tick| decide(&policy(), &stuck, &mut history, f64::from(tick) * 5.0)).collect();
    assert_eq!(decisions[0].replicas, 12);
    assert_eq!((decisions[39].replicas, decisions[39].limit), (4, Limit::NotConsumed { few: false }));
}

#[test]
fn a_message_per_partition_that_nobody_consumes_may_be_the_marker_of_a_transaction() {
    let policy = Policy { common: between(0, 20), ..policy() };
    let mut history = History::default();
    let markers = Signals { consumed: Signal::fresh(0.0), ..signals(12.0, 0.0, 1) };
    let decisions: Vec<Decision> =
        (0..80).map(|tick| decide(&policy, &markers, &mut history, f64::from(tick) * 5.0)).collect();
    let last = &decisions[79];
    assert_eq!((last.replicas, last.limit), (1, Limit::NotConsumed { few: true }));
    assert!(last.to_string().contains("set transactional on a Kafka dependency"), "{last}");
}

#[test]
fn messages_that_arrive_for_a_group_without_offsets_start_one_replica_which_stays_until_its_lag_is_known() {
    let policy = Policy { common: between(0, 20), ..policy() };
    let mut history = History::default();
    let forgotten = |arrivals, current| Signals {
        lag: Signal::Missing("the group has no offsets"),
        ..signals(0.0, arrivals, current)
    };
    let mut at = |signals: Signals, now| decide(&policy, &signals, &mut history, now);
    assert_eq!(at(forgotten(0.0, 0), 0.0).replicas, 0);
    assert_eq!(at(Signals { arrivals: Signal::Missing("no rule"), ..forgotten(0.0, 0) }, 5.0).replicas, 0);
    let old = Signal::Stale { value: 2.0, age: 99.0 };
    assert_eq!(at(Signals { arrivals: old, ..forgotten(0.0, 0) }, 10.0).replicas, 0);
    let woken = at(forgotten(2.0, 0), 15.0);
    assert_eq!((woken.replicas, woken.limit.reason()), (1, "MetricsMissing"), "{woken}");
    assert_eq!(at(forgotten(900.0, 1), 20.0).replicas, 1);
    assert_eq!(at(forgotten(0.0, 1), 25.0).replicas, 1);
    let most = (6..100).map(|tick| at(signals(0.0, 0.0, 1), f64::from(tick) * 5.0).replicas).min();
    assert_eq!(most, Some(0), "once the lag is known, five minutes without messages end it");
}

#[test]
fn the_capacity_is_learned_under_a_backlog_and_survives_a_restart() {
    let mut history = History::default();
    for tick in 0..60 {
        let busy = Signals { consumed: Signal::fresh(40.0), ..signals(5000.0, 60.0, 4) };
        decide(&Policy { messages_per_replica: None, ..policy() }, &busy, &mut history, f64::from(tick) * 5.0);
    }
    let text = serde_json::to_string(&history.learned).unwrap();
    let learned: Learned = serde_json::from_str(&text).unwrap();
    assert!((learned.capacity.unwrap() - 10.0).abs() < 0.1, "{text}");
    let decision = decide(&policy(), &signals(0.0, 45.0, 5), &mut History::resume(learned), 0.0);
    assert_eq!(decision.replicas, 6, "{decision}");
}

#[test]
fn the_replicas_change_once_per_rebalance() {
    let policy = Policy { pause: 30.0, ..policy() };
    let mut history = History::default();
    assert_eq!(decide(&policy, &signals(0.0, 60.0, 1), &mut history, 0.0).replicas, 6);
    let more = signals(9e5, 60.0, 6);
    assert_eq!(decide(&policy, &more, &mut history, 10.0).limit, Limit::Rebalance);
    assert_eq!(decide(&policy, &more, &mut history, 31.0).replicas, 12);
}

#[test]
fn an_order_stays_in_force_until_the_autoscaler_follows_it() {
    let policy = Policy { pause: 10.0, ..policy() };
    let mut history = History::default();
    // The current replicas stay six until the autoscaler reconciles; one is enough.
    let decisions = (0..60).map(|tick| decide(&policy, &signals(0.0, 1.0, 6), &mut history, f64::from(tick) * 5.0));
    let mut changes: Vec<u32> = decisions.map(|decision| decision.replicas).collect();
    changes.dedup();
    assert_eq!(changes, [6, 1]);
}

#[test]
fn above_the_maximum_lag_all_allowed_replicas_are_desired() {
    let policy = Policy { max_lag: Some(1000.0), ..policy() };
    let decision = once(&policy, &signals(1001.0, 1.0, 1));
    assert_eq!((decision.replicas, decision.limit), (12, Limit::LagAboveMaximum));
    assert_eq!(once(&Policy { partitions: None, ..policy.clone() }, &signals(1001.0, 1.0, 1)).replicas, 20);
    assert_eq!(once(&policy, &signals(1000.0, 1.0, 1)).replicas, 1);
}

#[test]
fn the_last_known_partitions_apply_while_they_are_unknown() {
    let mut history = History::default();
    decide(&policy(), &signals(0.0, 1.0, 1), &mut history, 0.0);
    let unknown = Policy { partitions: None, ..policy() };
    assert_eq!(decide(&unknown, &signals(1e6, 1.0, 1), &mut history, 5.0).replicas, 12);
}

#[test]
fn the_replicas_are_not_lowered_while_a_version_is_rolled_out() {
    let (mut history, mut rolling) = (History::default(), signals(0.0, 1.0, 9));
    rolling.rolling_out = true;
    let decisions = (0..100).map(|tick| decide(&policy(), &rolling, &mut history, f64::from(tick) * 5.0));
    let last = decisions.last().unwrap();
    assert_eq!((last.replicas, last.unclamped, last.limit), (9, 1, Limit::RollingOut));
}

#[test]
fn estimates_differ_when_one_changes_by_more_than_a_tenth() {
    let learned = |capacity| Learned { capacity, least: None };
    assert!(learned(Some(20.0)).differs_from(&learned(None)));
    assert!(learned(Some(20.0)).differs_from(&learned(Some(22.5))));
    assert!(!learned(Some(20.0)).differs_from(&learned(Some(21.9))));
}

/// Runs consumers of 50 messages/s each that commit every second. Returns the last and the most replicas, and the messages
/// that still wait.
fn run(history: &mut History, arrivals: impl Fn(i32) -> f64, seconds: i32) -> (u32, u32, f64) {
    let policy = Policy { messages_per_replica: None, partitions: Some(6), ..policy() };
    let (mut current, mut waiting, mut most, mut rates) = (1u32, 0.0f64, 1, Vec::new());
    for now in (0..seconds).step_by(5) {
        let arriving = arrivals(now);
        let working = f64::from(current.min(6));
        let consumed = (waiting / 5.0 + arriving).min(50.0 * working);
        waiting = (waiting + 5.0 * (arriving - consumed)).max(0.0);
        rates.push(consumed);
        let window = rates.iter().rev().take(3);
        let mean = window.clone().sum::<f64>() / window.count() as f64;
        let (lag, arrivals) = (Signal::fresh(waiting + consumed), Signal::fresh(arriving));
        let consumed = Signal::fresh(mean);
        let signals = Signals { lag, arrivals, consumed, current, ready: current, rolling_out: false };
        current = decide(&policy, &signals, history, f64::from(now)).replicas;
        most = most.max(current);
    }
    (current, most, waiting)
}

#[test]
fn consumers_that_keep_up_are_not_scaled_for_the_lag_of_their_commit_interval() {
    // Found on a real Kafka: 20/s for a consumer with a capacity of 50/s raised one replica to all six.
    let mut history = History::default();
    assert_eq!(run(&mut history, |_| 20.0, 1800), (1, 1, 0.0));
    assert_eq!(history.learned, Learned { capacity: None, least: Some(20.0) });
}

#[test]
fn a_first_backlog_is_worked_off_in_time_and_the_replicas_are_removed_again() {
    let mut history = History::default();
    let burst = |now| if (600..720).contains(&now) { 200.0 } else { 20.0 };
    let (_, most, _) = run(&mut history, burst, 720);
    assert!((4..=6).contains(&most), "{most}");
    let (_, _, waiting) = run(&mut history, |_| 20.0, 90);
    assert_eq!(waiting, 0.0);
    assert!(history.learned.capacity.is_some_and(|capacity| (45.0..55.0).contains(&capacity)), "{:?}", history.learned);
    assert_eq!(run(&mut history, |_| 20.0, 900).0, 1);
}

/// As live: during a backlog the metrics were missing, so that nothing was learned from it.
#[test]
fn replicas_that_kept_up_before_a_backlog_are_enough_again_after_it() {
    let policy = Policy { messages_per_replica: None, partitions: Some(6), ..policy() };
    let (mut history, mut current) = (History::default(), 1);
    for tick in 0..240 {
        let now = f64::from(tick) * 5.0;
        if tick == 24 {
            current = 6;
        }
        let lag = 10.0 + f64::from(tick % 3) * 5.0;
        let signals = Signals { consumed: Signal::fresh(20.0), ..signals(lag, 20.0, current) };
        current = decide(&policy, &signals, &mut history, now).replicas;
    }
    assert_eq!((current, history.learned), (1, Learned { capacity: None, least: Some(20.0) }));
}

#[test]
fn a_first_job_is_no_backlog() {
    // Found on a real RQ: one job of ten seconds, before any consumption was observed, raised one worker to five.
    let policy = Policy { messages_per_replica: None, partitions: None, ..policy() };
    let mut history = History::default();
    let mut job = |lag, now| {
        let signals = Signals { consumed: Signal::fresh(0.0), ..signals(lag, 0.0, 1) };
        decide(&policy, &signals, &mut history, now)
    };
    let first: Vec<u32> = (0..6).map(|tick| job(1.0, f64::from(tick) * 5.0).replicas).collect();
    assert_eq!(first, [1; 6]);
    assert_eq!(job(30.0, 30.0).replicas, 1, "it may be gone a moment later");
    assert_eq!(job(30.0, 45.0).replicas, 2, "the capacity is unknown, so one more is tried");
}

#[test]
fn a_list_without_rates_is_worked_off_by_trying_and_replicas_are_removed_one_by_one() {
    let policy = Policy { messages_per_replica: None, partitions: None, rates: false, ..policy() };
    let missing = Signal::Missing("not reported");
    let (mut history, mut current) = (History::default(), 1);
    let mut observed = Vec::new();
    for tick in 0..120 {
        let lag = if tick < 24 { 500.0 } else { 0.0 };
        let signals = Signals { arrivals: missing, consumed: missing, ..signals(lag, 0.0, current) };
        current = decide(&policy, &signals, &mut history, f64::from(tick) * 5.0).replicas;
        observed.push(current);
    }
    assert_eq!(observed[23], 16, "{observed:?}");
    assert!(observed[24..].windows(2).all(|pair| pair[0] - pair[1] <= 1) && current < 12, "{observed:?}");
}
