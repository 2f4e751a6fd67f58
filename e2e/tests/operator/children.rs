//! Children that are deleted or edited by another client.

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use k8s_openapi::{api::batch::v1::Job, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry};
use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject, Patch},
};
use recommender_operator::{
    api::{FIELD_MANAGER, RecommenderModel, conditions::types},
    apply::converted_ownership,
    child::Child,
    kinds::Kind,
};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, TIMEOUT, serving, training, user},
    lifecycle::{child_names, rendered},
    scripts::trainer,
};

/// Kinds and names of an object's children, except for training Jobs, which are not created again.
fn children(model: &RecommenderModel) -> Result<Vec<(Kind, String)>> {
    let children = rendered(model)?.into_iter().filter(|child| child.kind != Kind::Job);
    Ok(children.map(|child| (child.kind, child.name)).collect())
}

fn everything() -> Value {
    json!({"spec": {
        "serving": {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}},
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
    }})
}

pub async fn a_deleted_child_is_created_again() -> Result<()> {
    let bed = Bed::new("deleted").await?;
    bed.create("shop", everything()).await?;
    let model = bed.served("shop").await?;
    let version = serving(&model).version;
    let mut deleted = Vec::new();
    for (kind, name) in children(&model)? {
        let child = bed.children(kind).get(&name).await?;
        bed.children(kind).delete(&name, &DeleteParams::background()).await?;
        deleted.push((kind, name, child));
    }
    ensure!(deleted.iter().any(|(kind, ..)| *kind == Kind::Deployment), "no Deployment was deleted");
    for (kind, name, before) in deleted {
        let again = eventually(&format!("{} {name} is created again", kind.as_str()), TIMEOUT, async || {
            let child = bed.children(kind).get(&name).await?;
            ensure!(child.uid() != before.uid(), "the old one is still there");
            Ok(child)
        })
        .await?;
        let hash = |child: &DynamicObject| child.annotations().get("recommender.dev/applied-hash").cloned();
        ensure!(hash(&again) == hash(&before), "{} {name} differs", kind.as_str());
    }
    let model = bed.until("shop", "serves again", |model| serving(model).replicas == 2).await?;
    ensure!(serving(&model).version == version, "{:?}", serving(&model));
    bed.answers("shop", "/version").await.map(drop)
}

pub async fn a_deleted_training_job_is_created_again() -> Result<()> {
    let bed = Bed::new("lostjob").await?;
    bed.create("shop", json!({"spec": {"training": {"full": {"command": ["sh", "-c", trainer::HANGS]}}}})).await?;
    let model = bed.until("shop", "trains", |model| training(model).active.is_some()).await?;
    let job = training(&model).active.context("a run is under way")?.job;
    let jobs = bed.api::<Job>();
    let before = e2e::until(&jobs, &job, "has a pod", TIMEOUT, |job| {
        job.status.as_ref().is_some_and(|status| status.ready == Some(1))
    })
    .await?;
    jobs.delete(&job, &DeleteParams::background()).await?;
    let again = e2e::until(&jobs, &job, "is created again", TIMEOUT, |job| job.uid() != before.uid()).await?;
    ensure!(again.labels() == before.labels(), "{:?}", again.labels());
    let model = bed.models().get("shop").await?;
    ensure!(training(&model).last.is_none(), "the lost run was taken for one that ended: {:?}", training(&model));
    Ok(())
}

/// A manual edit of a child of this kind, and the path of the edited value.
fn edit(kind: Kind) -> (Patch<Value>, &'static str) {
    match kind {
        // Containers are merged by name, as kubectl set image and kubectl edit do.
        Kind::Deployment => (
            Patch::Strategic(json!({"spec": {"template": {"spec": {
                "containers": [{"name": "server", "image": "registry.invalid/other:1"}],
            }}}})),
            "/spec/template/spec/containers/0/image",
        ),
        Kind::Service => (
            Patch::Strategic(json!({"spec": {"ports": [{"port": 80, "targetPort": 9999}]}})),
            "/spec/ports/0/targetPort",
        ),
        Kind::HorizontalPodAutoscaler => (Patch::Strategic(json!({"spec": {"maxReplicas": 50}})), "/spec/maxReplicas"),
        Kind::ServiceAccount => {
            (Patch::Strategic(json!({"automountServiceAccountToken": true})), "/automountServiceAccountToken")
        }
        // The label that the watches select by.
        Kind::ServiceMonitor => (
            Patch::Merge(json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "other"}}})),
            "/metadata/labels/app.kubernetes.io~1managed-by",
        ),
        _ => (
            Patch::Merge(json!({"metadata": {"labels": {"app.kubernetes.io/name": "other"}}})),
            "/metadata/labels/app.kubernetes.io~1name",
        ),
    }
}

