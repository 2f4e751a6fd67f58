use proptest::prelude::*;

use super::*;

fn errors() -> Signal {
    Signal { name: "errors".into(), floor: None, maximum: None }
}

fn slow() -> Signal {
    Signal { name: "requests slower than 100 ms".into(), floor: None, maximum: None }
}

fn settings(signals: Vec<Signal>) -> Settings {
    Settings { level: 0.05, margin: 1.5, signals }
}

/// Events and requests of the canary, then of the serving version.
fn counts(of: [f64; 4]) -> Comparison {
    Comparison {
        canary: Counts { events: of[0], requests: of[1] },
        baseline: Counts { events: of[2], requests: of[3] },
    }
}

fn ticks(settings: &Settings, number: usize, of: [f64; 4]) -> Evidence {
    let mut evidence = Evidence::default();
    let all: BTreeMap<_, _> = settings.signals.iter().map(|signal| (signal.name.clone(), counts(of))).collect();
    (0..number).for_each(|_| evidence.observe(settings, &all, 1.0));
    evidence
}

fn finding_after(signal: Signal, number: usize, of: [f64; 4]) -> Finding {
    let settings = settings(vec![signal]);
    ticks(&settings, number, of).finding(&settings)
}

/// SplitMix64, and numbers of events from it.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        let (mut product, mut events) = (self.uniform(), 0.0);
        while product > (-mean).exp() {
            product *= self.uniform();
            events += 1.0;
        }
        events
    }

    fn track(&mut self, requests: f64, rate: f64) -> Counts {
        let events = self.poisson(requests * rate);
        Counts { events, requests: events + self.poisson(requests * (1.0 - rate)) }
    }
}

/// A test at a fixed threshold, which is valid for one tick, not for each: one-sided, of two proportions, at 0.05.
fn is_worse_at_a_fixed_threshold(sums: &Comparison) -> bool {
    let rate = |of: Counts| of.events / of.requests;
    let pooled = (sums.canary.events + sums.baseline.events) / (sums.canary.requests + sums.baseline.requests);
    let variance = pooled * (1.0 - pooled) * (1.0 / sums.canary.requests + 1.0 / sums.baseline.requests);
    (rate(sums.canary) - rate(sums.baseline)) / variance.sqrt() > 1.645
}

#[test]
fn without_a_difference_at_most_the_level_is_called_worse_though_each_tick_is_judged() {
    let settings = settings(vec![errors()]);
    let (mut random, mut alarms, mut naive_alarms) = (Random(1), 0, 0);
    for _ in 0..400 {
        let (mut evidence, mut sums) = (Evidence::default(), counts([0.0; 4]));
        let (mut is_alarm, mut is_naive_alarm) = (false, false);
        for _ in 0..240 {
            let tick = Comparison { canary: random.track(8.0, 0.05), baseline: random.track(24.0, 0.05) };
            evidence.observe(&settings, &[("errors".to_owned(), tick)].into(), 1.0);
            is_alarm |= evidence.finding(&settings) == Finding::Worse;
            for (sum, of) in [(&mut sums.canary, tick.canary), (&mut sums.baseline, tick.baseline)] {
                (sum.events, sum.requests) = (sum.events + of.events, sum.requests + of.requests);
            }
            is_naive_alarm |= is_worse_at_a_fixed_threshold(&sums);
        }
        (alarms, naive_alarms) = (alarms + i32::from(is_alarm), naive_alarms + i32::from(is_naive_alarm));
    }
    assert!(alarms <= 20, "{alarms} of 400, more than 5 %");
    assert!(naive_alarms > 80, "a fixed threshold has {naive_alarms} of 400, so this traffic shows nothing");
}

/// The mean of `multiplier(k)` over k events that are binomial.
fn mean_over_binomial(number: u32, probability: f64, multiplier: impl Fn(f64) -> f64) -> f64 {
    let mut likelihood = (1.0 - probability).powi(number.cast_signed());
    let mut mean = 0.0;
    for k in 0..=number {
        mean += likelihood * multiplier(f64::from(k));
        likelihood *= f64::from(number - k) / f64::from(k + 1) * probability / (1.0 - probability);
    }
    mean
}

