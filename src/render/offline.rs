//! The children of an object read from a file, as they will be once the first training has succeeded.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Child, Decided, children, training_template};
use crate::{
    api::{Version, VersionState},
    kinds::Kind,
    model::Model,
    promotion::route::Shares,
    training::{self, Inputs, NewRun, Plan, Signals},
};

/// Placeholder for the digest of a version that is not trained yet.
const NO_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// All children, including the first training Job, as if that Job had produced a version.
pub fn offline(model: &Model, now: Timestamp) -> Vec<Child> {
    let plan = Plan::new(model, |kind| training_template(model, kind));
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
    let run = training::decide(&inputs).start;
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
        due_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now),
        started_at: None,
        state: VersionState::Candidate,
        trained_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now),
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
        if child.name.ends_with("-serving") && child.kind == Kind::Deployment {
            text += "---\n# The version is the first training's; its digest is known when it was trained.\n";
        } else {
            text += "---\n";
        }
        text += &serde_saphyr::to_string(&child.object)?;
    }
    Ok(text)
}
