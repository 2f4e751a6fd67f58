//! Queries to a metric source, limited in time and size.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{
        HeaderMap, HeaderValue, Request, StatusCode,
        header::{ACCEPT, AGE, AUTHORIZATION, CACHE_CONTROL, DATE},
    },
};
use futures::StreamExt;
use http_body_util::Empty;
use jiff::fmt::rfc2822::DateTimeParser;
use tokio::time::{Instant, timeout_at};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{
    answer::error_text,
    config::SourceConfig,
    failure::Failure,
    readings::{Clock, seconds},
    transport::Transport,
};
use crate::{
    monitoring::{objectives::FAST_BURN_ALERT, promql},
    series::Series,
};

/// Range of the query for the newest samples: series are recorded every 5 or 10 s, and some samples may be missing.
const RANGE: &str = "30s";
/// Largest difference between two measured offsets of the same clock, seconds: `Date` has whole seconds, and the network
/// delay of responses varies. A larger one means that a clock was set.
const OFFSET_TOLERANCE: f64 = 1.5;
/// Bytes that are read of the body of an error response.
const ERROR_BYTES: usize = 64 << 10;

/// The body of a response with code 200, and the time of its headers.
#[derive(Debug)]
pub(super) struct Reply {
    pub body: Vec<u8>,
    pub clock: Clock,
}

/// The HTTP client of a source. Clones share its connections.
#[derive(Clone)]
pub(super) struct Client {
    transport: Transport,
    /// The server's time minus ours, seconds. None before the first response with a `Date`.
    offset: Arc<Mutex<Option<f64>>>,
}

/// Sends the queries of one read, which share the start, the deadline and the token.
pub(super) struct Session<'a> {
    config: &'a SourceConfig,
    client: &'a Client,
    token: Option<HeaderValue>,
    /// The start of the read on the monotonic clock, and in seconds since 1970.
    started: (Instant, f64),
}

impl Client {
    /// Does not connect yet.
    pub(super) fn new(config: &SourceConfig) -> Result<Self, Failure> {
        Ok(Self { transport: Transport::new(config)?, offset: Arc::default() })
    }

    /// The client for the next read: after a change of the `caFile`, it trusts the new certificates.
    pub(super) fn renewed(self, config: &SourceConfig) -> Self {
        Self { transport: self.transport.renewed(config), ..self }
    }

    /// Begins a read. It reads the token from its file again, because tokens are renewed.
    pub(super) fn session<'a>(
        &'a self,
        config: &'a SourceConfig,
        started: (Instant, f64),
    ) -> Result<Session<'a>, Failure> {
        let token = config.bearer_token_file.as_deref().map(bearer).transpose()?;
        Ok(Session { config, client: self, token, started })
    }
}

fn bearer(file: &Path) -> Result<HeaderValue, Failure> {
    let unusable = |why: String| Failure::unusable("bearerTokenFile", file, why);
    let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(unusable("it is empty".into()));
    }
    let header = HeaderValue::try_from(format!("Bearer {token}"));
    let mut header = header.map_err(|_| unusable("it holds more than one line of text".into()))?;
    header.set_sensitive(true);
    Ok(header)
}

