//! Configuration of the metric sources: the file of `--metric-sources`.
//!
//! ```yaml
//! sources:
//!   - name: default                          # referenced by an object's spec.monitoring.source
//!     url: https://mimir.monitoring:8080/prometheus
//!     bearerTokenFile: /var/run/secrets/mimir/token      # read again for every tick
//!     caFile: /etc/mimir/ca.crt              # instead of the system's certificates; read again for every tick
//!     headers: {X-Scope-OrgID: shop}         # the tenant
//!     matchLabels: {cluster: prod}           # if one source has the series of several clusters
//!     timeoutSeconds: 4                      # for all queries of a tick, 1 to 30
//!     maxBytes: 16777216                     # limit of one answer
//!     maxSeries: 50000                       # limit of one answer
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use axum::http::{
    HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, HOST},
};
use serde::Deserialize;

/// Name of the source for objects that name none.
pub const DEFAULT: &str = "default";

/// Default of `timeoutSeconds`, seconds.
const TIMEOUT_SECONDS: u64 = 4;
/// Default of `maxBytes`, bytes.
const MAX_BYTES: usize = 16 << 20;
/// Default of `maxSeries`.
const MAX_SERIES: usize = 50_000;
/// Longest URL, and longest matchers, bytes: encoded, both have to fit into the URL of a query.
const LONGEST: usize = 2048;

/// A metric source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// Name that objects refer to: a DNS label.
    pub name: String,
    /// The part of the URL before `/api/v1`: http or https, without credentials.
    pub url: Uri,
    /// File with the bearer token.
    pub bearer_token_file: Option<PathBuf>,
    /// File with the trusted certificates, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Headers of every query. The values are not shown by `Debug`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Label matchers that are added to every query.
    pub match_labels: BTreeMap<String, String>,
    /// Time limit for all queries of one read together.
    pub timeout: Duration,
    /// Largest answer to one query, bytes.
    pub max_bytes: usize,
    /// Most series in one answer.
    pub max_series: usize,
}

/// An error in the configuration, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The part of the file with the error, as in `sources[1] ("mimir").url`.
    pub place: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.place, self.message) }
    }
}

/// A field, and what is wrong with it.
type FieldError = (&'static str, String);

impl SourceConfig {
    /// The source named [`DEFAULT`] with only a URL: the flag `--prometheus-url`.
    ///
    /// # Errors
    /// When the URL is not valid for a Prometheus.
    pub fn plain(url: &str) -> Result<Self, ConfigError> {
        let entry = Entry { name: Some(DEFAULT.into()), url: Some(url.trim().into()), ..Entry::default() };
        entry.check().map_err(|(_, message)| ConfigError { place: String::new(), message })
    }
}

/// Parses the sources of a file.
///
/// # Errors
/// The first error in the file.
pub fn parse(text: &str) -> Result<Vec<SourceConfig>, ConfigError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let file: Option<File> = serde_saphyr::from_str_with_options(text, options).map_err(|error| unreadable(&error))?;
    let entries = file.map(|file| file.sources).unwrap_or_default();
    if entries.is_empty() {
        let message = "no source in it; write at least one: sources: [{name: default, url: http://...}]".into();
        return Err(ConfigError { place: "sources".into(), message });
    }
    let (mut sources, mut names) = (Vec::new(), BTreeSet::new());
    for (index, entry) in entries.into_iter().enumerate() {
        let called = entry.name.as_ref().map(|name| format!(" ({name:?})")).unwrap_or_default();
        let error = |(field, message)| ConfigError { place: format!("sources[{index}]{called}.{field}"), message };
        let source = entry.check().map_err(error)?;
        if !names.insert(source.name.clone()) {
            return Err(error(("name", "another source has this name: give each its own".into())));
        }
        sources.push(source);
    }
    Ok(sources)
}

fn unreadable(error: &serde_saphyr::Error) -> ConfigError {
    use serde_saphyr::MessageFormatter;
    let message = serde_saphyr::DefaultMessageFormatter.format_message(error).escape_debug().to_string();
    let place = error.location().map(|at| format!("line {}, column {}", at.line(), at.column())).unwrap_or_default();
    ConfigError { place, message }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sources: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    name: Option<String>,
    url: Option<String>,
    bearer_token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    match_labels: BTreeMap<String, String>,
    timeout_seconds: Option<u64>,
    max_bytes: Option<u64>,
    max_series: Option<u64>,
}

