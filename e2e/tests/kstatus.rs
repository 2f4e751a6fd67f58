//! kstatus, by which `helm --wait` and Flux wait, makes of an object what the operator's own conditions say. Needs no cluster:
//! the operator watches Deployments of a fake one; the program with kstatus is built from source on first use.

use std::{collections::BTreeMap, convert::Infallible, future, pin::pin, sync::Arc};

use anyhow::{Context, Result, anyhow, ensure};
use e2e::kstatus;
use futures::StreamExt;
use http::{Request, Response};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Client, client::Body};
use recommender_operator::{
    api::{
        RecommenderModel, RecommenderModelStatus, ServingStatus, TrainingKind, TrainingStatus, VERSION_LABEL, Version,
        VersionState,
        conditions::{reasons, types},
        crd,
    },
    apply::ChildProblem,
    kinds::Kind,
    model::Model,
    observe::{Cache, Children, Scope, watch_children},
    promotion::{self, Rollout},
    status::{self, Inputs, Scaling},
    training::{Decision, Outcome, Truth},
    validate,
};
use serde_json::{Value, json};

/// The time of every reconcile.
const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// The generation of every object, unless a test says otherwise.
const GENERATION: i64 = 3;

/// What kstatus makes of an object that works, waits, or waits for a person; the last of several parts counts.
const STATUSES: [&str; 3] = ["Current", "InProgress", "Failed"];

/// Pods of a Deployment with two replicas.
struct Pods {
    what: &'static str,
    /// Of the newest template, of any, and ready. None when there is no Deployment.
    numbers: Option<[i32; 3]>,
    stuck: bool,
    kstatus: &'static str,
}

const PODS: [Pods; 6] = [
    Pods { what: "absent", numbers: None, stuck: false, kstatus: "InProgress" },
    Pods { what: "ready", numbers: Some([2, 2, 2]), stuck: false, kstatus: "Current" },
    Pods { what: "rolling-out", numbers: Some([1, 3, 2]), stuck: false, kstatus: "InProgress" },
    Pods { what: "one-ready", numbers: Some([2, 2, 1]), stuck: false, kstatus: "InProgress" },
    Pods { what: "none-ready", numbers: Some([2, 2, 0]), stuck: false, kstatus: "InProgress" },
    Pods { what: "stuck", numbers: Some([1, 3, 2]), stuck: true, kstatus: "Failed" },
];

/// The newest version, of which all servers are.
const NEWEST: &str = "full-2";

/// What was trained, and what served before.
struct Trained {
    what: &'static str,
    condition: (Truth, &'static str),
    versions: &'static [&'static str],
    served: Option<&'static str>,
    kstatus: &'static str,
}

#[rustfmt::skip] // a table
const TRAINED: [Trained; 5] = [
    Trained { what: "first run", condition: (Truth::Unknown, reasons::TRAINING), versions: &[], served: None, kstatus: "InProgress" },
    Trained { what: "first run failed", condition: (Truth::False, reasons::TRAINING_FAILED), versions: &[], served: None, kstatus: "Failed" },
    Trained { what: "first version", condition: (Truth::True, reasons::TRAINED), versions: &[NEWEST], served: None, kstatus: "Current" },
    Trained { what: "newer version", condition: (Truth::True, reasons::TRAINED), versions: &[NEWEST, "full-1"], served: Some("full-1"), kstatus: "Current" },
    Trained { what: "later run failed", condition: (Truth::False, reasons::TRAINING_FAILED), versions: &[NEWEST], served: Some(NEWEST), kstatus: "Current" },
];

/// A child that is not as desired: its kind, the reason, and whether it lasts.
type Refused = Option<(Kind, &'static str, bool)>;

const REFUSED: [(Refused, &str); 4] = [
    (None, "Current"),
    (Some((Kind::ServiceMonitor, reasons::API_MISSING, true)), "Current"),
    (Some((Kind::HorizontalPodAutoscaler, reasons::APPLY_FAILED, false)), "InProgress"),
    (Some((Kind::HorizontalPodAutoscaler, reasons::NAME_CONFLICT, true)), "Failed"),
];

/// The object, without a status.
fn object(generation: i64) -> Value {
    json!({
        "apiVersion": "recommender.dev/v1alpha1",
        "kind": "RecommenderModel",
        "metadata": {"name": "packages", "namespace": "shop", "uid": "uid", "generation": generation},
        "spec": {
            "artifacts": {"persistentVolumeClaim": {"claimName": "models"}},
            "training": {"image": "t", "full": {}},
            "serving": {"image": "s", "replicas": 2},
            "workers": [{"name": "events", "replicas": 2}],
        },
    })
}

fn with_status(generation: i64, status: &RecommenderModelStatus) -> Result<Value> {
    let mut object = object(generation);
    object["status"] = serde_json::to_value(status)?;
    Ok(object)
}

/// A Deployment of the object, as the cluster shows it.
fn deployment(namespace: &str, name: &str, pods: &Pods) -> Option<Value> {
    let [updated, total, ready] = pods.numbers?;
    let (progressing, message) =
        if pods.stuck { ("False", "the deadline has passed") } else { ("True", "it progresses") };
    let owner = json!({
        "apiVersion": "recommender.dev/v1alpha1", "kind": "RecommenderModel", "name": "packages", "uid": "uid",
        "controller": true,
    });
    Some(json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("{namespace}/{name}"), "resourceVersion": "1",
            "generation": 1, "ownerReferences": [owner],
        },
        "spec": {
            "replicas": 2,
            "selector": {},
            "template": {"metadata": {"labels": {VERSION_LABEL: NEWEST}}},
        },
        "status": {
            "observedGeneration": 1, "replicas": total, "updatedReplicas": updated, "readyReplicas": ready,
            "conditions": [{"type": "Progressing", "status": progressing, "message": message}],
        },
    }))
}

