//! From `kubectl apply` to serving: children, status, Events, and the number of writes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
};
use recommender_operator::{
    api::{RecommenderModel, Trigger, conditions::types},
    child::Child,
    kinds::Kind,
    model::Model,
    render::{self, Decided},
    training::NewRun,
};
use serde_json::json;

use crate::{
    audit::{Audit, Request},
    bed::{Bed, condition, is, serving},
};

/// Maximum number of status writes from creation until the object serves.
const STATUS_WRITES: usize = 6;

pub async fn from_apply_to_serving_each_child_is_written_once() -> Result<()> {
    let bed = Bed::new("lifecycle").await?;
    let audit = Audit::from_now(&bed.cluster)?;
    let object = bed.object(
        "shop",
        json!({"spec": {
            "serving": {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}},
            "monitoring": {"metrics": Bed::monitoring()["metrics"], "labels": {"team": "search"}},
        }}),
    );
    bed.cluster.kubectl_with_input(&["-n", &bed.namespace.name, "apply", "-f", "-"], &object.to_string()).await?;
    kstatus_is(&bed, "InProgress").await?;
    let model = bed.served("shop").await?;
    kstatus_is(&bed, "Current").await?;
    let requests = audit.of_operator_in(&bed.namespace.name)?;

    let children = rendered(&model)?;
    children_are_labelled_and_owned(&bed, &model, &children).await?;
    the_status_is_complete(&model)?;
    the_served_version_is_what_the_trainer_reported(&bed, &model).await?;
    kubectl_shows_it(&bed, &model).await?;
    pods_have_no_api_token(&bed).await?;
    writes_are_few(&requests, &children)?;
    each_change_has_one_event(&bed, &model, &requests).await?;
    bed.until("shop", "is loaded by Prometheus", |model| is(model, "MonitoringReady", "True")).await.map(drop)
}

/// What `helm --wait` and Flux make of the object.
async fn kstatus_is(bed: &Bed, status: &str) -> Result<()> {
    let object = bed.cluster.kubectl(&["-n", &bed.namespace.name, "get", "recmodel", "shop", "-o", "json"]).await?;
    let computed = tokio::task::spawn_blocking(move || e2e::kstatus::compute(&object)).await??;
    ensure!(computed.len() == 1 && computed[0].status == status, "kstatus says {computed:?} instead of {status}");
    Ok(())
}

/// The children of an object that serves its newest version, in the order of applying, with the Job that trained it.
pub fn rendered(object: &RecommenderModel) -> Result<Vec<Child>> {
    let versions = object.status.as_ref().map(|status| status.versions.clone()).unwrap_or_default();
    let version = versions.iter().max_by_key(|version| version.due_at.0).context("there is a version")?;
    let model = Model::new(object, Timestamp::now()).map_err(|problems| anyhow!("{problems:?}"))?;
    let run = NewRun {
        version: version.id.clone(),
        kind: version.kind,
        trigger: Trigger::Initial,
        due: version.due_at.0,
        request: None,
        cause: None,
        base: None,
    };
    Ok(render::children(&model, &Decided { serve: Some(version), train: Some(&run), ..Decided::default() }))
}

async fn children_are_labelled_and_owned(bed: &Bed, model: &RecommenderModel, children: &[Child]) -> Result<()> {
    let has_kind = |kind: Kind| children.iter().any(|child| child.kind == kind);
    ensure!(has_kind(Kind::Job) && has_kind(Kind::Deployment), "a Job and a Deployment are expected: {children:?}");
    for Child { kind, name, object: expected, .. } in children {
        let child = bed.children(*kind).get(name).await?;
        let labels = child.labels();
        let has = |label: &str, value: &str| labels.get(label).is_some_and(|found| found == value);
        let expected = expected["metadata"]["labels"].as_object().context("children have labels")?;
        ensure!(
            has("app.kubernetes.io/managed-by", "recommender-operator")
                && has("recommender.dev/model", "shop")
                && labels.contains_key("app.kubernetes.io/component")
                && expected.iter().all(|(label, value)| value.as_str().is_some_and(|value| has(label, value))),
            "{} {name} has the labels {labels:?}",
            kind.as_str()
        );
        let [owner] = child.owner_references() else { anyhow::bail!("{} {name} has no single owner", kind.as_str()) };
        ensure!(
            owner.kind == "RecommenderModel"
                && Some(&owner.uid) == model.uid().as_ref()
                && owner.controller == Some(true),
            "{} {name} is owned by {owner:?}",
            kind.as_str()
        );
        let is_monitoring = kind.condition() == types::MONITORING_READY;
        ensure!(has("team", "search") == is_monitoring, "{} {name} has the labels {labels:?}", kind.as_str());
    }
    Ok(())
}

fn the_status_is_complete(model: &RecommenderModel) -> Result<()> {
    let status = model.status.as_ref().context("there is a status")?;
    ensure!(status.observed_generation == model.metadata.generation, "{:?}", status.observed_generation);
    let found = status.conditions.iter().map(|condition| condition.type_.as_str());
    ensure!(found.eq(types::all()), "the conditions are {:?}", status.conditions);
    for (kind, value) in [
        ("Ready", "True"),
        ("Reconciling", "False"),
        ("Stalled", "False"),
        ("TrainingReady", "True"),
        ("ServingReady", "True"),
    ] {
        ensure!(is(model, kind, value), "{kind} is {:?}", condition(model, kind));
    }
    let incomplete =
        status.conditions.iter().find(|condition| condition.reason.is_empty() || condition.message.is_empty());
    ensure!(incomplete.is_none(), "no reason or message in {incomplete:?}");
    let serving = serving(model);
    ensure!(serving.replicas == 2 && serving.desired_replicas == 2 && serving.rolling_out.is_none(), "{serving:?}");
    Ok(())
}