impl Entry {
    fn check(self) -> Result<SourceConfig, FieldError> {
        let source = SourceConfig {
            name: name(self.name)?,
            url: url(self.url).map_err(|message| ("url", message))?,
            headers: self.headers.iter().map(header).collect::<Result<_, _>>()?,
            match_labels: self.match_labels,
            timeout: Duration::from_secs(within("timeoutSeconds", self.timeout_seconds, TIMEOUT_SECONDS, 1..=30)?),
            max_bytes: within("maxBytes", self.max_bytes, MAX_BYTES, 1 << 10..=1 << 28)?,
            max_series: within("maxSeries", self.max_series, MAX_SERIES, 1..=1_000_000)?,
            bearer_token_file: self.bearer_token_file,
            ca_file: self.ca_file,
        };
        if source.bearer_token_file.is_some() && source.headers.iter().any(|(name, _)| name == AUTHORIZATION) {
            return Err(("headers", "bearerTokenFile sets Authorization already; write one of both".into()));
        }
        if source.ca_file.is_some() && source.url.scheme_str() == Some("http") {
            return Err(("caFile", "of no use without TLS; write https:// in url, or leave it out".into()));
        }
        if let Some(label) = source.match_labels.keys().find(|label| !is_label(label)) {
            return Err(("matchLabels", format!("{label:?} is not the name of a label; use letters, digits and _")));
        }
        let length: usize = source.match_labels.iter().map(|(label, value)| label.len() + value.len()).sum();
        if length > LONGEST {
            return Err(("matchLabels", format!("{length} bytes in all; at most {LONGEST} fit into a query")));
        }
        Ok(source)
    }
}

fn name(name: Option<String>) -> Result<String, FieldError> {
    let name = name.ok_or_else(|| ("name", format!("missing; write {DEFAULT:?} for objects that name no source")))?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let valid = (1..=63).contains(&name.len())
        && name.chars().all(|c| plain(c) || c == '-')
        && name.starts_with(plain)
        && name.ends_with(plain);
    if valid {
        Ok(name)
    } else {
        Err(("name", "use at most 63 lower-case letters, digits and dashes, as in \"mimir-eu\"".into()))
    }
}

/// Parses the URL. The error does not repeat it, because it may contain a password.
fn url(url: Option<String>) -> Result<Uri, String> {
    let url = url.ok_or("missing; write where the source's HTTP API is, as in http://prometheus.monitoring:9090")?;
    let instead = "write it as in http://prometheus.monitoring:9090 or https://mimir.example.org/prometheus";
    let parsed: Uri = url.parse().map_err(|_| format!("not a URL; {instead}"))?;
    let authority = parsed.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err("credentials do not belong into a URL, which is shown in logs; use bearerTokenFile, or headers with Authorization".into());
    }
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        return Err(format!("neither http:// nor https://; {instead}"));
    }
    let host = parsed.host().unwrap_or_default();
    if host.is_empty() || (authority != host && parsed.port_u16().is_none_or(|port| port == 0)) {
        return Err(format!("no host, or no valid port; {instead}"));
    }
    if url.len() > LONGEST {
        return Err(format!("longer than {LONGEST} bytes; {instead}"));
    }
    if url.contains(['?', '#']) {
        return Err(format!("a query or fragment is not part of it; {instead}"));
    }
    if parsed.path().split('/').any(|part| part == "api") {
        return Err("write only what comes before /api/v1; the rest is ours".into());
    }
    Ok(parsed)
}

fn header((name, value): (&String, &String)) -> Result<(HeaderName, HeaderValue), FieldError> {
    let header: HeaderName =
        name.parse().map_err(|_| ("headers", format!("{name:?} is not the name of a header, as X-Scope-OrgID is")))?;
    if header == HOST {
        return Err(("headers", "Host follows from the URL; write the host there".into()));
    }
    let mut value: HeaderValue =
        value.parse().map_err(|_| ("headers", format!("the value of {name} is not one line of visible ASCII")))?;
    value.set_sensitive(true);
    Ok((header, value))
}

fn within<T: TryFrom<u64> + TryInto<u64> + Copy>(
    field: &'static str,
    given: Option<u64>,
    default: T,
    allowed: RangeInclusive<u64>,
) -> Result<T, FieldError> {
    let Some(given) = given else { return Ok(default) };
    let number = T::try_from(given).ok().filter(|_| allowed.contains(&given));
    number.ok_or_else(|| (field, format!("{given} is not from {} to {}", allowed.start(), allowed.end())))
}

