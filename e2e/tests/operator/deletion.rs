//! Deletion of objects and of namespaces.

use anyhow::{Result, ensure};
use e2e::{eventually, until_gone};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::{Api, api::DeleteParams};
use serde_json::json;

use crate::{
    audit::Audit,
    bed::{Bed, TIMEOUT, training},
    lifecycle::child_names,
    scripts::trainer,
};

/// Maximum number of requests of the operator in a namespace that is being deleted. Each child may fail once.
const MAX_REQUESTS: usize = 60;

pub async fn deleting_the_object_removes_everything() -> Result<()> {
    let bed = Bed::new("gone").await?;
    bed.create("shop", json!({"spec": {"monitoring": {"metrics": {"profile": "FastApiInstrumentator"}}}})).await?;
    bed.served("shop").await?;
    let children = child_names(&bed, "shop").await?;
    ensure!(children.len() >= 8, "only {children:?}");
    bed.models().delete("shop", &DeleteParams::default()).await?;
    eventually("all children are gone", TIMEOUT, async || {
        let left = child_names(&bed, "shop").await?;
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(())
    })
    .await?;
    // The claim with the versions belongs to the user.
    let claim = bed.api::<PersistentVolumeClaim>().get("models").await?;
    ensure!(claim.metadata.deletion_timestamp.is_none(), "the claim goes as well");
    Ok(())
}

pub async fn a_deleted_namespace_terminates_cleanly() -> Result<()> {
    let bed = Bed::new("terminating").await?;
    bed.create("served", json!({})).await?;
    bed.create("trains", json!({"spec": {"training": {"full": {"command": ["sh", "-c", trainer::HANGS]}}}})).await?;
    bed.served("served").await?;
    bed.until("trains", "trains", |model| training(model).active.is_some()).await?;
    let audit = bed.cluster.is_ours().then(|| Audit::from_now(&bed.cluster)).transpose()?;
    let namespaces: Api<Namespace> = Api::all(bed.cluster.client());
    namespaces.delete(&bed.namespace.name, &DeleteParams::background()).await?;
    until_gone(&namespaces, &bed.namespace.name, TIMEOUT).await?;
    if let Some(audit) = audit {
        let requests = audit.of_operator_in(&bed.namespace.name)?;
        ensure!(requests.len() <= MAX_REQUESTS, "{} requests: {requests:#?}", requests.len());
    }
    Ok(())
}
