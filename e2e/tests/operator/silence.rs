//! A converged object causes no requests.

use std::time::Duration;

use anyhow::{Result, ensure};
use recommender_operator::kinds::Kind;
use serde_json::json;

use crate::{
    audit::{Audit, count},
    bed::{Bed, OPERATOR, is, terminating_namespaces_are_gone},
};

/// How long no requests are expected.
const QUIET_PERIOD: Duration = Duration::from_secs(60);

/// The resources of the object and of all its children.
fn resources() -> Vec<String> {
    let of_children = Kind::ALL.into_iter().map(|kind| kind.resource().plural);
    of_children.chain(["recommendermodels".into()]).collect()
}

/// The counters of status writes of the API server do not change. Autoscalers and terminating objects of other tests
/// still cause requests for children. But the counters match the audit log, so the log is complete, and it contains no
/// request of the operator about any object.
pub async fn a_converged_object_causes_no_requests_for_60_seconds() -> Result<()> {
    let mut bed = Bed::new("silence").await?;
    bed.create(
        "quiet",
        json!({"spec": {
            "training": {"full": {"schedule": "0 0 1 1 *"}},
            "serving": {"autoscaling": {"minReplicas": 1, "maxReplicas": 4}},
            "monitoring": Bed::monitoring(),
            // Each new version begins as a canary; there is none.
            "promotion": {"canary": {"steps": [{"weightPercent": 50}]}},
        }}),
    )
    .await?;
    bed.served("quiet").await?;
    // The last conditions to become true: they need the first metrics of the pods, and a Prometheus that has loaded its new rules.
    for last in ["ScalingActive", "MonitoringReady"] {
        bed.until("quiet", &format!("is {last}"), |model| is(model, last, "True")).await?;
    }

    bed.alone().await?;
    terminating_namespaces_are_gone(&bed.cluster).await?;
    let audit = Audit::from_now(&bed.cluster)?;
    let before = count(&bed.cluster, &audit, &resources()).await?;
    tokio::time::sleep(QUIET_PERIOD).await; // the time is what is measured
    let after = count(&bed.cluster, &audit, &resources()).await?;

    ensure!(after.status == before.status, "{} writes of a status", after.status - before.status);
    let (counted, logged) = (after.counter - before.counter, after.logged - before.logged);
    ensure!(counted == logged, "the API server counted {counted} requests, its audit log has {logged}");
    ensure!(logged > 0, "no request was logged, not even of the autoscalers: the log is not the API server's");
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
