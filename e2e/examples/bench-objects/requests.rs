//! Clients whose requests are counted.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use e2e::Bare;
use http::{Request, header::USER_AGENT};
use kube::{
    Client,
    client::{Body, ClientBuilder},
};
use tower::util::MapRequestLayer;

/// Numbers of requests by verb and resource.
pub type Counts = BTreeMap<(&'static str, String), u64>;

/// The requests of one client. Watches are not counted: each is made again every few minutes, for all objects. Nor are the
/// repetitions that kube's client makes by itself when the API server is too busy; such a server would be no measurement.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Counts>>);

impl Requests {
    /// A client of `bare` with all rights, whose requests are counted here.
    pub fn client(&self, bare: &Bare, user_agent: &str) -> Result<Client> {
        let mut config = bare.config()?;
        config.headers.push((USER_AGENT, user_agent.parse()?));
        let requests = self.clone();
        let count = MapRequestLayer::new(move |request: Request<Body>| {
            let uri = request.uri();
            if let Some(key) = verb_and_resource(request.method().as_str(), uri.path(), uri.query().unwrap_or_default())
            {
                *requests.lock().entry(key).or_default() += 1;
            }
            request
        });
        Ok(ClientBuilder::try_from(config)?.with_layer(&count).build())
    }

    /// The requests since the last call of this.
    pub fn take(&self) -> Counts {
        mem::take(&mut self.lock())
    }

    /// How many there were since the last [`Requests::take`].
    pub fn total(&self) -> u64 {
        self.lock().values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The verb, and the plural of the kind, followed by the subresource after a slash. None for a watch.
fn verb_and_resource(method: &str, path: &str, query: &str) -> Option<(&'static str, String)> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let of_group = parts.get(if parts[0] == "api" { 2 } else { 3 }..)?; // api/VERSION/..., apis/GROUP/VERSION/...
    let resource = match of_group {
        ["namespaces", _, resource @ ..] if !resource.is_empty() => resource,
        resource => resource,
    };
    let verb = match (method, resource.len()) {
        ("GET", _) if query.contains("watch=true") => return None,
        ("GET", 1) => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        _ => "delete",
    };
    let subresource = resource.get(2).map(|name| format!("/{name}")).unwrap_or_default();
    Some((verb, format!("{}{subresource}", resource.first()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_verb_and_resource() {
        for (method, path, query, expected) in [
            ("POST", "/api/v1/namespaces/shop/services", "fieldManager=a", Some(("create", "services"))),
            ("PATCH", "/apis/g.dev/v1/namespaces/shop/models/a/status", "", Some(("patch", "models/status"))),
            ("GET", "/apis/batch/v1/jobs", "limit=500", Some(("list", "jobs"))),
            ("GET", "/apis/batch/v1/jobs", "limit=500&watch=true", None),
            ("GET", "/api/v1/namespaces/shop", "", Some(("get", "namespaces"))),
            ("DELETE", "/apis/batch/v1/namespaces/shop/jobs/a", "", Some(("delete", "jobs"))),
        ] {
            let expected = expected.map(|(verb, resource)| (verb, resource.to_owned()));
            assert_eq!(verb_and_resource(method, path, query), expected, "{method} {path}");
        }
    }
}
