//! The rules of an object, in groups.
//!
//! The rules of a group are evaluated sequentially, so that alerts read what was just recorded. Groups are evaluated independently, so
//! that the rules that servers scale on, and only those, are evaluated every 5 s, and others more rarely: evaluations are what many
//! objects cost a Prometheus (`cargo bench-rules`).

use std::collections::HashSet;

use super::{
    Monitored, alerts, application, canary, dependencies, front, objectives, recording, reload, resources, responses,
    scaling, signals::Signals, training, urgency,
};
use crate::api::{
    Dependency,
    monitoring_coreos::{Rule, RuleGroup},
};

/// Seconds between two evaluations of the rules that servers scale on: a decision is only as current as its newest sample.
pub const SCALING_SECONDS: i32 = 5;

/// Seconds between two evaluations of the lags that workers scale on: exporters of queues are scraped every 15 to 60 s, and an
/// autoscaler reconciles every 15 s. Two fit into the time for which a sample is fresh ([`Quality`](crate::signals::Quality)).
pub const LAG_SECONDS: i32 = 10;

/// Seconds between two evaluations of the CPU use that kubelets report: they measure every 10 to 20 s, and the scaler takes a
/// sample for current up to 20 s ([`Quality`](crate::signals::Quality)).
const KUBELET_SECONDS: i32 = 15;

/// Seconds between two evaluations of urgent alerts and of what they read, see [`urgency`]: the least that an alert holds.
const WATCHING_SECONDS: i32 = 60;

/// Seconds between two evaluations of everything else: of the rules about trainings, versions and resources, which change over minutes
/// and hours, of objectives over hours and days, of values of the spec, and of alerts that hold for minutes. Prometheus looks back
/// five minutes for a sample, so one evaluation may fail.
pub(super) const SLOW_SECONDS: i32 = 120;

/// What the name of a group with PromQL of the spec begins with, after the object's.
const CUSTOM: &str = "custom";

/// Whether a group contains PromQL of the spec. prometheus-operator drops a whole PrometheusRule of which one expression is
/// invalid, so such a group gets its own.
pub fn is_custom(group: &RuleGroup) -> bool {
    // After the constant, the namespace and the object, which may have this name.
    group.name.split('/').nth(3) == Some(CUSTOM)
}

/// The rules of an object, in up to ten groups.
pub fn rule_groups(monitored: &Monitored) -> Vec<RuleGroup> {
    let Recorded { scaling, lags, custom, application, kubelet, minutes, slow, objectives } = Recorded::of(monitored);
    let faster = [scaling.as_slice(), &lags, &custom, &application, &kubelet].concat();
    let alerts = alerts::rules(monitored, &[minutes.as_slice(), &faster, &slow, &objectives].concat());
    let faster: HashSet<String> = faster.into_iter().filter_map(|rule| rule.record).collect();
    let split = urgency::split(minutes, alerts, &faster);
    let slow = [slow, split.slow, split.slow_alerts].concat();

    let object = format!("recommender/{}/{}", monitored.object.namespace, monitored.object.name);
    let part = |last: &str| format!("{object}/{last}");
    let groups = [
        (part("scaling"), SCALING_SECONDS, scaling),
        (part("lags"), LAG_SECONDS, lags),
        (part(CUSTOM), custom_seconds(monitored), custom),
        (part(&format!("{CUSTOM}/application")), WATCHING_SECONDS, application),
        (part("kubelet"), KUBELET_SECONDS, kubelet),
        (part("canary"), canary::SECONDS, canary::rules(monitored)),
        (part("reload"), reload::SECONDS, reload::rules(monitored)),
        (part("objectives"), SLOW_SECONDS, objectives),
        (object.clone(), WATCHING_SECONDS, split.minute),
        (part("slow"), SLOW_SECONDS, slow),
    ];
    let groups = groups.into_iter().filter(|(_, _, rules)| !rules.is_empty());
    groups
        .map(|(name, seconds, rules)| RuleGroup {
            name,
            interval: Some(format!("{seconds}s")),
            query_offset: monitored.query_offset_seconds.map(|seconds| format!("{seconds}s")),
            rules,
        })
        .collect()
}

/// The recording rules that alerts may read, by how often they are evaluated. A rule comes after those whose series it reads.
struct Recorded {
    /// What servers scale on.
    scaling: Vec<Rule>,
    /// The lags that workers scale on.
    lags: Vec<Rule>,
    /// PromQL of the spec, but for series of the application.
    custom: Vec<Rule>,
    /// Series of the application.
    application: Vec<Rule>,
    /// What servers scale on of what kubelets measure.
    kubelet: Vec<Rule>,
    /// What changes within minutes: every minute, or more rarely where nothing urgent reads it.
    minutes: Vec<Rule>,
    /// What changes within hours, or with the spec.
    slow: Vec<Rule>,
    /// Objectives over hours and days.
    objectives: Vec<Rule>,
}

impl Recorded {
    fn of(monitored: &Monitored) -> Self {
        let (custom, known): (Vec<_>, Vec<_>) =
            monitored.dependencies.iter().partition(|dependency| dependency.custom.is_some());
        let (scaled_on, others): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|dependency| monitored.catch_up_seconds(dependency).is_some());
        let minutes = [
            recording::rules(monitored),
            responses::rules(monitored),
            dependencies::signals(monitored, &others),
            dependencies::states(monitored),
            training::progress(monitored),
            objectives::fast(monitored, WATCHING_SECONDS),
        ]
        .concat();
        let (signals, minutes) = signals_apart(monitored, minutes);
        let (scaling_signals, scaling) = signals_apart(monitored, scaling::rules(monitored));
        let custom =
            [front::custom_rule(monitored), dependencies::signals(monitored, &custom), scaling_signals, signals];
        let slow = [
            recording::slow(monitored),
            dependencies::of_spec(monitored),
            training::rules(monitored),
            resources::rules(monitored),
        ];
        Self {
            scaling,
            lags: dependencies::signals(monitored, &scaled_on),
            custom: custom.concat(),
            application: application::rules(monitored),
            kubelet: scaling::kubelet_rules(monitored),
            minutes,
            slow: slow.concat(),
            objectives: objectives::slow(monitored),
        }
    }
}

/// The rules that are PromQL of the profile `Custom`, and the others.
fn signals_apart(monitored: &Monitored, rules: Vec<Rule>) -> (Vec<Rule>, Vec<Rule>) {
    let has_signals = monitored.metrics.signals.is_some();
    rules.into_iter().partition(|rule| has_signals && rule.record.as_deref().is_some_and(Signals::record))
}

/// Seconds between two evaluations of PromQL of the spec: of what is decided on most often.
fn custom_seconds(monitored: &Monitored) -> i32 {
    let is_scaled_on = |of: &Dependency| of.custom.is_some() && monitored.catch_up_seconds(of).is_some();
    let counts_in_front = monitored.servers.front.is_some_and(|front| front.custom.is_some());
    if counts_in_front || monitored.scales_on_signals() {
        SCALING_SECONDS
    } else if monitored.dependencies.iter().any(is_scaled_on) {
        LAG_SECONDS
    } else {
        WATCHING_SECONDS
    }
}
