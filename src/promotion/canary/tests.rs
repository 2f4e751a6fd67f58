use jiff::SignedDuration;
use proptest::prelude::*;

use super::{memory::ELAPSED_MAX, *};
use crate::{
    model::canary::{Settings, Signal},
    promotion::judge::Counts,
};

/// Seconds between two ticks.
const TICK: i64 = 5;

fn plan() -> Plan {
    let step = |weight_percent| Step { weight_percent, mirror_percent: 0, minimum_seconds: 60, minimum_requests: 500 };
    let signal = |name: &str| Signal { name: name.into(), floor: None, maximum: None };
    Plan {
        steps: vec![step(10), step(50)],
        warm_up_seconds: 30,
        max_seconds: 600,
        judge: Settings { level: 0.05, margin: 1.5, signals: vec![signal("errors"), signal("slow requests")] },
    }
}

/// Requests per second, the share of events, and how many times as large it is in the canary.
#[derive(Clone, Copy, Debug)]
struct Traffic {
    requests: f64,
    rate: f64,
    ratio: f64,
}

const GOOD: Traffic = Traffic { requests: 200.0, rate: 0.05, ratio: 1.0 };
const BAD: Traffic = Traffic { ratio: 4.0, ..GOOD };
const NONE: Traffic = Traffic { requests: 0.0, ..GOOD };

/// A canary over time.
#[derive(Clone)]
struct Story {
    plan: Plan,
    memory: Memory,
    now: Timestamp,
    readings: Readings,
}

