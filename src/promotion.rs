//! What serves: decided once in a reconcile. Rendering, applying and the status read this value.

use crate::api::Version;

/// Which version is to serve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout {
    /// The version to serve; none before the first valid one, and then the Deployment is left as it is.
    pub serve: Option<Version>,
}

impl Rollout {
    /// The newest valid version serves, whatever it measures.
    pub fn decide(versions: &[Version]) -> Self {
        Self { serve: versions.first().cloned() }
    }
}
