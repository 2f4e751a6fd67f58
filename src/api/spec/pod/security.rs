//! Whose rights processes have.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// User and groups of all containers. Without it, pods meet the Pod Security level restricted and have a read-only root file
/// system.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new("!has(self.runAsUser) || self.runAsUser != 0 || (has(self.runAsNonRoot) && !self.runAsNonRoot)")
        .message("user 0 is root: choose another, or also write runAsNonRoot: false, which Pod Security restricted refuses"),
    validation = Rule::new("!has(self.fsGroup) || !has(self.omitFsGroup) || !self.omitFsGroup")
        .message("set fsGroup or omitFsGroup, not both")
)]
#[serde(rename_all = "camelCase")]
pub struct PodSecurity {
    /// User ID of the processes. Default: the image's user, which must be a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub run_as_user: Option<i64>,
    /// Group ID of the processes. Default: the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub run_as_group: Option<i64>,
    /// false: the image may run as root. The pods then do not meet the Pod Security level restricted. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_non_root: Option<bool>,
    /// Group that owns volumes, so that the user may write to them. Default: 65532.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub fs_group: Option<i64>,
    /// true: no fsGroup is set, as on OpenShift, which assigns one of the namespace's range. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omit_fs_group: Option<bool>,
    /// More groups of the processes, for example those of files on NFS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(range(min = 0, max = 2_147_483_647)))]
    pub supplemental_groups: Vec<i64>,
    /// false: processes may write to the image's files. Default: true; /tmp is always writable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_root_filesystem: Option<bool>,
}
