//! The Deployment of a worker.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec},
        core::v1::{Container, ContainerPort, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};

use super::{
    child::{self, Child},
    pod::{self, Access},
};
use crate::{
    api::{MODEL_NAME_ANNOTATION, Worker},
    kinds::Kind,
    model::{Model, Workload},
};

/// Name of the container.
pub const CONTAINER: &str = "worker";
/// Name of the metrics port.
pub const METRICS_PORT: &str = "metrics";

pub fn render(model: &Model, worker: &Worker) -> Child {
    let identity = &model.identity;
    let workload = Workload::worker(worker, &identity.base);
    let selector = child::track_selector(identity, &workload.component);
    let mut labels = child::labels(identity, &workload.component);
    labels.extend(selector.clone());
    let mut pod = pod::spec(model, container(model, worker));
    pod.termination_grace_period_seconds = Some(worker.termination_grace_seconds);
    let spec = DeploymentSpec {
        // With an autoscaler this field is written by the autoscaler.
        replicas: workload.scaling.is_none().then_some(workload.replicas),
        selector: LabelSelector { match_labels: Some(selector), ..LabelSelector::default() },
        revision_history_limit: Some(2),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(labels),
                annotations: Some(BTreeMap::from([(MODEL_NAME_ANNOTATION.into(), identity.name.clone())])),
                ..ObjectMeta::default()
            }),
            spec: Some(pod),
        },
        ..DeploymentSpec::default()
    };
    let metadata = child::meta(identity, workload.deployment, &workload.component);
    Child::new(Kind::Deployment, Deployment { metadata, spec: Some(spec), status: None })
}

fn container(model: &Model, worker: &Worker) -> Container {
    let port = worker.metrics.as_ref().map(|metrics| ContainerPort {
        name: Some(METRICS_PORT.into()),
        container_port: metrics.port,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    });
    Container {
        name: CONTAINER.into(),
        image: Some(worker.image.clone().unwrap_or_else(|| model.serving.image.clone())),
        command: pod::non_empty(&worker.command),
        args: pod::non_empty(&worker.args),
        ports: port.map(|port| vec![port]),
        env: Some(pod::env(model, vec![("RECOMMENDER_WORKER", worker.name.clone())], &worker.env)),
        resources: pod::resources(worker.resources.as_ref()),
        volume_mounts: Some(pod::mounts(model, Access::ReadOnly)),
        security_context: Some(pod::security_context()),
        ..Container::default()
    }
}
