//! The Job of a training run.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};

use super::{
    child::{self, Child},
    pod::{self, Access, Main, Probes, Spread},
};
use crate::{
    api::{
        DUE_ANNOTATION, MODEL_NAME_ANNOTATION, QUEUE_LABEL, REQUEST_ANNOTATION, TEMPLATE_ANNOTATION,
        TRIGGER_ANNOTATION, TrainingJob, TrainingKind, VERSION_LABEL,
    },
    kinds::Kind,
    model::{Model, TRAINER_GRACE_SECONDS, names},
    training::NewRun,
};

/// Component label of training pods.
pub const COMPONENT: &str = "training";
/// Name of the container whose termination message is the report.
pub const CONTAINER: &str = "trainer";

pub fn render(model: &Model, run: &NewRun) -> Child {
    let identity = &model.identity;
    let settings = settings(model);
    let mut meta = child::meta(identity, names::job(&identity.base, &run.version), COMPONENT);
    let labels = meta.labels.get_or_insert_default();
    labels.insert(VERSION_LABEL.into(), run.version.clone());
    labels.extend(settings.queue_name.clone().map(|queue| (QUEUE_LABEL.into(), queue)));
    meta.annotations = Some(annotations(model, run));
    pod::describe(&mut meta, &model.training.pod);
    let spec = JobSpec {
        pod_failure_policy: Some(disruptions_are_no_failures()),
        // Never two trainers that write below the same URI.
        pod_replacement_policy: Some("Failed".into()),
        // Kueue admits a Job by ending its suspension.
        suspend: settings.queue_name.is_some().then_some(true),
        ttl_seconds_after_finished: settings.ttl_seconds_after_finished,
        ..spec(model, &run.version, run.kind)
    };
    Child::new(Kind::Job, Job { metadata: meta, spec: Some(spec), status: None })
}

fn settings(model: &Model) -> TrainingJob {
    model.training.job.clone().unwrap_or_default()
}

/// A pod that is evicted, preempted or drained is replaced without counting as a failed attempt.
fn disruptions_are_no_failures() -> PodFailurePolicy {
    let disrupted = PodFailurePolicyOnPodConditionsPattern { type_: "DisruptionTarget".into(), status: "True".into() };
    let rule = PodFailurePolicyRule {
        action: "Ignore".into(),
        on_pod_conditions: Some(vec![disrupted]),
        ..PodFailurePolicyRule::default()
    };
    PodFailurePolicy { rules: vec![rule] }
}

/// Hash of the settings of a run's pods, the same for every run. Settings of the Job alone are left out: their change is no reason
/// to repeat a failed run.
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
    let trainers = model.training.trainers();
    let spread = Spread::Runs(child::selector(&model.identity, COMPONENT));
    let mut template = pod::template(model, &main(model, version, kind), labels, &spread);
    let pod = template.spec.get_or_insert_default();
    pod.subdomain = trainers.map(|_| names::trainers(&model.identity.base));
    // The report is read from the file only: the end of the log is not a report.
    pod.containers.iter_mut().for_each(|trainer| trainer.termination_message_policy = Some("File".into()));
    // Each attempt is a pod of its own, so that the termination message of a failed attempt can still be read.
    pod.restart_policy = Some("Never".into());
    pod.termination_grace_period_seconds = Some(TRAINER_GRACE_SECONDS);
    JobSpec {
        active_deadline_seconds: Some(full.deadline_seconds),
        backoff_limit: Some(full.backoff_limit),
        completion_mode: trainers.map(|_| "Indexed".into()),
        completions: trainers,
        parallelism: trainers.map(|trainers| settings(model).parallelism.unwrap_or(trainers)),
        template,
        ..JobSpec::default()
    }
}

fn main<'a>(model: &'a Model, version: &str, kind: TrainingKind) -> Main<'a> {
    let training = &model.training;
    let identity = &model.identity;
    let mut contract = vec![
        ("RECOMMENDER_VERSION", version.to_owned()),
        ("RECOMMENDER_KIND", kind.as_str().to_owned()),
        ("RECOMMENDER_OUTPUT_URI", format!("{}/{version}", model.artifacts.base_uri(identity))),
    ];
    if let Some(trainers) = training.trainers() {
        let (job, service) = (names::job(&identity.base, version), names::trainers(&identity.base));
        contract.push(("RECOMMENDER_COMPLETIONS", trainers.to_string()));
        // The host name of a pod of an indexed Job is the Job's name and its index.
        contract.push(("RECOMMENDER_LEADER_HOST", format!("{job}-0.{service}")));
    }
    Main {
        name: CONTAINER,
        image: &training.image,
        command: &training.full.command,
        args: &training.full.args,
        contract,
        env: &training.env,
        resources: training.resources.as_ref(),
        ports: Vec::new(),
        access: Access::ReadWrite,
        probes: Probes::default(),
        drain_seconds: None,
        pod: &training.pod,
    }
}