#[test]
fn each_stake_is_fair_at_best_under_its_null_hypothesis_also_with_a_share_of_the_counts() {
    let signal = Signal { floor: Some(0.02), maximum: Some(0.1), ..errors() };
    for (requests, baseline, events, share) in
        [(40, 60.0, 1, 1.0), (40, 360.0, 7, 1.0), (90, 10.0, 5, 0.25), (7, 900.0, 20, 0.75)]
    {
        let tick = |of_canary: f64, all: f64| {
            let canary = Counts { requests: f64::from(requests), events: of_canary }.times(share);
            Tick::new(canary, Counts { requests: baseline, events: all - of_canary }.times(share), &signal, 1.5)
        };
        let under = |ratio: f64, of: &dyn Fn(&Tick) -> f64| {
            let odds = ratio * f64::from(requests) / baseline;
            mean_over_binomial(events, odds / (1.0 + odds), |k| of(&tick(k, f64::from(events))).exp())
        };
        let own = |rate: f64, of: &dyn Fn(&Tick) -> f64| mean_over_binomial(requests, rate, |k| of(&tick(k, k)).exp());
        let mut means = Vec::new();
        for ratio in [1.0, 0.6] {
            means.extend((0..WORSE.len()).map(|index| under(ratio, &|tick| tick.worse[index])));
            means.extend((0..BETTER.len()).map(|index| under(1.0 / ratio, &|tick| tick.better[index])));
            means.extend((0..NO_WORSE.len()).map(|index| under(1.5 / ratio, &|tick| tick.no_worse[index])));
            let above = |index: usize| move |tick: &Tick| tick.above.map_or(f64::NAN, |above| above[index]);
            means.extend((0..ABOVE.len()).map(|index| own(0.1 * ratio, &above(index))));
            let rare = |index: usize| move |tick: &Tick| tick.rare.map_or(f64::NAN, |rare| rare[index]);
            means.extend((0..RARE.len()).map(|index| own(0.02 / ratio, &rare(index))));
        }
        assert!(means.iter().all(|mean| *mean <= 1.0 + 1e-9), "{requests} {baseline} {events} {share}: {means:?}");
    }
}

#[test]
fn weights_of_mixtures_add_up() {
    for grid in [&WORSE[..], &ABOVE, &NO_WORSE, &BETTER, &RARE] {
        assert!((grid.iter().map(|(_, weight)| weight).sum::<f64>() - 1.0).abs() < 1e-9, "{grid:?}");
    }
    let stakes: f64 = stakes(&WORSE).iter().map(|of| exp(*of)).sum();
    assert!(stakes <= 1.0 && stakes > 0.99, "{stakes}");
}

#[test]
fn findings_have_their_numbers() {
    let settings = settings(vec![errors()]);
    let why = |number, of: [f64; 4]| {
        let verdict = ticks(&settings, number, of).verdict(&settings, 240);
        (verdict.finding, verdict.why)
    };
    let text = "errors of the canary: 41 of 3,020 requests (1.4 %), of the serving version 120 of 27,400 (0.44 %): worse at level 0.05 after 4 min";
    assert_eq!(why(1, [41.0, 3020.0, 120.0, 27_400.0]), (Finding::Worse, text.into()));
    let text = "errors of the canary: 50 of 10,000 requests (0.5 %), of the serving version 450 of 90,000 (0.5 %): not worse by the factor 1.5 at level 0.05 after 4 min";
    assert_eq!(why(10, [5.0, 1000.0, 45.0, 9000.0]), (Finding::NoWorse, text.into()));
    let text = "errors of the canary: 20 of 10,000 requests (0.2 %), of the serving version 450 of 90,000 (0.5 %): better at level 0.05 after 4 min";
    assert_eq!(why(10, [2.0, 1000.0, 45.0, 9000.0]), (Finding::Better, text.into()));
    let text = "errors of the canary: 0 of 10 requests (0 %), of the serving version 1 of 90 (1.1 %): neither worse, nor not worse by the factor 1.5, at level 0.05 after 4 min";
    assert_eq!(why(1, [0.0, 10.0, 1.0, 90.0]), (Finding::Inconclusive, text.into()));
}

