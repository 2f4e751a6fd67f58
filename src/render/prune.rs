//! The Job that deletes artifacts: a pod like those of trainers, with the arguments of `spec.training.prune`.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::batch::v1::{Job, JobSpec},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    job::{self, disruptions_are_no_failures},
    pod::{self, Access, Main, Probes},
};
use crate::{
    api::{MODEL_NAME_ANNOTATION, PRUNE_ANNOTATION, Prune, Resources},
    child::{self, Child},
    kinds::Kind,
    model::Model,
    names::{PRUNE_COMPONENT, TRAINER_CONTAINER},
    pruning::NewPrune,
};

/// Seconds after which it is ended: an hour, for the deletion of some dozens of artifacts. The next one goes on.
const DEADLINE_SECONDS: i64 = 3600;
/// What it requests of CPU and memory, and its limit of memory. A deletion needs neither the memory nor the GPU of a training.
const REQUESTS: [(&str, &str); 2] = [("cpu", "100m"), ("memory", "128Mi")];
/// See [`REQUESTS`].
const LIMITS: [(&str, &str); 1] = [("memory", "1Gi")];

pub fn render(model: &Model, prune: &Prune, run: &NewPrune) -> Child {
    let ids = joined(run, |(id, _)| id);
    let mut meta = child::meta(&model.identity, run.job.clone(), PRUNE_COMPONENT);
    meta.annotations = Some(BTreeMap::from([
        (MODEL_NAME_ANNOTATION.into(), model.identity.name.clone()),
        (PRUNE_ANNOTATION.into(), ids.clone()),
    ]));
    pod::describe(&mut meta, &model.training.pod);
    let resources = resources();
    let main = Main {
        name: TRAINER_CONTAINER,
        image: prune.image.as_ref().unwrap_or(&model.training.image),
        command: &prune.command,
        args: &prune.args,
        contract: vec![
            ("RECOMMENDER_KIND", "Prune".into()),
            ("RECOMMENDER_PRUNE_VERSIONS", ids),
            ("RECOMMENDER_PRUNE_URIS", joined(run, |(_, uri)| uri)),
        ],
        env: &model.training.env,
        resources: Some(&resources),
        ports: Vec::new(),
        access: Access::ReadWrite,
        probes: Probes::default(),
        drain_seconds: None,
        pod: &model.training.pod,
    };
    let spec = JobSpec {
        active_deadline_seconds: Some(DEADLINE_SECONDS),
        // It is tried again as another Job, after a pause that grows.
        backoff_limit: Some(0),
        pod_failure_policy: Some(disruptions_are_no_failures()),
        pod_replacement_policy: Some("Failed".into()),
        template: job::template(model, &main, child::labels(&model.identity, PRUNE_COMPONENT), PRUNE_COMPONENT),
        ..JobSpec::default()
    };
    Child::new(Kind::Job, Job { metadata: meta, spec: Some(spec), status: None })
}

/// Neither names of versions nor URIs of the store have blanks.
fn joined(run: &NewPrune, of: impl Fn(&(String, String)) -> &String) -> String {
    run.versions.iter().map(|version| of(version).as_str()).collect::<Vec<_>>().join(" ")
}

fn resources() -> Resources {
    let of = |all: &[(&str, &str)]| all.iter().map(|(name, of)| ((*name).into(), Quantity((*of).into()))).collect();
    Resources { requests: of(&REQUESTS), limits: of(&LIMITS) }
}
