//! The calls to the API server. Each has a deadline, is counted in the metrics, and fails with a readable error.

use std::time::{Duration, Instant};

use axum::http::{HeaderValue, header::ACCEPT};
use k8s_openapi::{api::core::v1::Event, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Client, Resource,
    api::{
        ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
        PropagationPolicy,
    },
    core::{ObjectMeta, PartialObjectMeta, Request},
};
use serde_json::{Value, json};

use super::ownership;
use crate::{
    api::{
        FIELD_MANAGER, HANDOFF_MANAGER, MANAGED_BY_LABEL, RecommenderModel, RecommenderModelStatus,
        gateway::{Gateway, GatewayClass, RouteRule},
        monitoring_coreos::Prometheus,
    },
    child::Child,
    kinds::Kind,
    leader::Fence,
    observe::{ObservedChild, Scope},
    telemetry::Metrics,
};

/// Deadline of a call: 10 s. An API server that hangs must not block a reconcile.
pub const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// Most Events that are read of one object: 100. Repetitions are counted in one Event, and Events are deleted after an hour.
const MOST_EVENTS: u32 = 100;

/// Most Prometheus objects that are read: 100.
const MOST_PROMETHEUSES: u32 = 100;

/// The `Accept` header that requests only the metadata in the response to a creation. kube has no call for that.
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// Attempts to convert the ownership of fields: 5, as many as kubectl makes. One fails when the object is changed between
/// the read and the write, and the status of a Deployment changes several times in a second while it rolls out.
const CONVERSIONS: u32 = 5;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No response within [`CALL_DEADLINE`].
    #[error("the API server did not answer within {} s", CALL_DEADLINE.as_secs())]
    Deadline,
    /// The API server refused the call.
    #[error("{}", .0.message)]
    Refused(Box<kube::core::Status>),
    /// Another replica holds the lease.
    #[error("another replica has taken over")]
    Fenced,
    /// The API server was not reached, or its response could not be read.
    #[error("the API server cannot be reached: {0}")]
    Transport(kube::Error),
}

