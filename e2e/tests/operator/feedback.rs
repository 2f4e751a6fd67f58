//! What Prometheus has really loaded of an object: three mistakes, each reported with a remedy, which is followed.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::bed::{Bed, has_message, is};

/// Timeout until a mistake is reported: once it has lasted for 3 min, on a busy machine, and beside tests whose rules restart Prometheus.
const REPORTED: Duration = Duration::from_secs(900);

/// A mistake: name of the object, changes of `spec.monitoring`, the reason and the remedy that are reported, and the changes that
/// correct it.
type Mistake = (&'static str, Value, &'static str, &'static str, Value);

fn mistakes() -> [Mistake; 3] {
    [
        (
            "label",
            json!({"labels": {"prometheus": "none"}}),
            "RulesNotLoaded",
            "not loaded: PrometheusRule label, ServiceMonitor label; Prometheus monitoring/main selects PrometheusRules and \
             ServiceMonitors with prometheus not in (none): remove spec.monitoring.labels.prometheus",
            json!({"labels": null}),
        ),
        (
            "profile",
            json!({"metrics": {"profile": "OpenTelemetryLegacy"}}),
            "ProfileMismatch",
            "the servers expose http_request_duration_highr_seconds_count, which fits profile FastApiInstrumentator better than \
             OpenTelemetryLegacy: set spec.monitoring.metrics.profile to FastApiInstrumentator",
            json!({"metrics": {"profile": "FastApiInstrumentator"}}),
        ),
        (
            "path",
            json!({"metrics": {"path": "/wrong"}}),
            "TargetsDown",
            "no target of ServiceMonitor path answers its scrapes (server returned HTTP status 404 Not Found): check \
             spec.monitoring.metrics.path",
            json!({"metrics": Bed::monitoring()["metrics"]}),
        ),
    ]
}

pub async fn what_prometheus_has_not_loaded_is_reported_with_the_remedy_which_helps() -> Result<()> {
    let bed = Bed::new("feedback").await?;
    try_join_all(mistakes().map(|mistake| is_reported_and_corrected(&bed, mistake))).await.map(drop)
}

async fn is_reported_and_corrected(bed: &Bed, (name, mistake, reason, text, correction): Mistake) -> Result<()> {
    bed.create(name, json!({"spec": {"monitoring": Bed::monitoring()}})).await?;
    bed.edit(name, json!({"spec": {"monitoring": mistake}})).await?;
    bed.until(name, "is loading", |model| has_message(model, "MonitoringReady", "Loading", "applied at")).await?;
    bed.served(name).await?;
    e2e::until(&bed.models(), name, &format!("is {reason} with the remedy"), REPORTED, |model| {
        is(model, "MonitoringReady", "False") && has_message(model, "MonitoringReady", reason, text)
    })
    .await?;
    bed.edit(name, json!({"spec": {"monitoring": correction}})).await?;
    bed.until(name, "is loaded", |model| is(model, "MonitoringReady", "True")).await.map(drop)
}