/// The responses of the server come from its environment and from the artifact, whose digest it has verified.
async fn the_served_version_is_what_the_trainer_reported(bed: &Bed, model: &RecommenderModel) -> Result<()> {
    let versions = model.status.as_ref().map(|status| status.versions.clone()).unwrap_or_default();
    let [version] = &versions[..] else { anyhow::bail!("one version was trained, not {versions:?}") };
    let expected = format!("file:///artifacts/{}/shop/{}/model", bed.namespace, version.id);
    ensure!(version.uri == expected, "{} instead of {expected}", version.uri);
    ensure!(version.metrics == BTreeMap::from([("precision_at_10".into(), "0.31".into())]), "{:?}", version.metrics);
    ensure!(version.bytes == 29, "{} bytes", version.bytes);
    ensure!(version.job == format!("shop-{}", version.id), "the Job is {}", version.job);
    ensure!(serving(model).version.as_ref() == Some(&version.id), "another version is served");
    ensure!(bed.answers("shop", "/version").await? == version.id, "another version answers");
    ensure!(bed.answers("shop", "/model").await? == format!("model of {}", version.id), "another artifact is loaded");
    Ok(())
}

async fn kubectl_shows_it(bed: &Bed, model: &RecommenderModel) -> Result<()> {
    let table = bed.cluster.kubectl(&["-n", &bed.namespace.name, "get", "recmodel", "shop"]).await?;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let [header, row] = &rows[..] else { anyhow::bail!("a header and a row, not:\n{table}") };
    let expected = ["NAME", "READY", "VERSION", "REPLICAS", "TRAINED", "REFRESHABLE", "REASON", "AGE"];
    ensure!(header[..] == expected, "{header:?}");
    let version = serving(model).version.unwrap_or_default();
    ensure!(row[..4] == ["shop", "True", &version, "2"] && row[5..7] == ["True", "Serving"], "{row:?}");
    // `45s`, `2m5s`, and `3m` where the seconds are 0.
    let is_age = |text: &str| text.ends_with(['s', 'm']) && text.starts_with(|c: char| c.is_ascii_digit());
    ensure!(is_age(row[4]) && is_age(row[7]), "{row:?}");
    Ok(())
}

/// The namespace enforces `restricted`, so the pods comply with it. That they get no token is a rule of the operator.
async fn pods_have_no_api_token(bed: &Bed) -> Result<()> {
    let pods = bed.api::<Pod>().list(&ListParams::default()).await?;
    ensure!(pods.items.len() == 3, "a trainer and two servers, not {} pods", pods.items.len());
    for pod in pods {
        let token = pod.spec.as_ref().is_none_or(|spec| spec.automount_service_account_token != Some(false));
        ensure!(!token, "{} gets a token", pod.name_any());
    }
    Ok(())
}

fn writes_are_few(requests: &[Request], children: &[Child]) -> Result<()> {
    let mut writes: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    // The name of a Job contains the time of its run.
    let name_of = |resource: &str, name| if resource == "jobs" { "" } else { name };
    for request in requests.iter().filter(|request| request.is_write() && request.resource != "events") {
        ensure!(request.code < 300, "a write failed: {request:?}");
        let name = name_of(&request.resource, request.name.as_str());
        *writes.entry((&request.resource, name)).or_default() += 1;
    }
    let status = writes.remove(&("recommendermodels/status", "shop")).unwrap_or_default();
    ensure!((1..=STATUS_WRITES).contains(&status), "{status} status writes");
    let resources: Vec<_> = children.iter().map(|child| (child.kind.resource().plural, child.name.as_str())).collect();
    let once = resources.iter().map(|(resource, name)| ((resource.as_str(), name_of(resource, name)), 1));
    let once: BTreeMap<(&str, &str), usize> = once.collect();
    ensure!(writes == once, "{writes:#?}");
    Ok(())
}

async fn each_change_has_one_event(bed: &Bed, model: &RecommenderModel, requests: &[Request]) -> Result<()> {
    let reasons = ["Trained", "Serving"];
    bed.until_events(model, &reasons).await?;
    let created = requests.iter().filter(|request| request.resource == "events").count();
    ensure!(created <= reasons.len(), "{created} events were written for {reasons:?}");
    Ok(())
}

/// Names of all objects of a model, as `Kind/name`, including pods.
pub async fn child_names(bed: &Bed, base: &str) -> Result<Vec<String>> {
    let of_model = ListParams::default().labels(&format!("recommender.dev/model={base}"));
    let mut names = Vec::new();
    for kind in Kind::ALL {
        let children: Api<DynamicObject> = bed.children(kind);
        names.extend(
            children.list(&of_model).await?.iter().map(|child| format!("{}/{}", kind.as_str(), child.name_any())),
        );
    }
    let pods = bed.api::<Pod>().list(&of_model).await?;
    names.extend(pods.iter().map(|pod| format!("Pod/{}", pod.name_any())));
    Ok(names)
}
