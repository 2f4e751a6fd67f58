//! One HTTP call to a metric source: bounded in time and size, without retries, redirects or proxies.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::HttpBody,
    http::{
        HeaderMap, HeaderValue, Request, StatusCode,
        header::{ACCEPT, AGE, AUTHORIZATION, CACHE_CONTROL, DATE},
    },
};
use futures::StreamExt;
use jiff::fmt::rfc2822::DateTimeParser;
use kube::client::Body;
use tokio::time::{Instant, timeout_at};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{
    Series, SourceConfig,
    answer::error_text,
    failure::{Failure, shorten},
    readings::{Clock, seconds},
};
use crate::monitoring::promql;

/// Far enough back for the newest sample of a series that is recorded every 5 s, and of one that has just missed some.
const RANGE: &str = "30s";
/// Two heads of a server whose clock was not set differ by this at most in how far it is ahead, seconds: by a second, and
/// by what heads are under way.
const WHOLE: f64 = 1.5;
/// Of an answer that says no, so much is read, bytes.
const ERROR_BYTES: usize = 64 << 10;

/// The body of an answer of code 200 and the time of its head.
#[derive(Debug)]
pub(super) struct Reply {
    pub body: Vec<u8>,
    pub clock: Clock,
}

/// The connections to a source.
#[derive(Clone)]
pub(super) struct Client {
    http: kube::Client,
    /// By how much the server's clock is ahead of ours, seconds, as far as that is known.
    lead: Arc<Mutex<Option<f64>>>,
}

/// Makes the calls of one read, which share a start, a deadline and a token.
pub(super) struct Session<'a> {
    config: &'a SourceConfig,
    client: &'a Client,
    token: Option<HeaderValue>,
    /// The same moment on two clocks.
    started: (Instant, f64),
}

impl Client {
    /// `kube::Client` serves for any HTTP API: the URL may have a path, only the certificates of `caFile` are trusted if
    /// there is one (it is read again every minute), and proxies of the environment are not asked.
    pub(super) fn new(config: &SourceConfig) -> Result<Self, Failure> {
        let mut kube = kube::Config::new(config.url.clone());
        kube.connect_timeout = Some(config.timeout);
        kube.write_timeout = Some(config.timeout);
        kube.default_retry = false;
        kube.headers = config.headers.clone();
        kube.root_cert_file.clone_from(&config.ca_file);
        if config.ca_file.is_some() || config.url.scheme_str() == Some("http") {
            // Else kube wants the system's certificates, which an image may lack, also where nobody needs them.
            kube.root_cert = Some(Vec::new());
        }
        let http = kube::Client::try_from(kube).map_err(|error| {
            let why = shorten(&error.to_string());
            let file = config.ca_file.as_deref();
            file.map_or_else(|| Failure::Setup(why.clone()), |file| unusable("caFile", file, &why))
        })?;
        Ok(Self { http, lead: Arc::default() })
    }

    /// Begins a read: takes the token out of its file anew, because tokens are renewed.
    pub(super) fn session<'a>(
        &'a self,
        config: &'a SourceConfig,
        started: (Instant, f64),
    ) -> Result<Session<'a>, Failure> {
        let token = config.bearer_token_file.as_deref().map(bearer).transpose()?;
        Ok(Session { config, client: self, token, started })
    }
}

fn unusable(field: &'static str, file: &Path, why: impl ToString) -> Failure {
    Failure::File { field, file: file.display().to_string(), why: why.to_string() }
}

