//! What the kubelets report about pods that do not answer: their CPU use (`metrics.k8s.io`), and why their readiness probes
//! fail (Events). Queried only while there are such pods.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
};

use crate::{
    api::{FIELD_MANAGER, MANAGED_BY_LABEL},
    cores,
    names::SERVER_CONTAINER,
    observe::Scope,
    scaling::overload::ProbeFailure,
};

/// Longest time to wait for an answer: there is a new round of queries every few seconds.
const DEADLINE: Duration = Duration::from_secs(4);
/// Most Events that are read from one namespace. The new ones are among them, because the kubelet counts repetitions in one
/// Event, and Events are deleted after an hour.
const MOST_EVENTS: u32 = 500;
/// Label selector of the pods whose CPU use is queried: all of our servers have this label.
const SERVERS: &str = "app.kubernetes.io/component=serving";

/// The CPU use of one server.
#[derive(Clone, Debug, PartialEq)]
pub struct PodCpu {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Cores used, mean over the window.
    pub cores: f64,
    /// When the window ended.
    pub at: Timestamp,
    /// Length of the window, seconds.
    pub window: f64,
}

/// A readiness probe that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedProbe {
    /// Name of the pod.
    pub pod: String,
    /// How it last failed.
    pub failure: ProbeFailure,
    /// When it last failed.
    pub at: Timestamp,
}

/// Access to the kubelets' reports within a scope.
#[derive(Clone)]
pub struct Kubelets {
    client: Client,
    scope: Scope,
}

impl Kubelets {
    /// Does not connect yet.
    pub fn new(client: Client, scope: Scope) -> Self {
        Self { client, scope }
    }

    /// Reads the CPU use of all servers in one request.
    ///
    /// # Errors
    /// Why it cannot be read, as text to follow "because".
    pub async fn cpu(&self) -> Result<Vec<PodCpu>, String> {
        let kind = pod_metrics();
        let api: Api<DynamicObject> = match &self.scope {
            Scope::All => Api::all_with(self.client.clone(), &kind),
            Scope::Namespace(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
        };
        let of_ours = ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={FIELD_MANAGER},{SERVERS}"));
        let listed = within_deadline(api.list(&of_ours)).await?;
        Ok(listed.items.iter().filter_map(pod_cpu).collect())
    }

    /// Reads the newest readiness probe failure of each pod in a namespace.
    ///
    /// # Errors
    /// Why the Events cannot be read.
    pub async fn failed_probes(&self, namespace: &str) -> Result<Vec<FailedProbe>, String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let of_probes = ListParams::default().fields("involvedObject.kind=Pod,reason=Unhealthy").limit(MOST_EVENTS);
        let mut listed = within_deadline(api.list(&of_probes)).await?;
        listed.items.sort_by_key(when);
        let mut failed: Vec<FailedProbe> = Vec::new();
        for probe in listed.items.iter().filter_map(failed_probe) {
            failed.retain(|before| before.pod != probe.pod);
            failed.push(probe);
        }
        Ok(failed)
    }
}

