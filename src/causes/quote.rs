//! The quoted sentence: one line, without what repeats the object or changes with every try, with quotes that close.

/// Longest quote, in characters.
const QUOTE_MAX: usize = 240;

/// Beginnings that repeat what the cause states. They end at the first `": "` after them, and a code of gRPC at `" desc = "`.
const PREFIXES: &[&str] = &[
    "Back-off pulling image",
    "ErrImagePull",
    "failed to pull and unpack image",
    "failed to resolve reference",
    "failed to resolve image",
    "failed to do request",
    "failed to authorize",
    "rpc error",
    "code = ",
    "failed to create containerd task",
    "failed to create shim task",
    "OCI runtime create failed",
    "runc create failed",
    "unable to start container process",
    "error during container init",
    "Error creating",
    "pods \"",
    "pod \"",
    "admission webhook",
    "AttachVolume.Attach failed for volume",
    "MountVolume.SetUp failed for volume",
    "MountVolume.MountDevice failed for volume",
    "MountVolume.NewMounter initialization failed for volume",
];

/// Where the part that matters ends.
const TAILS: &[&str] = &[
    ". preemption:",
    " preemption:",
    ". no new claims to deallocate",
    ", no new claims to deallocate",
    ". not found",
    " (pod: \"",
    ": unknown",
];

/// A message in double quotes; none when nothing is left of it.
pub fn quoted(message: &str) -> Option<String> {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "'");
    let mut rest = line.as_str();
    while let Some(shorter) = without_prefix(rest) {
        rest = shorter;
    }
    rest = rest.trim_end_matches(['.', ' ']);
    for tail in TAILS {
        let tail = tail.replace('"', "'");
        if let Some(at) = rest.find(&tail).filter(|at| *at > 0) {
            let is_end = rest.len() == at + tail.len();
            // Only as the end: elsewhere these two are part of a sentence.
            rest = if is_end || !matches!(tail.as_str(), ": unknown" | ". not found") { &rest[..at] } else { rest };
        }
    }
    let text = without_ports(rest.trim().trim_end_matches(['.', ',', ';', ':', ' ']));
    let long = text.chars().count() > QUOTE_MAX;
    let text: String = if long { text.chars().take(QUOTE_MAX - 1).chain(['…']).collect() } else { text };
    (!text.is_empty()).then(|| format!("\"{text}\""))
}

fn without_prefix(text: &str) -> Option<&str> {
    let is_one = |prefix: &&&str| text.starts_with(&prefix.replace('"', "'"));
    PREFIXES.iter().find(is_one)?;
    // A name in quotes may contain a colon, but no colon and a blank. What follows a code has no colon before it.
    let is_code = text.starts_with("code = ");
    let (_, rest) = text.split_once(if is_code { " desc = " } else { ": " })?;
    (!rest.trim().is_empty()).then_some(rest)
}

/// Without the local port of a connection, which differs with every try: `10.0.0.7:52110->10.0.0.10:53`.
fn without_ports(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once("->") {
        Some((local, remote)) if local.contains(':') => remote,
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}
