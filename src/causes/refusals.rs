//! Pods that are not created, because admission refuses them. A policy's own sentence is quoted.

use super::{Row, Source};

const fn row(any: &'static [&'static str], cause: &'static str, remedy: &'static str) -> Row {
    Row { source: Source::Refused, reasons: &[], any, cause, remedy }
}

pub(super) const ROWS: &[Row] = &[
    row(
        &["requested: pods=", "requested: count/pods="],
        "a ResourceQuota of namespace {namespace} allows no more pods",
        "raise its number of pods, or run fewer in the namespace{surge}",
    ),
    row(
        &["exceeded quota"],
        "a ResourceQuota of namespace {namespace} refuses its pod",
        "raise the quota or lower {Requests}{surge}",
    ),
    row(
        &["failed quota"],
        "a ResourceQuota of namespace {namespace} demands resources of its pod that are not set",
        "set what it names in {Resources}",
    ),
    row(
        &["violates podsecurity"],
        "the Pod Security level of namespace {namespace} refuses its pod",
        "remove from {Security} and {Volumes} what it names, or use a namespace with another level",
    ),
    row(
        &["failed calling webhook"],
        "a webhook of the cluster does not answer, so its pod is not created",
        "it is created once the webhook answers again",
    ),
    row(
        &["security context constraint"],
        "the security context constraints of the cluster refuse its pod",
        "set {User} and {FsGroup} within the range of the namespace, or {OmitFsGroup} to true",
    ),
    row(
        &["fsgroup"],
        "a policy of the cluster refuses the group of its volumes (fsGroup)",
        "set {FsGroup} within the range of the namespace, or {OmitFsGroup} to true, which leaves it to the cluster",
    ),
    row(&["label"], "a policy of the cluster refuses its pod", "set the labels that it names in {Labels}"),
    row(
        &["annotation"],
        "a policy of the cluster refuses its pod",
        "set the annotations that it names in {Annotations}",
    ),
    row(
        &["validatingadmissionpolicy", "admission webhook", "denied the request"],
        "a policy of the cluster refuses its pod",
        "change what it names: {Labels}, {Annotations}, {Security} and {Resources} reach the pod",
    ),
    row(
        &["error looking up service account"],
        "the ServiceAccount of its pod does not exist",
        "create it in namespace {namespace}, or correct {Account}",
    ),
    row(&["priorityclass"], "the priority class of its pod does not exist", "create it, or correct {PriorityClass}"),
    row(&["runtimeclass"], "the runtime class of its pod does not exist", "create it, or correct {RuntimeClass}"),
    row(
        &["per container is", "per pod is", "limit to request ratio"],
        "a LimitRange of namespace {namespace} refuses its pod",
        "set {Resources} within its range",
    ),
    row(&[], "its pod is refused", "kubectl -n {namespace} describe {object} shows more"),
];
