//! The scaler between a metric source and the autoscaler: its decisions and status when signals are wrong, late or missing.

mod backfill;
mod faults;
mod feedback;
mod fleet;
mod matrix;
mod objects;
mod overload;
mod policy;
mod promises;
mod scaled;
mod site;
mod source;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    api::RecommenderModel,
    model::Model,
    signals::fake::{NOW, at},
};

/// The object `shop/NAME` with the UID `uid`. Its spec has these fields in addition to those of every object.
fn model(name: &str, fields: Value) -> Model {
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
fn serving(autoscaling: Value) -> Value {
    json!({"image": "s", "autoscaling": autoscaling, "resources": {"limits": {"cpu": "1"}}})
}

/// Seconds after [`NOW`].
fn seconds(time: Timestamp) -> i64 {
    time.as_second() - NOW
}
