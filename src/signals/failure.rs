//! Why a query has no usable answer: one sentence for people, with what to check.

use std::{error::Error, io};

use super::{Series, SourceConfig};

/// Longest text of a server that is repeated, in characters.
const LONGEST: usize = 200;

/// Why a query has no usable answer. Displays without anything that changes from one try to the next, because it is
/// shown in statuses.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A file of the configuration cannot be used.
    #[error("its {field} {file:?} cannot be used: {why}; check what is mounted there")]
    File { field: &'static str, file: String, why: String },
    /// The client could not be made.
    #[error("it cannot be connected to: {0}; without a CA of the system set caFile")]
    Setup(String),
    #[error("connection refused; is it running, is the port right?")]
    Refused,
    #[error("its name does not resolve; is the host in the URL right (service.namespace)?")]
    Dns,
    #[error("TLS failed: {0}; check caFile, the name in the certificate, its expiry, and http or https in the URL")]
    Tls(String),
    #[error("no whole answer within {0} s; is it overloaded, does a network policy keep the operator out?")]
    TimedOut(u64),
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The server said no.
    #[error("HTTP {code}{text}; {advice}", text = of_server(text), advice = advice(*code))]
    Status { code: u16, text: String },
    /// The server said no in JSON with a code of success.
    #[error("it refused the query{text}", text = of_server(.0))]
    Refusal(String),
    #[error("its answer is larger than {0} bytes; raise maxBytes, or have it record fewer series")]
    TooLarge(usize),
    #[error("it has {found} series, more than {most}; raise maxSeries, or narrow them with matchLabels")]
    TooMany { found: usize, most: usize },
    #[error("its answer is not that of a Prometheus ({0}); does the URL point at a login page, or lack a path prefix?")]
    NotPrometheus(String),
    /// Values there are, but not all.
    #[error("its answer is only a part, so replicas are not lowered{text}", text = of_server(.0))]
    Partial(String),
}

impl Failure {
    /// Why a decision has no data, to come after "because".
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

    /// Which source this happened to, and to which series if not to all of them.
    pub(super) fn sentence(&self, source: &SourceConfig, series: Option<Series>) -> String {
        let (name, url) = (&source.name, source.url.to_string());
        let url = url.trim_end_matches('/');
        let series = series.map(|series| format!(", {}", series.name())).unwrap_or_default();
        format!("metric source {name:?} ({url}){series}: {self}")
    }

    /// What the client's error means.
    pub(super) fn of_call(error: &kube::Error) -> Self {
        let chain: Vec<&dyn Error> =
            std::iter::successors(Some(error as &dyn Error), |&error| error.source()).collect();
        let kind = chain.iter().find_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
        if kind == Some(io::ErrorKind::ConnectionRefused) {
            return Self::Refused;
        }
        // The types behind these are private to the client or those of a TLS stack that we do not name.
        let texts: Vec<String> = chain.iter().map(ToString::to_string).collect();
        let says = |part: &str| texts.iter().any(|text| text.contains(part));
        let last = texts.last().map(String::as_str).unwrap_or_default();
        if says("dns error") {
            Self::Dns
        } else if says("certificate") || says("corrupt message") || says("received fatal alert") || says("handshake") {
            // What follows is a count of seconds.
            let lasting = last.split(": verification time").next().unwrap_or_default();
            Self::Tls(shorten(lasting))
        } else {
            Self::Broken(shorten(last))
        }
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

/// A text of somebody else, on one line and not too long.
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
    fn what_servers_say_is_one_short_line() {
        assert_eq!(shorten("a\n  b\u{7}\tc"), "a b c");
        let long = shorten(&"é ".repeat(1000));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_status_says_what_to_check() {
        let text = |code, text: &str| Failure::Status { code, text: text.into() }.to_string();
        assert_eq!(text(401, ""), "HTTP 401; check bearerTokenFile and what its account may read");
        assert_eq!(text(500, "tsdb: closed"), "HTTP 500: tsdb: closed; see its log");
    }
}