impl CallError {
    /// The HTTP status; none when there was no response.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(status) => Some(status.code),
            Self::Deadline | Self::Fenced | Self::Transport(_) => None,
        }
    }

    /// Whether a retry of the same call is pointless until something is changed.
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
    /// Uses `client`, counts calls in `metrics`, and writes only while `fence`, if there is one, is valid.
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

    /// Creates a child. Returns the new object's metadata; none when an object of that name exists, which is not changed.
    ///
    /// This is no apply: that would change an object that another manager has created meanwhile, and costs the API server
    /// more.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn create(&self, kind: Kind, namespace: &str, object: &Value) -> Result<Option<ObjectMeta>, CallError> {
        let path = DynamicObject::url_path(&kind.resource(), Some(namespace));
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let request = Request::new(path).create(&params, object.to_string().into_bytes());
        let created = async {
            let mut request = request.map_err(kube::Error::BuildRequest)?;
            request.headers_mut().insert(ACCEPT, METADATA_ONLY);
            self.client.request::<PartialObjectMeta<DynamicObject>>(request).await
        };
        match self.call("create", kind.as_str(), created).await {
            Ok(object) => Ok(Some(object.metadata)),
            Err(CallError::Refused(status)) if status.reason == "AlreadyExists" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Applies a child to the object with the UID `uid`, by force: we become the only owner of its fields.
    ///
    /// # Errors
    /// When the call failed, or the object with that UID is gone.
    pub async fn apply(
        &self,
        kind: Kind,
        namespace: &str,
        mut object: Value,
        uid: &str,
    ) -> Result<ObjectMeta, CallError> {
        object["metadata"]["uid"] = uid.into();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let api = self.api(kind, namespace);
        let (params, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&object));
        let applied = self.call("apply", kind.as_str(), api.patch_metadata(&name, &params, &patch)).await?;
        Ok(applied.metadata)
    }

    /// Converts the fields of our creation of a child, the object with the UID `uid`, to fields of our applies
    /// ([`ownership::converted`]). A change of the object between the read and the write is a reason to repeat both.
    ///
    /// # Errors
    /// When a call failed, or the object was changed within each of [`CONVERSIONS`] attempts.
    pub async fn convert_ownership(&self, child: &Child, namespace: &str, uid: &str) -> Result<(), CallError> {
        let (kind, name) = (child.kind, child.name.as_str());
        let (api, params) = (self.api(kind, namespace), merge_by(FIELD_MANAGER));
        for attempt in 1.. {
            let meta = self.get(kind, namespace, name).await?.filter(|meta| meta.uid.as_deref() == Some(uid));
            // The apply that follows reports that the object is gone.
            let Some(meta) = meta else { break };
            let converted = ownership::converted(meta.managed_fields.as_deref(), &child.object);
            let Some(converted) = converted else { break };
            let change = json!({"managedFields": converted, "resourceVersion": meta.resource_version});
            let patch = Patch::Merge(json!({"metadata": change}));
            match self.call("patch", kind.as_str(), api.patch_metadata(name, &params, &patch)).await {
                Err(error) if error.code() == Some(409) && attempt < CONVERSIONS => {}
                result => return result.map(drop),
            }
        }
        Ok(())
    }

    /// Restores the label that our watches select by, on the object with the UID `uid`.
    ///
    /// # Errors
    /// When the call failed, or the object with that UID is gone.
    pub async fn label(&self, kind: Kind, namespace: &str, name: &str, uid: &str) -> Result<(), CallError> {
        let patch = Patch::Merge(json!({"metadata": {"uid": uid, "labels": {MANAGED_BY_LABEL: FIELD_MANAGER}}}));
        let params = merge_by(FIELD_MANAGER);
        let api = self.api(kind, namespace);
        self.call("patch", kind.as_str(), api.patch_metadata(name, &params, &patch)).await.map(drop)
    }

    /// Sets the rules of an HTTPRoute, the object with the UID `uid`, and leaves the rest of it unchanged.
    ///
    /// # Errors
    /// When the call failed, or the object with that UID is gone.
    pub async fn set_rules(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        rules: &[RouteRule],
    ) -> Result<(), CallError> {
        let (kind, params) = (Kind::HTTPRoute, merge_by(FIELD_MANAGER));
        let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "spec": {"rules": rules}}));
        self.call("patch", kind.as_str(), self.api(kind, namespace).patch_metadata(name, &params, &patch))
            .await
            .map(drop)
    }

    /// Deletes the object with the UID `uid` and its dependents. That the object is already gone is no error.
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
            // Already gone, or another object has the name now.
            Err(CallError::Refused(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes the object `owner` the only owner of an object without owners, as it was observed. Returns its metadata.
    ///
    /// # Errors
    /// When the call failed, or the object was changed since.
    pub async fn set_owner(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        observed: &ObservedChild,
        owner: &OwnerReference,
    ) -> Result<ObjectMeta, CallError> {
        let version = observed.version.to_string();
        let meta = json!({"uid": observed.uid, "resourceVersion": version, "ownerReferences": [owner]});
        let patch = Patch::Merge(json!({"metadata": meta}));
        let api = self.api(kind, namespace);
        let patched =
            self.call("patch", kind.as_str(), api.patch_metadata(name, &merge_by(FIELD_MANAGER), &patch)).await?;
        Ok(patched.metadata)
    }

    /// Sets the number of replicas of a Deployment, through its scale subresource.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn set_replicas(&self, namespace: &str, name: &str, replicas: i32) -> Result<(), CallError> {
        let params = merge_by(HANDOFF_MANAGER);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let api = self.api(Kind::Deployment, namespace);
        self.call("scale", "Deployment", api.patch_scale(name, &params, &patch)).await.map(drop)
    }

    /// Makes [`HANDOFF_MANAGER`] own the replicas before we give them up, so that their number does not change.
    ///
    /// # Errors
    /// When the call failed.
    pub async fn hand_over_replicas(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        replicas: i32,
    ) -> Result<(), CallError> {
        let object = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "uid": uid},
            "spec": {"replicas": replicas},
        });
        let params = PatchParams::apply(HANDOFF_MANAGER);
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
        // Untyped, so that an object whose spec cannot be decoded does not fail here.
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &model_resource());
        let (params, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&object));
        let written = self.call("status", "RecommenderModel", api.patch_status(name, &params, &patch)).await?;
        Ok(written.metadata.resource_version.and_then(|version| version.parse().ok()))
    }

    /// Writes the conditions of an object and its `observedGeneration`, and leaves the rest of its status unchanged. Returns
    /// the object's resource version.
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
        let params = merge_by(FIELD_MANAGER);
        let written = self.call("status", "RecommenderModel", api.patch_status(name, &params, &patch)).await?;
        Ok(written.metadata.resource_version.and_then(|version| version.parse().ok()))
    }

    /// Creates an Event.
    ///
    /// # Errors
    /// When the call failed. Events are optional, so callers only log the error.
    pub async fn create_event(&self, namespace: &str, event: &Event) -> Result<(), CallError> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        self.call("create", "Event", api.create(&PostParams::default(), event)).await.map(drop)
    }

    /// The Events about the object with the UID `uid`, at most [`MOST_EVENTS`].
    ///
    /// # Errors
    /// When the call failed.
    pub async fn events(&self, namespace: &str, uid: &str) -> Result<Vec<Event>, CallError> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let of_object = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(MOST_EVENTS);
        self.call("list", "Event", api.list(&of_object)).await.map(|listed| listed.items)
    }

    /// The Prometheus objects of a scope, at most [`MOST_PROMETHEUSES`]. One that cannot be decoded is left out.
    ///
    /// # Errors
    /// When the call failed, as where the kind does not exist.
    pub async fn prometheuses(&self, scope: &Scope) -> Result<Vec<Prometheus>, CallError> {
        let kind = ApiResource::erase::<Prometheus>(&());
        let api: Api<DynamicObject> = match scope {
            Scope::All => Api::all_with(self.client.clone(), &kind),
            Scope::Namespace(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
        };
        let listed = self.call("list", "Prometheus", api.list(&ListParams::default().limit(MOST_PROMETHEUSES))).await?;
        Ok(listed.items.into_iter().filter_map(|object| object.try_parse().ok()).collect())
    }

    /// The GatewayClass of a Gateway, and the features that it states to support; none where it states none.
    ///
    /// # Errors
    /// When a call failed, as where one of the two does not exist.
    pub async fn gateway(&self, namespace: &str, name: &str) -> Result<(String, Vec<String>), CallError> {
        let gateways: Api<Gateway> = Api::namespaced(self.client.clone(), namespace);
        let class = self.call("get", "Gateway", gateways.get(name)).await?.spec.gateway_class_name;
        let classes: Api<GatewayClass> = Api::all(self.client.clone());
        let status = self.call("get", "GatewayClass", classes.get(&class)).await?.status.unwrap_or_default();
        Ok((class, status.supported_features.into_iter().map(String::from).collect()))
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
        if !matches!(verb, "get" | "list") && self.fence.as_ref().is_some_and(|fence| !fence.is_valid()) {
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

/// The parameters of a merge patch by a field manager.
fn merge_by(manager: &str) -> PatchParams {
    PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() }
}

fn model_resource() -> ApiResource {
    ApiResource::erase::<RecommenderModel>(&())
}
