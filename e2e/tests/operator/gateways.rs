//! A canary by the weights of an HTTPRoute that a real Gateway routes by: Contour reports on the route, and requests go through its Envoy
//! to servers that count what they answer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use e2e::contour;
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::Api;
use recommender_operator::api::{RecommenderModel, VersionState, gateway::HTTPRoute};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{self, MissedTickBehavior},
};

use crate::{
    bed::{Bed, TIMEOUT, condition, has_message, serving},
    routes::{CANARY, Given, NAME},
};

/// The host name of the recommender.
const HOST: &str = "shop.example.org";
/// The path of the recommendations.
const PATH: &str = "/cgi-bin/recommend";
/// Where a server lists the requests that it has answered: the host name that each was sent to, a line each.
const ANSWERED: &str = "/requests.txt";

/// Senders of requests, and the time between two requests of one of them: 100 requests per second in all, of which 30 % are enough for a
/// finding on errors within a quarter of a minute.
const SENDERS: usize = 5;
const PERIOD: Duration = Duration::from_millis(50);
/// Requests of one sender at most: 12,000, which are 10 min. They are sent for 3 min.
const MOST: usize = 12_000;
/// How long an answer may take: 10 s, far more than a server that is well takes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers that are counted while a weight does not change: 2000. The share of the canary has a standard deviation of 1 % then.
const SAMPLE: usize = 2000;
/// The weight of the canary, in per cent.
const WEIGHT: i32 = 30;
/// How far the share of the answers may be from the weight, in per cent: 6, beyond which it is once in some 10⁸ runs.
const TOLERANCE: f64 = 6.0;
/// Time until an Envoy routes by what its controller has reported as observed: 3 s. The controller reports before Envoy has it.
const SETTLED: Duration = Duration::from_secs(3);

/// A server that answers with its version, and counts its answers.
const ANSWERING: &str = r#"
    set -e
    mkdir -p /tmp/www/cgi-bin
    : > /tmp/www/requests.txt
    echo '#!/bin/sh' > /tmp/www/cgi-bin/recommend
    echo 'echo "$HTTP_HOST" >> /tmp/www/requests.txt' >> /tmp/www/cgi-bin/recommend
    echo 'printf "Content-Type: text/plain\r\n\r\n%s\n" "$RECOMMENDER_VERSION"' >> /tmp/www/cgi-bin/recommend
    chmod +x /tmp/www/cgi-bin/recommend
    echo ok > /tmp/www/health
    (
        while true; do
            printf 'http_requests_total{method="GET",handler="/recommendations",status="2xx"} %s\n' \
                $(wc -l < /tmp/www/requests.txt) > /tmp/www/next
            mv /tmp/www/next /tmp/www/metrics.txt
            sleep 1
        done
    ) &
    trap 'exit 0' TERM
    httpd -f -p 8000 -h /tmp/www &
    wait
"#;

/// An answer: when it came, and the version that it is of, or what went wrong.
type Answer = (Timestamp, Result<String, String>);

/// Requests through the Gateway, all the time. Dropping it ends them.
struct Traffic {
    answers: Arc<Mutex<Vec<Answer>>>,
    _senders: JoinSet<()>,
}

impl Traffic {
    fn start(address: &str) -> Self {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let (into, url) = (answers.clone(), format!("http://{address}{PATH}"));
            senders.spawn(async move {
                let client = client();
                let mut ticks = time::interval(PERIOD);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for _ in 0..MOST {
                    ticks.tick().await;
                    let answer = ask(&client, &url).await.map_err(|error| format!("{error:#}"));
                    into.lock().unwrap_or_else(PoisonError::into_inner).push((Timestamp::now(), answer));
                }
            });
        }
        Self { answers, _senders: senders }
    }

    /// The answers after the first `from`.
    fn since(&self, from: usize) -> Vec<Answer> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(from..).unwrap_or_default().to_vec()
    }

    /// How many of the answers after the first `from` are of each version.
    fn versions(&self, from: usize) -> Result<BTreeMap<String, usize>> {
        let mut versions = BTreeMap::new();
        for (at, answer) in self.since(from) {
            let version = answer.map_err(|error| anyhow::anyhow!("at {at}, a request failed: {error}"))?;
            *versions.entry(version).or_default() += 1;
        }
        Ok(versions)
    }
}

fn client() -> Client<HttpConnector, Empty<&'static [u8]>> {
    Client::builder(TokioExecutor::new()).build(HttpConnector::new())
}

