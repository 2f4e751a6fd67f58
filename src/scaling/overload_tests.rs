//! The truth table of an overload, row by row, and how replicas are raised for it.

use super::*;

/// One silent server, observed at second 100 for the first time.
fn assess(outside: Outside, last_seen: LastSeen, measured: bool) -> Assessment {
    let mut overload = Overload { last_seen, ..Overload::default() };
    overload.assess(&outside, 1, measured, 100.0)
}

fn cpu(share: f64) -> Option<MeasuredCpu> {
    Some(MeasuredCpu { share, age: 10.0, window: 15.0 })
}

const UNREADY: Outside = Outside {
    unready: 1,
    probe: Some(ProbeFailure::TimedOut),
    unscraped: 0,
    cpu: None,
    limited: true,
    source_failed: false,
    front: Signal::Missing("no front is named"),
};
const UNSCRAPED: Outside = Outside { unready: 0, probe: None, unscraped: 1, ..UNREADY };
const ALL_ANSWER: Outside = Outside { unscraped: 0, ..UNSCRAPED };
const UNSEEN: LastSeen = LastSeen { full: None, queued: None };

#[test]
fn silence_at_full_cpu_is_an_overload() {
    for (outside, silence) in [
        (UNREADY, Silence::Probes),
        (UNSCRAPED, Silence::Scrapes),
        (Outside { unscraped: 1, ..UNREADY }, Silence::Both),
        // The kubelet reports why only after a while.
        (Outside { probe: None, ..UNREADY }, Silence::Probes),
    ] {
        assert_eq!(assess(Outside { cpu: cpu(0.95), ..outside }, UNSEEN, true), Assessment::Overloaded(silence));
        let last_seen = LastSeen { full: Some(70.0), queued: None };
        assert_eq!(assess(outside, last_seen, false), Assessment::Overloaded(silence), "by what was last seen");
    }
}

#[test]
fn a_metric_source_that_is_silent_is_one_only_at_all_of_the_cpu_measured_since() {
    let assessed = |share, full| {
        let mut overload = Overload { last_seen: LastSeen { full, queued: None }, ..Overload::default() };
        let outage = Outside { cpu: cpu(share), ..ALL_ANSWER };
        [100.0, 130.0].map(|now| overload.assess(&outage, 3, false, now))
    };
    let overloaded = Assessment::Overloaded(Silence::Source);
    assert_eq!(assessed(0.97, None), [Assessment::NotKnown, overloaded], "the first was measured before");
    assert_eq!(assessed(0.88, Some(99.0)), [Assessment::NotKnown; 2], "busy, and within the target as before");
}

#[test]
fn servers_that_answer_are_never_overloaded() {
    assert_eq!(assess(Outside { cpu: cpu(1.0), ..ALL_ANSWER }, UNSEEN, true), Assessment::Answering);
}

#[test]
fn one_of_many_servers_that_hangs_is_none_and_several_are() {
    let mut overload = Overload::default();
    let hung = |unscraped| Outside { cpu: cpu(0.87), unscraped, ..UNSCRAPED };
    assert_eq!(overload.assess(&hung(1), 50, true, 100.0), Assessment::Answering);
    assert_eq!(overload.assess(&hung(5), 50, true, 105.0), Assessment::Overloaded(Silence::Scrapes));
}

#[test]
fn where_no_server_is_ready_it_is_not_the_metric_source_that_is_silent() {
    let mut overload = Overload::default();
    let restarted = Outside { cpu: cpu(1.0), ..ALL_ANSWER };
    assert_eq!(overload.assess(&restarted, 0, false, 100.0), Assessment::NotKnown);
}

#[test]
fn a_cpu_use_that_is_not_full_any_more_is_no_evidence() {
    let mut overload = Overload::default();
    overload.seen(3, Some(0.95), 0.0, 100.0);
    overload.seen(3, Some(0.2), 0.0, 105.0);
    assert_eq!(overload.assess(&UNSCRAPED, 3, false, 110.0), Assessment::NotKnown);
}

