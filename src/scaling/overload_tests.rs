//! The assessment table of an overload, row by row, and how replicas are raised for it.

use super::*;

/// The assessment of one silent server at second 100, when it is observed for the first time.
fn assess(outside: Outside, last_measured: LastMeasured, measured: bool) -> Assessment {
    let mut overload = Overload { last_measured, ..Overload::default() };
    overload.assess(&outside, 1, measured, 100.0)
}

fn cpu(share: f64) -> Option<MeasuredCpu> {
    Some(MeasuredCpu { share, age: 10.0, window: 15.0 })
}

/// One server whose readiness probe times out.
const UNREADY: Outside = Outside {
    unready: 1,
    probe: Some(ProbeFailure::TimedOut),
    unscraped: 0,
    cpu: None,
    limited: true,
    source_failed: false,
    front: Signal::Missing("no front is named"),
};
/// One server that does not answer its scrapes.
const UNSCRAPED: Outside = Outside { unready: 0, probe: None, unscraped: 1, ..UNREADY };
/// No silent server.
const ALL_ANSWER: Outside = Outside { unscraped: 0, ..UNSCRAPED };
/// Nothing was measured before.
const NOT_MEASURED: LastMeasured = LastMeasured { full: None, queued: None };

#[test]
fn silence_at_full_cpu_is_an_overload() {
    for (outside, silence) in [
        (UNREADY, Silence::Probes),
        (UNSCRAPED, Silence::Scrapes),
        (Outside { unscraped: 1, ..UNREADY }, Silence::Both),
        // The kubelet reports the reason with a delay.
        (Outside { probe: None, ..UNREADY }, Silence::Probes),
    ] {
        assert_eq!(assess(Outside { cpu: cpu(0.95), ..outside }, NOT_MEASURED, true), Assessment::Overloaded(silence));
        let last_measured = LastMeasured { full: Some(70.0), queued: None };
        assert_eq!(assess(outside, last_measured, false), Assessment::Overloaded(silence), "by the last measurement");
    }
}

#[test]
fn a_silent_metric_source_is_an_overload_only_at_full_cpu_measured_since() {
    let assessed = |share, full| {
        let mut overload = Overload { last_measured: LastMeasured { full, queued: None }, ..Overload::default() };
        let outage = Outside { cpu: cpu(share), ..ALL_ANSWER };
        [100.0, 130.0].map(|now| overload.assess(&outage, 3, false, now))
    };
    let overloaded = Assessment::Overloaded(Silence::Source);
    assert_eq!(assessed(0.97, None), [Assessment::NotKnown, overloaded], "the first was measured before");
    assert_eq!(assessed(0.88, Some(99.0)), [Assessment::NotKnown; 2], "busy, and within the target");
}

#[test]
fn servers_that_answer_are_never_overloaded() {
    assert_eq!(assess(Outside { cpu: cpu(1.0), ..ALL_ANSWER }, NOT_MEASURED, true), Assessment::Answering);
}

#[test]
fn one_hung_server_of_many_is_no_overload_and_several_are() {
    let mut overload = Overload::default();
    let hung = |unscraped| Outside { cpu: cpu(0.87), unscraped, ..UNSCRAPED };
    assert_eq!(overload.assess(&hung(1), 50, true, 100.0), Assessment::Answering);
    assert_eq!(overload.assess(&hung(5), 50, true, 105.0), Assessment::Overloaded(Silence::Scrapes));
}

#[test]
fn without_a_ready_server_the_metric_source_does_not_count_as_silent() {
    let mut overload = Overload::default();
    let restarted = Outside { cpu: cpu(1.0), ..ALL_ANSWER };
    assert_eq!(overload.assess(&restarted, 0, false, 100.0), Assessment::NotKnown);
}

#[test]
fn a_full_cpu_use_followed_by_a_low_one_is_no_evidence() {
    let mut overload = Overload::default();
    overload.observed(3, Some(0.95), 0.0, 100.0);
    overload.observed(3, Some(0.2), 0.0, 105.0);
    assert_eq!(overload.assess(&UNSCRAPED, 3, false, 110.0), Assessment::NotKnown);
}

/// Each row is a cause that more replicas do not help against.
#[test]
fn silence_of_another_cause_is_no_overload() {
    let rows = [
        ("a broken dependency: probes time out, CPU is idle", Outside { cpu: cpu(0.1), ..UNREADY }),
        ("a broken dependency: the probe is answered with 503", answered(cpu(0.1))),
        ("a broken dependency that makes servers spin: the probe is answered with 503", answered(cpu(1.0))),
        ("a crash loop: no server runs without a restart", ALL_ANSWER),
        ("a bad version: its pods were never ready", ALL_ANSWER),
        ("a mesh that refuses scrapes", Outside { cpu: cpu(0.3), ..UNSCRAPED }),
        ("a mesh that refuses scrapes, and CPU is not measured", UNSCRAPED),
        ("a Prometheus that is down", Outside { cpu: cpu(0.5), ..ALL_ANSWER }),
        ("a Prometheus that is down, and CPU is not measured", ALL_ANSWER),
        ("probes that time out, and nothing else is known", UNREADY),
        (
            "a CPU use of two minutes ago",
            Outside { cpu: Some(MeasuredCpu { share: 1.0, age: 120.0, window: 15.0 }), ..UNREADY },
        ),
    ];
    for (name, outside) in rows {
        let mut overload = Overload::default();
        for tick in 0..60 {
            let now = 100.0 + 5.0 * f64::from(tick);
            assert_eq!(overload.assess(&outside, 1, false, now), Assessment::NotKnown, "{name}");
            assert_eq!(overload.step(3, 3, Needed::Counted(9), 20.0, now), 3, "{name}");
        }
    }
}

