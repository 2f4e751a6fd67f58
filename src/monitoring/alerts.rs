//! The alerts, as data. Their expressions read canonical series only, so they do not depend on the
//! profile.
//!
//! Severity `critical` pages a person at any time: users get no or wrong answers. `warning` can wait for working hours.

use std::collections::BTreeMap;

use super::Watched;
use super::Workload::{self, Serving, Training};
use crate::{api::monitoring_coreos::Rule, series::Series};

/// An alert that every monitored object has.
pub struct Alert {
    /// Name: the value of Alertmanager's label `alertname`.
    pub name: &'static str,
    /// The workload whose series `expr` reads.
    pub workload: Workload,
    /// When it fires: PromQL where `{@}` stands for the selector of the object's series.
    pub expr: &'static str,
    /// How long `expr` must be true before the alert fires, as in "5m"; `None`: fires at once.
    pub for_: Option<&'static str>,
    /// `critical` or `warning`.
    pub severity: &'static str,
    /// What is wrong. Contains no values, so that it does not change while the alert fires.
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
        for_: Some("5m"),
        severity: "warning",
        summary: "A recommender answers slowly.",
        description: "99 % of the requests to {{ $labels.recommender }} in {{ $labels.namespace }} take up to \
                      {{ $value | humanizeDuration }}; more than 1s is too much. Look at its CPU use and its requests in \
                      flight, and at maxReplicas if it is autoscaled.",
    },
    Alert {
        name: "RecommenderErrorRatioHigh",
        workload: Serving,
        // The quotient of averaged rates, not an average of ratios: each minute is weighted by its requests. Below one
        // request in ten seconds a single error would exceed the threshold.
        expr: "avg_over_time(recommender:request_errors:rate1m{@}[5m]) / avg_over_time(recommender:requests:rate1m{@}[5m]) \
               > 0.05 and avg_over_time(recommender:requests:rate1m{@}[5m]) > 0.1",
        for_: Some("5m"),
        severity: "critical",
        summary: "A recommender fails to answer many of its requests.",
        description: "{{ $value | humanizePercentage }} of the requests to {{ $labels.recommender }} in \
                      {{ $labels.namespace }} end in an error of the server; more than 5% is too much. Refusals (503) count: \
                      with ScalingActive Overloaded or MaxReplicas the servers refuse requests above their capacity; otherwise \
                      look at the logs of its serving pods.",
    },
    Alert {
        name: "RecommenderNoHealthyTarget",
        workload: Serving,
        // Servers that Kubernetes knows as ready do answer; then it is only the scrapes that fail.
        expr: "recommender:targets{@} and recommender:targets_up{@} == 0 unless recommender:serving_expected{@} == 0 \
               unless recommender:serving_ready{@} > 0",
        for_: Some("2m"),
        severity: "critical",
        summary: "No server of a recommender answers.",
        description: "None of the {{ $value | humanize }} servers that Prometheus knows of {{ $labels.recommender }} in \
                      {{ $labels.namespace }} answers its scrapes, and no pod is known to be ready. With servers known, \
                      look at the serving pods; with 0, there are no pods, or this Prometheus does not select the ServiceMonitor.",
    },
    Alert {
        name: "RecommenderScrapesFail",
        workload: Serving,
        expr: "recommender:targets{@} and recommender:targets_up{@} == 0 and recommender:serving_ready{@} > 0",
        for_: Some("5m"),
        severity: "warning",
        summary: "A recommender is not monitored: its servers are ready, and none of their scrapes succeeds.",
        description: "None of the {{ $value | humanize }} servers that Prometheus knows of {{ $labels.recommender }} in \
                      {{ $labels.namespace }} answers its scrapes, although pods are ready: no alert on latency and errors can \
                      fire, and scaling on latency holds its replicas. With 0, this Prometheus does not select the \
                      ServiceMonitor. Otherwise something refuses the scrapes, such as a NetworkPolicy or a mesh with strict \
                      mTLS; the error of the target, shown by Prometheus under Status > Targets, shows which.",
    },
    Alert {
        name: "RecommenderSeveralProcesses",
        workload: Serving,
        expr: "recommender:targets_of_several_processes{@} > 0",
        for_: Some("5m"),
        severity: "warning",
        summary: "A recommender is not monitored: several processes answer the scrapes of one pod.",
        description: "{{ $value | humanize }} servers of {{ $labels.recommender }} in {{ $labels.namespace }} answer each scrape \
                      with the counters of another process, so neither load nor latency is known: no alert on latency and \
                      errors can fire, and scaling on latency holds its replicas. Run one process per pod (uvicorn without \
                      --workers) and more replicas, or let all processes share their counters (PROMETHEUS_MULTIPROC_DIR).",
    },
    Alert {
        name: "RecommenderMetricsMissing",
        workload: Serving,
        expr: "recommender:targets_up{@} > 0 unless recommender:requests:rate1m{@} \
               unless recommender:targets_of_several_processes{@} > 0",
        for_: Some("10m"),
        severity: "warning",
        summary: "A recommender is not monitored: its metrics are not those of its profile.",
        description: "{{ $value | humanize }} servers of {{ $labels.recommender }} in {{ $labels.namespace }} are scraped, \
                      but expose no request metrics under the names of spec.monitoring.metrics.profile: the alerts on \
                      latency and errors cannot fire. Correct the profile or the server's instrumentation.",
    },
    Alert {
        name: "RecommenderRestarting",
        workload: Serving,
        expr: "recommender:restarts:increase1h{@} > 3",
        for_: None,
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
        for_: None,
        // The previous version is still served.
        severity: "warning",
        summary: "The last training run of a recommender failed.",
        description: "The last training run of {{ $labels.recommender }} in {{ $labels.namespace }} failed. It keeps serving \
                      the version it has, if any. The object's condition TrainingReady shows the reason; once that is fixed, a new \
                      value of the annotation recommender.dev/train that starts with full starts a run.",
    },
    Alert {
        name: "RecommenderTrainingOverdue",
        workload: Training,
        // One run may fail or take long; two are missing.
        expr: "recommender:training_age_seconds{@} > 2 * (recommender:training_period_seconds{@} > 0)",
        for_: Some("10m"),
        severity: "warning",
        summary: "A recommender has not been trained for two periods of its schedule.",
        description: "The newest version of {{ $labels.recommender }} in {{ $labels.namespace }} is \
                      {{ $value | humanizeDuration }} old, more than twice as old as its schedule allows. It is still served. \
                      Look at the object's condition TrainingReady, its Jobs, and whether the operator runs.",
    },
];