/// Each row is a cause that more replicas do not help against.
#[test]
fn silence_of_another_cause_is_no_overload() {
    let rows = [
        ("a broken dependency: probes time out, CPU is idle", Outside { cpu: cpu(0.1), ..UNREADY }),
        ("a broken dependency: the probe is answered with 503", answered(cpu(0.1))),
        ("a broken dependency that makes servers spin: the probe is answered with 503", answered(cpu(1.0))),
        ("a crash loop: nobody runs without a restart", ALL_ANSWER),
        ("a bad version: its pods were never ready", ALL_ANSWER),
        ("a mesh that refuses scrapes", Outside { cpu: cpu(0.3), ..UNSCRAPED }),
        ("a mesh that refuses scrapes, and nobody measures CPU", UNSCRAPED),
        ("a Prometheus that is down", Outside { cpu: cpu(0.5), ..ALL_ANSWER }),
        ("a Prometheus that is down, and nobody measures CPU", ALL_ANSWER),
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
fn without_any_cpu_use_requests_that_queued_up_and_probes_that_time_out_are_an_overload() {
    let queued = LastSeen { full: None, queued: Some(70.0) };
    assert_eq!(assess(UNREADY, queued, false), Assessment::Overloaded(Silence::Probes));
    assert_eq!(assess(UNSCRAPED, queued, false), Assessment::NotKnown, "scrapes may be refused");
    let long_ago = LastSeen { queued: Some(20.0), ..queued };
    assert_eq!(assess(UNREADY, long_ago, false), Assessment::NotKnown);
}

#[test]
fn a_cpu_use_of_before_the_silence_says_nothing_and_one_of_after_it_does() {
    let queued = LastSeen { full: None, queued: Some(100.0) };
    let mut overload = Overload { last_seen: queued, ..Overload::default() };
    let idle = |age| Outside { cpu: Some(MeasuredCpu { share: 0.2, age, window: 15.0 }), ..UNREADY };
    assert_eq!(overload.assess(&idle(5.0), 1, false, 100.0), Assessment::Overloaded(Silence::Probes));
    assert_eq!(overload.assess(&idle(5.0), 1, false, 121.0), Assessment::NotKnown, "measured from 101 to 116");
}

/// The replicas at ticks of 5 s when each is ordered at once, and ready and overloaded too after `startup` ticks.
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
fn an_overload_that_lasts_raises_the_replicas_with_every_tick() {
    assert_eq!(raised(0, 4, Needed::More(2)), [1, 1, 3, 5, 7]);
    assert_eq!(raised(0, 3, Needed::NoneAnswers), [1, 1, 4, 16]);
    assert_eq!(raised(2, 6, Needed::NoneAnswers), [1, 1, 4, 4, 4, 16, 16]);
}

#[test]
fn what_was_ordered_stays_wanted_where_it_is_not_acted_on() {
    let mut overload = Overload::default();
    let outside = Outside { cpu: cpu(1.0), ..UNREADY };
    let wanted: Vec<u32> = (0..6)
        .map(|tick| {
            let now = 5.0 * f64::from(tick);
            overload.assess(&outside, 0, false, now);
            overload.step(1, 1, Needed::NoneAnswers, 20.0, now)
        })
        .collect();
    assert_eq!(wanted, [1, 4, 4, 4, 4, 4], "and not 1 again after each order");
}

#[test]
fn replicas_that_do_not_start_are_not_ordered_without_end() {
    for needed in [Needed::More(1), Needed::NoneAnswers, Needed::Counted(50)] {
        let most = raised(1000, 40, needed).pop();
        assert!(most > Some(1) && most <= Some(4), "{needed:?}: {most:?}");
    }
}

#[test]
fn what_is_counted_in_front_of_the_servers_is_ordered_at_once() {
    assert_eq!(raised(1000, 2, Needed::Counted(3)), [1, 1, 3]);
    assert_eq!(raised(1000, 2, Needed::Counted(1)), [1, 1, 2], "these are overloaded, whatever is believed of them");
}

#[test]
fn a_scrape_that_is_lost_once_orders_nothing() {
    let mut overload = Overload::default();
    let lost = Outside { cpu: cpu(1.0), ..UNSCRAPED };
    for tick in 0..20 {
        let outside = if tick % 2 == 0 { lost } else { ALL_ANSWER };
        overload.assess(&outside, 3, true, 5.0 * f64::from(tick));
        assert_eq!(overload.step(3, 3, Needed::NoneAnswers, 20.0, 5.0 * f64::from(tick)), 3);
    }
}
