//! What the past teaches: a forecast that has lived through the loads that were recorded before its process began.
//!
//! What was learned of one replica is a few numbers, and they are in the status. What was learned of the load is half a day
//! of errors, the costs of plans and a week's seasons; but all of it follows from the loads, and the metric source has
//! those. So they are read from there once and lived through again, in some 20 ms.

use super::{
    forecast::Forecast,
    learned::Learned,
    memory::QUARTER,
    serving::{PEAK_SECONDS, Policy, RecentPeak},
};

/// Seconds between two ticks, when the past does not tell, and at most.
const INTERVAL: f64 = 5.0;
const LONGEST_INTERVAL: f64 = 60.0;

/// What was recorded of the load, oldest first. Times are seconds before now, so not above 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// The highest load of quarters of an hour, and when each ended.
    pub quarters: Vec<(f64, f64)>,
    /// The loads of ticks.
    pub loads: Vec<PastLoad>,
}

/// Requests per second at a time of the past.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PastLoad {
    /// Seconds before now, so not above 0.
    pub at: f64,
    /// Over the window.
    pub load: f64,
    /// Over the last scrape interval.
    pub latest: f64,
}

/// What follows from a past, for [`super::serving::History::remember`].
#[derive(Debug, Clone)]
pub struct Memories {
    pub(super) forecast: Box<Forecast>,
    pub(super) peak: RecentPeak,
}

impl Memories {
    /// Lives through a past that ends at `now` on the clock of decisions. None when nothing was recorded, or when nobody
    /// knows what a replica carries: then plans cannot be compared.
    #[must_use]
    pub fn of(past: &Past, policy: &Policy, learned: &Learned, now: f64) -> Option<Self> {
        let capacity = learned.usual.or(policy.requests_per_replica).filter(|capacity| *capacity > 0.0)?;
        let first = now + past.loads.first()?.at;
        let mut memories = Self { forecast: Box::default(), peak: RecentPeak::default() };
        let middles = past.quarters.iter().map(|(at, highest)| (now + at - QUARTER / 2.0, *highest));
        for (at, highest) in middles.filter(|(at, _)| *at < first) {
            memories.forecast.remember(at, highest);
        }
        let mut before = first - INTERVAL;
        for PastLoad { at, load, latest } in past.loads.iter().copied() {
            let at = now + at;
            let interval = at - before;
            if interval < 1.0 {
                continue;
            }
            before = at;
            // A sample was half as old as the next, on average, when somebody decided with it.
            let interval = interval.min(LONGEST_INTERVAL);
            let tick = policy.tick((at, interval), (load, latest), INTERVAL / 2.0, capacity);
            memories.forecast.next(&tick);
            memories.peak.max(at, load, PEAK_SECONDS);
        }
        Some(memories)
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

    /// A day that has a crowd of ten minutes every two hours, and a wave with a little noise.
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
        decide(&policy(), &signals, history, f64::from(second)).without
    }

    /// What is recorded at a time: a day of loads and a week of quarters.
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
    fn who_remembers_decides_as_if_there_had_been_no_restart() {
        // Until shortly before a crowd of the third day.
        let restart = 2 * DAY + 43_200 - 200;
        let mut lived = History::default();
        (4..=restart / 5).for_each(|step| _ = tick(&mut lived, step * 5));
        let learned = lived.learned;
        let (mut remembers, mut forgot) = (History::resume(learned), History::resume(learned));
        let memories = Memories::of(&recorded(restart), &policy(), &learned, f64::from(restart)).expect("a past");
        remembers.remember(memories);
        let (mut differs, mut differed) = (0, 0);
        for step in restart / 5 + 1..restart / 5 + 80 {
            let [lives, remembers, forgot] =
                [&mut lived, &mut remembers, &mut forgot].map(|history| tick(history, step * 5));
            differs = differs.max(lives.abs_diff(remembers));
            differed = differed.max(lives.abs_diff(forgot));
        }
        assert!(differs <= 1, "{differs} replicas");
        assert!(differed > 5, "the next crowd is nothing to who forgot: {differed}");
    }

    #[test]
    fn no_past_and_no_capacity_are_no_memories() {
        let unknown = Policy { requests_per_replica: None, ..policy() };
        let learned = Learned::default();
        assert!(Memories::of(&Past::default(), &policy(), &learned, 0.0).is_none());
        assert!(Memories::of(&recorded(DAY), &unknown, &learned, 0.0).is_none());
        assert!(Memories::of(&recorded(DAY), &policy(), &learned, 0.0).is_some());
    }

    #[test]
    fn times_that_stand_still_or_go_back_are_left_out() {
        let mut past = recorded(3600);
        past.loads.extend(past.loads.clone());
        past.loads.push(PastLoad { at: 0.0, load: 1e9, latest: 1e9 });
        let memories = Memories::of(&past, &policy(), &Learned::default(), 3600.0).expect("a past");
        let mut history = History::default();
        history.remember(memories);
        assert!(tick(&mut history, 3605) < 30);
    }
}