impl Session<'_> {
    /// Queries the last samples of a series for all objects.
    pub(super) async fn ask(&self, series: Series) -> Result<Reply, Failure> {
        let of_objects = r#"recommender!="""#.to_owned();
        let selector = match series {
            // One query for both: the alert has samples only while it is pending or fires.
            Series::BudgetSpent => {
                let names = format!(r#"__name__=~"{}|ALERTS""#, series.name());
                let alert = format!(r#"alertname=~"{}|""#, FAST_BURN_ALERT);
                self.select_named("", [names, of_objects, alert])
            }
            _ => self.select(series, [of_objects]),
        };
        self.query(&format!("{selector}[{RANGE}]")).await
    }

    /// The selector of a series with these matchers and those of the configuration.
    pub(super) fn select(&self, series: Series, matchers: impl IntoIterator<Item = String>) -> String {
        self.select_named(series.name(), matchers)
    }

    /// The selector of the series of a name, which may be empty, with these matchers and those of the configuration.
    pub(super) fn select_named(&self, name: &str, matchers: impl IntoIterator<Item = String>) -> String {
        let configured = self.config.match_labels.iter().map(|(label, value)| promql::equals(label, value));
        let matchers: Vec<String> = matchers.into_iter().chain(configured).collect();
        promql::series(name, &matchers.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Evaluates an expression at the current time.
    pub(super) async fn query(&self, query: &str) -> Result<Reply, Failure> {
        // Without `nocache`, some versions of VictoriaMetrics omit the last 30 s.
        let timeout = format!("{}s", self.config.timeout.as_secs());
        self.get("query", [("query", query), ("timeout", &timeout), ("nocache", "1")]).await
    }

    /// Gets a resource of the API, with these parameters of its URL.
    pub(super) async fn get<'q>(
        &self,
        resource: &str,
        parameters: impl IntoIterator<Item = (&'q str, &'q str)>,
    ) -> Result<Reply, Failure> {
        let request = self.request(resource, parameters);
        let deadline = self.started.0 + self.config.timeout;
        let call = async {
            let response = self.client.transport.send(request).await?;
            let clock = self.clock(response.headers());
            let (code, body) = (response.status(), response.into_body());
            if code != StatusCode::OK {
                // The part that was read is enough for an error message.
                let (Ok(body) | Err((_, body))) = collect(body, ERROR_BYTES).await;
                return Err(Failure::Status { code: code.as_u16(), text: error_text(&body) });
            }
            let body = collect(body, self.config.max_bytes).await.map_err(|(failure, _)| failure)?;
            Ok(Reply { body, clock })
        };
        // The TLS stack logs each refused certificate as an error. That is suppressed: the operator reports failures once, in
        // one sentence.
        let call = timeout_at(deadline, call).with_subscriber(NoSubscriber::new());
        call.await.unwrap_or(Err(Failure::TimedOut(self.config.timeout.as_secs())))
    }

    fn request<'q>(
        &self,
        resource: &str,
        parameters: impl IntoIterator<Item = (&'q str, &'q str)>,
    ) -> Request<Empty<Bytes>> {
        let parameters: Vec<String> =
            parameters.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        // The source's URL may have a path, with or without a slash at its end.
        let base = self.config.url.to_string();
        let uri = format!("{}/api/v1/{resource}?{}", base.trim_end_matches('/'), parameters.join("&"));
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.parse().expect("encoded");
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.extend(self.token.clone().map(|token| (AUTHORIZATION, token)));
        headers.extend(self.config.headers.iter().cloned());
        request
    }

    /// The time of response headers that have just arrived, by both clocks. `Date` has whole seconds, so the offset is most
    /// exact in a response from right after the begin of a second. That is the largest offset, which is kept. A very
    /// different offset replaces it: a clock was set.
    fn clock(&self, headers: &HeaderMap) -> Clock {
        let ours = self.started.1 + self.started.0.elapsed().as_secs_f64();
        let Some(server) = date(headers) else { return Clock { ours, server: ours } };
        let mut known = self.client.offset.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = updated_offset(*known, server - ours);
        *known = Some(offset);
        Clock { ours, server: ours + offset }
    }
}

/// The offset of a clock after another measurement, seconds. `known`: the offset before. `measured`: the offset from a time
/// in whole seconds.
fn updated_offset(known: Option<f64>, measured: f64) -> f64 {
    known.filter(|known| (known - measured).abs() <= OFFSET_TOLERANCE).map_or(measured, |known| known.max(measured))
}

/// The server's time from `Date`, plus the `Age` of a response from a cache.
fn date(headers: &HeaderMap) -> Option<f64> {
    let date = DateTimeParser::new().parse_timestamp(headers.get(DATE)?.to_str().ok()?).ok()?;
    let age: u32 = headers.get(AGE).and_then(|age| age.to_str().ok()?.parse().ok()).unwrap_or_default();
    Some(seconds(date) + f64::from(age))
}

/// Reads a body of at most `most` bytes. The error contains what was read until then.
async fn collect(body: Body, most: usize) -> Result<Vec<u8>, (Failure, Vec<u8>)> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(most);
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::with_capacity(expected.min(most));
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) if bytes.len() + chunk.len() <= most => bytes.extend_from_slice(&chunk),
            Ok(_) => return Err((Failure::TooLarge(most), bytes)),
            Err(_) => return Err((Failure::Broken("the answer ended early".into()), bytes)),
        }
    }
    Ok(bytes)
}

/// Percent-encodes a text for the query of a URL.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_percent_encoded() {
        assert_eq!(encode("a:b{c!=\"\"}[30s]+é"), "a%3Ab%7Bc%21%3D%22%22%7D%5B30s%5D%2B%C3%A9");
    }

    #[test]
    fn the_clock_offset_gets_more_exact_with_each_response_and_is_replaced_when_a_clock_was_set() {
        // The clock is three seconds ahead; the responses are from 0.7, 0.1, 0.9 and 0.2 s after the begin of a second.
        let offsets = [2.3, 2.9, 2.1, 2.8];
        let after = |before: Option<f64>, offsets: &[f64]| {
            offsets.iter().fold(before, |known, offset| Some(updated_offset(known, *offset)))
        };
        assert_eq!(after(None, &offsets), Some(2.9));
        assert_eq!(after(Some(2.9), &[-7.3]), Some(-7.3), "set back by ten seconds");
        assert_eq!(after(Some(-7.3), &[2.4, 2.6]), Some(2.6), "and forward again");
    }

    #[test]
    fn the_servers_time_is_read_from_its_date_and_age_headers() {
        let at = |date: &'static str, age: &'static str| {
            let headers = [(DATE, HeaderValue::from_static(date)), (AGE, HeaderValue::from_static(age))];
            super::date(&headers.into_iter().collect())
        };
        assert_eq!(at("Sat, 21 Nov 2026 14:00:56 GMT", ""), Some(1_795_269_656.0));
        assert_eq!(at("Sat, 21 Nov 2026 14:00:56 GMT", "60"), Some(1_795_269_716.0));
        assert_eq!(at("yesterday", "0"), None);
        assert_eq!(super::date(&HeaderMap::new()), None);
    }
}
