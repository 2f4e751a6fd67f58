//! Images that cannot be pulled.

use super::{Row, Source};

/// Reasons of a container whose image cannot be pulled.
pub const PULL: &[&str] = &["ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"];

const fn row(any: &'static [&'static str], cause: &'static str, remedy: &'static str) -> Row {
    Row { source: Source::Waiting, reasons: PULL, any, cause, remedy }
}

pub(super) const ROWS: &[Row] = &[
    row(
        &["no such host", "server misbehaving"],
        "image {image} cannot be pulled, because the nodes do not know the host of its registry",
        "correct the host in {Image}, or the DNS of the nodes",
    ),
    row(
        &["x509", "certificate"],
        "image {image} cannot be pulled, because the nodes do not trust the certificate of its registry",
        "install the registry's CA on the nodes, or use another registry in {Image}",
    ),
    row(
        &["toomanyrequests", "too many requests", "rate limit"],
        "image {image} cannot be pulled, because its registry limits the number of pulls",
        "it is pulled again with a back-off; name an account with a higher limit in {PullSecrets}, or copy the image to a \
         registry of your own",
    ),
    row(
        &["no space left on device"],
        "image {image} cannot be pulled, because the disk of the node is full",
        "free space on the node, or choose other nodes with {NodeSelector}",
    ),
    row(
        &["no match for platform", "no matching manifest"],
        "image {image} cannot be pulled, because it is not built for the architecture of the node",
        "build it for that architecture, or choose other nodes with {NodeSelector}",
    ),
    row(
        &[
            "401",
            "403",
            "unauthorized",
            "denied",
            "forbidden",
            "no basic auth credentials",
            "authentication required",
            "insufficient_scope",
            "authorization failed",
        ],
        "image {image} cannot be pulled, because its registry requires other credentials, or does not have it",
        "name a Secret of type kubernetes.io/dockerconfigjson in {PullSecrets} (kubectl -n {namespace} create secret \
         docker-registry), and check the name in {Image}",
    ),
    row(
        &["manifest unknown", "name unknown", "not found", "404", "does not exist"],
        "image {image} cannot be pulled, because its registry does not have it",
        "correct the name or the tag in {Image}, or push the image",
    ),
    row(
        &["server gave http response to https client"],
        "image {image} cannot be pulled, because its registry has no TLS",
        "configure the nodes' container runtime for this registry, or use another one in {Image}",
    ),
    row(
        &[
            "connection refused",
            "timeout",
            "timed out",
            "deadline exceeded",
            "no route to host",
            "network is unreachable",
            "connection reset",
            "eof",
            "500 internal",
            "502 bad",
            "503 service",
        ],
        "image {image} cannot be pulled, because its registry does not answer",
        "it is pulled again with a back-off; check the registry and the network of the nodes",
    ),
    row(&[], "image {image} cannot be pulled", "check {Image} and {PullSecrets}"),
    Row {
        source: Source::Waiting,
        reasons: &["ErrImageNeverPull"],
        any: &[],
        cause: "image {image} cannot be pulled, because the pull policy is Never and the node does not have it",
        remedy: "load it on the node, or set {PullPolicy} to IfNotPresent",
    },
    Row {
        source: Source::Waiting,
        reasons: &["InvalidImageName"],
        any: &[],
        cause: "{image} is no name of an image",
        remedy: "correct {Image}",
    },
    Row {
        source: Source::Event,
        reasons: &["FailedToRetrieveImagePullSecret"],
        any: &[],
        cause: "a Secret of {PullSecrets} does not exist in namespace {namespace}",
        remedy: "create it (kubectl -n {namespace} create secret docker-registry), or correct {PullSecrets}",
    },
];