impl Story {
    fn new() -> Self {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let readings = Readings { ready: 3, expected: Some(3), ..Readings::default() };
        Self { plan: plan(), memory: Memory::new("full-20261121-0300", now), now, readings }
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn count(&mut self, traffic: Traffic) {
        let share = f64::from(self.memory.weight_percent) / 100.0;
        let counts = |share: f64, rate: f64| {
            let requests = traffic.requests * share * 5.0;
            Counts { requests, events: requests * rate }
        };
        let canary = counts(share, (traffic.rate * traffic.ratio).min(1.0));
        let of = Comparison { canary, baseline: counts(1.0 - share, traffic.rate) };
        let signals = self.plan.judge.signals.iter().map(|signal| (signal.name.clone(), of)).collect();
        self.readings.counts = Some(Tick { at: self.now, window_seconds: TICK, signals });
    }

    fn advance(&mut self) -> Outcome {
        let next = advance(&self.plan, self.memory.clone(), &self.readings, self.now);
        assert_eq!(next.weight_percent, next.memory.weight_percent);
        self.memory = next.memory;
        next.outcome
    }

    /// Ticks until something but waiting follows: how many, and what.
    fn until_decided(&mut self, traffic: Option<Traffic>) -> (i64, Outcome) {
        for tick in 1..10_000 {
            self.pass(TICK);
            self.readings.counts = None;
            traffic.iter().for_each(|traffic| self.count(*traffic));
            match self.advance() {
                Outcome::Stay { .. } => {}
                outcome => return (tick, outcome),
            }
        }
        panic!("it never ends: {:?}", self.memory);
    }

    fn waits_for(&mut self) -> Option<Wait> {
        match self.advance() {
            Outcome::Stay { wait, .. } => Some(wait),
            _ => None,
        }
    }
}

fn back(outcome: &Outcome) -> &str {
    let Outcome::Back { why, .. } = outcome else { panic!("{outcome:?}") };
    why
}

#[test]
fn a_good_canary_is_promoted_after_its_last_step_though_that_is_not_100_percent() {
    let mut story = Story::new();
    assert_eq!(story.memory.capacity_percent(&story.plan), 10);
    let (ticks, outcome) = story.until_decided(Some(GOOD));
    assert!(matches!(outcome, Outcome::NextStep { .. }), "{outcome:?}");
    // Warm-up, the window that reaches into it, and 60 s.
    assert!(ticks * TICK >= 30 + TICK + 60, "{ticks}");
    assert_eq!((story.memory.weight_percent, story.memory.capacity_percent(&story.plan)), (10, 50));
    let (_, outcome) = story.until_decided(Some(GOOD));
    let Outcome::Promote { why } = &outcome else { panic!("{outcome:?}") };
    assert!(
        why.starts_with("step 2 of 2 (50 % of the requests): errors of the canary: 300 of 6,000 requests (5 %), of"),
        "{why}"
    );
    assert_eq!(story.memory.weight_percent, 50);
    let ended = story.memory.clone();
    story.pass(3600);
    assert_eq!((story.advance(), story.memory), (outcome, ended));
}

#[test]
fn a_bad_canary_goes_back_at_once_with_its_numbers() {
    let mut story = Story::new();
    let (ticks, outcome) = story.until_decided(Some(BAD));
    assert!(ticks * TICK <= 60, "{ticks}");
    assert!(back(&outcome).contains(": worse at level 0.05 after "), "{outcome:?}");
    assert_eq!((story.memory.weight_percent, story.memory.capacity_percent(&story.plan)), (0, 0));
    let end = story.memory.end.clone().expect("an end");
    assert_eq!((end.is_promoted, end.finding), (false, Finding::Worse));
    assert_eq!(story.until_decided(Some(GOOD)), (1, outcome));
}

#[test]
fn the_weight_moves_when_the_replicas_for_it_are_ready() {
    let mut story = Story::new();
    for (ready, expected) in [(2, Some(3)), (0, Some(0)), (3, None)] {
        (story.readings.ready, story.readings.expected) = (ready, expected);
        story.pass(TICK);
        assert_eq!((story.waits_for(), story.memory.weight_percent), (Some(Wait::Replicas), 0), "{expected:?}");
    }
    story.readings.expected = Some(3);
    assert_eq!((story.waits_for(), story.memory.weight_percent), (Some(Wait::WarmUp), 10));
    story.until_decided(Some(GOOD));
    story.readings.ready = 2;
    let (ticks, outcome) = story.until_decided(Some(GOOD));
    assert_eq!(
        (ticks * TICK, back(&outcome)),
        (600, "step 2 of 2 (50 % of the requests): 2 of 3 replicas are ready, after 600 of at most 600 s")
    );
}

#[test]
fn a_canary_without_traffic_or_readings_is_not_promoted_and_goes_back() {
    for (traffic, text) in [
        (Some(NONE), "errors of the canary: 0 of 0 requests, of the serving version 0 of 0; "),
        (Some(Traffic { requests: 0.5, ..GOOD }), "neither worse, nor not worse by the factor 1.5, at level 0.05"),
        (None, "there are no current counts of errors, slow requests; "),
    ] {
        let mut story = Story::new();
        let (ticks, outcome) = story.until_decided(traffic);
        assert!(back(&outcome).contains(text), "{outcome:?}");
        // Beyond the warm-up and the least time of the step.
        assert!((690..=700).contains(&(ticks * TICK)), "{ticks}");
        assert_eq!(story.memory.end.map(|end| end.finding), Some(Finding::Inconclusive));
    }
}

#[test]
fn too_few_requests_are_no_promotion() {
    let mut story = Story::new();
    story.plan.steps[0].minimum_requests = 1_000_000;
    let (_, outcome) = story.until_decided(Some(GOOD));
    assert!(back(&outcome).contains("of at least 1000000 requests were judged; errors of the canary: "), "{outcome:?}");
}

#[test]
fn counts_of_one_signal_alone_are_no_judged_time() {
    let mut story = Story::new();
    for _ in 0..60 {
        story.pass(TICK);
        story.count(GOOD);
        story.readings.counts.iter_mut().for_each(|tick| _ = tick.signals.remove("errors"));
        story.advance();
    }
    assert_eq!((story.memory.judged_seconds, story.waits_for()), (0, Some(Wait::Readings)));
}

#[test]
fn a_broken_bound_goes_back_at_once() {
    let mut story = Story::new();
    story.readings.broken = Some("2 of 3 replicas crash".into());
    let why = "step 1 of 2 (10 % of the requests): 2 of 3 replicas crash";
    assert_eq!(story.advance(), Outcome::Back { why: why.into(), waited: None });
}

#[test]
fn a_week_without_the_operator_and_a_clock_that_steps_are_no_judged_time() {
    for seconds in [7 * 86_400, 3600, -3600] {
        let mut story = Story::new();
        for _ in 0..10 {
            story.pass(TICK);
            story.count(GOOD);
            story.advance();
        }
        let judged = story.memory.judged_seconds;
        story.pass(seconds);
        story.count(GOOD);
        story.advance();
        assert!(story.memory.judged_seconds <= judged + TICK, "{seconds}");
        assert!(story.memory.weighted_seconds <= 45 + ELAPSED_MAX, "{seconds}");
        assert!(matches!(story.until_decided(Some(GOOD)).1, Outcome::NextStep { .. }), "{seconds}");
    }
}

#[test]
fn a_tick_that_is_delivered_again_or_late_counts_once() {
    let mut story = Story::new();
    for _ in 0..12 {
        story.pass(TICK);
        story.count(GOOD);
        story.advance();
    }
    let before = story.memory.clone();
    for seconds in [0, 1, 20] {
        story.readings.counts.iter_mut().for_each(|tick| tick.at -= SignedDuration::from_secs(seconds));
        story.pass(TICK);
        story.advance();
        assert_eq!((&story.memory.evidence, story.memory.judged_seconds), (&before.evidence, before.judged_seconds));
    }
    // Of a window that overlaps by 2 s, 3/5 count.
    let mut story = Story { memory: before.clone(), ..story };
    story.count(GOOD);
    let at = before.counted_until.as_ref().map(|until| until.0 + SignedDuration::from_secs(3));
    story.readings.counts.iter_mut().for_each(|tick| tick.at = at.expect("counts"));
    story.advance();
    assert_eq!(story.memory.judged_seconds, before.judged_seconds + 3);
    let more = story.memory.evidence.requests_in_step() - before.evidence.requests_in_step();
    assert!((more - 60.0).abs() < 0.01, "{more}");
}

#[test]
fn warm_up_is_no_evidence() {
    let mut story = Story::new();
    for _ in 0..=6 {
        story.pass(TICK);
        story.count(BAD);
        story.advance();
    }
    assert_eq!((story.memory.weighted_seconds, story.memory.evidence.requests_in_step()), (30, 0.0));
    assert!(matches!(story.until_decided(Some(GOOD)).1, Outcome::NextStep { .. }));
}

#[test]
fn a_spec_that_changes_meanwhile_is_followed() {
    let mut story = Story::new();
    story.until_decided(Some(GOOD));
    story.plan.steps.truncate(1);
    let (_, outcome) = story.until_decided(Some(GOOD));
    assert!(matches!(outcome, Outcome::Promote { .. }), "{outcome:?}");
    let mut story = Story::new();
    story.plan.judge.signals.clear();
    let (_, outcome) = story.until_decided(Some(GOOD));
    assert!(back(&outcome).contains("no signal is judged"), "{outcome:?}");
    // A step in which all requests go to the canary cannot be judged: it is the promotion.
    for weights in [&[][..], &[100], &[100, 10]] {
        let mut story = Story::new();
        let step = |weight_percent: &i32| Step { weight_percent: *weight_percent, ..story.plan.steps[0] };
        story.plan.steps = weights.iter().map(step).collect();
        let outcome = Outcome::Back { why: "the canary has no step".into(), waited: None };
        assert_eq!(story.until_decided(Some(GOOD)), (1, outcome), "{weights:?}");
    }
    let mut story = Story::new();
    story.plan.steps[1].weight_percent = 100;
    assert!(matches!(story.until_decided(Some(GOOD)).1, Outcome::Promote { .. }));
    assert_eq!(story.memory.weight_percent, 10);
    // The weight of the current step is raised: replicas for it first, and a warm-up.
    let mut story = Story::new();
    (0..10).for_each(|_| {
        story.pass(TICK);
        story.count(GOOD);
        story.advance();
    });
    story.plan.steps[0].weight_percent = 20;
    story.readings.ready = 2;
    assert_eq!((story.waits_for(), story.memory.weight_percent), (Some(Wait::Replicas), 10));
    story.readings.ready = 3;
    assert_eq!((story.waits_for(), story.memory.weight_percent), (Some(Wait::WarmUp), 20));
}

/// What may happen between two ticks.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pass(i64),
    Counts(Traffic),
    /// The counts are delivered again.
    Nothing,
    NoCounts,
    Odd(f64),
    OneSignal,
    Replicas(i32, Option<i32>),
    Broken,
}