/// Asks for recommendations. Returns the version that has answered.
async fn ask(client: &Client<HttpConnector, Empty<&'static [u8]>>, url: &str) -> Result<String> {
    let request = http::Request::get(url).header(http::header::HOST, HOST).body(Empty::new())?;
    let answer = async {
        let response = client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).trim().to_owned()))
    };
    match time::timeout(ANSWER_TIMEOUT, answer).await.context("no answer in 10 s")?? {
        (http::StatusCode::OK, version) => Ok(version),
        (status, body) => bail!("{status} {body}"),
    }
}

fn object(gateway: &str) -> Value {
    let mut monitoring = Bed::monitoring();
    monitoring["metrics"]["intervalSeconds"] = 5.into();
    let parent = json!({"name": contour::GATEWAY, "namespace": gateway, "sectionName": "http"});
    json!({"spec": {
        "serving": {"command": ["sh", "-c", ANSWERING], "replicas": 1},
        "monitoring": monitoring,
        "promotion": {"canary": {
            "httpRoute": {"parentRefs": [parent], "hostnames": [HOST]},
            // So long that the sample is complete before the step ends.
            "steps": [
                {"mirrorPercent": 100, "seconds": 60, "requests": 500},
                {"weightPercent": WEIGHT, "seconds": 60, "requests": 500},
            ],
            "warmUpSeconds": 5,
        }},
    }})
}

/// Applies the Gateway, whose only listener is for this host name.
async fn apply_gateway(bed: &Bed, namespace: &str, hostname: &str) -> Result<()> {
    let listener = json!({
        "name": "http", "protocol": "HTTP", "port": 80, "hostname": hostname, "allowedRoutes": {"namespaces": {"from": "All"}},
    });
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": contour::GATEWAY, "namespace": namespace},
        "spec": {"gatewayClassName": namespace, "listeners": [listener]},
    });
    let arguments = ["apply", "--server-side", "--field-manager=e2e", "-f", "-"];
    bed.cluster.kubectl_with_input(&arguments, &gateway.to_string()).await.map(drop)
}

/// The generation of the route once it gives this and its Gateway has observed it.
async fn observed(bed: &Bed, expected: Given) -> Result<Option<i64>> {
    e2e::eventually(&format!("the Gateway has observed {expected:?}"), TIMEOUT, async || {
        let route = bed.api::<HTTPRoute>().get(NAME).await?;
        let given = Given::of(&route.spec)?;
        ensure!(given == expected, "{given:?}");
        let parents = route.status.map(|status| status.parents).unwrap_or_default();
        let generation = route.metadata.generation;
        let observed =
            parents.iter().flat_map(|parent| &parent.conditions).map(|condition| condition.observed_generation);
        ensure!(observed.clone().count() > 0 && observed.clone().all(|of| of == generation), "{parents:?}");
        Ok(generation)
    })
    .await
}

/// How many of a sample of answers are of each version while the route gives this, and how many requests a canary's server has answered in
/// that time.
async fn sample(bed: &Bed, traffic: &Traffic, expected: Given) -> Result<(BTreeMap<String, usize>, usize)> {
    let generation = observed(bed, expected).await?;
    time::sleep(SETTLED).await;
    let before = answered_by_canary(bed).await;
    let from = traffic.since(0).len();
    e2e::eventually("enough answers have come", TIMEOUT, async || {
        let answers = traffic.since(from).len();
        ensure!(answers >= SAMPLE, "{answers} of {SAMPLE}");
        Ok(())
    })
    .await?;
    let versions = traffic.versions(from)?;
    let after = answered_by_canary(bed).await;
    let route = bed.api::<HTTPRoute>().get(NAME).await?;
    ensure!(
        route.metadata.generation == generation,
        "the step ended before {SAMPLE} requests were answered: {:?}",
        route.spec
    );
    println!("{expected:?}: answers by version {versions:?}, {} requests of the canary", after.saturating_sub(before));
    Ok((versions, after.saturating_sub(before)))
}

/// The requests that the server of the canary has answered; 0 without one. It has one pod.
async fn answered_by_canary(bed: &Bed) -> usize {
    hosts_of_canary(bed).await.map_or(0, |hosts| hosts.len())
}

/// The host names that the requests of the canary were sent to.
async fn hosts_of_canary(bed: &Bed) -> Result<Vec<String>> {
    Ok(bed.answer(CANARY, ANSWERED).await?.lines().map(str::to_owned).collect())
}

