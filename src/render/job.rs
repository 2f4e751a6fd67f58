//! The Job of a training run.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    batch::v1::{Job, JobSpec},
    core::v1::Container,
};

use super::{
    child::{self, Child},
    pod::{self, Access, Main, Spread},
};
use crate::{
    api::{
        DUE_ANNOTATION, MODEL_NAME_ANNOTATION, REQUEST_ANNOTATION, TEMPLATE_ANNOTATION, TRIGGER_ANNOTATION,
        TrainingKind, VERSION_LABEL,
    },
    kinds::Kind,
    model::{Model, names},
    training::NewRun,
};

/// Component label of training pods.
pub const COMPONENT: &str = "training";
/// Name of the container whose termination message is the report.
pub const CONTAINER: &str = "trainer";

/// Seconds a trainer has to exit after its SIGTERM.
const GRACE_SECONDS: i64 = 30;

pub fn render(model: &Model, run: &NewRun) -> Child {
    let identity = &model.identity;
    let mut meta = child::meta(identity, names::job(&identity.base, &run.version), COMPONENT);
    meta.labels.get_or_insert_default().insert(VERSION_LABEL.into(), run.version.clone());
    meta.annotations = Some(annotations(model, run));
    pod::describe(&mut meta, &model.training.pod);
    Child::new(Kind::Job, Job { metadata: meta, spec: Some(spec(model, &run.version, run.kind)), status: None })
}

/// Hash of the run's settings, the same for every run.
pub fn template_hash(model: &Model) -> String {
    child::hash(&spec(model, "", TrainingKind::Full))
}

/// Properties of a run that must be known even if only its Job exists.
fn annotations(model: &Model, run: &NewRun) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([
        (MODEL_NAME_ANNOTATION.into(), model.identity.name.clone()),
        (TEMPLATE_ANNOTATION.into(), template_hash(model)),
        (TRIGGER_ANNOTATION.into(), run.trigger.as_str().into()),
        (DUE_ANNOTATION.into(), run.due.to_string()),
    ]);
    annotations.extend(run.request.clone().map(|request| (REQUEST_ANNOTATION.into(), request)));
    annotations
}

fn spec(model: &Model, version: &str, kind: TrainingKind) -> JobSpec {
    let full = &model.training.full;
    let mut labels = child::labels(&model.identity, COMPONENT);
    labels.insert(VERSION_LABEL.into(), version.into());
    let spread = Spread::Runs(child::selector(&model.identity, COMPONENT));
    let container = container(model, version, kind);
    let mut template = pod::template(model, &model.training.pod, labels, &spread, container);
    let pod = template.spec.get_or_insert_default();
    // Each attempt is a pod of its own, so that the termination message of a failed attempt can still be read.
    pod.restart_policy = Some("Never".into());
    pod.termination_grace_period_seconds = Some(GRACE_SECONDS);
    JobSpec {
        active_deadline_seconds: Some(full.deadline_seconds),
        backoff_limit: Some(full.backoff_limit),
        template,
        ..JobSpec::default()
    }
}

fn container(model: &Model, version: &str, kind: TrainingKind) -> Container {
    let training = &model.training;
    let contract = vec![
        ("RECOMMENDER_VERSION", version.to_owned()),
        ("RECOMMENDER_KIND", kind.as_str().to_owned()),
        ("RECOMMENDER_OUTPUT_URI", format!("{}/{version}", model.artifacts.base_uri(&model.identity))),
    ];
    let main = Main {
        name: CONTAINER,
        image: &training.image,
        command: &training.full.command,
        args: &training.full.args,
        contract,
        env: &training.env,
        resources: training.resources.as_ref(),
        access: Access::ReadWrite,
        pod: &training.pod,
    };
    Container {
        // The report is read from the file only: the end of the log is not a report.
        termination_message_policy: Some("File".into()),
        ..main.container(model)
    }
}
