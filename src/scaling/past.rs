//! Backfill: a forecast from the loads that were recorded before this process began to decide.
//!
//! The estimates of one replica are a few numbers, kept in the status. The state of the forecast is larger: half a day of
//! errors, the costs of the plans and the seasons of a week. It follows from the loads alone, and the metric source has
//! recorded those. So they are read from there once and replayed, which takes about 20 ms.

use super::{
    forecast::Forecast,
    learned::Learned,
    memory::{QUARTER, RecentPeak},
    target::Policy,
};

/// Assumed seconds between two ticks, where the recorded loads do not determine it.
const INTERVAL: f64 = 5.0;
/// Longest interval between two ticks that is replayed, seconds. A longer gap counts as this.
const LONGEST_INTERVAL: f64 = 60.0;

/// Recorded loads, oldest first. Times are seconds relative to now, so at most 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// When each quarter of an hour ended, and its highest load in requests per second.
    pub quarters: Vec<(f64, f64)>,
    /// The load of each tick.
    pub loads: Vec<PastLoad>,
}

/// The recorded load of one tick, requests per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PastLoad {
    /// Seconds relative to now, so at most 0.
    pub at: f64,
    /// Over the window.
    pub load: f64,
    /// Over the last scrape interval.
    pub latest: f64,
}

/// The result of a backfill, for [`super::serving::History::replay`].
#[derive(Debug, Clone)]
pub struct Replayed {
    pub(super) forecast: Box<Forecast>,
    pub(super) peak: RecentPeak,
}

impl Replayed {
    /// Replays recorded loads that end at `now` on the clock of decisions.
    ///
    /// None when no loads were recorded. Also None when the capacity of a replica is neither learned nor configured: then
    /// plans cannot be compared.
    #[must_use]
    pub fn of(past: &Past, policy: &Policy, learned: &Learned, now: f64) -> Option<Self> {
        let capacity = learned.baseline.or(policy.requests_per_replica).filter(|capacity| *capacity > 0.0)?;
        let first = now + past.loads.first()?.at;
        let mut replayed = Self { forecast: Box::default(), peak: RecentPeak::default() };
        let middles = past.quarters.iter().map(|(at, highest)| (now + at - QUARTER / 2.0, *highest));
        for (at, highest) in middles.filter(|(at, _)| *at < first) {
            replayed.forecast.replay(at, highest);
        }
        let mut before = first - INTERVAL;
        for PastLoad { at, load, latest } in past.loads.iter().copied() {
            let at = now + at;
            let interval = at - before;
            if interval < 1.0 {
                continue;
            }
            before = at;
            // Mean age of a sample when it was decided on: half an interval.
            let interval = interval.min(LONGEST_INTERVAL);
            let tick = policy.tick((at, interval), (load, latest), INTERVAL / 2.0, capacity);
            replayed.forecast.next(&tick);
            replayed.peak.next(at, load);
        }
        Some(replayed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::{
        Behavior, Bounds, Common, Headroom, Signal,
        overload::Outside,
        serving::{History, Replicas, Signals, decide},
    };

    /// Seconds of a day.
    const DAY: u32 = 86_400;

    fn policy() -> Policy {
        Policy {
            common: Common { bounds: Bounds { min: 1, max: 100 }, window: 20.0, behavior: Behavior::default() },
            target: 0.1,
            requests_per_replica: Some(10.0),
            headroom: Headroom::Reliable,
            startup: 30.0,
            warmup: 20.0,
            delay: 5.5,
        }
    }

    /// Load of a second: a wave with a little noise, and a crowd of ten minutes every two hours. Requests per second.
    fn load(second: u32) -> f64 {
        let wave = (f64::from(second % 5400) / 5400.0 * std::f64::consts::TAU).sin();
        let crowd = if second % 7200 < 600 { 3.0 } else { 1.0 };
        (100.0 + 20.0 * wave + f64::from(second / 5 * 7919 % 101) / 10.0) * crowd
    }

    fn tick(history: &mut History, second: u32) -> u32 {
        let rate = Signal::fresh(load(second));
        let replicas = Replicas { current: 12, ready: 12, warm: 12 };
        let signals = Signals {
            rate,
            latest: rate,
            latency: Signal::Missing("none"),
            in_flight: Signal::Missing("none"),
            cpu: Signal::Missing("none"),
            failed: Signal::Missing("none"),
            outside: Outside::default(),
            replicas,
            rolling_out: false,
        };
        decide(&policy(), &signals, history, f64::from(second)).unclamped
    }

    /// The recorded loads at second `now`: the loads of one day and all quarters so far.
    fn recorded(now: u32) -> Past {
        let from = now.saturating_sub(DAY);
        let ago = |second: u32| f64::from(second) - f64::from(now);
        let loads = (from / 5..=now / 5).map(|step| step * 5);
        let quarters = (1..=now / 900).map(|quarter| {
            let within = (0..180).map(|step| load((quarter - 1) * 900 + step * 5));
            (ago(quarter * 900), within.fold(0.0, f64::max))
        });
        Past {
            quarters: quarters.collect(),
            loads: loads.map(|at| PastLoad { at: ago(at), load: load(at), latest: load(at) }).collect(),
        }
    }

    #[test]
    fn a_backfilled_history_decides_as_if_the_process_had_not_restarted() {
        // Shortly before a crowd of the third day.
        let restart = 2 * DAY + 43_200 - 200;
        let mut running = History::default();
        (4..=restart / 5).for_each(|step| _ = tick(&mut running, step * 5));
        let learned = running.learned;
        let (mut backfilled, mut empty) = (History::resume(learned), History::resume(learned));
        let replayed = Replayed::of(&recorded(restart), &policy(), &learned, f64::from(restart)).expect("a past");
        backfilled.replay(replayed);
        let (mut with, mut without) = (0, 0);
        for step in restart / 5 + 1..restart / 5 + 80 {
            let [running, backfilled, empty] =
                [&mut running, &mut backfilled, &mut empty].map(|history| tick(history, step * 5));
            with = with.max(running.abs_diff(backfilled));
            without = without.max(running.abs_diff(empty));
        }
        assert!(with <= 1, "differs by {with} replicas after a backfill");
        assert!(without > 5, "differs by only {without} replicas without a backfill");
    }

    #[test]
    fn without_recorded_loads_or_a_capacity_nothing_is_replayed() {
        let unknown = Policy { requests_per_replica: None, ..policy() };
        let learned = Learned::default();
        assert!(Replayed::of(&Past::default(), &policy(), &learned, 0.0).is_none());
        assert!(Replayed::of(&recorded(DAY), &unknown, &learned, 0.0).is_none());
        assert!(Replayed::of(&recorded(DAY), &policy(), &learned, 0.0).is_some());
    }

    #[test]
    fn loads_whose_time_does_not_advance_are_skipped() {
        let mut past = recorded(3600);
        past.loads.extend(past.loads.clone());
        past.loads.push(PastLoad { at: 0.0, load: 1e9, latest: 1e9 });
        let replayed = Replayed::of(&past, &policy(), &Learned::default(), 3600.0).expect("a past");
        let mut history = History::default();
        history.replay(replayed);
        assert!(tick(&mut history, 3605) < 30);
    }
}
