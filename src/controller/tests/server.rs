//! An API server that merges what it is sent into what it stores, refuses the requests a test selects, and records all of
//! them.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    mem,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::http::{Request, Response};
use jiff::Timestamp;
use kube::{Client, client::Body};
use serde_json::{Value, json};

use super::merge;

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

    /// Stores an object as another client has written it.
    pub(in crate::controller) fn store(&self, key: &str, object: Value) {
        let mut state = self.state();
        let version = object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok());
        state.version = state.version.max(version.unwrap_or_default());
        state.objects.insert(key.into(), object);
    }

    /// Deletes an object as another client does.
    pub(in crate::controller) fn delete(&self, key: &str) {
        self.state().objects.remove(key);
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
        let path = parts.uri.path();
        // Of other namespaces and of the cluster, only what Gateways can do is read.
        let path =
            path.split_once("/namespaces/shop/").or_else(|| path.split_once("/v1/")).expect("a path").1.to_owned();
        let request = format!("{} {path}", parts.method);
        let is_apply = parts.headers.get("content-type").is_some_and(|of| of == "application/apply-patch+yaml");
        let query = parts.uri.query().unwrap_or_default();
        let manager = query.split('&').find_map(|field| field.strip_prefix("fieldManager="));
        let write = Write {
            manager: manager.unwrap_or("unknown").into(),
            operation: if is_apply { "Apply" } else { "Update" },
            subresource: "",
            force: query.contains("force=true"),
        };
        let body = body.collect_bytes().await.expect("the body is in memory");
        let (code, answer) = self.state().carry_out(&request, &path, write, &body);
        let body = Body::from(answer.to_string().into_bytes());
        Response::builder().status(code).body(body).expect("the status code is one")
    }
}

/// How an object is written.
struct Write {
    manager: String,
    operation: &'static str,
    subresource: &'static str,
    force: bool,
}

impl State {
    fn carry_out(&mut self, request: &str, path: &str, write: Write, body: &[u8]) -> (u16, Value) {
        self.requests.push(request.into());
        if let Some(status) = self.refused.get(request) {
            return (status["code"].as_u64().unwrap_or_default() as u16, status.clone());
        }
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        match request.split_once(' ').expect("a method").0 {
            "POST" => {
                let key = format!("{path}/{}", sent["metadata"]["name"].as_str().expect("a name"));
                match self.objects.contains_key(&key) {
                    true => failure(409, "AlreadyExists"),
                    false => self.write(&key, &sent, &write),
                }
            }
            "GET" if path == "events" => {
                let items: Vec<_> = self.objects.iter().filter(|(key, _)| key.starts_with("events/")).collect();
                let items: Vec<_> = items.into_iter().map(|(_, event)| event.clone()).collect();
                (200, json!({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": items}))
            }
            "GET" => self.objects.get(path).map_or_else(|| failure(404, "NotFound"), |object| (200, object.clone())),
            "PATCH" => {
                let (key, subresource) = path.strip_suffix("/scale").map_or((path, ""), |scaled| (scaled, "scale"));
                // Tests show objects to the operator themselves: their status is an object of its own here.
                match key.ends_with("/status") || self.objects.contains_key(key) {
                    true => self.write(key, &sent, &Write { subresource, ..write }),
                    false => failure(404, "NotFound"),
                }
            }
            "DELETE" => {
                self.objects.remove(path);
                (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
            }
            method => panic!("the operator does not {method}"),
        }
    }

    fn write(&mut self, key: &str, sent: &Value, write: &Write) -> (u16, Value) {
        let new = json!({"metadata": {
            "uid": sent["metadata"]["uid"].as_str().unwrap_or(key), "generation": 0, "creationTimestamp": Timestamp::now(),
        }});
        let before = self.objects.get(key).cloned().unwrap_or(new);
        let is_other =
            |field: &str| !sent["metadata"][field].is_null() && sent["metadata"][field] != before["metadata"][field];
        let is_new = before["metadata"]["resourceVersion"].is_null();
        if !is_new && (is_other("uid") || is_other("resourceVersion")) {
            return failure(409, "Conflict");
        }
        let Some(mut after) = written(&before, sent, write) else { return failure(409, "Conflict") };
        self.version += 1;
        let meta = &mut after["metadata"];
        meta["resourceVersion"] = self.version.to_string().into();
        if before["spec"] != after["spec"] || is_new {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or_default();
            after["metadata"]["generation"] = (generation + 1).into();
        }
        self.objects.insert(key.into(), after.clone());
        match write.subresource {
            "scale" => (200, json!({"metadata": after["metadata"], "spec": {"replicas": after["spec"]["replicas"]}})),
            _ => (if is_new { 201 } else { 200 }, after),
        }
    }
}

/// An object after a write; none when it conflicts with the fields of another manager.
fn written(before: &Value, sent: &Value, write: &Write) -> Option<Value> {
    let mut entries: Vec<Value> = before["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let is_ours = |entry: &Value| {
        entry["manager"] == write.manager.as_str()
            && entry["operation"] == write.operation
            && entry["subresource"].as_str().unwrap_or_default() == write.subresource
    };
    let of_others = |entries: &[Value]| {
        let sets = entries.iter().filter(|entry| !is_ours(entry)).map(|entry| &entry["fieldsV1"]);
        sets.fold(json!({}), |all, fields| merge::union(&all, fields))
    };
    let mut after = before.clone();
    let is_apply = write.operation == "Apply";
    let applied = merge::set(&merge::owned(sent));
    if is_apply {
        let given_up = merge::difference(&ours_of(&entries, is_ours), &applied);
        merge::remove(&mut after, &merge::difference(&given_up, &of_others(&entries)));
        merge::merge_applied(&mut after, sent);
    } else {
        merge::merge_patch(&mut after, sent);
        if let Some(given) = sent["metadata"]["managedFields"].as_array() {
            entries.clone_from(given);
        }
    }
    set_defaults(&mut after);
    let changed = merge::changed(&merge::owned(before), &merge::owned(&after));
    let taken = of_others(&entries);
    if is_apply && !write.force && merge::difference(&taken, &changed) != taken {
        return None;
    }
    let gone = merge::difference(&merge::set(&merge::owned(before)), &merge::set(&merge::owned(&after)));
    for entry in entries.iter_mut().filter(|entry| !is_ours(entry)) {
        entry["fieldsV1"] = merge::difference(&merge::difference(&entry["fieldsV1"], &changed), &gone);
    }
    let fields = match is_apply {
        true => applied,
        false => merge::difference(&merge::union(&ours_of(&entries, is_ours), &changed), &gone),
    };
    entries.retain(|entry| !is_ours(entry));
    entries.push(json!({
        "manager": write.manager, "operation": write.operation, "subresource": write.subresource,
        "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
    }));
    entries.retain(|entry| entry["fieldsV1"] != json!({}));
    after["metadata"]["managedFields"] = entries.into();
    Some(after)
}

fn ours_of(entries: &[Value], is_ours: impl Fn(&Value) -> bool) -> Value {
    entries.iter().find(|entry| is_ours(entry)).map_or_else(|| json!({}), |entry| entry["fieldsV1"].clone())
}

/// Sets one default of the pods of Deployments, as an example of all. The manager that creates the object owns it.
fn set_defaults(object: &mut Value) {
    if object["kind"] == "Deployment" && object["spec"]["template"]["spec"]["dnsPolicy"].is_null() {
        object["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst".into();
    }
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}))
}