/// The alerting rules of an object. Alerts have the labels of the series they read (`namespace`, `recommender`,
/// `workload`). No text of the object is inserted into a template. An alert on a series that the profile does not record
/// could never fire; it is left out. `recorded`: the recording rules of the object.
pub fn rules(watched: &Watched, recorded: &[Rule]) -> Vec<Rule> {
    let is_recorded = |name: &&str| recorded.iter().any(|rule| rule.record.as_deref() == Some(name));
    let absent = Series::MONITORING.into_iter().map(Series::name).filter(|name| !is_recorded(name));
    let absent: Vec<String> = absent.map(|name| format!("{name}{{@}}")).collect();
    let has_all = |alert: &&Alert| !absent.iter().any(|series| alert.expr.contains(series.as_str()));
    ALERTS.iter().filter(has_all).map(|alert| rule(alert, &watched.matchers(alert.workload))).collect()
}

fn rule(alert: &Alert, matchers: &str) -> Rule {
    Rule {
        alert: Some(alert.name.into()),
        expr: alert.expr.replace("{@}", &format!("{{{matchers}}}")),
        for_: alert.for_.map(Into::into),
        labels: BTreeMap::from([("severity".into(), alert.severity.into())]),
        annotations: BTreeMap::from([
            ("summary".into(), alert.summary.into()),
            ("description".into(), alert.description.into()),
        ]),
        ..Rule::default()
    }
}
