//! The end of objects and of namespaces.

use anyhow::{Result, ensure};
use e2e::{eventually, until_gone};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::{Api, api::DeleteParams};
use serde_json::json;

use crate::{
    audit::Audit,
    bed::{Bed, PATIENCE, training},
    lifecycle::family,
    scripts::trainer,
};

/// Requests of the operator in a namespace that goes away under its hands. Each child may be missed once.
const FAREWELL: usize = 60;

pub async fn deleting_the_object_removes_everything() -> Result<()> {
    let bed = Bed::new("gone").await?;
    bed.create("shop", json!({"spec": {"monitoring": {"metrics": {"profile": "FastApiInstrumentator"}}}})).await?;
    bed.served("shop").await?;
    let children = family(&bed, "shop").await?;
    ensure!(children.len() >= 8, "only {children:?}");
    bed.models().delete("shop", &DeleteParams::default()).await?;
    eventually("all children are gone", PATIENCE, async || {
        let left = family(&bed, "shop").await?;
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(())
    })
    .await?;
    // The versions are the user's.
    let claim = bed.api::<PersistentVolumeClaim>().get("models").await?;
    ensure!(claim.metadata.deletion_timestamp.is_none(), "the claim goes as well");
    Ok(())
}

pub async fn a_namespace_that_is_deleted_ends_cleanly() -> Result<()> {
    let bed = Bed::new("terminating").await?;
    bed.create("served", json!({})).await?;
    bed.create("trains", json!({"spec": {"training": {"full": {"command": ["sh", "-c", trainer::HANGS]}}}})).await?;
    bed.served("served").await?;
    bed.until("trains", "trains", |model| training(model).active.is_some()).await?;
    let audit = bed.cluster.is_ours().then(|| Audit::from_now(&bed.cluster)).transpose()?;
    let namespaces: Api<Namespace> = Api::all(bed.cluster.client());
    namespaces.delete(&bed.namespace.name, &DeleteParams::background()).await?;
    until_gone(&namespaces, &bed.namespace.name, PATIENCE).await?;
    if let Some(audit) = audit {
        let requests = audit.of_operator_in(&bed.namespace.name)?;
        ensure!(requests.len() <= FAREWELL, "{} requests: {requests:#?}", requests.len());
    }
    Ok(())
}
