//! A canary by the weights of an HTTPRoute, without a Gateway that implements it: the test reports what one would, and reads which weights
//! the operator writes, and when. With a real one: `gateways`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use recommender_operator::api::{
    VersionState,
    gateway::{HTTPRoute, HttpRouteSpec},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::bed::{Bed, TIMEOUT, has_message, serving};

/// The object, its Service and its HTTPRoute.
pub const NAME: &str = "shop";
/// The Deployment and the Service of the canary.
pub const CANARY: &str = "shop-canary";
/// The Gateway, which nobody implements.
const GATEWAY: &str = "public";
/// Time between two looks of the Gateway at its route: 500 ms, longer than a reconcile takes, so that the order of writes shows.
const OBSERVED_EVERY: Duration = Duration::from_millis(500);

/// A server that counts 100 requests per second, none of which fails: what it would count behind a Gateway. Enough for a finding within a
/// minute.
const COUNTING: &str = r#"
    set -e
    mkdir -p /tmp/www
    echo $RECOMMENDER_VERSION > /tmp/www/version
    echo ok > /tmp/www/health
    (
        n=0
        while true; do
            n=$((n + 100))
            printf 'http_requests_total{method="GET",handler="/recommendations",status="2xx"} %s\n' $n > /tmp/www/next
            mv /tmp/www/next /tmp/www/metrics.txt
            sleep 1
        done
    ) &
    trap 'exit 0' TERM
    httpd -f -p 8000 -h /tmp/www &
    wait
"#;

/// What an HTTPRoute gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The weight of the version that serves.
    pub stable: i32,
    /// That of the canary.
    pub canary: i32,
    /// Per cent of the requests that the canary gets copies of.
    pub mirrored: i32,
}

impl Given {
    /// Of a route with one rule.
    pub fn of(spec: &HttpRouteSpec) -> Result<Self> {
        let rule = spec.rules.first().context("the route has a rule")?;
        let weight = |name: &str| {
            let backend = rule.backend_refs.iter().find(|backend| backend.name == name);
            backend.and_then(|backend| backend.weight).with_context(|| format!("{name} has a weight"))
        };
        let mirror = rule.filters.first().and_then(|filter| filter.request_mirror.as_ref());
        let mirrored = mirror.map_or(0, |mirror| mirror.percent.unwrap_or(100));
        Ok(Self { stable: weight(NAME)?, canary: weight(CANARY)?, mirrored })
    }
}

/// What was observed of the route when it had changed.
#[derive(Clone, Debug)]
struct Seen {
    given: Given,
    /// Pods of the canary that were ready then; none without its Deployment.
    ready: Option<i32>,
}

/// A Gateway that accepts the route, and observes each of its changes.
struct Gateway {
    seen: Arc<Mutex<Vec<Result<Seen, String>>>>,
    task: JoinHandle<()>,
}

impl Gateway {
    fn start(bed: &Bed) -> Self {
        let (routes, deployments) = (bed.api::<HTTPRoute>(), bed.api::<Deployment>());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = seen.clone();
        let task = tokio::spawn(async move {
            let mut observed = None;
            loop {
                let looked = look(&routes, &deployments, &mut observed).await.transpose();
                if let (Some(looked), Ok(mut seen)) = (looked, into.lock()) {
                    seen.push(looked.map_err(|error| format!("{error:#}")));
                }
                tokio::time::sleep(OBSERVED_EVERY).await;
            }
        });
        Self { seen, task }
    }

    /// Stops, and returns what was seen.
    fn stop(self) -> Result<Vec<Seen>> {
        self.task.abort();
        let seen = self.seen.lock().map(|seen| seen.clone()).unwrap_or_default();
        seen.into_iter().collect::<Result<_, _>>().map_err(anyhow::Error::msg)
    }
}

/// Looks at the route, and reports that it is accepted. Nothing when its generation is the one that was observed before.
async fn look(
    routes: &Api<HTTPRoute>,
    deployments: &Api<Deployment>,
    observed: &mut Option<i64>,
) -> Result<Option<Seen>> {
    let Some(route) = routes.get_opt(NAME).await? else { return Ok(None) };
    if route.metadata.generation == *observed {
        return Ok(None);
    }
    let canary = deployments.get_opt(CANARY).await?;
    let ready = canary.map(|canary| canary.status.and_then(|status| status.ready_replicas).unwrap_or_default());
    let seen = Seen { given: Given::of(&route.spec)?, ready };
    report(routes, &route, true).await?;
    *observed = route.metadata.generation;
    Ok(Some(seen))
}

