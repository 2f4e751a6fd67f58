//! Autoscaling on the use of CPU and memory, which is in per cent of a request.

use super::{InvalidField, Scalable, scalable};
use crate::{
    api::{RecommenderModelSpec, Resources},
    cores,
};

/// Targets in per cent of a request of zero, of which every use is infinitely many.
pub(super) fn problems(spec: &RecommenderModelSpec) -> Vec<InvalidField> {
    let all = scalable(spec);
    all.flat_map(|Scalable { path, resources, scaling, .. }| {
        let targets = scaling.map(|scaling| [("cpu", scaling.cpu), ("memory", scaling.memory)]);
        let targeted = targets.into_iter().flatten().filter_map(|(resource, target)| target.map(|_| resource));
        let zero = targeted.filter_map(move |resource| Some((resource, zero(resources?, resource)?)));
        zero.map(move |(resource, at)| {
            path.field("resources").field(at).field(resource).problem(format!(
                "0 cannot be scaled on, because autoscaling.{resource} is in per cent of the request: write what a replica usually \
                 needs, or scale on something else"
            ))
        })
    })
    .collect()
}

/// Where a request of zero is: without one, the limit is the request.
fn zero(resources: &Resources, resource: &str) -> Option<&'static str> {
    let request = resources.requests.get(resource).map(|amount| ("requests", amount));
    let limit = || resources.limits.get(resource).map(|amount| ("limits", amount));
    let (at, amount) = request.or_else(limit)?;
    (cores::amount(&amount.0) == Some(0.0)).then_some(at)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(serving: Value, worker: Value) -> Vec<String> {
        let mut worker = worker;
        worker["name"] = "events".into();
        let image = json!({"image": "s"});
        let mut spec = json!({
            "artifacts": {"persistentVolumeClaim": {"claimName": "a"}},
            "training": {"image": "t", "full": {}},
            "serving": image,
            "workers": [worker],
        });
        for (field, value) in serving.as_object().expect("settings") {
            spec["serving"][field] = value.clone();
        }
        let spec = serde_json::from_value(spec).expect("a spec");
        problems(&spec).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn use_in_per_cent_of_a_request_of_zero_is_refused_with_its_field() {
        let cpu = json!({"maxReplicas": 3, "cpu": {"targetUtilizationPercent": 70}});
        let memory = json!({"maxReplicas": 3, "memory": {"targetUtilizationPercent": 70}});
        let both = found(
            json!({"autoscaling": cpu, "resources": {"requests": {"cpu": "0m"}, "limits": {"cpu": "1"}}}),
            json!({"autoscaling": memory, "resources": {"limits": {"memory": "0.0Ki"}}}),
        );
        let begins = [
            "spec.serving.resources.requests.cpu: 0 cannot be scaled on",
            "spec.workers[0].resources.limits.memory: 0 cannot be scaled on",
        ];
        assert!(
            both.len() == 2 && both.iter().zip(begins).all(|(message, begin)| message.starts_with(begin)),
            "{both:?}"
        );
        // The default target, if nothing else is scaled on.
        let default = json!({"autoscaling": {"maxReplicas": 3}, "resources": {"requests": {"cpu": 0}}});
        assert_eq!(found(default, json!({})).len(), 1);
    }

    #[test]
    fn a_request_of_zero_that_nothing_is_scaled_on_is_accepted() {
        let cpu = json!({"maxReplicas": 3, "cpu": {"targetUtilizationPercent": 70}});
        let resources = json!({"requests": {"cpu": "1m", "memory": "0"}});
        assert_eq!(found(json!({"autoscaling": cpu, "resources": resources}), json!({})), [""; 0]);
        assert_eq!(found(json!({"resources": {"requests": {"cpu": "0"}}}), json!({})), [""; 0]);
    }
}
