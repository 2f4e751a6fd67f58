//! The alerts, as data: expressions over canonical series only, so they hold for every profile.
//!
//! `critical` means that somebody is to be woken up: users get no or wrong answers. `warning` can wait for the morning.

use std::collections::BTreeMap;

use super::Watched;
use super::Workload::{self, Serving, Training};
use crate::api::monitoring_coreos::Rule;

/// An alert on every object.
pub struct Alert {
    /// Name, in Alertmanager's label `alertname`.
    pub name: &'static str,
    /// Whose series `expr` reads.
    pub workload: Workload,
    /// When it fires: PromQL where `{@}` stands for the selector of the object's series.
    pub expr: &'static str,
    /// How long that must hold, as in "5m"; none for at once.
    pub hold: Option<&'static str>,
    /// `critical` or `warning`.
    pub severity: &'static str,
    /// What is wrong, without values, so that it stays the same while the alert fires.
    pub summary: &'static str,
    /// What was measured, and where to look; a template of Prometheus.
    pub description: &'static str,
}

/// All alerts.
pub const ALERTS: &[Alert] = &[
    Alert {
        name: "RecommenderLatencyHigh",
        workload: Serving,
        expr: "recommender:request_latency_seconds:p99{@} > 1",
        hold: Some("5m"),
        severity: "warning",
        summary: "A recommender answers slowly.",
        description: "99 % of the requests to {{ $labels.recommender }} in {{ $labels.namespace }} take up to \
                      {{ $value | humanizeDuration }}; more than 1s is too much. Look at its CPU use and its requests in \
                      flight, and at maxReplicas if it is autoscaled.",
    },
    Alert {
        name: "RecommenderErrorRatioHigh",
        workload: Serving,
        // Sums of rates are divided, not ratios averaged: a quiet minute weighs as little as its requests do. Below one
        // request in ten seconds a single error would be enough.
        expr: "avg_over_time(recommender:request_errors:rate1m{@}[5m]) / avg_over_time(recommender:requests:rate1m{@}[5m]) \
               > 0.05 and avg_over_time(recommender:requests:rate1m{@}[5m]) > 0.1",
        hold: Some("5m"),
        severity: "critical",
        summary: "A recommender fails to answer many of its requests.",
        description: "{{ $value | humanizePercentage }} of the requests to {{ $labels.recommender }} in \
                      {{ $labels.namespace }} end in an error of the server; more than 5% is too much. Refusals (503) count: \
                      with ScalingActive Overloaded or MaxReplicas the servers refuse what they cannot carry; otherwise \
                      look at the logs of its serving pods.",
    },
    Alert {
        name: "RecommenderNoHealthyTarget",
        workload: Serving,
        expr: "recommender:targets{@} and recommender:targets_up{@} == 0 unless recommender:serving_expected{@} == 0",
        hold: Some("2m"),
        severity: "critical",
        summary: "No server of a recommender answers.",
        description: "None of the {{ $value | humanize }} servers that Prometheus knows of {{ $labels.recommender }} in \
                      {{ $labels.namespace }} answers its scrapes. With servers known, look at the serving pods; with 0, \
                      there are no pods, or this Prometheus does not select the ServiceMonitor.",
    },
    Alert {
        name: "RecommenderMetricsMissing",
        workload: Serving,
        expr: "recommender:targets_up{@} > 0 unless recommender:requests:rate1m{@}",
        hold: Some("10m"),
        severity: "warning",
        summary: "A recommender runs unwatched: its metrics are not those of its profile.",
        description: "{{ $value | humanize }} servers of {{ $labels.recommender }} in {{ $labels.namespace }} are scraped, \
                      but expose no request metrics under the names of spec.monitoring.metrics.profile: the alerts on \
                      latency and errors cannot fire. Correct the profile or the server's instrumentation.",
    },
    Alert {
        name: "RecommenderRestarting",
        workload: Serving,
        expr: "recommender:restarts:increase1h{@} > 3",
        hold: None,
        severity: "warning",
        summary: "Servers of a recommender restart again and again.",
        description: "The servers of {{ $labels.recommender }} in {{ $labels.namespace }} restarted \
                      {{ $value | humanize }} times in an hour. Look at their last state (OOMKilled? failed probes?) and at \
                      the logs of the previous container.",
    },
    Alert {
        name: "RecommenderTrainingFailed",
        workload: Training,
        expr: "recommender:training_failed{@} == 1",
        hold: None,
        // The previous version still serves.
        severity: "warning",
        summary: "The last training run of a recommender failed.",
        description: "The last training run of {{ $labels.recommender }} in {{ $labels.namespace }} failed. It keeps serving \
                      the version it has, if any. The object's condition TrainingReady says why; once that is cured, a new \
                      value of the annotation recommender.dev/train that starts with full starts a run.",
    },
];

/// The alerting rules of an object. They carry the labels of the series they read (`namespace`, `recommender`,
/// `workload`); nothing of the object's is put into a template.
pub fn rules(watched: &Watched) -> Vec<Rule> {
    ALERTS.iter().map(|alert| rule(alert, &watched.matchers(alert.workload))).collect()
}

fn rule(alert: &Alert, matchers: &str) -> Rule {
    Rule {
        alert: Some(alert.name.into()),
        expr: alert.expr.replace("{@}", &format!("{{{matchers}}}")),
        for_: alert.hold.map(Into::into),
        labels: BTreeMap::from([("severity".into(), alert.severity.into())]),
        annotations: BTreeMap::from([
            ("summary".into(), alert.summary.into()),
            ("description".into(), alert.description.into()),
        ]),
        ..Rule::default()
    }
}