#[test]
fn what_passes_elsewhere_is_found() {
    // Rare errors where the serving version has none, spread over many ticks.
    assert_eq!(finding_after(errors(), 60, [0.2, 100.0, 0.0, 900.0]), Finding::Worse);
    // The same share of errors in both tracks, however high, is not the canary's.
    assert_ne!(finding_after(errors(), 100, [90.0, 100.0, 810.0, 900.0]), Finding::Worse);
    // But it may be above a maximum.
    let bounded = Signal { maximum: Some(0.05), ..errors() };
    assert_eq!(finding_after(bounded.clone(), 100, [90.0, 100.0, 810.0, 900.0]), Finding::Worse);
    let settings = settings(vec![bounded]);
    let why = ticks(&settings, 1, [90.0, 100.0, 810.0, 900.0]).verdict(&settings, 5).why;
    assert!(
        why.contains("90 of 100 requests (90 %)") && why.ends_with("above the maximum of 5 % at level 0.05 after 5 s"),
        "{why}"
    );
    // All requests fail.
    assert_eq!(finding_after(errors(), 2, [5.0, 5.0, 0.0, 45.0]), Finding::Worse);
}

#[test]
fn events_rarer_than_the_floor_pass_where_a_ratio_cannot_be_known() {
    let rare = [0.0, 100.0, 0.0, 900.0];
    assert_eq!(finding_after(errors(), 100, rare), Finding::Inconclusive);
    assert_eq!(finding_after(Signal { floor: Some(0.01), ..errors() }, 100, rare), Finding::NoWorse);
}