/// Reports on the route, as the controller of its Gateway does.
async fn report(routes: &Api<HTTPRoute>, route: &HTTPRoute, accepted: bool) -> Result<()> {
    let (status, reason) = if accepted { ("True", "Accepted") } else { ("False", "NoMatchingListenerHostname") };
    let condition = |type_: &str, status: &str, reason: &str| {
        json!({"type": type_, "status": status, "reason": reason, "message": "as the test wants it",
               "observedGeneration": route.metadata.generation, "lastTransitionTime": Timestamp::now()})
    };
    let parent = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY});
    let status = json!({"status": {"parents": [{
        "parentRef": parent, "controllerName": "example.org/test",
        "conditions": [condition("Accepted", status, reason), condition("ResolvedRefs", "True", "ResolvedRefs")],
    }]}});
    routes.patch_status(NAME, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

fn object() -> Value {
    let mut monitoring = Bed::monitoring();
    monitoring["metrics"]["intervalSeconds"] = 5.into();
    json!({"spec": {
        "serving": {"command": ["sh", "-c", COUNTING], "replicas": 2},
        "monitoring": monitoring,
        "promotion": {"canary": {
            "httpRoute": {"parentRefs": [{"name": GATEWAY}], "hostnames": ["shop.example.org"]},
            "steps": [
                {"mirrorPercent": 50, "seconds": 5, "requests": 100},
                {"weightPercent": 1, "seconds": 5, "requests": 100},
                {"weightPercent": 20, "seconds": 5, "requests": 100},
            ],
            "warmUpSeconds": 5,
        }},
    }})
}

async fn given(bed: &Bed) -> Result<Given> {
    Given::of(&bed.api::<HTTPRoute>().get(NAME).await?.spec)
}

pub async fn weights_follow_the_steps_of_a_canary_and_never_its_missing_pods() -> Result<()> {
    let bed = Bed::new("routed").await?;
    bed.create(NAME, object()).await?;
    let first = serving(&bed.served(NAME).await?).version.context("a version is served")?;
    let closed = Given { stable: 100, canary: 0, mirrored: 0 };
    ensure!(given(&bed).await? == closed, "{:?}", given(&bed).await?);
    for (service, track) in [(NAME, "stable"), (CANARY, "canary")] {
        let selector = bed.api::<Service>().get(service).await?.spec.and_then(|spec| spec.selector);
        let selected = selector.as_ref().and_then(|selector| selector.get("recommender.dev/track"));
        ensure!(selected.is_some_and(|selected| selected == track), "{service} selects {selector:?}");
    }

    // Nobody accepts the route: no canary begins, and the condition says why.
    bed.request(NAME, "full for a canary").await?;
    let waiting = format!("no controller has reported on HTTPRoute {NAME} at Gateway {GATEWAY}");
    let reason = "RouteNotAccepted";
    bed.until(NAME, "waits for the Gateway", |model| has_message(model, "PromotionReady", reason, &waiting)).await?;
    let routes = bed.api::<HTTPRoute>();
    report(&routes, &routes.get(NAME).await?, false).await?;
    let refused = "Accepted is False, NoMatchingListenerHostname (as the test wants it)";
    bed.until(NAME, "is refused", |model| has_message(model, "PromotionReady", reason, refused)).await?;
    ensure!(bed.api::<Deployment>().get_opt(CANARY).await?.is_none(), "a canary has begun");

    let gateway = Gateway::start(&bed);
    let promoted = bed
        .until(NAME, "serves the second version", |model| {
            let serving = serving(model);
            serving.version.as_ref().is_some_and(|version| *version != first) && serving.canary.is_none()
        })
        .await?;
    e2e::eventually("the canary's pods are removed", TIMEOUT, async || {
        ensure!(bed.api::<Deployment>().get_opt(CANARY).await?.is_none(), "the Deployment is there");
        Ok(())
    })
    .await?;
    let newest = promoted.status.as_ref().and_then(|status| status.versions.first()).context("a version")?;
    ensure!(newest.state == VersionState::Serving, "{newest:?}");

    let seen = gateway.stop()?;
    let shares: Vec<Given> = seen.iter().map(|seen| seen.given).collect();
    let expected = [
        closed,
        Given { mirrored: 50, ..closed },
        Given { stable: 99, canary: 1, mirrored: 0 },
        Given { stable: 80, canary: 20, mirrored: 0 },
        closed,
    ];
    ensure!(shares == expected, "{shares:?}");
    for Seen { given, ready } in &seen {
        let gets = given.canary > 0 || given.mirrored > 0;
        ensure!(!gets || ready.is_some_and(|ready| ready > 0), "{given:?} with these ready pods: {ready:?}");
    }
    let last = seen.last().context("the route was seen")?;
    ensure!(last.ready.is_some(), "the pods were removed before a Gateway had observed that they get nothing");
    Ok(())
}

pub async fn weights_that_someone_edits_are_restored() -> Result<()> {
    let bed = Bed::new("reweighed").await?;
    bed.create(NAME, object()).await?;
    bed.served(NAME).await?;
    let (routes, before) = (bed.api::<HTTPRoute>(), given(&bed).await?);
    let mut rules = serde_json::to_value(routes.get(NAME).await?.spec.rules)?;
    rules[0]["backendRefs"][1]["weight"] = 50.into();
    routes.patch(NAME, &crate::bed::user(), &Patch::Merge(json!({"spec": {"rules": rules}}))).await?;
    e2e::eventually("the weights are restored", TIMEOUT, async || {
        let given = given(&bed).await?;
        ensure!(given == before, "{given:?}");
        Ok(())
    })
    .await?;
    bed.edit(NAME, json!({"spec": {"promotion": {"canary": {"httpRoute": null, "steps": [{"weightPercent": 10}]}}}}))
        .await?;
    e2e::eventually(
        "the route gives all requests to the servers, and the Service of the canary is removed",
        TIMEOUT,
        async || {
            let rules = serde_json::to_value(routes.get(NAME).await?.spec.rules)?;
            ensure!(rules == json!([{"backendRefs": [{"name": NAME, "port": 80, "weight": 100}]}]), "{rules}");
            ensure!(bed.api::<Service>().get_opt(CANARY).await?.is_none(), "the Service of the canary is there");
            Ok(())
        },
    )
    .await
}
