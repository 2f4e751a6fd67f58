//! The decisions on workloads from samples of their series, and what is reported of them.

mod evidence;
mod plan;
mod promises;
mod workload;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    api::RecommenderModel,
    model::Model,
    signals::fake::{NOW, at},
};

/// The object `shop/NAME` with the UID `uid`. Its spec has these fields in addition to those of every object.
pub fn model(name: &str, fields: Value) -> Model {
    let mut object = json!({
        "apiVersion": "recommender.dev/v1alpha1", "kind": "RecommenderModel",
        "metadata": {"name": name, "namespace": "shop", "uid": "uid", "generation": 1},
        "spec": {
            "artifacts": {"persistentVolumeClaim": {"claimName": "models"}},
            "training": {"image": "t", "full": {}},
            "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
            "dependencies": [{"name": "events", "kafka": {"consumerGroup": "packages", "topics": ["events"]}}],
        },
    });
    for (field, value) in fields.as_object().expect("fields") {
        object["spec"][field] = value.clone();
    }
    let object: RecommenderModel = serde_json::from_value(object).expect("an object");
    Model::new(&object, at(0)).expect("a valid object")
}

/// `spec.serving` with this autoscaling.
pub fn serving(autoscaling: Value) -> Value {
    json!({"image": "s", "autoscaling": autoscaling, "resources": {"limits": {"cpu": "1"}}})
}

/// Seconds after [`NOW`].
fn seconds(time: Timestamp) -> i64 {
    time.as_second() - NOW
}
