//! Pods that no node takes. The scheduler's sentence may have several causes, one for each group of nodes.

use super::{Row, Source};

/// Reason of a pod on which no scheduler has reported; the message is the scheduler's name.
pub const NO_SCHEDULER: &str = "NoScheduler";
/// Reason of such a pod that is for the scheduler of the cluster.
pub const NO_DEFAULT_SCHEDULER: &str = "NoDefaultScheduler";

const fn row(any: &'static [&'static str], cause: &'static str, remedy: &'static str) -> Row {
    Row { source: Source::Unscheduled, reasons: &["Unschedulable"], any, cause, remedy }
}

pub(super) const ROWS: &[Row] = &[
    row(
        &["persistentvolumeclaim \""],
        "no node takes the pod, because its volume claim does not exist",
        "create the claim in namespace {namespace}, or correct {Claim} or {Volumes}",
    ),
    row(
        &["unbound immediate persistentvolumeclaims", "unbound persistentvolumeclaims"],
        "no node takes the pod, because its volume claim has no volume",
        "kubectl -n {namespace} describe pvc shows why; check its storageClassName, which is in {Volumes} if the volume is ephemeral",
    ),
    row(
        &["volume node affinity conflict"],
        "the volume can only be used on other nodes or in another zone",
        "make room there, or use a claim with ReadWriteMany or {S3}",
    ),
    row(
        &["readwriteoncepod"],
        "the volume allows one pod at a time (ReadWriteOncePod)",
        "use a claim with ReadWriteMany, or {S3}",
    ),
    row(&["max volume count"], "nodes have as many volumes attached as they can", "add nodes"),
    row(
        &["untolerated taint", "had taint"],
        "nodes have a taint that the pod does not tolerate",
        "if they are meant for it, add the taint to {Tolerations}",
    ),
    row(&["gpu"], "no node has the requested GPUs free", "free one, add nodes with GPUs, or lower {Limits}{surge}"),
    row(
        &["insufficient cpu"],
        "no node has enough CPU that is not requested yet",
        "lower {Requests}.cpu, or {Limits}.cpu without one, or add nodes{surge}",
    ),
    row(
        &["insufficient memory"],
        "no node has enough memory that is not requested yet",
        "lower {Requests}.memory, or {Limits}.memory without one, or add nodes{surge}",
    ),
    row(
        &["insufficient "],
        "no node has enough of a resource that is not requested yet",
        "lower it in {Requests} and {Limits}, or add nodes{surge}",
    ),
    row(&["too many pods"], "nodes run as many pods as they can", "add nodes"),
    row(
        &["node affinity/selector", "node selector", "didn't match node affinity"],
        "nodes do not have the labels that the pod selects",
        "correct {NodeSelector} or {Affinity}, or label nodes",
    ),
    row(
        &["pod anti-affinity", "pod affinity"],
        "the pod's affinity to other pods excludes the nodes",
        "correct {Affinity} or add nodes",
    ),
    row(
        &["topology spread constraints"],
        "the spread over nodes or zones excludes the nodes",
        "add nodes in the other zones, label nodes that lack the topology key, or correct {Spread}",
    ),
    row(&["were unschedulable"], "nodes are cordoned", "uncordon one: kubectl uncordon NODE"),
    row(&["no nodes available"], "the cluster has no nodes for pods", "add nodes"),
    row(&[], "no node takes the pod", "kubectl -n {namespace} describe {object} shows the scheduler's Events"),
    Row {
        source: Source::Unscheduled,
        reasons: &["SchedulingGated"],
        any: &[],
        cause: "the pod waits for a scheduling gate that another controller sets, such as a queue",
        remedy: "kubectl -n {namespace} get {object} -o yaml shows its schedulingGates",
    },
    Row {
        source: Source::Unscheduled,
        reasons: &[NO_SCHEDULER],
        any: &[],
        cause: "no scheduler has reported on the pod, which is for the one with this name",
        remedy: "correct {Scheduler}, or start that scheduler; without the field, the cluster's own takes the pod",
    },
    Row {
        source: Source::Unscheduled,
        reasons: &[NO_DEFAULT_SCHEDULER],
        any: &[],
        cause: "the cluster's scheduler has not reported on the pod",
        remedy: "it is late or does not run; kubectl -n kube-system get pods shows more",
    },
];