pub async fn a_manual_edit_of_a_child_is_corrected_and_fields_of_other_managers_stay() -> Result<()> {
    let bed = Bed::new("edited").await?;
    bed.create("shop", everything()).await?;
    let model = bed.served("shop").await?;
    let children = children(&model)?;
    ensure!(children.iter().any(|(kind, _)| *kind == Kind::Deployment), "no Deployment is edited: {children:?}");
    let additions = json!({"metadata": {
        "labels": {"example.org/team": "search"}, "annotations": {"example.org/note": "mine"},
    }});
    for (kind, name) in &children {
        let kind = *kind;
        let (edit, path) = edit(kind);
        let before = serde_json::to_value(bed.children(kind).get(name).await?)?;
        let expected = before.pointer(path).with_context(|| format!("{} {name} has {path}", kind.as_str()))?;
        bed.children(kind).patch(name, &user(), &Patch::Merge(&additions)).await?;
        let edited = bed.children(kind).patch(name, &user(), &edit).await?;
        ensure!(
            serde_json::to_value(&edited)?.pointer(path) != Some(expected),
            "{} {name} was not edited",
            kind.as_str()
        );
        let corrected = eventually(&format!("{} {name} is corrected", kind.as_str()), TIMEOUT, async || {
            let child = bed.children(kind).get(name).await?;
            let now = serde_json::to_value(&child)?;
            ensure!(now.pointer(path) == Some(expected), "{path} is {:?}", now.pointer(path));
            Ok(child)
        })
        .await?;
        ensure!(
            corrected.labels().get("example.org/team").is_some_and(|team| team == "search"),
            "{:?}",
            corrected.labels()
        );
        ensure!(corrected.annotations().contains_key("example.org/note"), "{:?}", corrected.annotations());
        ensure!(corrected.uid() == edited.uid(), "{} {name} was created again", kind.as_str());
    }
    eventually("each corrected child has an Event", TIMEOUT, async || {
        let events = bed.events(&model).await?;
        let messages: Vec<_> = events
            .into_iter()
            .filter(|event| event.reason.as_deref() == Some("ChildRestored"))
            .filter_map(|event| event.note)
            .collect();
        let has_one_event = |(kind, name): &(Kind, String)| {
            messages.iter().filter(|message| message.starts_with(&format!("{} {name} ", kind.as_str()))).count() == 1
        };
        ensure!(children.iter().all(has_one_event), "{messages:#?}");
        Ok(())
    })
    .await
}

/// Fields that a child has only sometimes: they are removed and set by default again.
const SOMETIMES: [&str; 8] = [
    "f:behavior",
    "f:metrics",
    "f:schedulerName",
    "f:imagePullPolicy",
    "f:type",
    "f:defaultMode",
    "f:scheme",
    "f:successThreshold",
];

/// The fields of a set that `desired` does not have, as paths.
fn not_sent(fields: &Value, desired: &Value, path: &str) -> Vec<String> {
    let fields = fields.as_object().into_iter().flatten();
    let parts = fields.filter(|(key, _)| *key != "." && !SOMETIMES.contains(&key.as_str()));
    let of_part = |(key, node): (&String, &Value)| {
        let path = format!("{path}/{key}");
        let part = match (key.strip_prefix("f:"), key.strip_prefix("k:")) {
            (Some(name), _) => desired.get(name),
            (None, Some(keys)) => {
                let keys: Value = serde_json::from_str(keys).unwrap_or_default();
                let has_keys = |item: &&Value| keys.as_object().into_iter().flatten().all(|(key, of)| item[key] == *of);
                desired.as_array().and_then(|items| items.iter().find(has_keys))
            }
            _ => None,
        };
        part.map_or_else(|| vec![path.clone()], |part| not_sent(node, part, &path))
    };
    parts.flat_map(of_part).collect()
}