fn event() -> impl Strategy<Value = Event> {
    let traffic = prop_oneof![
        6 => Just(GOOD),
        1 => Just(NONE),
        1 => Just(BAD),
        2 => (0.0..300.0, 0.0..0.3, 0.3..2.0).prop_map(|(requests, rate, ratio)| Traffic { requests, rate, ratio }),
    ];
    prop_oneof![
        30 => traffic.prop_map(Event::Counts),
        4 => (0_i64..40).prop_map(Event::Pass),
        1 => prop_oneof![Just(-3600_i64), Just(3600), Just(7 * 86_400), -100_i64..0].prop_map(Event::Pass),
        2 => Just(Event::Nothing),
        2 => Just(Event::NoCounts),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-5.0), Just(1e300)].prop_map(Event::Odd),
        1 => Just(Event::OneSignal),
        2 => (0_i32..4, prop::option::of(0_i32..4)).prop_map(|(ready, expected)| Event::Replicas(ready, expected)),
        4 => Just(Event::Replicas(3, Some(3))),
        1 => prop::bool::weighted(0.1).prop_map(|is_broken| if is_broken { Event::Broken } else { Event::Nothing }),
    ]
}

impl Story {
    fn happens(&mut self, event: Event) {
        match event {
            Event::Pass(seconds) => return self.pass(seconds),
            Event::Counts(traffic) => {
                self.pass(TICK);
                self.count(traffic);
                return;
            }
            Event::Nothing => {}
            Event::NoCounts => self.readings.counts = None,
            Event::Odd(number) => {
                self.count(GOOD);
                for of in self.readings.counts.iter_mut().flat_map(|tick| tick.signals.values_mut()) {
                    of.canary.requests = number;
                }
            }
            Event::OneSignal => self.readings.counts.iter_mut().for_each(|tick| _ = tick.signals.pop_first()),
            Event::Replicas(ready, expected) => (self.readings.ready, self.readings.expected) = (ready, expected),
            Event::Broken => self.readings.broken = Some("a replica crashes".into()),
        }
        self.pass(TICK);
    }

