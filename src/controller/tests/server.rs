//! An API server that stores what it is sent, refuses the requests a test selects, and records all of them.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    mem,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::http::{Request, Response};
use jiff::Timestamp;
use kube::{Client, client::Body};
use serde_json::{Map, Value, json};

use crate::api::FIELD_MANAGER;

#[derive(Clone, Default)]
pub(in crate::controller) struct Server(Arc<Mutex<State>>);

struct State {
    /// By plural and name: `services/packages`.
    objects: BTreeMap<String, Value>,
    /// The newest resource version.
    version: u64,
    /// The requests so far: `POST services`, `PATCH services/packages`.
    requests: Vec<String>,
    /// Requests that are refused, with the Status they get.
    refused: BTreeMap<String, Value>,
}

impl Default for State {
    fn default() -> Self {
        // Later than the resource versions that tests give their objects.
        Self { version: 1000, objects: BTreeMap::new(), requests: Vec::new(), refused: BTreeMap::new() }
    }
}

impl Server {
    pub(in crate::controller) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Refuses a request from now on.
    pub(in crate::controller) fn refuse(&self, request: &str, code: u16, message: &str) {
        let status =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message});
        self.state().refused.insert(request.into(), status);
    }

    /// Refuses nothing any more.
    pub(in crate::controller) fn refuse_nothing(&self) {
        self.state().refused.clear();
    }

    /// Stores an object of another owner.
    pub(in crate::controller) fn store(&self, key: &str, object: Value) {
        self.state().objects.insert(key.into(), object);
    }

    pub(in crate::controller) fn object(&self, key: &str) -> Option<Value> {
        self.state().objects.get(key).cloned()
    }

    /// The requests since the last call.
    pub(in crate::controller) fn requests(&self) -> Vec<String> {
        mem::take(&mut self.state().requests)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().split_once("/namespaces/shop/").expect("a namespaced path").1.to_owned();
        let request = format!("{} {path}", parts.method);
        let is_apply = parts.headers.get("content-type").is_some_and(|of| of == "application/apply-patch+yaml");
        let body = body.collect_bytes().await.expect("the body is in memory");
        let (code, answer) = self.state().carry_out(&request, &path, is_apply, &body);
        let body = Body::from(answer.to_string().into_bytes());
        Response::builder().status(code).body(body).expect("the status code is one")
    }
}

impl State {
    fn carry_out(&mut self, request: &str, path: &str, is_apply: bool, body: &[u8]) -> (u16, Value) {
        self.requests.push(request.into());
        if let Some(status) = self.refused.get(request) {
            return (status["code"].as_u64().unwrap_or_default() as u16, status.clone());
        }
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        let operation = if is_apply { "Apply" } else { "Update" };
        match request.split_once(' ').expect("a method").0 {
            "POST" => {
                let key = format!("{path}/{}", sent["metadata"]["name"].as_str().expect("a name"));
                match self.objects.contains_key(&key) {
                    true => failure(409, "AlreadyExists"),
                    false => (201, self.put(key, sent, operation)),
                }
            }
            "GET" => self.objects.get(path).map_or_else(|| failure(404, "NotFound"), |object| (200, object.clone())),
            "PATCH" => (200, self.put(path.into(), sent, operation)),
            "DELETE" => {
                self.objects.remove(path);
                (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
            }
            method => panic!("the operator does not {method}"),
        }
    }

    fn put(&mut self, key: String, mut object: Value, operation: &str) -> Value {
        self.version += 1;
        let fields = fields(&object);
        let meta = &mut object["metadata"];
        meta["uid"] = key.clone().into();
        meta["resourceVersion"] = self.version.to_string().into();
        meta["generation"] = 1.into();
        meta["creationTimestamp"] = json!(Timestamp::now());
        meta["managedFields"] = json!([{
            "manager": FIELD_MANAGER, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
        }]);
        self.objects.insert(key, object.clone());
        object
    }
}

/// All fields of an object as managed fields have them; a list is owned as a whole.
fn fields(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    Value::Object(fields.map(|(name, value)| (format!("f:{name}"), fields_of(value))).collect())
}

fn fields_of(value: &Value) -> Value {
    if value.is_object() { fields(value) } else { Value::Object(Map::new()) }
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}))
}
