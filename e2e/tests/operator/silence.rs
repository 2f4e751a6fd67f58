//! Converged means silent.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{
    audit::{Audit, count},
    bed::{Bed, OPERATOR, all_is_over, is},
};

/// How long nothing may be asked for.
const SILENCE: Duration = Duration::from_secs(60);

/// The object and all kinds that are written for it.
const RESOURCES: [&str; 9] = [
    "recommendermodels",
    "serviceaccounts",
    "services",
    "jobs",
    "deployments",
    "horizontalpodautoscalers",
    "poddisruptionbudgets",
    "servicemonitors",
    "prometheusrules",
];

/// The API server's own counters of writes to objects and their status stand still. Autoscalers and what is left of other
/// tests go on asking for children; but the counters have just what the audit log lists, so the log is complete, and in
/// it there is nothing of the operator's about any object.
pub async fn a_converged_object_costs_no_request_for_60_seconds() -> Result<()> {
    let mut bed = Bed::new("silence").await?;
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

    bed.alone().await?;
    all_is_over(&bed.cluster).await?;
    let audit = Audit::from_now(&bed.cluster)?;
    let before = count(&bed.cluster, &audit, &RESOURCES).await?;
    tokio::time::sleep(SILENCE).await; // the time is what is measured
    let after = count(&bed.cluster, &audit, &RESOURCES).await?;

    ensure!(after.status == before.status, "{} writes of a status", after.status - before.status);
    let (counted, logged) = (after.counter - before.counter, after.logged - before.logged);
    ensure!(counted == logged, "the API server counted {counted} requests, its audit log has {logged}");
    ensure!(logged > 0, "nobody asked for anything, not even the autoscalers: the log is not the API server's");
    let requests = audit.of_operator_in(&bed.namespace.name)?;
    ensure!(requests.is_empty(), "requests of the operator: {requests:#?}");
    let writes: Vec<_> = audit
        .requests(OPERATOR)?
        .into_iter()
        .filter(|request| request.is_write() && request.resource != "leases")
        .collect();
    ensure!(writes.is_empty(), "writes of the operator, which has nothing to do: {writes:#?}");
    Ok(())
}