/// A cluster with these Deployments and nothing else. They never change.
fn cluster_with(deployments: &[Value]) -> Client {
    let list = |items: &[Value]| {
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items});
        list.to_string().into_bytes()
    };
    let (deployments, nothing) = (list(deployments), list(&[]));
    let service = tower::service_fn(move |request: Request<Body>| {
        let is_watch = request.uri().query().unwrap_or_default().contains("watch=true");
        let is_deployments = request.uri().path().ends_with("/deployments");
        let list = if is_deployments { deployments.clone() } else { nothing.clone() };
        async move {
            if is_watch {
                future::pending::<()>().await;
            }
            Ok::<_, Infallible>(Response::new(Body::from(list)))
        }
    });
    Client::new(service, "default")
}

/// What the operator observes of these Deployments.
async fn observed(deployments: &[Value]) -> Result<Arc<Cache>> {
    let cache = Arc::new(Cache::default());
    let mut changes = pin!(watch_children(&cluster_with(deployments), &Scope::All, &cache, false));
    while !cache.is_loaded() {
        changes.next().await.context("the watches end")?;
    }
    Ok(cache)
}

fn version(id: &str) -> Version {
    Version {
        id: id.into(),
        state: VersionState::Candidate,
        kind: TrainingKind::Full,
        job: format!("packages-{id}"),
        uri: format!("file:///artifacts/shop/packages/{id}/model"),
        digest: format!("sha256:{}", "0".repeat(64)),
        bytes: 1,
        metrics: Default::default(),
        samples: None,
        standard_errors: Default::default(),
        gates: Vec::new(),
        canary: None,
        data_through: None,
        base: None,
        due_at: Time(NOW),
        started_at: None,
        trained_at: Time(NOW),
        served_at: None,
    }
}

/// The status that the operator writes.
fn computed(trained: &Trained, children: &Children, refused: Refused) -> Result<RecommenderModelStatus> {
    let object: RecommenderModel = serde_json::from_value(validate::stored(&object(GENERATION)))?;
    let model = Model::new(&object, NOW).map_err(|problems| anyhow!("{problems:?}"))?;
    let served =
        trained.served.map(|version| ServingStatus { version: Some(version.into()), ..ServingStatus::default() });
    let training = Decision {
        start: None,
        replace: Vec::new(),
        remove: Vec::new(),
        status: TrainingStatus::default(),
        versions: trained.versions.iter().map(|id| version(id)).collect(),
        condition: Outcome { status: trained.condition.0, reason: trained.condition.1, message: trained.what.into() },
        wake_at: None,
    };
    let problem = refused.map(|(kind, reason, permanent)| {
        let message = format!("{} is refused", kind.as_str());
        ChildProblem { kind, name: "packages-serving".into(), reason, message, permanent }
    });
    let prior = RecommenderModelStatus { serving: served, ..RecommenderModelStatus::default() };
    let store = model.artifacts.root_uri();
    let servers = promotion::Servers::new(&model, &prior, children, &Default::default(), NOW);
    let versions = (store.as_str(), training.versions.as_slice());
    let none = BTreeMap::new();
    let rollout = promotion::Inputs::new(&model, versions, &prior, &servers, promotion::CanaryInputs::NONE, &none, NOW);
    Ok(status::compute(&Inputs {
        reload: None,
        model: &model,
        prior: &prior,
        training: &training,
        rollout: &Rollout::decide(&rollout),
        pruning: None,
        children,
        problems: problem.as_slice(),
        scaling: &Scaling::default(),
        health: &BTreeMap::new(),
        budgets: &Default::default(),
        canary: None,
        route: None,
        feedback: None,
        now: NOW,
    }))
}

