//! Guarantees of the decision around overloads: crowds, silent servers, failing servers.

use super::learned::Learned;
use super::overload::{MeasuredCpu, Outside, ProbeFailure};
use super::policy::Headroom;
use super::serving::{Policy, Replicas, Signals, decide};
use super::signal::Signal;
use super::toy::{TICK, Toy, between, policy};

/// The rates over the window and over the last scrape interval at each tick, when a load begins 2.5 s before a scrape. The
/// server is scraped every 5 s.
fn begins(load: f64) -> impl Iterator<Item = (f64, f64)> {
    let scrapes = [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    (0..scrapes.len()).map(move |tick| {
        let last = &scrapes[tick.saturating_sub(3)..=tick];
        (load * last.iter().sum::<f64>() / 4.0, load * scrapes[tick])
    })
}

/// Asserts that one replica stays one when a load begins. `shown`: sets the signals other than the rates, given the rate over
/// the window.
fn one_is_enough(toy: &mut Toy, load: f64, shown: impl Fn(f64, Signals) -> Signals) {
    for (rate, latest) in begins(load) {
        let rates = Signals { rate: Signal::fresh(rate), latest: Signal::fresh(latest), ..toy.signals(rate) };
        let decision = decide(&toy.policy, &shown(rate, rates), &mut toy.history, toy.now);
        assert_eq!(decision.replicas, 1, "{decision}");
        toy.apply(&decision);
    }
}

#[test]
fn a_step_within_the_capacity_of_one_replica_is_not_extended_as_a_trend() {
    // Found on a real cluster: 8 requests/s at once on an idle object gave "ready for 18/s" and two replicas, although the
    // p95 was 18 ms with a target of 50 ms and the CPU use was 0.39.
    let mut toy = Toy::new(1);
    toy.policy = Policy { common: between(1, 5), target: 0.05, ..policy() };
    toy.run(24, |_| 0.0);
    one_is_enough(&mut toy, 8.0, |rate, signals| Signals {
        latency: Signal::fresh(0.018),
        in_flight: Signal::fresh(0.1),
        cpu: Signal::fresh(0.39 * rate / 8.0),
        ..signals
    });
}

#[test]
fn a_crowd_on_an_idle_object_raises_the_replicas_at_its_first_sample() {
    // 90 requests/s where a replica serves 22 and refuses the rest. Its capacity is not known yet.
    let mut toy = Toy::new(1);
    toy.policy = Policy { common: between(1, 8), target: 0.05, ..policy() };
    toy.run(24, |_| 0.0);
    let mut ordered = Vec::new();
    for (rate, latest) in begins(90.0) {
        let share = rate / 90.0;
        let signals = Signals {
            rate: Signal::fresh(rate),
            latest: Signal::fresh(latest),
            latency: Signal::fresh(0.9),
            in_flight: Signal::fresh(22.0),
            cpu: Signal::fresh(share),
            failed: Signal::fresh(68.0 * share),
            ..toy.signals(rate)
        };
        let decision = decide(&toy.policy, &signals, &mut toy.history, toy.now);
        ordered.push(decision.replicas);
        toy.now += TICK;
    }
    assert!(ordered[0] >= 3, "{ordered:?}");
    assert!(ordered[1..].iter().all(|replicas| (5..=8).contains(replicas)), "{ordered:?}");
    assert!(toy.history.learned == Learned::default(), "nothing is learned from refused requests");
}

#[test]
fn a_crowd_that_began_just_before_its_first_sample_is_answered_as_a_whole() {
    // Measured on a real cluster, 1.8 s after 144 requests/s began. With the capacity of one replica still unknown, 2 replicas
    // were ordered, and the others 5 s later.
    let mut toy = Toy::new(1);
    toy.policy = Policy { common: between(1, 5), target: 0.1, ..policy() };
    toy.run(24, |_| 0.0);
    let signals = Signals {
        rate: Signal::fresh(13.1),
        latest: Signal::fresh(26.3),
        latency: Signal::fresh(1.87),
        in_flight: Signal::fresh(24.0),
        cpu: Signal::fresh(0.2),
        failed: Signal::fresh(10.8),
        ..toy.signals(13.1)
    };
    let decision = decide(&toy.policy, &signals, &mut toy.history, toy.now);
    assert_eq!(decision.replicas, 5, "{decision}");
}

#[test]
fn servers_that_fail_requests_at_low_cpu_get_no_replicas() {
    // A dependency is down: 99 of 100 requests fail at once. The capacity of a replica is not known yet.
    let mut toy = Toy::new(1);
    toy.policy = Policy { common: between(1, 50), ..policy() };
    toy.run(24, |_| 0.0);
    one_is_enough(&mut toy, 100.0, |rate, signals| Signals {
        latency: Signal::fresh(0.005),
        in_flight: Signal::fresh(0.5),
        cpu: Signal::fresh(0.1),
        failed: Signal::fresh(0.99 * rate),
        ..signals
    });
}

#[test]
fn servers_silenced_by_an_overload_are_scaled_up_and_not_down() {
    let mut toy = Toy::new(2);
    toy.run(360, |_| 60.0);
    let mut ordered = Vec::new();
    for tick in 0..12 {
        let cpu = MeasuredCpu { share: 0.99, age: 8.0, window: 15.0 };
        let outside = Outside { unready: 2, probe: Some(ProbeFailure::TimedOut), cpu: Some(cpu), ..Outside::default() };
        let none = Signal::Missing("no such series");
        let good = toy.signals(60.0);
        let replicas = Replicas { ready: 0, warm: 0, ..good.replicas };
        let signals =
            Signals { rate: none, latest: none, latency: none, in_flight: none, cpu: none, outside, replicas, ..good };
        let decision = decide(&toy.policy, &signals, &mut toy.history, toy.now);
        assert!(decision.replicas >= toy.current, "{tick}: {decision}");
        toy.apply(&decision);
        ordered.push(decision);
    }
    // The rate of the few servers that answer again is not the whole load.
    let (before, partial) = (toy.current, toy.signals(20.0));
    for _ in 0..2 {
        let decision = decide(&toy.policy, &partial, &mut toy.history, toy.now);
        assert!(decision.replicas >= before, "{decision}");
        toy.now += TICK;
    }
    assert_eq!(ordered[1].replicas, 4 * ordered[0].replicas);
    assert_eq!(
        ordered[1].to_string(),
        "up from 2 to 8 replicas because the servers do not answer their readiness probes while they use all of their CPU; \
         unknown requests/s at an unknown latency (target 250 ms) with 66/s per replica"
    );
}

#[test]
fn signals_of_a_part_of_the_servers_neither_lower_the_replicas_nor_are_learned_from() {
    // 7 of 10 servers are not scraped any more, or left the Service: the rate of the others is a third of the load.
    for (unscraped, unready) in [(7, 0), (0, 7)] {
        let mut toy = Toy::new(10);
        toy.run(360, |_| 600.0);
        let (current, learned) = (toy.current, toy.history.learned);
        for _ in 0..240 {
            let good = toy.signals(0.3 * 600.0);
            let ready = current.saturating_sub(unready);
            let replicas = Replicas { ready, warm: ready, ..good.replicas };
            let signals = Signals {
                latency: Signal::fresh(0.9 * toy.policy.target),
                cpu: Signal::Missing("none"),
                outside: Outside { unscraped, unready, ..Outside::default() },
                replicas,
                ..good
            };
            let decision = decide(&toy.policy, &signals, &mut toy.history, toy.now);
            assert!(decision.replicas >= current, "{decision}");
            toy.now += TICK;
        }
        assert_eq!(toy.history.learned, learned, "{unscraped} {unready}");
    }
}

#[test]
fn an_overloaded_server_that_misses_scrapes_is_scaled_up() {
    // Found on a real cluster, with these rates at ticks of 5 s. The last scrape that was answered reported 21.6 requests/s.
    // While that was fresh, it hid the rise of the rate over the window.
    let mut toy = Toy::new(1);
    toy.policy = Policy { common: between(1, 5), target: 0.05, headroom: Headroom::Economy, ..policy() };
    let mut signals = Signals { latency: Signal::fresh(0.0095), cpu: Signal::fresh(0.22), ..toy.signals(8.0) };
    for _ in 0..18 {
        decide(&toy.policy, &signals, &mut toy.history, toy.now);
        toy.now += TICK;
    }
    let observed = [(12.5, 0.022, 0.35), (11.4, 0.033, 0.31), (35.9, 0.089, 0.73), (58.0, 0.091, 1.0)];
    let orders: Vec<u32> = observed
        .iter()
        .enumerate()
        .map(|(tick, (rate, latency, cpu))| {
            (signals.rate, signals.latest) =
                (Signal::fresh(*rate), Signal::Fresh { value: 21.6, age: tick as f64 * TICK });
            (signals.latency, signals.cpu) = (Signal::fresh(*latency), Signal::fresh(*cpu));
            let decision = decide(&toy.policy, &signals, &mut toy.history, toy.now + tick as f64 * TICK);
            signals.replicas.current = decision.replicas;
            decision.replicas
        })
        .collect();
    assert!(orders[2] >= 3 && orders[3] >= 4, "{orders:?}");
}

#[test]
fn a_crowd_that_comes_as_the_metric_source_goes_is_not_waited_for_until_its_last_sample_is_old() {
    // Found on a real cluster: for 20 s the sample of before was taken for that of an idle server.
    let mut toy = Toy::new(1);
    toy.policy = Policy { common: between(1, 8), ..policy() };
    toy.run(24, |_| 0.0);
    let mut age = 0.0;
    let ordered = (0..6).map(|_| {
        age += TICK;
        let cpu = Some(MeasuredCpu { share: 0.98, age: 1.0, window: 10.0 });
        let outside = Outside { source_failed: true, cpu: cpu.filter(|_| age > 10.0), ..Outside::default() };
        let signals = Signals { rate: Signal::Fresh { value: 0.0, age }, outside, ..toy.signals(0.0) };
        let decision = decide(&toy.policy, &signals, &mut toy.history, toy.now);
        toy.apply(&decision);
        decision.replicas
    });
    assert_eq!(ordered.take(4).collect::<Vec<_>>(), [1, 1, 4, 4]);
}