async fn within_deadline<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            Err("the cluster has no metrics API: is metrics-server installed?".into())
        }
        Ok(Err(kube::Error::Api(status))) => Err(status.message.clone()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

fn pod_metrics() -> ApiResource {
    ApiResource {
        group: "metrics.k8s.io".into(),
        version: "v1beta1".into(),
        api_version: "metrics.k8s.io/v1beta1".into(),
        kind: "PodMetrics".into(),
        plural: "pods".into(),
    }
}

/// The CPU use of our own container; injected sidecars are not included. None when it cannot be parsed.
fn pod_cpu(metrics: &DynamicObject) -> Option<PodCpu> {
    let containers = metrics.data["containers"].as_array()?;
    let ours = containers.iter().find(|container| container["name"] == SERVER_CONTAINER)?;
    let window: kube::core::Duration = metrics.data["window"].as_str()?.parse().ok()?;
    Some(PodCpu {
        namespace: metrics.metadata.namespace.clone()?,
        pod: metrics.metadata.name.clone()?,
        // An idle container is reported with 0, for which `cores::parse` returns None.
        cores: cores::parse(ours["usage"]["cpu"].as_str()?).unwrap_or(0.0),
        at: metrics.data["timestamp"].as_str()?.parse().ok()?,
        window: Duration::from(window).as_secs_f64(),
    })
}

/// When an Event was last counted.
fn when(event: &Event) -> Timestamp {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    [series, last, first].into_iter().flatten().max().unwrap_or_default()
}

fn failed_probe(event: &Event) -> Option<FailedProbe> {
    let text = event.message.as_deref()?;
    // From the eleventh different text on, client-go combines Events, for example for connections whose ports differ.
    let text =
        text.strip_prefix("(combined from similar events): ").unwrap_or(text).strip_prefix("Readiness probe ")?;
    let pod = event.involved_object.name.clone()?;
    Some(FailedProbe { pod, failure: failure(text), at: when(event) })
}

/// The kind of failure in the kubelet's text, such as `failed: Get "http://10.0.0.7:8000/health": context deadline exceeded
/// (Client.Timeout exceeded while awaiting headers)`, `failed: HTTP probe failed with statuscode: 503`,
/// `failed: dial tcp 10.0.0.7:8000: connect: connection refused`.
fn failure(text: &str) -> ProbeFailure {
    let timed_out = ["deadline exceeded", "Client.Timeout", "timeout", "timed out"];
    match timed_out.iter().any(|part| text.contains(part)) {
        true => ProbeFailure::TimedOut,
        false => ProbeFailure::Answered,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cpu_use_of_our_own_container_is_read_with_its_window() {
        let metrics = |window: &str, cpu: &str| {
            let sidecar = json!({"name": "istio-proxy", "usage": {"cpu": "900m", "memory": "1Mi"}});
            let server = json!({"name": "server", "usage": {"cpu": cpu, "memory": "1Mi"}});
            serde_json::from_value::<DynamicObject>(json!({
                "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
                "metadata": {"name": "a-1", "namespace": "shop"},
                "timestamp": "2026-11-28T02:00:00Z", "window": window, "containers": [sidecar, server],
            }))
            .expect("an object")
        };
        let read = pod_cpu(&metrics("15.033s", "149683712n")).expect("readable");
        assert_eq!((read.namespace.as_str(), read.pod.as_str()), ("shop", "a-1"));
        assert!((read.cores - 0.149683712).abs() < 1e-9 && (read.window - 15.033).abs() < 1e-9, "{read:?}");
        assert_eq!(pod_cpu(&metrics("1m2s", "0")).map(|read| (read.cores, read.window)), Some((0.0, 62.0)));
        assert_eq!(pod_cpu(&metrics("soon", "1")), None);
    }

    #[test]
    fn the_event_of_a_failed_readiness_probe_shows_whether_the_server_answered() {
        for (text, failure) in [
            (
                "Readiness probe failed: Get \"http://10.0.0.7:8000/health\": context deadline exceeded \
                 (Client.Timeout exceeded while awaiting headers)",
                ProbeFailure::TimedOut,
            ),
            (
                "Readiness probe failed: Get \"http://10.0.0.7:8000/\": dial tcp 10.0.0.7:8000: i/o timeout",
                ProbeFailure::TimedOut,
            ),
            ("Readiness probe failed: HTTP probe failed with statuscode: 503", ProbeFailure::Answered),
            (
                "Readiness probe failed: Get \"http://10.0.0.7:8000/\": dial tcp 10.0.0.7:8000: connect: connection refused",
                ProbeFailure::Answered,
            ),
        ] {
            let event = event(text);
            let at = "2026-11-28T02:00:09Z".parse().expect("a time");
            assert_eq!(failed_probe(&event), Some(FailedProbe { pod: "a-1".into(), failure, at }), "{text}");
        }
        assert_eq!(failed_probe(&event("Liveness probe failed: timeout")), None);
    }

    fn event(message: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "message": message, "reason": "Unhealthy", "involvedObject": {"kind": "Pod", "name": "a-1"},
            "firstTimestamp": "2026-11-28T02:00:00Z", "lastTimestamp": "2026-11-28T02:00:09Z",
        }))
        .expect("an Event")
    }
}