/// The status of an object of which everything is ready.
async fn serving() -> Result<RecommenderModelStatus> {
    let names = ["packages-serving", "packages-worker-events"];
    let deployments: Vec<Value> = names.iter().filter_map(|name| deployment("shop", name, &PODS[1])).collect();
    computed(&TRAINED[2], &observed(&deployments).await?.children("shop", "packages"), None)
}

/// What the conditions say in the words of kstatus: its message, and whether the object is ready.
fn said<'a>(status: &'a RecommenderModelStatus, kstatus: &str) -> Result<(&'a str, bool)> {
    let condition = |type_: &str| {
        let found = status.conditions.iter().find(|condition| condition.type_ == type_);
        found.with_context(|| format!("no condition {type_}"))
    };
    let ready = condition(types::READY)?.status == "True";
    let message = match kstatus {
        "InProgress" => &condition(types::RECONCILING)?.message,
        "Failed" => &condition(types::STALLED)?.message,
        _ => "Resource is Ready",
    };
    Ok((message, ready))
}

#[tokio::test]
async fn kstatus_makes_of_every_state_what_the_conditions_say() -> Result<()> {
    let pairs = || PODS.iter().flat_map(|servers| PODS.iter().map(move |workers| (servers, workers)));
    let namespace = |servers: &Pods, workers: &Pods| format!("{}-{}", servers.what, workers.what);
    let deployments: Vec<Value> = pairs()
        .flat_map(|(servers, workers)| {
            let namespace = namespace(servers, workers);
            [("packages-serving", servers), ("packages-worker-events", workers)]
                .map(|(name, pods)| deployment(&namespace, name, pods))
        })
        .flatten()
        .collect();
    let cache = observed(&deployments).await?;

    let mut cases = Vec::new();
    for trained in &TRAINED {
        // Without a version there are no servers.
        for (servers, workers) in pairs().filter(|(pods, _)| !trained.versions.is_empty() || pods.numbers.is_none()) {
            for (refused, kstatus) in REFUSED {
                let children = cache.children(&namespace(servers, workers), "packages");
                let of_servers = if trained.versions.is_empty() { "Current" } else { servers.kstatus };
                let parts = [trained.kstatus, of_servers, workers.kstatus, kstatus];
                let expected =
                    *STATUSES.iter().rfind(|status| parts.contains(status)).context("parts have a status")?;
                let what = format!("{}, servers {}, workers {}, {refused:?}", trained.what, servers.what, workers.what);
                cases.push((what, computed(trained, &children, refused)?, expected));
            }
        }
    }
    let objects = cases.iter().map(|(_, status, _)| Ok(with_status(GENERATION, status)?.to_string()));
    let found = kstatus::compute(&objects.collect::<Result<String>>()?)?;

    ensure!(cases.len() == 480 && found.len() == cases.len(), "{} of {} were computed", found.len(), cases.len());
    for ((what, status, expected), found) in cases.iter().zip(found) {
        let (message, ready) = said(status, expected)?;
        ensure!(
            found.status == *expected && found.message == message,
            "{what}: {found:?} instead of {expected}: {message}"
        );
        ensure!(ready || *expected != "Current", "{what}: current, and not ready");
    }
    Ok(())
}

#[tokio::test]
async fn kstatus_follows_an_object_from_its_creation_to_its_end() -> Result<()> {
    let serving = serving().await?;
    let invalid = status::stalled(&serving, GENERATION, reasons::INVALID_SPEC, "spec.x: wrong", NOW);
    let interrupted = |prior| status::interrupted(prior, GENERATION, "no connection", NOW);
    let mut created = object(1);
    created["status"] = crd::schema()["properties"]["status"]["default"].clone();
    let mut deleted = with_status(GENERATION, &serving)?;
    deleted["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");

    let cases = [
        ("without the default of the status, which makes it wait", object(1), "Current"),
        ("created", created, "InProgress"),
        ("serving", with_status(GENERATION, &serving)?, "Current"),
        ("edited since", with_status(GENERATION + 1, &serving)?, "InProgress"),
        ("invalid", with_status(GENERATION, &invalid)?, "Failed"),
        ("corrected since", with_status(GENERATION + 1, &invalid)?, "InProgress"),
        ("interrupted", with_status(GENERATION, &interrupted(&serving))?, "InProgress"),
        ("interrupted while invalid", with_status(GENERATION, &interrupted(&invalid))?, "InProgress"),
        ("being deleted", deleted, "Terminating"),
    ];
    let found = kstatus::compute(&cases.iter().map(|(_, object, _)| object.to_string()).collect::<String>())?;
    let found: Vec<(&str, &str)> =
        cases.iter().zip(&found).map(|((what, ..), found)| (*what, found.status.as_str())).collect();
    assert_eq!(found, cases.each_ref().map(|(what, _, expected)| (*what, *expected)));
    Ok(())
}
