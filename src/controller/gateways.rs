//! What the Gateways of an object can do, read for a canary that is to get copies of requests and gets none yet, at most once in [`PAUSE`].

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{HttpRoute, RecommenderModelStatus, VersionState},
    apply::Cluster,
    model::Model,
    promotion::{
        copies::{self, Stated},
        route::Routed,
    },
};

/// Least time between two reads of the Gateways of one object: 2 min.
const PAUSE: SignedDuration = SignedDuration::from_mins(2);

/// What was read of the Gateways of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    at: Timestamp,
    of: HttpRoute,
    stated: Vec<Stated>,
}

impl Read {
    /// When they are to be read again.
    pub fn next(&self) -> Timestamp {
        self.at + PAUSE
    }
}

/// The Gateways that have to be known: none unless a version is, or is to be, a canary with copies, and gets no requests yet.
pub fn asked<'a>(model: &'a Model, prior: &RecommenderModelStatus, route: Option<&Routed>) -> Option<&'a HttpRoute> {
    let canary = model.canary.as_ref().filter(|canary| !copies::percents(canary).is_empty())?;
    let is_to_come = |state: VersionState| matches!(state, VersionState::Candidate | VersionState::Canary);
    let is_closed = route.is_some_and(|route| route.is_usable() && !route.shares.unwrap_or_default().is_some());
    let is_asked = is_closed && prior.versions.iter().any(|version| is_to_come(version.state));
    canary.http_route.as_ref().filter(|_| is_asked)
}

/// Reads the Gateways, unless `known` was read lately of the same ones. What cannot be read states nothing: a canary does not wait for a
/// permission that the operator may do without.
pub async fn read(cluster: &Cluster, namespace: &str, of: &HttpRoute, known: Option<Read>, now: Timestamp) -> Read {
    if let Some(lately) = known.filter(|known| known.of == *of && now.duration_since(known.at) < PAUSE) {
        return lately;
    }
    let mut stated = Vec::new();
    for parent in &of.parent_refs {
        let namespace = parent.namespace.as_deref().unwrap_or(namespace);
        match cluster.gateway(namespace, &parent.name).await {
            Ok((class, features)) => {
                stated.push(Stated { gateway: format!("{namespace}/{}", parent.name), class, features });
            }
            Err(error) => {
                tracing::debug!(%error, namespace, name = parent.name, "the features of a Gateway could not be read");
            }
        }
    }
    Read { at: now, of: of.clone(), stated }
}

/// Why these Gateways cannot divide the requests of a canary, so that the HTTPRoute is not used.
pub fn refusal(model: &Model, read: Option<&Read>) -> Option<String> {
    copies::refusal(&copies::percents(model.canary.as_ref()?), &read?.stated)
}
