//! Whose rights processes have.

use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SeccompProfile, SecurityContext};

use crate::api::Pod;

/// ID of the group that owns volumes (`fsGroup`), so that a pod of any user can write to them.
const VOLUME_GROUP: i64 = 65532;

/// The security context of a pod.
pub fn of_pod(pod: &Pod) -> PodSecurityContext {
    let asked = pod.security_context.clone().unwrap_or_default();
    let group = (asked.omit_fs_group != Some(true)).then(|| asked.fs_group.unwrap_or(VOLUME_GROUP));
    PodSecurityContext {
        run_as_non_root: Some(asked.run_as_non_root.unwrap_or(true)),
        run_as_user: asked.run_as_user,
        run_as_group: asked.run_as_group,
        fs_group: group,
        fs_group_change_policy: group.map(|_| "OnRootMismatch".into()),
        supplemental_groups: (!asked.supplemental_groups.is_empty()).then_some(asked.supplemental_groups),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
        ..PodSecurityContext::default()
    }
}

/// The security context of a container.
pub fn of_container(pod: &Pod) -> SecurityContext {
    let asked = pod.security_context.as_ref().and_then(|asked| asked.read_only_root_filesystem);
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(asked.unwrap_or(true)),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Capabilities::default() }),
        ..SecurityContext::default()
    }
}
