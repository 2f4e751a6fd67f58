use super::*;
use crate::{
    model::canary::{ERRORS, SLOW, Settings, Signal, Step},
    promotion::route::{Acceptance, Shares},
    signals::fake::{at, readings},
};

/// Seconds between two ticks, and between two samples.
const TICK: i64 = 10;

/// Four servers and a canary that answer 50 requests/s each. Of those of the canary, a part fails.
struct Bed {
    state: State,
    second: i64,
    /// Requests and errors of each pod, by its name.
    counters: BTreeMap<&'static str, (f64, f64)>,
    failing: f64,
}

fn plan() -> Plan {
    let signal = |name: &str| Signal { name: name.into(), floor: Some(0.01), maximum: None };
    let step = |weight_percent| Step { weight_percent, mirror_percent: 0, minimum_seconds: 60, minimum_requests: 100 };
    let pods = [("s1", Track::Serving), ("s2", Track::Serving), ("s3", Track::Serving), ("s4", Track::Serving)];
    let pods = pods.into_iter().chain([("c1", Track::Canary)]);
    Plan {
        canary: model::canary::Plan {
            steps: vec![step(20), step(50)],
            warm_up_seconds: 20,
            max_seconds: 600,
            judge: Settings { level: 0.05, margin: 1.5, signals: vec![signal(ERRORS)] },
        },
        compared: Compared { errors: true, slow: None },
        version: "full-2".into(),
        baseline: "full-1".into(),
        pods: pods.map(|(name, track)| (name.into(), (track, at(0)))).collect(),
        ready: 1,
        expected: 1,
        broken: None,
        route: None,
    }
}

impl Bed {
    fn new() -> Self {
        let object = OfSource::packages();
        let mut state = State { object, trial: None };
        state.plan(Some(plan()), None, at(0));
        let counters = ["s1", "s2", "s3", "s4", "c1"].map(|pod| (pod, (1e6, 100.0))).into();
        Self { state, second: 0, counters, failing: 0.002 }
    }

    /// What was decided, at most so many ticks later, when the canary is in this step or has ended. The number of changes too.
    fn until(&mut self, ticks: usize, is_reached: impl Fn(&Memory) -> bool) -> (Progress, usize) {
        let mut changes = 0;
        for _ in 0..ticks {
            self.second += TICK;
            for (pod, (requests, errors)) in &mut self.counters {
                *requests += 500.0;
                *errors += 500.0 * if *pod == "c1" { self.failing } else { 0.002 };
            }
            changes += usize::from(self.tick());
            let progress = self.state.observed().expect("there is a canary");
            if is_reached(&progress.memory) {
                return (progress, changes);
            }
        }
        panic!("{:?}", self.state.observed());
    }

    fn tick(&mut self) -> bool {
        let of = |series, pod: &'static str, value: f64| ("shop", "packages", series, pod, value.to_string(), 0);
        let samples: Vec<_> = self
            .counters
            .iter()
            .flat_map(|(pod, (requests, errors))| {
                [of(Series::PodRequests, pod, *requests), of(Series::PodErrors, pod, errors.floor())]
            })
            .collect();
        self.state.tick(Some(&readings(&samples, self.second)), at(self.second))
    }
}

#[test]
fn a_canary_gets_so_many_pods_that_its_share_is_at_least_the_desired_one() {
    let of = |percent, serving| replicas(percent, serving, false);
    assert_eq!([of(10, 9), of(10, 10), of(50, 3), of(1, 2), of(25, 0), of(33, 4)], [1, 2, 3, 1, 1, 2]);
    assert_eq!(replicas(i32::MAX, i32::MAX, false), i32::MAX);
    let of = |percent, serving| replicas(percent, serving, true);
    assert_eq!([of(1, 2), of(1, 101), of(10, 20), of(50, 3), of(100, 4), of(25, 0)], [1, 2, 2, 2, 4, 1], "by load");
    assert_eq!(replicas(i32::MAX, i32::MAX, true), i32::MAX);
}

#[test]
fn a_canary_without_a_difference_passes_each_step_and_few_ticks_are_reported() {
    let mut bed = Bed::new();
    let (progress, _) = bed.until(60, |memory| memory.step == 1);
    assert!(progress.why.contains("step 1 of 2 (20 % of the requests)"), "{}", progress.why);
    assert_eq!(progress.verdict(), None);
    let (progress, changes) = bed.until(60, |memory| memory.end.is_some());
    assert!(progress.verdict().is_some_and(|verdict| verdict.passed && verdict.gate == GATE), "{progress:?}");
    assert!(changes < 12, "{changes}");
}