fn answered(cpu: Option<MeasuredCpu>) -> Outside {
    Outside { probe: Some(ProbeFailure::Answered), cpu, ..UNREADY }
}

#[test]
fn without_a_cpu_use_queued_requests_and_probe_timeouts_are_an_overload() {
    let queued = LastMeasured { full: None, queued: Some(70.0) };
    assert_eq!(assess(UNREADY, queued, false), Assessment::Overloaded(Silence::Probes));
    assert_eq!(assess(UNSCRAPED, queued, false), Assessment::NotKnown, "scrapes may be refused");
    let long_ago = LastMeasured { queued: Some(20.0), ..queued };
    assert_eq!(assess(UNREADY, long_ago, false), Assessment::NotKnown);
}

#[test]
fn a_low_cpu_use_is_evidence_only_if_measured_after_the_silence_began() {
    let queued = LastMeasured { full: None, queued: Some(100.0) };
    let mut overload = Overload { last_measured: queued, ..Overload::default() };
    let idle = |age| Outside { cpu: Some(MeasuredCpu { share: 0.2, age, window: 15.0 }), ..UNREADY };
    assert_eq!(overload.assess(&idle(5.0), 1, false, 100.0), Assessment::Overloaded(Silence::Probes));
    assert_eq!(overload.assess(&idle(5.0), 1, false, 121.0), Assessment::NotKnown, "measured from 101 to 116");
}

/// The replicas at ticks of 5 s, when each order is followed at once. A new replica is ready, and overloaded too, after
/// `startup` ticks.
fn raised(startup: usize, ticks: usize, needed: Needed) -> Vec<u32> {
    let outside = Outside { cpu: cpu(1.0), ..UNREADY };
    let (mut overload, mut ordered) = (Overload::default(), vec![1]);
    for tick in 0..ticks {
        let now = 5.0 * tick as f64;
        overload.assess(&outside, 1, false, now);
        let proven = ordered[ordered.len().saturating_sub(startup + 1)];
        ordered.push(overload.step(ordered[ordered.len() - 1], proven, needed, 5.0 * startup as f64, now));
    }
    ordered
}

#[test]
fn a_lasting_overload_raises_the_replicas_whenever_the_ordered_ones_had_time_to_start() {
    assert_eq!(raised(0, 4, Needed::More(2)), [1, 1, 3, 5, 7]);
    assert_eq!(raised(0, 3, Needed::NoneAnswers), [1, 1, 4, 16]);
    assert_eq!(raised(2, 6, Needed::NoneAnswers), [1, 1, 4, 4, 4, 16, 16]);
}

#[test]
fn an_order_that_is_not_followed_stays_desired() {
    let mut overload = Overload::default();
    let outside = Outside { cpu: cpu(1.0), ..UNREADY };
    let desired: Vec<u32> = (0..6)
        .map(|tick| {
            let now = 5.0 * f64::from(tick);
            overload.assess(&outside, 0, false, now);
            overload.step(1, 1, Needed::NoneAnswers, 20.0, now)
        })
        .collect();
    assert_eq!(desired, [1, 4, 4, 4, 4, 4], "and not 1 again after each order");
}

#[test]
fn replicas_that_do_not_start_are_not_ordered_without_end() {
    for needed in [Needed::More(1), Needed::NoneAnswers, Needed::Counted(50)] {
        let most = raised(1000, 40, needed).pop();
        assert!(most > Some(1) && most <= Some(4), "{needed:?}: {most:?}");
    }
}

#[test]
fn replicas_for_the_requests_counted_in_front_of_the_servers_are_ordered_at_once() {
    assert_eq!(raised(1000, 2, Needed::Counted(3)), [1, 1, 3]);
    assert_eq!(raised(1000, 2, Needed::Counted(1)), [1, 1, 2], "the current one is overloaded");
}

#[test]
fn a_single_lost_scrape_orders_no_replicas() {
    let mut overload = Overload::default();
    let lost = Outside { cpu: cpu(1.0), ..UNSCRAPED };
    for tick in 0..20 {
        let outside = if tick % 2 == 0 { lost } else { ALL_ANSWER };
        overload.assess(&outside, 3, true, 5.0 * f64::from(tick));
        assert_eq!(overload.step(3, 3, Needed::NoneAnswers, 20.0, 5.0 * f64::from(tick)), 3);
    }
}
