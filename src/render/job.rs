//! The Job of a training run.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::api::{
    batch::v1::{Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule},
    core::v1::PodTemplateSpec,
};

use super::{
    pod::{self, Access, Main, Probes, Spread},
    worker::METRICS_PORT,
};
use crate::{
    api::{
        BASE_ANNOTATION, CAUSE_ANNOTATION, DUE_ANNOTATION, EnvVar, MODEL_NAME_ANNOTATION, PlainVar, QUEUE_LABEL,
        REQUEST_ANNOTATION, Resources, TEMPLATE_ANNOTATION, TRIGGER_ANNOTATION, TrainingJob, TrainingKind,
        VERSION_LABEL,
    },
    child::{self, Child},
    kinds::Kind,
    model::{Model, TRAINER_GRACE_SECONDS},
    names::{self, TRAINER_CONTAINER, TRAINING_COMPONENT},
    training::{NewBase, NewRun},
};

pub fn render(model: &Model, run: &NewRun) -> Child {
    let identity = &model.identity;
    let settings = settings(model);
    let mut meta = child::meta(identity, names::job(&identity.base, &run.version), TRAINING_COMPONENT);
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
        ..spec(model, &run.version, &Settings::of(model, run.kind), contract(run))
    };
    Child::new(Kind::Job, Job { metadata: meta, spec: Some(spec), status: None })
}

fn settings(model: &Model) -> TrainingJob {
    model.training.job.clone().unwrap_or_default()
}

/// A pod that is evicted, preempted or drained is replaced without counting as a failed attempt.
pub fn disruptions_are_no_failures() -> PodFailurePolicy {
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
pub fn template_hash(model: &Model, kind: TrainingKind) -> String {
    child::hash(&spec(model, "", &Settings::of(model, kind), Vec::new()))
}

/// Properties of a run that must be known even if only its Job exists.
fn annotations(model: &Model, run: &NewRun) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([
        (MODEL_NAME_ANNOTATION.into(), model.identity.name.clone()),
        (TEMPLATE_ANNOTATION.into(), template_hash(model, run.kind)),
        (TRIGGER_ANNOTATION.into(), run.trigger.as_str().into()),
        (DUE_ANNOTATION.into(), run.due.to_string()),
    ]);
    annotations.extend(run.request.clone().map(|request| (REQUEST_ANNOTATION.into(), request)));
    annotations.extend(run.cause.clone().map(|cause| (CAUSE_ANNOTATION.into(), cause)));
    let base = run.base.as_ref().and_then(|base| serde_json::to_string(&base.base).ok());
    annotations.extend(base.map(|base| (BASE_ANNOTATION.into(), base)));
    annotations
}

/// What differs between a full and a partial run.
struct Settings<'a> {
    kind: TrainingKind,
    image: &'a str,
    command: &'a [String],
    args: &'a [String],
    env: Cow<'a, [EnvVar]>,
    resources: Option<&'a Resources>,
    deadline_seconds: i64,
    backoff_limit: i32,
    /// Number of trainers that work on the run; `None` with one.
    trainers: Option<i32>,
}

impl<'a> Settings<'a> {
    /// Of a partial run of an object without partial training, those of a full one.
    fn of(model: &'a Model, kind: TrainingKind) -> Self {
        let (training, full) = (&model.training, &model.training.full);
        match training.partial.as_ref().filter(|_| kind == TrainingKind::Partial) {
            None => Self {
                kind,
                image: &training.image,
                command: &full.command,
                args: &full.args,
                env: Cow::Borrowed(&training.env),
                resources: training.resources.as_ref(),
                deadline_seconds: full.deadline_seconds,
                backoff_limit: full.backoff_limit,
                trainers: training.trainers(),
            },
            Some(partial) => Self {
                kind,
                image: partial.image.as_ref().unwrap_or(&training.image),
                command: &partial.command,
                args: &partial.args,
                env: Cow::Owned(merged(&training.env, &partial.env)),
                resources: partial.resources.as_ref().or(training.resources.as_ref()),
                deadline_seconds: partial.deadline_seconds,
                backoff_limit: partial.backoff_limit,
                trainers: None,
            },
        }
    }
}