#[test]
fn counts_that_are_none_are_no_evidence() {
    let floor = Signal { floor: Some(0.5), ..errors() };
    let settings = settings(vec![Signal { maximum: Some(0.9), ..floor }]);
    for of in [
        [0.0, 0.0, 5.0, 900.0],
        [5.0, 0.0, 5.0, 900.0],
        [0.0, 100.0, 0.0, 0.0],
        [0.0, 100.0, 5.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
        [-1.0, 100.0, 5.0, 900.0],
        [0.0, -100.0, 5.0, 900.0],
        [0.0, 100.0, 5.0, -900.0],
        [0.0, 100.0, -5.0, 900.0],
        [f64::NAN, 100.0, 5.0, 900.0],
        [0.0, f64::NAN, 5.0, 900.0],
        [f64::INFINITY, 100.0, 5.0, 900.0],
        [0.0, f64::INFINITY, 5.0, 900.0],
        [0.0, 100.0, 5.0, f64::INFINITY],
        [0.0, 100.0, f64::NEG_INFINITY, 900.0],
        [0.0, 1e300, 5.0, 900.0],
    ] {
        let evidence = ticks(&settings, 1000, of);
        assert_eq!(evidence.finding(&settings), Finding::Inconclusive, "{of:?}");
        assert_eq!(evidence, ticks(&settings, 1, of), "{of:?}");
        assert!(evidence.requests_in_step() < 1.0, "{of:?}");
    }
    for share in [0.0, -1.0, f64::NAN] {
        let mut evidence = Evidence::default();
        evidence.observe(&settings, &[("errors".into(), counts([9.0, 9.0, 0.0, 900.0]))].into(), share);
        assert_eq!(evidence.requests_in_step(), 0.0, "{share}");
    }
}

#[test]
fn without_signals_nothing_is_found() {
    let verdict = Evidence::default().verdict(&settings(vec![]), 9);
    assert_eq!((verdict.finding, verdict.why.as_str()), (Finding::Inconclusive, "no signal is judged"));
}

#[test]
fn a_level_or_margin_that_is_none_finds_nothing_without_evidence() {
    for (level, margin) in
        [(0.0, 1.5), (f64::NAN, 1.5), (-1.0, 1.5), (2.0, 1.5), (0.05, f64::NAN), (0.05, -1.0), (0.05, f64::INFINITY)]
    {
        let settings = Settings { level, margin, signals: vec![errors()] };
        let evidence = ticks(&settings, 1, [0.0, 1.0, 0.0, 9.0]);
        assert_eq!(evidence.finding(&settings), Finding::Inconclusive, "{level} {margin}");
    }
}

#[test]
fn all_signals_have_to_be_no_worse_and_one_that_is_worse_decides() {
    let settings = settings(vec![errors(), slow()]);
    let observe = |of_errors, of_slow: Option<[f64; 4]>| {
        let mut all: BTreeMap<_, _> = [(errors().name, counts(of_errors))].into();
        all.extend(of_slow.map(|of| (slow().name, counts(of))));
        let mut evidence = Evidence::default();
        (0..20).for_each(|_| evidence.observe(&settings, &all, 1.0));
        evidence.verdict(&settings, 100)
    };
    let good = [5.0, 1000.0, 45.0, 9000.0];
    assert_eq!(observe(good, Some(good)).finding, Finding::NoWorse);
    let missing = observe(good, None);
    assert_eq!(missing.finding, Finding::Inconclusive);
    assert!(
        missing.why.starts_with("requests slower than 100 ms of the canary: 0 of 0 requests, of"),
        "{}",
        missing.why
    );
    let worse = observe(good, Some([50.0, 1000.0, 45.0, 9000.0]));
    assert_eq!(worse.finding, Finding::Worse);
    assert!(worse.why.starts_with("requests slower than 100 ms of the canary: "), "{}", worse.why);
}

#[test]
fn a_step_forgets_what_was_found_for_the_canary_and_keeps_what_was_found_against_it() {
    let settings = settings(vec![errors()]);
    let mut good = ticks(&settings, 20, [5.0, 1000.0, 45.0, 9000.0]);
    assert_eq!(good.finding(&settings), Finding::NoWorse);
    good.begin_step();
    assert_eq!((good.finding(&settings), good.requests_in_step()), (Finding::Inconclusive, 0.0));
    let mut bad = ticks(&settings, 20, [50.0, 1000.0, 45.0, 9000.0]);
    bad.begin_step();
    assert_eq!(bad.finding(&settings), Finding::Worse);
}

#[test]
fn a_canary_that_becomes_worse_later_is_found() {
    let settings = settings(vec![errors()]);
    let mut evidence = ticks(&settings, 720, [2.0, 400.0, 18.0, 3600.0]);
    let worse: BTreeMap<_, _> = [("errors".to_owned(), counts([8.0, 400.0, 18.0, 3600.0]))].into();
    let needed = (1..).find(|_| {
        evidence.observe(&settings, &worse, 1.0);
        evidence.finding(&settings) == Finding::Worse
    });
    assert!(needed.is_some_and(|ticks| ticks <= 5), "{needed:?}");
}

/// As live: on a machine without CPU, the servers refused requests for some seconds, first those of the serving version, then the canary.
#[test]
fn a_canary_with_fewer_events_than_the_serving_version_is_not_worse_by_one_bad_tick() {
    let settings = settings(vec![errors()]);
    let mut evidence = Evidence::default();
    let mut observe = |of| evidence.observe(&settings, &BTreeMap::from([("errors".to_owned(), counts(of))]), 1.0);
    observe([0.0, 157.0, 131.0, 338.0]);
    observe([34.0, 157.0, 0.0, 338.0]);
    assert_ne!(evidence.finding(&settings), Finding::Worse);
    // A canary that goes on so is worse, once it has more of them altogether.
    let mut observe = |of| evidence.observe(&settings, &BTreeMap::from([("errors".to_owned(), counts(of))]), 1.0);
    (0..3).for_each(|_| observe([34.0, 157.0, 0.0, 338.0]));
    assert_eq!(evidence.finding(&settings), Finding::Worse);
}

#[test]
fn evidence_of_other_bounds_or_with_numbers_missing_begins_anew() {
    let good = [5.0, 1000.0, 45.0, 9000.0];
    let before = settings(vec![errors()]);
    let evidence = ticks(&before, 20, good);
    let mut others = vec![
        (evidence.clone(), Settings { margin: 1.2, ..before.clone() }),
        (evidence.clone(), settings(vec![Signal { floor: Some(0.01), ..errors() }])),
        (evidence.clone(), settings(vec![slow()])),
    ];
    let mut shortened = evidence.clone();
    shortened.signals[0].no_worse.pop();
    others.push((shortened, before.clone()));
    for (mut evidence, settings) in others {
        assert_eq!(evidence.finding(&settings), Finding::Inconclusive, "{settings:?}");
        evidence.observe(&settings, &BTreeMap::new(), 1.0);
        assert_eq!(evidence, ticks(&settings, 1, [0.0; 4]), "{settings:?}");
    }
    // The order is of no importance, and a signal that is added leaves the others as they are.
    let more = settings(vec![slow(), errors()]);
    let mut evidence = evidence;
    evidence.observe(&more, &BTreeMap::new(), 1.0);
    assert_eq!(evidence.signals[1].counted, [20_000_000, 100_000, 180_000_000, 900_000]);
}

fn tick() -> impl Strategy<Value = ([f64; 4], f64)> {
    let track = || (prop_oneof![Just(0.0), 0.0..30.0, 0.0..1e4, Just(f64::NAN), Just(-3.0)], 0.0..1.2_f64);
    let share = prop_oneof![Just(1.0), Just(0.25), 0.0..1.0];
    (track(), track(), share).prop_map(|((n, p), (m, q), share)| ([n * p * 0.1, n, m * q * 0.1, m], share))
}

proptest! {
    #[test]
    fn a_restart_between_any_two_ticks_changes_nothing(ticks in prop::collection::vec((tick(), any::<bool>(), any::<bool>()), 1..60)) {
        let settings = settings(vec![Signal { floor: Some(0.01), maximum: Some(0.2), ..errors() }, slow()]);
        let (mut kept, mut restarted) = (Evidence::default(), Evidence::default());
        for ((of, share), is_restarted, begins_step) in ticks {
            let all = [("errors".to_owned(), counts(of)), (slow().name, counts([of[0] / 2.0, of[1], of[2], of[3]]))].into();
            for evidence in [&mut kept, &mut restarted] {
                evidence.observe(&settings, &all, share);
                if begins_step {
                    evidence.begin_step();
                }
            }
            if is_restarted {
                let text = serde_json::to_string(&restarted).expect("JSON");
                prop_assert!(text.len() < 1500, "{} bytes: {text}", text.len());
                restarted = serde_json::from_str(&text).expect("evidence");
            }
            prop_assert_eq!(kept.verdict(&settings, 60), restarted.verdict(&settings, 60));
        }
        prop_assert_eq!(kept, restarted);
    }

    #[test]
    fn a_share_of_the_counts_is_less_evidence(of in tick(), parts in 2_u32..9) {
        let settings = settings(vec![errors()]);
        let all: BTreeMap<_, _> = [("errors".to_owned(), counts(of.0))].into();
        let whole = ticks(&settings, 1, of.0);
        let mut in_parts = Evidence::default();
        (0..parts).for_each(|_| in_parts.observe(&settings, &all, 1.0 / f64::from(parts)));
        // Rounded down in each part.
        for (a, b) in whole.signals[0].no_worse.iter().zip(&in_parts.signals[0].no_worse) {
            prop_assert!((a - b).abs() <= i64::from(parts), "{a} {b}");
        }
    }
}