    /// The findings of each signal alone, after the counts of this tick.
    fn findings(&self, before: &Memory) -> Vec<Finding> {
        let mut memory = before.clone();
        memory.elapse(self.now);
        memory.weighted_seconds = i64::MAX;
        memory.count(&self.plan, self.readings.counts.as_ref());
        let alone = |signal: &Signal| Settings { signals: vec![signal.clone()], ..self.plan.judge.clone() };
        self.plan.judge.signals.iter().map(|signal| memory.evidence.finding(&alone(signal))).collect()
    }
}

/// Ticks within which a canary of two steps ends: each waits for replicas, warms up and is judged.
const END: i64 = 2 * (600 + 30 + 600) / TICK + 10;

proptest! {

    #[test]
    fn over_any_history_each_step_is_found_no_worse_and_the_canary_ends(
        events in prop::collection::vec((event(), any::<bool>()), 1..150), last in 0_usize..4
    ) {
        let mut story = Story::new();
        // What no promotion may count twice: all requests that the canary ever had.
        let mut delivered = 0.0;
        for (event, is_restarted) in events {
            let before = story.memory.clone();
            story.happens(event);
            if matches!(event, Event::Counts(_) | Event::Odd(_)) {
                let counts = story.readings.counts.iter().flat_map(|tick| tick.signals.values());
                delivered += counts.map(|of| of.canary.requests).filter(|n| *n > 0.0 && *n < 1e12).fold(0.0, f64::max);
            }
            let restored = match is_restarted {
                true => serde_json::from_str(&serde_json::to_string(&before).expect("JSON")).expect("a memory"),
                false => before.clone(),
            };
            prop_assert_eq!(&restored, &before);
            let outcome = Story { memory: restored, ..story.clone() }.advance();
            prop_assert_eq!(&story.advance(), &outcome);
            let (weight, was) = (story.memory.weight_percent, before.weight_percent);
            let is_back = matches!(outcome, Outcome::Back { .. });
            prop_assert!(weight <= 100 && (weight >= was || is_back) && (!is_back || weight == 0), "{was} {weight}");
            let has_replicas = story.readings.expected.is_some_and(|expected| expected > 0 && story.readings.ready >= expected);
            prop_assert!(weight <= was || has_replicas, "the weight moved without replicas");
            let goes_on = matches!(outcome, Outcome::NextStep { .. } | Outcome::Promote { .. });
            if before.end.is_some() {
                prop_assert_eq!(&before, &story.memory);
            } else if goes_on {
                let step = &story.plan.steps[usize::try_from(before.step).expect("a step")];
                let findings = story.findings(&before);
                prop_assert!(findings.iter().all(|finding| is_promotable(*finding)), "{findings:?}");
                prop_assert!(story.readings.counts.is_some() && has_replicas);
                #[expect(clippy::cast_precision_loss, reason = "a small number")]
                let least = step.minimum_requests as f64;
                prop_assert!(delivered >= least - 1.0, "{delivered} requests");
                delivered = 0.0;
            }
        }
        story.readings.broken = None;
        for tick in 0..=END {
            prop_assert!(tick < END, "it does not end: {:?}", story.memory);
            let event = [Event::NoCounts, Event::Counts(GOOD), Event::Counts(NONE), Event::Replicas(1, Some(3))][last];
            story.happens(event);
            story.advance();
            if story.memory.end.is_some() {
                break;
            }
        }
        prop_assert!(story.memory.capacity_percent(&story.plan) <= 100);
    }
}