/// The fields that an object's managers of this operation named as the operator own; none if there is no such entry.
fn ours<'a>(managed: &'a [ManagedFieldsEntry], operation: &str) -> Option<&'a Value> {
    let is_ours = |entry: &&ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some(operation)
            && entry.subresource.is_none()
    };
    Some(&managed.iter().find(is_ours)?.fields_v1.as_ref()?.0)
}

pub async fn a_field_that_is_no_longer_specified_is_removed_from_a_child_that_was_created() -> Result<()> {
    let bed = Bed::new("field").await?;
    let env = |names: &[&str]| names.iter().map(|name| json!({"name": name, "value": "1"})).collect::<Value>();
    let mut object = everything();
    object["spec"]["serving"]["env"] = env(&["KEPT", "GONE"]);
    object["spec"]["serving"]["autoscaling"]["behavior"] = json!({"scaleDown": {"stabilizationWindowSeconds": 60}});
    bed.create("shop", object).await?;
    let model = bed.served("shop").await?;
    for Child { kind, name, object: desired, .. } in rendered(&model)?.into_iter().filter(|of| of.kind != Kind::Job) {
        let child = bed.children(kind).get(&name).await?;
        let managed = child.managed_fields();
        let what = format!("{} {name}", kind.as_str());
        ensure!(ours(managed, "Update").is_some() && ours(managed, "Apply").is_none(), "{what}: {managed:#?}");
        // What would be converted now is what was sent, without what the API server has set by default.
        let converted = converted_ownership(Some(managed), &desired).with_context(|| format!("{what} is converted"))?;
        let mut desired = desired;
        // Sent with the creation only.
        desired["spec"]["replicas"] = json!(2);
        let more = not_sent(ours(&converted, "Apply").with_context(|| what.clone())?, &desired, "");
        ensure!(more.is_empty(), "{what}: these fields were not sent, so they are missing in DEFAULTED: {more:?}");
    }

    let changes = json!({"env": env(&["KEPT"]), "autoscaling": {"behavior": null}});
    bed.edit("shop", json!({"spec": {"serving": changes}})).await?;
    bed.served("shop").await?;
    let (deployment, autoscaler) = eventually("the fields are gone", TIMEOUT, async || {
        let deployment = serde_json::to_value(bed.children(Kind::Deployment).get("shop-serving").await?)?;
        let variables = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
        let names: Vec<_> = variables.as_array().into_iter().flatten().map(|variable| &variable["name"]).collect();
        ensure!(names.contains(&&json!("KEPT")) && !names.contains(&&json!("GONE")), "{names:?}");
        let autoscaler = bed.children(Kind::HorizontalPodAutoscaler).get("shop-serving").await?;
        ensure!(autoscaler.data["spec"]["behavior"].is_null(), "{}", autoscaler.data["spec"]);
        Ok((serde_json::from_value::<DynamicObject>(deployment)?, autoscaler))
    })
    .await?;
    for child in [deployment, autoscaler] {
        let managed = child.managed_fields();
        ensure!(ours(managed, "Apply").is_some() && ours(managed, "Update").is_none(), "{managed:#?}");
    }
    Ok(())
}

pub async fn monitoring_that_is_no_longer_specified_is_removed() -> Result<()> {
    let bed = Bed::new("prune").await?;
    bed.create("shop", everything()).await?;
    let mut monitoring = children(&bed.served("shop").await?)?;
    monitoring.retain(|(kind, _)| kind.condition() == types::MONITORING_READY);
    let monitoring: Vec<_> = monitoring.iter().map(|(kind, name)| format!("{}/{name}", kind.as_str())).collect();
    let before = child_names(&bed, "shop").await?;
    ensure!(!monitoring.is_empty() && monitoring.iter().all(|child| before.contains(child)), "{before:?}");
    bed.edit("shop", json!({"spec": {"monitoring": null}})).await?;
    eventually("the children of the monitoring are gone, and nothing else", TIMEOUT, async || {
        let now = child_names(&bed, "shop").await?;
        let gone: Vec<_> = before.iter().filter(|name| !now.contains(name)).cloned().collect();
        ensure!(gone == monitoring, "gone: {gone:?}");
        Ok(())
    })
    .await
}
