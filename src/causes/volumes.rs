//! What only Events report of a pod that hangs: its volumes, its network, its pull secrets.

use super::{Row, Source};

const VOLUME: &[&str] = &["FailedMount", "FailedAttachVolume", "FailedMapVolume"];

const fn volume(any: &'static [&'static str], cause: &'static str, remedy: &'static str) -> Row {
    Row { source: Source::Event, reasons: VOLUME, any, cause, remedy }
}

pub(super) const ROWS: &[Row] = &[
    volume(
        &["multi-attach error", "already used by pod", "already exclusively attached"],
        "its volume is in use on another node, and its claim's access mode is for one node (ReadWriteOnce)",
        "use a claim with ReadWriteMany, or {S3}, or keep the pods on one node with {Affinity}",
    ),
    volume(
        &["couldn't find key", "references non-existent secret key", "references non-existent config key"],
        "its volume refers to a key of a Secret or ConfigMap that does not exist",
        "add the key to it in namespace {namespace}, or correct {Volumes}",
    ),
    volume(
        &["secret \""],
        "its volume refers to a Secret that does not exist",
        "create it in namespace {namespace}, or correct {Volumes}",
    ),
    volume(
        &["configmap \""],
        "its volume refers to a ConfigMap that does not exist",
        "create it in namespace {namespace}, or correct {Volumes}",
    ),
    volume(
        &["persistentvolumeclaim \""],
        "its volume claim does not exist",
        "create it in namespace {namespace}, or correct {Claim}",
    ),
    volume(
        &["not found in the list of registered csi drivers"],
        "the node does not have the driver of its volume",
        "install the CSI driver on the nodes, or choose other nodes with {NodeSelector}",
    ),
    volume(
        &["permission denied", "access denied"],
        "the storage refuses the node access to its volume",
        "allow the nodes access in the storage, or use another claim in {Claim}",
    ),
    volume(
        &[],
        "its volume cannot be mounted",
        "kubectl -n {namespace} describe {object} and kubectl -n {namespace} describe pvc show why; the claim is {Claim}",
    ),
    Row {
        source: Source::Event,
        reasons: &["FailedCreatePodSandBox", "NetworkNotReady"],
        any: &[],
        cause: "its node cannot set up the pod's network",
        remedy: "check the network plug-in (CNI) of the node; it is tried again",
    },
];
