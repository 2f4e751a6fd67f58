//! Servers that do not answer: which decisions follow from the reports of their kubelets and their own counters.

use serde_json::json;

use super::{
    at, model,
    objects::{latency, run},
    serving,
    site::Site,
};
use crate::{
    replicas::{OwnCpu, Reading},
    scaling::overload::ProbeFailure,
    signals::{FailedProbe, PodCpu},
};

/// Four servers with sufficient capacity for their load, before their metric source fails.
fn site() -> Site {
    let mut site = Site::new(model("packages", json!({"serving": serving(latency())})));
    run(&mut site, 0, 600, super::fleet::Load { requests: 65.0, messages: 0.0 });
    site
}

/// Until `to` nothing is measured. The kubelets report this CPU use per pod, and this probe failure of one pod.
fn silent(site: &mut Site, from: i64, to: i64, cores: f64, failure: Option<ProbeFailure>) {
    for now in (from + 5..=to).step_by(5) {
        site.go_on(super::fleet::Load { requests: 0.0, messages: 0.0 }, now);
        site.tick(None, now);
        for of in site.scaler.unresponsive() {
            let names = of.names();
            let cpu = names.iter().map(|name| PodCpu {
                namespace: "shop".into(),
                pod: name.clone(),
                cores,
                at: at(now - 5),
                window: 15.0,
            });
            let failed = failure.map(|failure| FailedProbe { pod: names[0].clone(), failure, at: at(now) });
            let failed: Vec<FailedProbe> = failed.into_iter().collect();
            site.scaler.record_kubelet_report(&of, &Ok(cpu.collect()), Some(&failed));
        }
    }
}

#[test]
fn replicas_are_raised_when_the_source_is_down_and_servers_use_all_of_their_cpu() {
    let mut site = site();
    let before = site.reported("serving").expect("decided").replicas;
    silent(&mut site, 600, 630, 0.98, None);
    let reported = site.reported("serving").expect("decided").clone();
    assert!(reported.replicas >= 4 * before, "{reported:?}");
    assert!(
        reported.message.contains("the metric source does not answer while the servers use all of their CPU"),
        "{reported:?}"
    );
    assert_eq!(reported.reason, "Overloaded");
    let window = site.fleets[0].window.expect("an autoscaler");
    assert_eq!(window, (reported.replicas as u32, 20), "the autoscaler may add more");
    assert_eq!((site.scaling_active().status.as_str(), site.scaling_active().reason.as_str()), ("True", "Overloaded"));

    // The overload ends when signals come back. Replicas are not lowered at once.
    run(&mut site, 630, 720, super::fleet::Load { requests: 65.0, messages: 0.0 });
    let after = site.reported("serving").expect("decided").clone();
    assert_ne!(after.reason, "Overloaded", "{after:?}");
    let window = site.fleets[0].window.expect("an autoscaler");
    assert_eq!(window.0, window.1, "the decision is exact again");
}

#[test]
fn the_servers_own_counters_raise_replicas_when_neither_source_nor_kubelets_measure() {
    for (cores, raises) in [(0.98, true), (0.4, false)] {
        let mut site = site();
        let before = site.reported("serving").expect("decided").replicas;
        let mut own = OwnCpu::default();
        for now in (605..=630).step_by(5) {
            site.go_on(super::fleet::Load { requests: 0.0, messages: 0.0 }, now);
            site.tick(None, now);
            for of in site.scaler.unresponsive() {
                let reading = Reading { at: at(now), seconds: f64::from(now as u32) * cores };
                own.add(of.names().into_iter().map(|pod| (pod, reading)).collect());
                site.scaler.record_own_cpu(&of, &own);
            }
        }
        let reported = site.reported("serving").expect("decided");
        assert_eq!(reported.replicas > before, raises, "{reported:?}");
    }
}

#[test]
fn replicas_are_held_and_the_autoscaler_may_add_some_when_the_source_is_down_and_servers_are_not_busy() {
    let mut site = site();
    let before = site.reported("serving").expect("decided").replicas;
    silent(&mut site, 600, 720, 0.4, None);
    let reported = site.reported("serving").expect("decided").clone();
    assert_eq!((reported.replicas, reported.reason.as_str()), (before, "MetricsMissing"), "{reported:?}");
    assert_eq!(site.fleets[0].window, Some((before as u32, 20)));
}

#[test]
fn replicas_that_the_autoscaler_added_while_signals_were_missing_are_kept_when_they_return() {
    let mut site = site();
    silent(&mut site, 600, 630, 0.98, None);
    let reported = site.reported("serving").expect("decided").replicas as u32;
    site.fleets[0].desired = reported + 3;
    // In the window after an outage nothing is lowered.
    for now in (635..650).step_by(5) {
        run(&mut site, now - 5, now, super::fleet::Load { requests: 65.0, messages: 0.0 });
        assert!(site.fleets[0].desired >= reported + 3, "{} replicas after {now} s", site.fleets[0].desired);
    }
}

#[test]
fn a_dependency_that_is_down_raises_nothing() {
    for (cores, failure) in [(0.98, ProbeFailure::Answered), (0.05, ProbeFailure::TimedOut)] {
        let mut site = site();
        let before = site.reported("serving").expect("decided").replicas;
        site.lose_readiness(3);
        silent(&mut site, 600, 660, cores, Some(failure));
        assert_eq!(site.reported("serving").expect("decided").replicas, before, "{failure:?}");
    }
}

#[test]
fn the_message_reports_that_kubelets_cannot_be_queried() {
    let mut site = site();
    for now in (605..=660).step_by(5) {
        site.tick(None, now);
        for of in site.scaler.unresponsive() {
            site.scaler.record_kubelet_report(
                &of,
                &Err("the cluster has no metrics API: is metrics-server installed?".into()),
                None,
            );
        }
    }
    let reported = site.reported("serving").expect("decided");
    assert!(
        reported.message.ends_with(
            "an overload would not be detected, because the CPU use of the pods is not known: the cluster has no metrics API: is \
             metrics-server installed?"
        ),
        "{reported:?}"
    );
}
