//! The file that names the version to servers that change versions without a restart: a key of a ConfigMap of its own for each pod
//! template, so that a pod of a newer template never reads an older version than its variables have.

use serde::{Deserialize, Serialize};

use crate::api::Version;

/// Name of the volume.
pub const VOLUME: &str = "recommender-version";
/// Where it is mounted: the directory, because the kubelet never updates the mount of a single file.
pub const DIRECTORY: &str = "/etc/recommender/version";
/// Name of the file.
pub const FILE: &str = "version.json";
/// The variable with its path.
pub const VARIABLE: &str = "RECOMMENDER_VERSION_FILE";

/// A version and where its artifact is: what the file contains, as JSON.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Artifact {
    /// Id of the version.
    pub version: String,
    /// URI of its artifact.
    pub uri: String,
    /// Digest of its artifact.
    pub digest: String,
}

impl From<&Version> for Artifact {
    fn from(of: &Version) -> Self {
        Self { version: of.id.clone(), uri: of.uri.clone(), digest: of.digest.clone() }
    }
}

impl Artifact {
    /// The content of the file. Cannot fail, because it consists of texts.
    pub fn content(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// With which version the pods of the servers are started, and which one their file names.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The version in their variables.
    pub started: Artifact,
    /// The begin of the reload after whose time-out they are restarted, by which their template differs from the one before.
    pub restarted: Option<String>,
    /// The version in their file.
    pub file: Artifact,
}

impl Placement {
    /// Pods that are started with a version, as with any rollout.
    pub fn started(with: &Version) -> Self {
        Self { started: with.into(), restarted: None, file: with.into() }
    }
}

/// What is observed of the file of the servers of a Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Name of its ConfigMap.
    pub config_map: String,
    /// Hash of the pod template that it belongs to, as rendered.
    pub template: String,
    /// The version in the variables of the pods.
    pub started: Artifact,
    /// As [`Placement::restarted`].
    pub restarted: Option<String>,
    /// The version in the file; none as long as there is no such ConfigMap.
    pub named: Option<Artifact>,
}
