//! Probes that fail. The reason of these rows is the type of the probe, their message what the probe returned.

use super::{Row, Source};

const STARTUP: &[&str] = &["Startup"];

const fn row(any: &'static [&'static str], cause: &'static str, remedy: &'static str) -> Row {
    of(&[], any, cause, remedy)
}

const fn of(
    reasons: &'static [&'static str],
    any: &'static [&'static str],
    cause: &'static str,
    remedy: &'static str,
) -> Row {
    Row { source: Source::Probe, reasons, any, cause, remedy }
}

/// What the texts of the kubelet contain when a probe got no answer in time.
const LATE: &[&str] = &["deadline exceeded", "timeout", "timed out"];

pub(super) const ROWS: &[Row] = &[
    of(
        STARTUP,
        &["connection refused"],
        "nothing listens on the port of its startup probe",
        "let it listen on 0.0.0.0 and the port in {Port}, correct {entry}, or raise {StartupSeconds} if it listens only later",
    ),
    row(
        &["connection refused"],
        "nothing listens on the port of its {probe} probe",
        "let it listen on 0.0.0.0 and the port in {Port}, or correct {entry}",
    ),
    row(
        &["statuscode: 404"],
        "the path of its {probe} probe does not exist",
        "correct {ProbePath}, or the path of {entry}",
    ),
    row(
        &["statuscode: 401", "statuscode: 403"],
        "its {probe} probe is refused for lack of credentials",
        "answer the path in {ProbePath} without credentials, or set httpHeaders of {entry}",
    ),
    row(
        &["http response to https client", "look like a tls handshake", "malformed http response"],
        "its {probe} probe and the port in {Port} do not both use TLS",
        "correct the scheme or the port of {entry}",
    ),
    row(
        &["does not implement the grpc health protocol"],
        "it has no gRPC health service for its {probe} probe",
        "add grpc.health.v1.Health to it, or use another action in {entry}",
    ),
    row(
        &["executable file not found", "no such file or directory"],
        "the command of its {probe} probe is not in the image",
        "correct exec of {entry}",
    ),
    of(
        STARTUP,
        LATE,
        "it does not answer its startup probe in time",
        "raise {StartupSeconds} if it loads its model for longer, or timeoutSeconds of {entry} if each answer takes longer",
    ),
    row(LATE, "it does not answer its {probe} probe in time", "raise {ProbeTimeout}, or timeoutSeconds of {entry}"),
    row(
        &["statuscode: 5", "statuscode: 4"],
        "it answers its {probe} probe with an error",
        "let it return 200 once it can do its work, or correct {entry}; kubectl -n {namespace} logs {log} shows more",
    ),
    row(&[], "its {probe} probe fails", "correct {entry}; kubectl -n {namespace} logs {log} shows more"),
];

/// Types of probes, as the kubelet and the object name them.
const TYPES: [&str; 3] = ["Startup", "Liveness", "Readiness"];

/// The beginning of an Event that client-go combines, from the eleventh different text on, for example of connections whose
/// ports differ.
const COMBINED: &str = "(combined from similar events): ";

/// The type of a failed probe and what it returned, from an Event `Unhealthy` of the kubelet: `Startup probe failed: ...`, or
/// `Startup probe errored and resulted in unknown state: ...`.
pub fn failed(message: &str) -> Option<(&'static str, &str)> {
    let message = message.strip_prefix(COMBINED).unwrap_or(message);
    let (probe, output) = message.split_once(':').unwrap_or((message, ""));
    let is_failure = |of: &&str| {
        probe
            .strip_prefix(of)
            .is_some_and(|rest| [" probe failed", " probe errored"].iter().any(|how| rest.starts_with(how)))
    };
    Some((TYPES.into_iter().find(is_failure)?, output.trim()))
}

/// The type of the probe for which the kubelet ended a container, from an Event `Killing`: `Container server failed startup
/// probe, will be restarted`.
pub fn killed_for(message: &str) -> Option<&'static str> {
    TYPES.into_iter().find(|of| message.contains(&format!(" failed {} probe", of.to_lowercase())))
}
