//! Requests to the API server: its audit log, and its metrics to verify that the log is complete.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use e2e::{Cluster, eventually};
use serde::Deserialize;

use crate::bed::OPERATOR;

/// The audit log from a point in time.
pub struct Audit {
    path: PathBuf,
    offset: u64,
}

/// A request, with the fields that tests use.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The user.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Plural of the kind, followed by the subresource after a slash.
    pub resource: String,
    /// Namespace; empty for requests on all namespaces.
    pub namespace: String,
    /// Name of the object; empty for lists.
    pub name: String,
    /// Status code of the response.
    pub code: u16,
}

impl Request {
    /// Whether it is a write.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether it is a request of the operator.
    pub fn is_operators(&self) -> bool {
        self.user == OPERATOR
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl Audit {
    /// The audit log from now on.
    pub fn from_now(cluster: &Cluster) -> Result<Self> {
        let path = cluster.audit_log()?;
        let offset = path.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
        Ok(Self { path, offset })
    }

    /// The requests since then whose log line contains `text`.
    pub fn requests(&self, text: &str) -> Result<Vec<Request>> {
        let mut file = File::open(&self.path)?;
        ensure!(file.metadata()?.len() >= self.offset, "{} was rotated", self.path.display());
        // With the byte before, which ends a line unless a line was being written then.
        file.seek(SeekFrom::Start(self.offset.saturating_sub(1)))?;
        let mut log = Vec::new();
        file.read_to_end(&mut log)?;
        let log = String::from_utf8_lossy(&log);
        let begin = if self.offset == 0 { 0 } else { log.find('\n').map_or(log.len(), |end| end + 1) };
        let whole = log.rfind('\n').and_then(|end| log.get(begin..end)).unwrap_or_default(); // the last line may be incomplete
        let lines = whole.lines().filter(|line| line.contains(text));
        lines.filter_map(|line| request(line).transpose()).collect()
    }

    /// The requests of the operator about objects of a namespace.
    pub fn of_operator_in(&self, namespace: &str) -> Result<Vec<Request>> {
        let requests = self.requests(namespace)?;
        Ok(requests.into_iter().filter(|request| request.is_operators() && request.namespace == namespace).collect())
    }
}

/// Counts each request once: watches when they start, all others when they are answered.
fn request(line: &str) -> Result<Option<Request>> {
    let entry: Entry = serde_json::from_str(line).with_context(|| format!("no audit entry: {line}"))?;
    let counts = if entry.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    let of = entry.object_ref.unwrap_or_default();
    let resource = if of.subresource.is_empty() { of.resource } else { format!("{}/{}", of.resource, of.subresource) };
    Ok((entry.stage == counts).then(|| Request {
        user: entry.user.username,
        verb: entry.verb,
        resource,
        namespace: of.namespace,
        name: of.name,
        code: entry.response_status.map_or(0, |status| status.code),
    }))
}

/// The number of requests for some resources, watches excluded, by the counters of the API server and by its audit log.
pub struct Counted {
    /// `apiserver_request_total`.
    pub counter: u64,
    /// Number of lines in the audit log.
    pub logged: u64,
    /// `apiserver_request_total` for the status of `RecommenderModel`s only.
    pub status: u64,
}

/// Counts requests for `resources`, by all users and with any response.
///
/// The counters and the log are read one after the other. The result is valid only if no such request is logged in
/// between; otherwise this is retried.
pub async fn count(cluster: &Cluster, audit: &Audit, resources: &[String]) -> Result<Counted> {
    let logged = || -> Result<u64> {
        let requests = audit.requests("")?;
        let counts = |request: &&Request| {
            let resource = request.resource.split('/').next().unwrap_or_default();
            request.verb != "watch" && resources.iter().any(|of| of == resource)
        };
        Ok(requests.iter().filter(counts).count() as u64)
    };
    eventually("no request is logged while counting", Duration::from_secs(60), async || {
        let before = logged()?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let metrics = cluster.apiserver_metrics().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let after = logged()?;
        ensure!(before == after, "{} requests came in between", after - before);
        let status = counter(&metrics, |resource, part| resource == "recommendermodels" && part == "status")?;
        Ok(Counted {
            counter: counter(&metrics, |resource, _| resources.iter().any(|of| of == resource))?,
            logged: after,
            status,
        })
    })
    .await
}

/// The sum of `apiserver_request_total` over the resources and subresources for which `counts` is true, watches
/// excluded.
fn counter(metrics: &str, counts: impl Fn(&str, &str) -> bool) -> Result<u64> {
    let mut sum = 0.0;
    for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        // With the comma, because `resource` is a suffix of `subresource`.
        let label = |name: &str| {
            let (_, rest) = line.split_once(&format!(",{name}=\""))?;
            rest.split('"').next()
        };
        let of = |name| label(name).unwrap_or_default();
        if of("verb") != "WATCH" && counts(of("resource"), of("subresource")) {
            let value = line.rsplit(' ').next().unwrap_or_default();
            sum += value.parse::<f64>().with_context(|| format!("no number in {line}"))?;
        }
    }
    Ok(sum as u64)
}
