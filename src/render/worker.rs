//! The Deployment of a worker.

use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentSpec},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::pod::{self, Access, Main, Probes, Spread};
use crate::{
    api::Worker,
    child::{self, Child},
    kinds::Kind,
    model::{Model, Workload},
    names::WORKER_CONTAINER,
};

/// Name of the metrics port.
pub const METRICS_PORT: &str = "metrics";

pub fn render(model: &Model, worker: &Worker) -> Child {
    let identity = &model.identity;
    let workload = Workload::worker(worker, &identity.base);
    let selector = child::track_selector(identity, &workload.component);
    let mut labels = child::labels(identity, &workload.component);
    labels.extend(selector.clone());
    let spread = Spread::Replicas(selector.clone());
    let mut template = pod::template(model, &main(model, worker), labels, &spread);
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

fn main<'a>(model: &'a Model, worker: &'a Worker) -> Main<'a> {
    Main {
        name: WORKER_CONTAINER,
        image: worker.image.as_ref().unwrap_or(&model.serving.image),
        command: &worker.command,
        args: &worker.args,
        contract: vec![("RECOMMENDER_WORKER", worker.name.clone())],
        env: &worker.env,
        resources: worker.resources.as_ref(),
        ports: worker.metrics.iter().map(|metrics| (METRICS_PORT, metrics.port)).collect(),
        access: Access::ReadOnly,
        probes: Probes::default(),
        drain_seconds: None,
        pod: &worker.pod,
    }
}
