//! Pods that were ended or refused by a node, and not by their container.

use super::{Row, Source};

const fn row(
    reasons: &'static [&'static str],
    any: &'static [&'static str],
    cause: &'static str,
    remedy: &'static str,
) -> Row {
    Row { source: Source::Pod, reasons, any, cause, remedy }
}

pub(super) const ROWS: &[Row] = &[
    row(
        &["Evicted"],
        &["emptydir volume", "ephemeral local storage", "local ephemeral storage"],
        "it was evicted, because it wrote more to its local disk than its limit",
        "raise {Limits}.ephemeral-storage or {TmpSize}, or write to the volume of {Artifacts}",
    ),
    row(
        &["Evicted", "TerminationByKubelet"],
        &["resource: memory"],
        "it was evicted, because its node ran out of memory",
        "set {Requests}.memory to what it uses: pods above their request are evicted first",
    ),
    row(
        &["Evicted", "TerminationByKubelet"],
        &["ephemeral-storage"],
        "it was evicted, because the disk of its node ran full",
        "set {Requests}.ephemeral-storage to what it writes",
    ),
    row(
        &["Evicted", "TerminationByKubelet"],
        &[],
        "it was evicted by its node",
        "kubectl -n {namespace} describe {object} shows why",
    ),
    row(
        &["PreemptionByScheduler", "Preempting"],
        &[],
        "it was preempted by a pod of higher priority",
        "set {PriorityClass} if it is to stay",
    ),
    row(
        &[
            "EvictionByEvictionAPI",
            "DeletionByTaintManager",
            "DeletionByPodGC",
            "Terminated",
            "NodeShutdown",
            "NodeLost",
        ],
        &[],
        "it was evicted, because its node was drained or lost",
        "",
    ),
    row(
        &["UnexpectedAdmissionError", "NodeAffinity", "OutOfcpu", "OutOfmemory", "OutOfpods"],
        &[],
        "its node refused it after it was scheduled there",
        "kubectl -n {namespace} describe {object} shows why",
    ),
    row(&["DeadlineExceeded"], &[], "it exceeded its deadline", "if it needs more time, raise {Deadline}"),
];
