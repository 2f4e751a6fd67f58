use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Versions on top of the full version that the servers were started with take over without a restart.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HotReload {
    /// Seconds within which all servers have to report the version; after that they are restarted by a rolling update.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 10, max = 3600))]
    pub timeout_seconds: i32,
}

fn default_timeout_seconds() -> i32 {
    300
}