/// The variables of `own` in place of those of the same name, and after the others.
fn merged(all: &[EnvVar], own: &[PlainVar]) -> Vec<EnvVar> {
    let others = all.iter().filter(|variable| own.iter().all(|of| of.name != variable.name)).cloned();
    let own = own.iter().cloned().map(|of| EnvVar { name: of.name, value: of.value, value_from: None });
    others.chain(own).collect()
}

/// The base of a partial run and the interval of its data, for its trainer.
fn contract(run: &NewRun) -> Vec<(&'static str, String)> {
    let Some(NewBase { base, uri, digest }) = &run.base else { return Vec::new() };
    vec![
        ("RECOMMENDER_BASE_VERSION", base.version.clone()),
        ("RECOMMENDER_BASE_URI", uri.clone()),
        ("RECOMMENDER_BASE_DIGEST", digest.clone()),
        ("RECOMMENDER_DATA_FROM", base.data_from.0.to_string()),
        // Never before its beginning, also if the base has data of after this run was due.
        ("RECOMMENDER_DATA_TO", run.due.max(base.data_from.0).to_string()),
    ]
}

/// Pods that run to their end and then leave a message.
pub fn template(model: &Model, main: &Main<'_>, labels: BTreeMap<String, String>, component: &str) -> PodTemplateSpec {
    let spread = Spread::Runs(child::selector(&model.identity, component));
    let mut template = pod::template(model, main, labels, &spread);
    let pod = template.spec.get_or_insert_default();
    // The report is read from the file only: the end of the log is not a report.
    pod.containers.iter_mut().for_each(|main| main.termination_message_policy = Some("File".into()));
    // Each attempt is a pod of its own, so that the termination message of a failed attempt can still be read.
    pod.restart_policy = Some("Never".into());
    pod.termination_grace_period_seconds = Some(TRAINER_GRACE_SECONDS);
    template
}

fn spec(model: &Model, version: &str, of: &Settings<'_>, contract: Vec<(&'static str, String)>) -> JobSpec {
    let mut labels = child::labels(&model.identity, TRAINING_COMPONENT);
    labels.insert(VERSION_LABEL.into(), version.into());
    let mut template = template(model, &main(model, version, of, contract), labels, TRAINING_COMPONENT);
    template.spec.get_or_insert_default().subdomain = of.trainers.map(|_| names::trainers(&model.identity.base));
    JobSpec {
        active_deadline_seconds: Some(of.deadline_seconds),
        backoff_limit: Some(of.backoff_limit),
        completion_mode: of.trainers.map(|_| "Indexed".into()),
        completions: of.trainers,
        parallelism: of.trainers.map(|trainers| settings(model).parallelism.unwrap_or(trainers)),
        template,
        ..JobSpec::default()
    }
}

fn main<'a>(model: &'a Model, version: &str, of: &'a Settings<'_>, of_run: Vec<(&'static str, String)>) -> Main<'a> {
    let identity = &model.identity;
    let mut contract = vec![
        ("RECOMMENDER_VERSION", version.to_owned()),
        ("RECOMMENDER_KIND", of.kind.as_str().to_owned()),
        ("RECOMMENDER_OUTPUT_URI", format!("{}/{version}", model.artifacts.base_uri(identity))),
    ];
    let metrics = model.training.metrics.as_ref();
    contract.extend(metrics.map(|metrics| ("RECOMMENDER_METRICS_PORT", metrics.port.to_string())));
    contract.extend(of_run);
    if let Some(trainers) = of.trainers {
        let (job, service) = (names::job(&identity.base, version), names::trainers(&identity.base));
        contract.push(("RECOMMENDER_COMPLETIONS", trainers.to_string()));
        // The host name of a pod of an indexed Job is the Job's name and its index.
        contract.push(("RECOMMENDER_LEADER_HOST", format!("{job}-0.{service}")));
    }
    Main {
        name: TRAINER_CONTAINER,
        image: of.image,
        command: of.command,
        args: of.args,
        contract,
        env: &of.env,
        resources: of.resources,
        ports: metrics.map(|metrics| (METRICS_PORT, metrics.port)).into_iter().collect(),
        access: Access::ReadWrite,
        probes: Probes::default(),
        drain_seconds: None,
        pod: &model.training.pod,
    }
}