/// The message of `PromotionReady`.
fn message(model: &RecommenderModel) -> String {
    condition(model, "PromotionReady").map(|condition| condition.message.clone()).unwrap_or_default()
}

pub async fn the_requests_through_a_real_gateway_follow_the_steps_of_a_canary_and_none_fails() -> Result<()> {
    let bed = Bed::new("divided").await?;
    let infra = bed.cluster.namespace("gateway").await?;
    bed.cluster.gateway(&infra.name, &bed.namespace.name).await?;
    bed.create(NAME, object(&infra.name)).await?;
    let first = serving(&bed.served(NAME).await?).version.context("a version is served")?;
    bed.request(NAME, "full for a canary").await?;

    // Without its Gateway, and with one that does not have its host name.
    let reason = "RouteNotAccepted";
    let unreported = "no controller has reported on HTTPRoute shop at Gateway";
    bed.until(NAME, "waits for the Gateway", |model| has_message(model, "PromotionReady", reason, unreported)).await?;
    apply_gateway(&bed, &infra.name, "films.example.org").await?;
    let refused = "Accepted is False, NoMatchingListenerHostname";
    let waits = bed.until(NAME, "is refused", |model| has_message(model, "PromotionReady", reason, refused)).await?;
    println!("PromotionReady: {}", message(&waits));
    ensure!(bed.api::<Deployment>().get_opt(CANARY).await?.is_none(), "a canary has begun");

    apply_gateway(&bed, &infra.name, HOST).await?;
    let envoy = Api::<Service>::namespaced(bed.cluster.client(), &infra.name).get(contour::SERVICE).await?;
    let address = envoy.spec.and_then(|spec| spec.cluster_ip).context("the Service of Envoy has an address")?;
    e2e::eventually("the Gateway answers", TIMEOUT, async || {
        ask(&client(), &format!("http://{address}{PATH}")).await.map(drop)
    })
    .await?;
    let traffic = Traffic::start(&address);
    let closed = Given { stable: 100, canary: 0, mirrored: 0 };

    // Copies: the canary gets all requests, and answers none.
    let (versions, copies) = sample(&bed, &traffic, Given { mirrored: 100, ..closed }).await?;
    ensure!(versions.keys().eq([&first]), "{versions:?}");
    let answers: usize = versions.values().sum();
    let share = percent(copies, answers);
    ensure!((100.0 - share).abs() < TOLERANCE, "{copies} copies of {answers} requests");
    let hosts = hosts_of_canary(&bed).await?;
    let copied = format!("{HOST}-shadow");
    ensure!(
        hosts.iter().all(|host| *host == copied),
        "docs/canary.md names another host of copies: {:?}",
        hosts.last()
    );

    // The weight: of the answers so many are of the canary.
    let (versions, _) = sample(&bed, &traffic, Given { stable: 100 - WEIGHT, canary: WEIGHT, mirrored: 0 }).await?;
    let model = bed.models().get(NAME).await?;
    println!("PromotionReady: {}", message(&model));
    println!("status.serving.canary: {:?}", serving(&model).canary.map(|canary| canary.message));
    ensure!(message(&model).contains(&format!("{WEIGHT} % of the requests")), "{}", message(&model));
    let second = serving(&model).canary.context("a canary is under way")?.version;
    ensure!(versions.keys().all(|version| [&first, &second].contains(&version)), "{versions:?}");
    let share = percent(versions.get(&second).copied().unwrap_or_default(), versions.values().sum());
    ensure!((share - f64::from(WEIGHT)).abs() < TOLERANCE, "{share} % of the answers are of the canary: {versions:?}");

    // The takeover: all are of the new version.
    let promoted = bed
        .until(NAME, "serves the second version", |model| {
            let serving = serving(model);
            serving.version.as_ref() == Some(&second) && serving.canary.is_none()
        })
        .await?;
    let newest = promoted.status.as_ref().and_then(|status| status.versions.first()).context("a version")?;
    ensure!(newest.state == VersionState::Serving, "{newest:?}");
    e2e::eventually("the canary's pods are removed", TIMEOUT, async || {
        ensure!(bed.api::<Deployment>().get_opt(CANARY).await?.is_none(), "the Deployment is there");
        Ok(())
    })
    .await?;
    let (versions, _) = sample(&bed, &traffic, closed).await?;
    ensure!(versions.keys().eq([&second]), "{versions:?}");
    println!("answers in all: {:?}", traffic.versions(0)?);
    Ok(())
}

fn percent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of as f64
}
