//! Converged means silent.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{
    audit::{Audit, count},
    bed::{Bed, is},
};

/// How long nothing may be asked for.
const SILENCE: Duration = Duration::from_secs(60);

/// The object and all kinds of its children.
const RESOURCES: [&str; 10] = [
    "recommendermodels",
    "serviceaccounts",
    "services",
    "jobs",
    "deployments",
    "horizontalpodautoscalers",
    "poddisruptionbudgets",
    "servicemonitors",
    "prometheusrules",
    "pods",
];

/// Other tests run at the same time, so the API server's counters cannot be still. But over the same time they count
/// what its audit log lists, so the log is complete; and in the log there is nothing of the operator's about the object.
pub async fn a_converged_object_costs_no_request_for_60_seconds() -> Result<()> {
    let bed = Bed::calm("silence").await?;
    bed.create(
        "quiet",
        json!({"spec": {
            "training": {"full": {"schedule": "0 0 1 1 *"}},
            "serving": {"autoscaling": {"minReplicas": 1, "maxReplicas": 4}},
            "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
        }}),
    )
    .await?;
    bed.served("quiet").await?;
    // The last thing to come: the first metrics of the pods.
    bed.until("quiet", "is scaled by its CPU use", |model| is(model, "ScalingActive", "True")).await?;

    let audit = Audit::from_now(&bed.cluster)?;
    let before = count(&bed.cluster, &audit, &RESOURCES).await?;
    tokio::time::sleep(SILENCE).await; // the time is what is measured
    let after = count(&bed.cluster, &audit, &RESOURCES).await?;

    let (counted, logged) = (after.counter - before.counter, after.logged - before.logged);
    ensure!(counted == logged, "the API server counted {counted} requests, its audit log has {logged}");
    ensure!(logged > 0, "nobody asked for anything, not even the autoscalers: the log is not the API server's");
    let requests = audit.of_operator_in(&bed.namespace.name)?;
    ensure!(requests.is_empty(), "requests of the operator: {requests:#?}");
    let touched = audit.requests(&bed.namespace.name)?;
    let written =
        touched.iter().find(|request| request.is_write() && request.resource.starts_with("recommendermodels"));
    ensure!(written.is_none(), "somebody wrote the object: {written:?}");
    Ok(())
}
