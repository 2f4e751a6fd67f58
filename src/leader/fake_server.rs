//! An API server that knows one Lease: versions, conflicts, and faults on demand. For tests only.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::http::{Method, Request, Response};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{Client, client::Body};
use serde_json::json;
use tokio::time::sleep;

/// What happens to one request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// Refused with this status, nothing is stored.
    Status(u16),
    /// Carried out and answered, but the answer takes this long.
    SlowAnswer(Duration),
    /// Carried out, but the answer never arrives.
    LostAnswer,
}

#[derive(Default)]
struct Stored {
    lease: Option<Lease>,
    version: u64,
    writes: usize,
    requests: usize,
    faults: VecDeque<Fault>,
    always: Option<Fault>,
}

#[derive(Clone, Default)]
pub(super) struct FakeServer(Arc<Mutex<Stored>>);

impl FakeServer {
    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.handle(request).await) }
        });
        Client::new(service, "default")
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    /// The next requests meet these faults, one each.
    pub(super) fn next_faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.stored().faults.extend(faults);
    }

    /// Every request meets this fault until it is reset.
    pub(super) fn always(&self, fault: Option<Fault>) {
        self.stored().always = fault;
    }

    pub(super) fn lease(&self) -> Option<Lease> {
        self.stored().lease.clone()
    }

    pub(super) fn record(&self) -> LeaseSpec {
        self.lease().and_then(|lease| lease.spec).expect("there is a Lease with a spec")
    }

    pub(super) fn writes(&self) -> usize {
        self.stored().writes
    }

    pub(super) fn requests(&self) -> usize {
        self.stored().requests
    }

    /// A third party deletes the Lease.
    pub(super) fn delete(&self) {
        self.stored().lease = None;
    }

    /// A third party edits the Lease.
    pub(super) fn edit(&self, edit: impl FnOnce(&mut LeaseSpec)) {
        let mut stored = self.stored();
        stored.version += 1;
        let version = stored.version.to_string();
        let lease = stored.lease.get_or_insert_default();
        lease.metadata.resource_version = Some(version);
        edit(lease.spec.get_or_insert_default());
    }

    /// A third party replaces the whole object.
    pub(super) fn put(&self, lease: Lease) {
        self.stored().store(lease);
    }

    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let (method, body) = (request.method().clone(), request.into_body());
        let body = body.collect_bytes().await.expect("the body is in memory");
        let fault = {
            let mut stored = self.stored();
            stored.requests += 1;
            let next = stored.faults.pop_front();
            next.or(stored.always)
        };
        if let Some(Fault::Status(code)) = fault {
            return failure(code);
        }
        let answer = self.stored().carry_out(&method, &body);
        match fault {
            Some(Fault::SlowAnswer(time)) => sleep(time).await,
            Some(Fault::LostAnswer) => std::future::pending().await,
            _ => {}
        }
        answer
    }
}

impl Stored {
    fn carry_out(&mut self, method: &Method, body: &[u8]) -> Response<Body> {
        let sent: Option<Lease> = serde_json::from_slice(body).ok();
        let version = |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        match (method.as_str(), sent) {
            ("GET", _) => match &self.lease {
                Some(lease) => success(lease),
                None => failure(404),
            },
            ("POST", Some(lease)) if self.lease.is_none() => self.store(lease),
            ("PUT", Some(lease)) if version(&self.lease) == version(&Some(lease.clone())) => self.store(lease),
            ("PUT", Some(_)) if self.lease.is_none() => failure(404),
            ("POST" | "PUT", Some(_)) => failure(409),
            _ => failure(400),
        }
    }

    fn store(&mut self, mut lease: Lease) -> Response<Body> {
        self.version += 1;
        self.writes += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        let answer = success(&lease);
        self.lease = Some(lease);
        answer
    }
}

fn success(lease: &Lease) -> Response<Body> {
    Response::new(Body::from(serde_json::to_vec(lease).expect("a Lease is JSON")))
}

fn failure(code: u16) -> Response<Body> {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "Injected",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                        "reason": reason, "message": format!("injected status {code}")});
    let body = Body::from(serde_json::to_vec(&status).expect("a Status is JSON"));
    Response::builder().status(code).body(body).expect("the status code is one")
}
