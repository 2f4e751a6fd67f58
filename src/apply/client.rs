//! The calls to the API server. Each has a deadline, is counted, and tells a person what went wrong.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
    core::ObjectMeta,
};
use serde_json::{Value, json};

use crate::{
    api::{FIELD_MANAGER, MANAGED_BY_LABEL, RecommenderModel, RecommenderModelStatus},
    leader::Fence,
    render::Kind,
    telemetry::Metrics,
};

/// No call takes longer; a hanging API server must not hang a reconcile.
pub const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// Owns `spec.replicas` between the moment we let it go and the moment the autoscaler takes it.
const HANDOFF_MANAGER: &str = "recommender-operator-handoff";

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer within [`CALL_DEADLINE`].
    #[error("the API server did not answer within {} s", CALL_DEADLINE.as_secs())]
    Deadline,
    /// The API server said no.
    #[error("{}", .0.message)]
    Refused(Box<kube::core::Status>),
    /// Another replica holds the lease.
    #[error("another replica has taken over")]
    Fenced,
    /// The API server was not reached, or its answer was not understood.
    #[error("the API server cannot be reached: {0}")]
    Transport(kube::Error),
}

impl CallError {
    /// The HTTP status; none when there was no answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(status) => Some(status.code),
            Self::Deadline | Self::Fenced | Self::Transport(_) => None,
        }
    }

    /// Whether trying the same again is pointless until somebody changes something.
    pub fn is_permanent(&self) -> bool {
        matches!(self.code(), Some(400 | 422))
    }
}

/// Access to the API server.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    metrics: Metrics,
    fence: Option<Fence>,
}

impl Cluster {
    /// Uses a client; counts calls in `metrics`; writes only while `fence`, if there is one, says that we may.
    pub fn new(client: Client, metrics: Metrics, fence: Option<Fence>) -> Self {
        Self { client, metrics, fence }
    }

    /// Metadata of a child; none when it does not exist.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<ObjectMeta>, CallError> {
        let api = self.api(kind, namespace);
        match self.call("get", kind.as_str(), api.get_metadata(name)).await {
            Ok(object) => Ok(Some(object.metadata)),
            Err(CallError::Refused(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Applies a child as its only owner: with a UID only to that very object, without one only as a new object. Should
    /// somebody have made an object of that name meanwhile, the fields that differ are a conflict and stay theirs.
    ///
    /// # Errors
    /// When the call failed, or the object of that UID is gone.
    pub async fn apply(
        &self,
        kind: Kind,
        namespace: &str,
        mut object: Value,
        uid: Option<&str>,
    ) -> Result<ObjectMeta, CallError> {
        let mut params = PatchParams::apply(FIELD_MANAGER);
        if let Some(uid) = uid {
            object["metadata"]["uid"] = uid.into();
            params = params.force();
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let api = self.api(kind, namespace);
        let patch = Patch::Apply(&object);
        let applied = self.call("apply", kind.as_str(), api.patch_metadata(&name, &params, &patch)).await?;
        Ok(applied.metadata)
    }

    /// Puts back the label that our watches ask for, on that very object.
    ///
    /// # Errors
    /// When the call failed, or the object of that UID is gone.
    pub async fn label(&self, kind: Kind, namespace: &str, name: &str, uid: &str) -> Result<(), CallError> {
        let patch = Patch::Merge(json!({"metadata": {"uid": uid, "labels": {MANAGED_BY_LABEL: FIELD_MANAGER}}}));
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let api = self.api(kind, namespace);
        self.call("patch", kind.as_str(), api.patch_metadata(name, &params, &patch)).await.map(drop)
    }

    /// Deletes that very object and what it owns. An object that is gone already is fine.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str, uid: &str) -> Result<(), CallError> {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions { uid: Some(uid.into()), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.call("delete", kind.as_str(), self.api(kind, namespace).delete(name, &params)).await {
            Ok(_) => Ok(()),
            // Gone, or another object of that name by now.
            Err(CallError::Refused(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sets the number of replicas of a Deployment, through its scale.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn set_replicas(&self, namespace: &str, name: &str, replicas: i32) -> Result<(), CallError> {
        let params = PatchParams { field_manager: Some(HANDOFF_MANAGER.into()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let api = self.api(Kind::Deployment, namespace);
        self.call("scale", "Deployment", api.patch_scale(name, &params, &patch)).await.map(drop)
    }

    /// Makes another manager own the replicas that we are about to let go, so that they stay what they are.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn hand_over_replicas(&self, namespace: &str, name: &str, replicas: i32) -> Result<(), CallError> {
        let object = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": replicas},
        });
        let params = PatchParams::apply(HANDOFF_MANAGER).force();
        let api = self.api(Kind::Deployment, namespace);
        let patch = Patch::Apply(&object);
        self.call("apply", "Deployment", api.patch_metadata(name, &params, &patch)).await.map(drop)
    }

    /// Writes the whole status of an object. Returns the object's resource version.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn write_status(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        status: &RecommenderModelStatus,
    ) -> Result<Option<u64>, CallError> {
        let object = json!({
            "apiVersion": "recommender.dev/v1alpha1",
            "kind": "RecommenderModel",
            "metadata": {"name": name, "uid": uid},
            "status": status,
        });
        // Metadata only comes back: an object whose spec cannot be decoded must not fail here.
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &model_resource());
        let (params, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&object));
        let written = self.call("status", "RecommenderModel", api.patch_status(name, &params, &patch)).await?;
        Ok(written.metadata.resource_version.and_then(|version| version.parse().ok()))
    }

    /// Writes the conditions of an object and leaves the rest of its status. Returns the object's resource version.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn write_conditions(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        status: &RecommenderModelStatus,
    ) -> Result<Option<u64>, CallError> {
        let conditions = json!({"observedGeneration": status.observed_generation, "conditions": status.conditions});
        let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "status": conditions}));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &model_resource());
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let written = self.call("status", "RecommenderModel", api.patch_status(name, &params, &patch)).await?;
        Ok(written.metadata.resource_version.and_then(|version| version.parse().ok()))
    }

    /// Creates an Event.
    ///
    /// # Errors
    /// When the call failed; events are a courtesy, so callers only log it.
    pub async fn create_event(&self, namespace: &str, event: &Event) -> Result<(), CallError> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        self.call("create", "Event", api.create(&PostParams::default(), event)).await.map(drop)
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }

    async fn call<T>(
        &self,
        verb: &'static str,
        kind: &'static str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CallError> {
        if verb != "get" && self.fence.as_ref().is_some_and(|fence| !fence.is_valid()) {
            return Err(CallError::Fenced);
        }
        let start = Instant::now();
        let result = match tokio::time::timeout(CALL_DEADLINE, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(kube::Error::Api(status))) => Err(CallError::Refused(status)),
            Ok(Err(error)) => Err(CallError::Transport(error)),
            Err(_) => Err(CallError::Deadline),
        };
        let code = match &result {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.code().map_or_else(|| "none".to_owned(), |code| code.to_string()),
        };
        self.metrics.api_request(verb, kind, &code, start.elapsed().as_secs_f64());
        result
    }
}

fn model_resource() -> kube::core::ApiResource {
    kube::core::ApiResource::erase::<RecommenderModel>(&())
}