fn bearer(file: &Path) -> Result<HeaderValue, Failure> {
    let unusable = |why: String| unusable("bearerTokenFile", file, why);
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
    /// Asks for the last samples of a series of all objects.
    pub(super) async fn ask(&self, series: Series) -> Result<Reply, Failure> {
        self.query(&format!("{}[{RANGE}]", self.select(series, [r#"recommender!="""#.to_owned()]))).await
    }

    /// A series with these matchers and those of the configuration.
    pub(super) fn select(&self, series: Series, matchers: impl IntoIterator<Item = String>) -> String {
        let configured = self.config.match_labels.iter().map(|(label, value)| promql::equals(label, value));
        let matchers: Vec<String> = matchers.into_iter().chain(configured).collect();
        promql::series(series.name(), &matchers.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Asks for what an expression says now.
    pub(super) async fn query(&self, query: &str) -> Result<Reply, Failure> {
        let deadline = self.started.0 + self.config.timeout;
        let call = async {
            let response =
                self.client.http.send(self.request(query)).await.map_err(|error| Failure::of_call(&error))?;
            let clock = self.clock(response.headers());
            let (code, body) = (response.status(), response.into_body());
            if code != StatusCode::OK {
                // What was read of it is enough for an error.
                let (Ok(body) | Err((_, body))) = collect(body, ERROR_BYTES).await;
                return Err(Failure::Status { code: code.as_u16(), text: error_text(&body) });
            }
            let body = collect(body, self.config.max_bytes).await.map_err(|(failure, _)| failure)?;
            Ok(Reply { body, clock })
        };
        // The client logs each failure as an error of its own; ours are told once, in one sentence.
        let call = timeout_at(deadline, call).with_subscriber(NoSubscriber::new());
        call.await.unwrap_or(Err(Failure::TimedOut(self.config.timeout.as_secs())))
    }

    fn request(&self, query: &str) -> Request<Body> {
        // Some versions of VictoriaMetrics leave out the last 30 s when not told so.
        let options = format!("timeout={}s&nocache=1", self.config.timeout.as_secs());
        let path = format!("/api/v1/query?query={}&{options}", encode(query));
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().expect("encoded");
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.extend(self.token.clone().map(|token| (AUTHORIZATION, token)));
        request
    }

    /// The time of a head that has just come. The server's has no fractions: of all heads, the one that came right after a
    /// second began says how far its clock is ahead. One that says something else altogether tells of a clock that was set.
    fn clock(&self, headers: &HeaderMap) -> Clock {
        let ours = self.started.1 + self.started.0.elapsed().as_secs_f64();
        let Some(server) = date(headers) else { return Clock { ours, server: ours } };
        let mut known = self.client.lead.lock().unwrap_or_else(PoisonError::into_inner);
        let lead = lead(*known, server - ours);
        *known = Some(lead);
        Clock { ours, server: ours + lead }
    }
}

/// By how much a clock is ahead that was known to be so far ahead, when its time without fractions is so far ahead.
fn lead(known: Option<f64>, whole: f64) -> f64 {
    known.filter(|known| (known - whole).abs() <= WHOLE).map_or(whole, |known| known.max(whole))
}

/// The server's time, also when its answer has been in a cache for a while.
fn date(headers: &HeaderMap) -> Option<f64> {
    let date = DateTimeParser::new().parse_timestamp(headers.get(DATE)?.to_str().ok()?).ok()?;
    let age: u32 = headers.get(AGE).and_then(|age| age.to_str().ok()?.parse().ok()).unwrap_or_default();
    Some(seconds(date) + f64::from(age))
}

/// A body of at most `most` bytes; what there was of it otherwise.
async fn collect(body: Body, most: usize) -> Result<Vec<u8>, (Failure, Vec<u8>)> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(most);
    let mut stream = axum::body::Body::new(body).into_data_stream();
    let mut bytes = Vec::with_capacity(announced.min(most));
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) if bytes.len() + chunk.len() <= most => bytes.extend_from_slice(&chunk),
            Ok(_) => return Err((Failure::TooLarge(most), bytes)),
            Err(_) => return Err((Failure::Broken("the answer ended early".into()), bytes)),
        }
    }
    Ok(bytes)
}

/// A text as a value in a URL's query.
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
    fn queries_survive_the_url() {
        assert_eq!(encode("a:b{c!=\"\"}[30s]+é"), "a%3Ab%7Bc%21%3D%22%22%7D%5B30s%5D%2B%C3%A9");
    }

    #[test]
    fn a_clock_without_fractions_is_known_better_with_every_head_and_anew_when_it_was_set() {
        // Three seconds ahead, looked at 0.7, 0.1, 0.9 and 0.2 s after its seconds began.
        let heads = [2.3, 2.9, 2.1, 2.8];
        let after =
            |before: Option<f64>, heads: &[f64]| heads.iter().fold(before, |known, head| Some(lead(known, *head)));
        assert_eq!(after(None, &heads), Some(2.9));
        assert_eq!(after(Some(2.9), &[-7.3]), Some(-7.3), "set back by ten seconds");
        assert_eq!(after(Some(-7.3), &[2.4, 2.6]), Some(2.6), "and forward again");
    }

    #[test]
    fn the_servers_time_is_that_of_its_head() {
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