fn is_label(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a file with one source of these lines.
    fn one(lines: &str) -> Result<Vec<SourceConfig>, ConfigError> {
        parse(&format!("sources:\n- {}\n", lines.replace('\n', "\n  ")))
    }

    #[test]
    fn all_fields_are_read() {
        let sources = one("name: mimir\nurl: https://mimir.example.org:8443/prometheus/\nbearerTokenFile: /token\n\
             caFile: /ca.crt\nheaders: {X-Scope-OrgID: shop}\nmatchLabels: {cluster: prod}\ntimeoutSeconds: 30\n\
             maxBytes: 1024\nmaxSeries: 7");
        let [source] = &sources.expect("valid")[..] else { panic!("not one") };
        assert_eq!(
            (source.name.as_str(), source.url.to_string().as_str()),
            ("mimir", "https://mimir.example.org:8443/prometheus/")
        );
        assert_eq!(source.bearer_token_file, Some("/token".into()));
        assert_eq!(source.ca_file, Some("/ca.crt".into()));
        assert_eq!(source.headers, [(HeaderName::from_static("x-scope-orgid"), HeaderValue::from_static("shop"))]);
        assert_eq!(source.match_labels, BTreeMap::from([("cluster".into(), "prod".into())]));
        assert_eq!((source.timeout.as_secs(), source.max_bytes, source.max_series), (30, 1024, 7));
    }

    #[test]
    fn a_source_with_only_name_and_url_equals_that_of_the_flag() {
        let plain = SourceConfig::plain(" http://[::1]:9090").expect("valid");
        assert_eq!(one("{name: default, url: 'http://[::1]:9090'}"), Ok(vec![plain.clone()]));
        assert_eq!((plain.timeout.as_secs(), plain.max_bytes, plain.max_series), (4, 16_777_216, 50_000));
        let error = SourceConfig::plain("prometheus:9090").expect_err("no scheme").to_string();
        assert!(error.starts_with("neither http:// nor https://; write it as in http://"), "{error}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let source = one("{name: a, url: 'http://a', headers: {Authorization: Basic c2VjcmV0}}").expect("valid");
        assert!(!format!("{source:?}").contains("c2VjcmV0"), "{source:?}");
        let error = one("{name: a, url: 'http://admin:hunter2@a'}").expect_err("credentials").to_string();
        assert!(error.contains("bearerTokenFile") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn urls_and_matchers_too_long_for_a_query_are_refused() {
        let long = "x".repeat(LONGEST);
        let error = one(&format!("{{name: a, url: 'http://a/{long}'}}")).expect_err("too long").to_string();
        assert!(error.contains("(\"a\").url: longer than 2048 bytes"), "{error}");
        let error = one(&format!("{{name: a, url: 'http://a', matchLabels: {{b: {long}}}}}")).expect_err("too long");
        assert_eq!(error.message, "2049 bytes in all; at most 2048 fit into a query");
    }

    #[test]
    fn errors_state_their_place_and_what_to_write_instead() {
        for (text, expected) in [
            ("", "sources: no source in it"),
            ("sources: []", "sources: no source in it; write at least one"),
            ("sources: [{url: 'http://a'}]", "sources[0].name: missing; write \"default\""),
            ("sources: [{name: a}]", "sources[0] (\"a\").url: missing; write where"),
            ("sources: [{name: A b, url: 'http://a'}]", "sources[0] (\"A b\").name: use at most 63 lower-case letters"),
            ("sources: [{name: a, url: 'ftp://a'}]", "(\"a\").url: neither http:// nor https://; write it as in"),
            ("sources: [{name: a, url: 'http://'}]", "(\"a\").url: not a URL; write it as in"),
            ("sources: [{name: a, url: 'http://:9090'}]", "(\"a\").url: no"),
            ("sources: [{name: a, url: 'http://a:99999'}]", "(\"a\").url: no host, or no valid port"),
            ("sources: [{name: a, url: 'http://a b'}]", "(\"a\").url: not a URL"),
            ("sources: [{name: a, url: 'http://a/?x=y'}]", "(\"a\").url: a query or fragment"),
            (
                "sources: [{name: a, url: 'http://a/x/api/v1/query'}]",
                "(\"a\").url: write only what comes before /api/v1",
            ),
            (
                "sources: [{name: a, url: 'http://a'}, {name: a, url: 'http://b'}]",
                "sources[1] (\"a\").name: another source",
            ),
            ("sources: [{name: a, url: 'http://a', timeoutSeconds: 0}]", "timeoutSeconds: 0 is not from 1 to 30"),
            ("sources: [{name: a, url: 'http://a', maxBytes: 1}]", "maxBytes: 1 is not from 1024 to 268435456"),
            ("sources: [{name: a, url: 'http://a', maxSeries: 0}]", "maxSeries: 0 is not from 1 to 1000000"),
            (
                "sources: [{name: a, url: 'http://a', headers: {'a b': c}}]",
                "headers: \"a b\" is not the name of a header",
            ),
            (
                "sources: [{name: a, url: 'http://a', headers: {a: \"b\\nc\"}}]",
                "headers: the value of a is not one line",
            ),
            ("sources: [{name: a, url: 'http://a', headers: {host: b}}]", "headers: Host follows from the URL"),
            (
                "sources: [{name: a, url: 'http://a', bearerTokenFile: /t, headers: {authorization: b}}]",
                "headers: bearerTokenFile sets Authorization already",
            ),
            ("sources: [{name: a, url: 'http://a', matchLabels: {a-b: c}}]", "matchLabels: \"a-b\" is not the name"),
            ("sources: [{name: a, url: 'http://a', caFile: /c}]", "caFile: of no use without TLS; write https://"),
            ("sources: [{name: a, url: 'http://a', tokenFile: /t}]", "unknown field"),
            ("sources:\n- name: a\n  url: http://a\n  timeoutSeconds: soon", "line 4"),
            ("sources: [{name: a, name: b, url: 'http://a'}]", "duplicate"),
            ("source: []", "unknown field"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
