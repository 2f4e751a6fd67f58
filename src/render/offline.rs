//! The children of an object read from a file, as they will be once the first training has succeeded.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Decided, children, job, prune, training_template};
use crate::{
    api::{BASE_ANNOTATION, Base, TrainingKind, Trigger, Version, VersionState},
    child::Child,
    kinds::Kind,
    model::{Model, readiness::Readiness},
    names::{self, PRUNE_COMPONENT},
    promotion::route::Shares,
    pruning::NewPrune,
    time::whole_seconds,
    training::{self, Inputs, NewBase, NewRun, Plan, Signals},
};

/// Placeholder for the time in the version of a scheduled run.
const NO_TIME: &str = "00000000-0000";
/// Placeholder for the digest of a version that is not trained yet.
const NO_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// All children, including the first training Job, as if that Job had produced a version.
pub fn offline(model: &Model, now: Timestamp) -> Vec<Child> {
    let run = first_run(model, now);
    let version = run.as_ref().map(|run| trained(model, run, now));
    let decided = Decided {
        placement: None,
        returned: &[],
        keeps_servers: false,
        serve: version.as_ref(),
        // It is there only while a newer version is compared with the one that serves.
        canary: None,
        shares: Shares::default(),
        is_canary_held: false,
        train: run.as_ref(),
        // Nothing has left the status.
        prune: None,
        replicas: BTreeMap::new(),
        open: BTreeSet::new(),
        externally_scaled: BTreeSet::new(),
    };
    children(model, &decided)
}

/// The Jobs that follow the first one, where the spec has them: a partial training on top of its version, and the Job that deletes the
/// artifact of that version once it has left the status.
pub fn later_jobs(model: &Model, now: Timestamp) -> Vec<Child> {
    let first = first_run(model, now).map(|run| trained(model, &run, now));
    let Some(version) = first else { return Vec::new() };
    let at = || Time(whole_seconds(now));
    let base = Base { version: version.id.clone(), full: version.id.clone(), full_trained_at: at(), data_from: at() };
    let run = NewRun {
        version: format!("{}-{NO_TIME}", TrainingKind::Partial.lower()),
        kind: TrainingKind::Partial,
        trigger: Trigger::Schedule,
        due: whole_seconds(now),
        request: None,
        cause: None,
        base: Some(NewBase { base, uri: version.uri.clone(), digest: version.digest.clone() }),
    };
    let partial = model.training.partial.as_ref().map(|_| job::render(model, &run));
    // Everything below the URI that its trainer was given.
    let deleted = NewPrune { job: names::prune(&model.identity.base, 1), versions: vec![(version.id, version.uri)] };
    let prune = model.training.prune.as_ref().map(|prune| prune::render(model, prune, &deleted));
    partial.into_iter().chain(prune).collect()
}

/// The first training run. What holds runs back in a cluster does not here: inputs that are not known, and `suspend`.
fn first_run(model: &Model, now: Timestamp) -> Option<NewRun> {
    let plan = Plan::new(model, |kind| training_template(model, kind));
    let plan = Plan { readiness: Readiness::default(), suspended: false, ..plan };
    let inputs = Inputs {
        plan: &plan,
        prior: None,
        versions: &[],
        in_use: &[],
        runs: &[],
        signals: &Signals::default(),
        held: None,
        now,
        runs_complete: true,
        has_trainer: false,
    };
    training::decide(&inputs).start
}

fn trained(model: &Model, run: &NewRun, now: Timestamp) -> Version {
    Version {
        id: run.version.clone(),
        kind: run.kind,
        job: String::new(),
        uri: format!("{}/{}", model.artifacts.base_uri(&model.identity), run.version),
        digest: NO_DIGEST.into(),
        bytes: 0,
        metrics: Default::default(),
        samples: None,
        standard_errors: BTreeMap::new(),
        gates: Vec::new(),
        canary: None,
        data_through: None,
        base: None,
        due_at: Time(now),
        started_at: None,
        state: VersionState::Candidate,
        trained_at: Time(now),
        served_at: None,
    }
}

/// Children as YAML documents.
///
/// # Errors
/// If a value cannot be serialized as YAML, which does not happen with our types.
pub fn as_yaml(children: &[Child]) -> anyhow::Result<String> {
    let mut text = String::new();
    for child in children {
        text += "---\n";
        text.extend(comment(child).map(|of| format!("# {of}\n")));
        text += &serde_saphyr::to_string(&child.object)?;
    }
    Ok(text)
}

/// What is not known yet of a child.
fn comment(child: &Child) -> Option<&'static str> {
    let is_partial = || child.object["metadata"]["annotations"].get(BASE_ANNOTATION).is_some();
    match child.kind {
        Kind::Deployment if child.name.ends_with("-serving") => {
            Some("The version is the first training's; its digest is known when it was trained.")
        }
        Kind::Job if child.object["metadata"]["labels"]["app.kubernetes.io/component"] == PRUNE_COMPONENT => Some(
            "A later Job that deletes artifacts; here that of the first training, as if its version were not kept any more.",
        ),
        Kind::Job if is_partial() => {
            Some("A later partial training, on top of the first one; its version has the time when it is due.")
        }
        _ => None,
    }
}