#[test]
fn a_canary_that_fails_more_often_is_taken_back_within_a_minute() {
    let mut bed = Bed { failing: 0.1, ..Bed::new() };
    let (progress, _) = bed.until(12, |memory| memory.end.is_some());
    let verdict = progress.verdict().expect("a verdict");
    assert!(!verdict.passed && verdict.message.contains("errors"), "{verdict:?}");
}

#[test]
fn a_restarted_pod_and_a_restarted_operator_are_no_evidence() {
    let mut bed = Bed::new();
    bed.until(60, |memory| memory.judged_seconds > 30);
    let before = bed.state.observed().expect("there is one").memory;
    // Its counters begin anew, and the errors that it counted before are gone.
    bed.counters.insert("c1", (0.0, 0.0));
    bed.tick();
    let status = CanaryStatus {
        version: "full-2".into(),
        message: "it is judged".into(),
        notes: serde_json::to_string(&before).ok(),
        ..CanaryStatus::default()
    };
    let mut resumed = Bed { state: State { object: OfSource::default(), trial: None }, ..Bed::new() };
    resumed.state.plan(Some(plan()), Some(&status), at(0));
    assert_eq!(resumed.state.observed().map(|progress| progress.memory), Some(before));
    resumed.state.plan(Some(Plan { version: "full-3".into(), ..plan() }), Some(&status), at(0));
    let other = resumed.state.observed().expect("there is one").memory;
    assert_eq!((other.version.as_str(), other.judged_seconds), ("full-3", 0));
    let (progress, _) = bed.until(120, |memory| memory.end.is_some());
    assert!(progress.verdict().is_some_and(|verdict| verdict.passed), "{progress:?}");
}

#[test]
fn without_samples_a_canary_is_taken_back_as_inconclusive() {
    let progress = ended_by(|second| Some(readings(&[], second)));
    let verdict = progress.verdict().expect("a verdict");
    assert!(!verdict.passed && verdict.message.contains("no current counts of errors"), "{verdict:?}");
}

#[test]
fn while_its_metric_source_does_not_answer_a_canary_ends_without_a_verdict_on_its_version() {
    let silent = |second| Some(readings(&[], second).silent("metric source \"default\": HTTP 503"));
    for progress in [ended_by(silent), ended_by(|_| None)] {
        assert!(progress.memory.lacks_data() && progress.verdict().is_none(), "{progress:?}");
        assert!(progress.why.contains("no current counts of errors"), "{progress:?}");
    }
}

/// A canary with hardly any requests whose counters are read in these ticks, and else so, until it has ended.
fn ended_with(is_sampled: impl Fn(i64) -> bool, read: impl Fn(i64) -> Option<Readings>) -> Progress {
    ended_in(&mut Bed::new(), is_sampled, read)
}

fn ended_in(bed: &mut Bed, is_sampled: impl Fn(i64) -> bool, read: impl Fn(i64) -> Option<Readings>) -> Progress {
    for tick in 1..100 {
        bed.second += TICK;
        bed.counters.values_mut().for_each(|(requests, _)| *requests += 2.0);
        match is_sampled(tick) {
            true => _ = bed.tick(),
            false => _ = bed.state.tick(read(bed.second).as_ref(), at(bed.second)),
        }
        let progress = bed.state.observed().expect("there is one");
        if progress.memory.end.is_some() {
            assert_eq!(tick, LAST, "{progress:?}");
            return progress;
        }
    }
    panic!("it does not end");
}

/// The tick in which a step that begins with the first tick has taken 20 + 60 + 600 s.
const LAST: i64 = 69;

