//! Why a query has no usable answer: one sentence for users, with what to check.

use std::path::Path;

use super::config::SourceConfig;
use crate::series::Series;

/// Longest text of a server that is repeated in a message, characters.
const LONGEST: usize = 200;

/// Why a query has no usable answer. The text must not change from one attempt to the next, because it is shown in object
/// statuses.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A file of the configuration cannot be used.
    #[error("its {field} {file:?} cannot be used: {why}; check what is mounted there")]
    File { field: &'static str, file: String, why: String },
    /// The HTTP client could not be created.
    #[error("it cannot be connected to: {0}; without a CA of the system set caFile")]
    Setup(String),
    #[error("connection refused; is it running, is the port right?")]
    Refused,
    #[error("its name does not resolve; is the host in the URL right (service.namespace)?")]
    Dns,
    #[error("TLS failed: {0}; check caFile, the name in the certificate, its expiry, and http or https in the URL")]
    Tls(String),
    #[error("no complete answer within {0} s; is it overloaded, does a network policy keep the operator out?")]
    TimedOut(u64),
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The server answered with an error code.
    #[error("HTTP {code}{text}; {advice}", text = of_server(text), advice = advice(*code))]
    Status { code: u16, text: String },
    /// The server answered with a success code and an error in the JSON.
    #[error("it refused the query{text}", text = of_server(.0))]
    Refusal(String),
    #[error("its answer is larger than {0} bytes; raise maxBytes, or have it record fewer series")]
    TooLarge(usize),
    #[error("it has {found} series, more than {most}; raise maxSeries, or narrow them with matchLabels")]
    TooMany { found: usize, most: usize },
    #[error("its answer is not that of a Prometheus ({0}); does the URL point at a login page, or lack a path prefix?")]
    NotPrometheus(String),
    /// The answer has values, but is incomplete.
    #[error("its answer is incomplete, so replicas are not lowered{text}", text = of_server(.0))]
    Partial(String),
}

impl Failure {
    /// A file that cannot be used, and the field of the configuration that names it.
    pub(super) fn unusable(field: &'static str, file: &Path, why: impl ToString) -> Self {
        Self::File { field, file: file.display().to_string(), why: shorten(&why.to_string()) }
    }

    /// Whether the server answered at all, so that it may answer another query.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Status { .. }
            | Self::Refusal(_)
            | Self::TooMany { .. }
            | Self::NotPrometheus(_)
            | Self::Partial(_) => true,
            Self::File { .. } | Self::Setup(_) | Self::Refused | Self::Dns | Self::Tls(_) => false,
            Self::TimedOut(_) | Self::Broken(_) | Self::TooLarge(_) => false,
        }
    }

    /// Whether the server has no such resource, rather than no answer at the moment.
    pub(super) fn is_unlisted(&self) -> bool {
        matches!(self, Self::Status { code: 400 | 404 | 501, .. } | Self::Refusal(_) | Self::NotPrometheus(_))
    }

    /// Why a decision has no data, as text to follow "because".
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "the metric source's answer is larger than maxBytes",
            Self::TooMany { .. } => "the metric source has more series than maxSeries",
            Self::File { .. } | Self::Setup(_) => "the metric source is not set up as it should be",
            Self::TimedOut(_) => "the metric source does not answer in time",
            Self::Refused | Self::Dns | Self::Tls(_) | Self::Broken(_) => "the metric source cannot be reached",
            Self::Status { .. } | Self::Refusal(_) => "the metric source refuses queries",
            Self::NotPrometheus(_) => "the metric source does not answer as a Prometheus does",
            Self::Partial(_) => "the metric source answers only in part",
        }
    }

    /// The failure with the source, and with the series unless all of them failed.
    pub(super) fn sentence(&self, source: &SourceConfig, series: Option<Series>) -> String {
        let (name, url) = (&source.name, source.url.to_string());
        let url = url.trim_end_matches('/');
        let series = series.map(|series| format!(", {}", series.name())).unwrap_or_default();
        format!("metric source {name:?} ({url}){series}: {self}")
    }
}

fn advice(code: u16) -> &'static str {
    match code {
        300..=399 => "redirects are not followed: does the URL point at a login page, or lack a path prefix?",
        400 => "does it want https, or the header of a tenant (headers)?",
        401 | 403 => "check bearerTokenFile and what its account may read",
        404 => "does the URL lack a path prefix, or hold one too many?",
        429 | 503 => "it is overloaded or starting",
        502 | 504 => "what is in front of it does not reach it",
        _ => "see its log",
    }
}

fn of_server(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// The text of another program, on one line and limited in length.
pub(super) fn shorten(text: &str) -> String {
    let clean = text.replace(|c: char| c.is_control(), " ").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = clean.chars().take(LONGEST).collect();
    if short.len() < clean.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_servers_become_one_short_line() {
        assert_eq!(shorten("a\n  b\u{7}\tc"), "a b c");
        let long = shorten(&"é ".repeat(1000));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn an_error_code_is_shown_with_what_to_check() {
        let text = |code, text: &str| Failure::Status { code, text: text.into() }.to_string();
        assert_eq!(text(401, ""), "HTTP 401; check bearerTokenFile and what its account may read");
        assert_eq!(text(500, "tsdb: closed"), "HTTP 500: tsdb: closed; see its log");
    }
}
