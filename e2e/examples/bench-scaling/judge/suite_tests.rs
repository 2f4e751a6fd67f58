//! Comparisons of policies on synthetic loads: what must also hold on real ones.

use super::*;

fn options(grid: bool) -> Options {
    Options {
        services: vec![0.2],
        startups: vec![10],
        target: None,
        variants: vec![Variant::Main],
        workers: 4,
        balancing: Balancing::LeastRequest,
        servers: Servers::Blind,
        seeds: 1,
        grid,
    }
}

/// Two synthetic hours: waves, a spike, a quiet time.
fn trace() -> Trace {
    let wave = |minute: u32| 50.0 + 30.0 * (f64::from(minute) / 15.0).sin() + if minute == 70 { 60.0 } else { 0.0 };
    let points = (0..120).map(|minute| (f64::from(minute) * 60.0, wave(minute))).collect();
    Trace { name: "waves".into(), points }
}

#[test]
fn on_waves_ours_is_above_the_target_for_less_time_than_an_hpa_at_similar_cost() {
    let report = variant(&options(false), &[trace()], Variant::Main);
    let row = |family: &str| report.rows.iter().find(|row| row.family == family && row.default).unwrap();
    let ours = row("ours");
    for peer in ["hpa-cpu", "hpa-latency", "hpa-rate"].map(row) {
        let (our, their) = (ours.net_seconds_above, peer.net_seconds_above);
        assert!(our < their, "{}: {our} {their}", peer.family);
        assert!(ours.total.replica_hours < 1.1 * peer.total.replica_hours, "{}", peer.family);
    }
}

/// Twenty synthetic hours: a slow wave and a quicker one, and after four hours a flash crowd every other hour that
/// doubles the load for a quarter of an hour.
fn shift() -> Trace {
    let load = |minute: u32| {
        let (slow, quick) = ((f64::from(minute) / 90.0).sin(), (f64::from(minute) / 11.0).sin());
        let crowd = if minute > 240 && minute % 120 >= 70 && minute % 120 < 85 { 2.0 } else { 1.0 };
        (60.0 + 25.0 * slow + 10.0 * quick) * crowd
    };
    let points = (0..240).map(|step| (f64::from(step) * 300.0, load(step * 5))).collect();
    Trace { name: "shift".into(), points }
}

/// Detects regressions; the results that count come from real traces. Checks only the cases in which even the best of
/// all settings, which is not known in advance, is sometimes above the target.
#[test]
fn at_equal_hours_ours_is_above_the_target_for_less_time_than_the_best_setting_of_all_peers() {
    let options = Options { startups: vec![60], ..options(true) };
    for (kind, headroom, most) in [
        (Variant::Main, Headroom::Economy, 0.7),
        (Variant::Steps, Headroom::Economy, 0.7),
        (Variant::Noise, Headroom::Balanced, 0.9),
    ] {
        let report = variant(&options, &[shift()], kind);
        let ours = report.versus.iter().find(|versus| versus.setting == format!("{headroom:?}")).unwrap();
        assert!(ours.net_seconds_above <= most * ours.best_peer.unwrap(), "{kind:?}: {ours:?}");
        assert_eq!(report.beaten_on, Vec::<String>::new(), "{kind:?}");
    }
}

#[test]
fn runs_are_reproducible() {
    let once = || serde_json::to_string(&variant(&options(false), &[trace()], Variant::Noise)).unwrap();
    assert_eq!(once(), once());
}

#[test]
fn no_peer_is_cheaper_than_the_clairvoyant_with_as_few_seconds_above_the_target() {
    let report = variant(&options(true), &[trace()], Variant::Steps);
    let best = &report.rows[0].total;
    let cheaper = report.rows[1..]
        .iter()
        .filter(|row| row.total.replica_hours < best.replica_hours && row.total.seconds_above <= best.seconds_above);
    assert_eq!(cheaper.count(), 0);
}

#[test]
fn our_workers_are_behind_less_than_flink_with_its_defaults() {
    let rows = workers(&options(false), &[trace()], Variant::Main);
    let of = |name: &str| rows.iter().find(|row| row.name.starts_with(name)).map(|row| row.total).unwrap();
    assert!(of("ours").seconds_behind <= of("flink, defaults").seconds_behind, "{rows:?}");
}

/// Two idle pods, and after `quiet` seconds a crowd that needs seven pods, for five minutes. Returns the points of the
/// crowd and the outcome.
fn flash(contender: Contender, servers: Servers, quiet: usize) -> (Vec<Point>, Outcome) {
    let world = World { servers, ..World::new(0.2, 10, None) };
    let load = (0..quiet + 300).map(|second| if second < quiet { 1.0 } else { 7.0 * world.capacity(1.0) }).collect();
    let scenario = Scenario::new(world, load, Variant::Crowd, 1);
    let mut points = Vec::new();
    let outcome = run(&scenario, contender.policy(&scenario).as_mut(), Some(&mut points));
    (points.split_off(quiet), outcome)
}

/// Seconds from the start of the crowd to the first order.
fn ordered(points: &[Point]) -> Option<usize> {
    points.iter().position(|point| point.replicas > 2)
}

/// Our default.
const OURS: Contender = Contender::defaults()[1];
/// Knative's default.
const KPA: Contender = Contender::defaults()[2];
/// The default HPA on CPU.
const CPU: Contender = Contender::defaults()[3];

#[test]
fn with_overloaded_blind_servers_ours_orders_within_30_s_and_has_half_the_failures_of_an_hpa() {
    let (ours, our) = flash(OURS, Servers::Blind, 600);
    assert!(ours.iter().any(|point| point.unready == 2), "the servers are overloaded");
    assert!(ordered(&ours).is_some_and(|second| second <= 30), "{:?}", ordered(&ours));
    assert!(ours[150..].iter().all(|point| point.failed == 0.0 && point.unready == 0), "they recover");
    let (_, hpa) = flash(CPU, Servers::Blind, 600);
    assert!(our.failed < 0.5 * hpa.failed, "{our:?} {hpa:?}");
}

#[test]
fn an_hpa_on_cpu_ignores_unready_pods_only_while_they_are_young() {
    let (young, _) = flash(CPU, Servers::Blind, 60);
    assert_eq!(ordered(&young[..230]), None, "cpu: <unknown>");
    assert!(ordered(&flash(CPU, Servers::Blind, 600).0).is_some());
}

#[test]
fn knatives_pods_stay_ready_and_it_reacts_to_a_crowd_at_once() {
    let (points, outcome) = flash(KPA, Servers::Blind, 600);
    assert!(points.iter().all(|point| point.unready == 0) && ordered(&points).is_some_and(|second| second <= 6));
    assert!(outcome.seconds_failing < 20.0, "{outcome:?}");
}

#[test]
fn visible_servers_refuse_requests_and_ours_and_an_hpa_react_within_30_s() {
    for contender in [OURS, CPU] {
        let (points, outcome) = flash(contender, Servers::Visible, 60);
        assert!(points.iter().all(|point| point.unready == 0) && outcome.failed > 0.0);
        assert!(ordered(&points).is_some_and(|second| second <= 30), "{contender:?}: {:?}", ordered(&points));
    }
}