#[test]
fn a_source_that_answers_again_just_before_the_end_gives_no_verdict() {
    let silent = |second| Some(readings(&[], second).silent("metric source \"default\": HTTP 503"));
    let mute = |second| match second / TICK {
        ..=40 => silent(second),
        _ => Some(readings(&[], second)),
    };
    for progress in [ended_with(|tick| tick >= LAST, silent), ended_with(|_| false, mute)] {
        assert!(progress.memory.lacks_data() && progress.verdict().is_none(), "{progress:?}");
    }
    let progress = ended_with(|tick| tick >= LAST - 20, silent);
    assert!(progress.memory.lacks_data(), "a third of the step was counted: {progress:?}");
    for (is_sampled, why) in [
        ((|_| true) as fn(i64) -> bool, "the source has answered all the time"),
        (|tick| !(10..30).contains(&tick), "what its pods counted meanwhile is known"),
        (|tick| tick >= 20, "most of the step was counted"),
    ] {
        let progress = ended_with(is_sampled, silent);
        assert!(
            !progress.memory.lacks_data() && progress.verdict().is_some_and(|verdict| !verdict.passed),
            "{why}: {progress:?}"
        );
    }
}

/// What is written to the status of this progress.
fn written(progress: &Progress) -> CanaryStatus {
    let notes = serde_json::to_string(&progress.memory).ok();
    CanaryStatus { version: "full-2".into(), notes, ..CanaryStatus::default() }
}

#[test]
fn a_version_that_exposes_no_counters_is_judged_although_its_source_was_silent_for_a_while_in_each_step() {
    let silent = |second| Some(readings(&[], second).silent("metric source \"default\": HTTP 503"));
    let fails_in = |from: i64, until: i64| {
        move |second: i64| match second / TICK {
            tick if (from..until).contains(&tick) => silent(second),
            _ => Some(readings(&[], second)),
        }
    };
    // Of none of the pods, and of those of the serving version alone.
    let of_servers = || {
        let mut bed = Bed::new();
        bed.counters.remove("c1");
        bed
    };
    let progress = [
        ended_with(|_| false, fails_in(20, 21)),
        ended_with(|_| false, fails_in(LAST - 7, LAST - 6)),
        ended_in(&mut of_servers(), |tick| !(20..27).contains(&tick), silent),
    ];
    for progress in progress {
        assert!(progress.verdict().is_some_and(|verdict| !verdict.passed), "{progress:?}");
    }
    // A source that is back for half a minute may have no series yet.
    for progress in [
        ended_with(|_| false, fails_in(LAST - 4, LAST - 3)),
        ended_in(&mut of_servers(), |tick| !(LAST - 10..LAST - 3).contains(&tick), silent),
        ended_with(
            |_| false,
            |second| if second / TICK % 5 == 0 { silent(second) } else { Some(readings(&[], second)) },
        ),
    ] {
        assert!(progress.memory.lacks_data(), "{progress:?}");
    }
}

#[test]
fn a_restart_of_the_operator_does_not_forget_that_the_source_was_silent() {
    let mut bed = Bed::new();
    for tick in 1..=LAST {
        bed.second += TICK;
        bed.counters.values_mut().for_each(|(requests, _)| *requests += 2.0);
        if tick == LAST - 3 {
            let status = written(&bed.state.observed().expect("there is one"));
            bed.state = State { object: OfSource::packages(), trial: None };
            bed.state.plan(Some(plan()), Some(&status), at(bed.second));
        }
        // It answers again just before the restart, and the counters of the process after it begin with a first sample.
        match tick {
            ..20 => _ = bed.tick(),
            20..60 => _ = bed.state.tick(Some(&readings(&[], bed.second).silent("it is down")), at(bed.second)),
            60.. => _ = bed.state.tick(Some(&readings(&[], bed.second)), at(bed.second)),
        }
    }
    let progress = bed.state.observed().expect("there is one");
    assert!(progress.memory.end.is_some(), "{progress:?}");
    assert!(progress.memory.lacks_data() && progress.verdict().is_none(), "{progress:?}");
}

#[test]
fn a_canary_that_ended_without_data_begins_anew_also_after_a_restart() {
    let ended = ended_by(|_| None);
    let mut bed = Bed::new();
    bed.state.plan(None, None, at(0));
    bed.state.plan(Some(plan()), Some(&written(&ended)), at(0));
    let begun = bed.state.observed().expect("there is one").memory;
    assert_eq!((begun.end, begun.weight_percent), (None, 0));
    while bed.state.observed().is_some_and(|progress| progress.memory.end.is_none()) {
        bed.second += TICK;
        bed.state.tick(None, at(bed.second));
        assert!(bed.second < 10_000, "it does not end");
    }
    bed.state.plan(Some(plan()), None, at(bed.second));
    assert_eq!(bed.state.observed().and_then(|progress| progress.memory.end), None, "in the same process");
}

