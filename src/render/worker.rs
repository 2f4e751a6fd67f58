//! The Deployment of a worker.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec},
        core::v1::{Container, ContainerPort},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::{
    child::{self, Child},
    pod::{self, Access, Main, Spread},
};
use crate::{
    api::Worker,
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
    let spread = Spread::Replicas(selector.clone());
    let mut template = pod::template(model, &worker.pod, labels, &spread, container(model, worker));
    template.spec.get_or_insert_default().termination_grace_period_seconds = Some(worker.termination_grace_seconds);
    let spec = DeploymentSpec {
        // With an autoscaler this field is written by the autoscaler.
        replicas: workload.scaling.is_none().then_some(workload.replicas),
        selector: LabelSelector { match_labels: Some(selector), ..LabelSelector::default() },
        revision_history_limit: Some(2),
        template,
        ..DeploymentSpec::default()
    };
    let mut metadata = child::meta(identity, workload.deployment, &workload.component);
    pod::describe(&mut metadata, &worker.pod);
    Child::new(Kind::Deployment, Deployment { metadata, spec: Some(spec), status: None })
}

fn container(model: &Model, worker: &Worker) -> Container {
    let port = worker.metrics.as_ref().map(|metrics| ContainerPort {
        name: Some(METRICS_PORT.into()),
        container_port: metrics.port,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    });
    let main = Main {
        name: CONTAINER,
        image: worker.image.as_ref().unwrap_or(&model.serving.image),
        command: &worker.command,
        args: &worker.args,
        contract: vec![("RECOMMENDER_WORKER", worker.name.clone())],
        env: &worker.env,
        resources: worker.resources.as_ref(),
        access: Access::ReadOnly,
        pod: &worker.pod,
    };
    Container { ports: port.map(|port| vec![port]), ..main.container(model) }
}