#[test]
fn pods_that_do_not_get_ready_are_a_verdict_also_if_the_source_was_silent_meanwhile() {
    let mut state = State { object: OfSource::packages(), trial: None };
    state.plan(Some(Plan { ready: 0, ..plan() }), None, at(0));
    for tick in 1..100 {
        let read = readings(&[], tick * TICK);
        let read = if tick == 5 { read.silent("metric source \"default\": HTTP 503") } else { read };
        state.tick(Some(&read), at(tick * TICK));
    }
    let progress = state.observed().expect("there is one");
    assert!(!progress.memory.lacks_data() && progress.verdict().is_some_and(|verdict| !verdict.passed), "{progress:?}");
}

#[test]
fn what_is_known_without_the_source_is_a_verdict_also_if_it_is_silent_in_the_end() {
    let route = Routed {
        shares: Some(Shares::default()),
        state: Acceptance::Refused("HTTPRoute packages is not accepted".into()),
    };
    let waits = [
        (Plan { ready: 0, ..plan() }, "0 of 1 replicas are ready"),
        (Plan { route: Some(route), ..plan() }, "HTTPRoute packages is not accepted"),
    ];
    // With a restart of the operator just before the end, too: the first tick after it ends the canary.
    for ((waiting, why), is_restarted) in waits.into_iter().flat_map(|of| [(of.clone(), false), (of, true)]) {
        let mut bed = Bed::new();
        let begun = if waiting.route.is_some() { plan() } else { waiting.clone() };
        bed.state.plan(Some(begun), None, at(0));
        bed.tick();
        bed.state.plan(Some(waiting.clone()), None, at(0));
        for tick in 2..100 {
            bed.second = tick * TICK;
            let memory = bed.state.trial.as_ref().map(|trial| trial.memory.clone()).expect("there is one");
            if is_restarted && memory.waited_seconds == 590 {
                let status = written(&Progress { memory, why: String::new() });
                bed.state = State { object: OfSource::packages(), trial: None };
                bed.state.plan(Some(waiting.clone()), Some(&status), at(bed.second));
            }
            let read = readings(&[], bed.second);
            let read = if tick > 40 { read.silent("metric source \"default\": HTTP 503") } else { read };
            bed.state.tick(Some(&read), at(bed.second));
        }
        let progress = bed.state.observed().expect("there is one");
        let verdict =
            progress.verdict().unwrap_or_else(|| panic!("no verdict, restarted {is_restarted}: {progress:?}"));
        assert!(!verdict.passed && verdict.message.contains(why), "{progress:?}");
    }
}

/// A canary that gets requests and is then read so, until it has ended.
fn ended_by(read: impl Fn(i64) -> Option<Readings>) -> Progress {
    let mut bed = Bed::new();
    bed.until(10, |memory| memory.weight_percent > 0);
    let mut ticks = 0;
    while bed.state.observed().is_some_and(|progress| progress.memory.end.is_none()) {
        (bed.second, ticks) = (bed.second + TICK, ticks + 1);
        bed.state.tick(read(bed.second).as_ref(), at(bed.second));
        assert!(ticks < 100, "it does not end");
    }
    // It stays what it ended with.
    bed.state.tick(Some(&readings(&[], bed.second + 120)), at(bed.second + 120));
    bed.state.observed().expect("there is one")
}

#[test]
fn counters_are_compared_only_if_they_were_recorded_at_the_same_time() {
    let of = |series, value: &str, age| ("shop", "packages", series, "c1", value.to_owned(), age);
    let read = |samples: &[_]| {
        let compared = Compared { errors: true, slow: Some(0.1) };
        counts::sample(&readings(samples, 100), ("shop", "packages"), compared, "c1", at(100))
    };
    let whole = [of(Series::PodRequests, "10", 1), of(Series::PodErrors, "1", 1), of(Series::PodSlow, "2", 1)];
    let sample = read(&whole).expect("all are there");
    assert_eq!((sample.requests, sample.errors, sample.slow), (10.0, Some(1.0), Some(2.0)));
    let [requests, errors, _] = whole.clone();
    assert_eq!(read(&[requests.clone(), errors.clone()]), None, "{SLOW}");
    assert_eq!(read(&[requests, errors, of(Series::PodSlow, "2", 11)]), None);
    let old = whole.map(|(namespace, name, series, pod, value, _)| (namespace, name, series, pod, value, 60));
    assert_eq!(read(&old), None, "a stale sample is none of now");
}
