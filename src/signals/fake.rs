//! A Prometheus that answers what it is told to.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header::DATE},
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{Quality, Reader, Series, SourceConfig};

/// When tests happen, seconds since 1970.
pub const NOW: i64 = 1_800_000_000;

/// So many seconds after [`NOW`].
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).expect("in range")
}

/// What to answer to a request.
pub type Answer = Arc<dyn Fn(Request<Body>) -> Response + Send + Sync>;

/// A server on a port of its own; gone when dropped.
pub struct Fake {
    pub url: String,
    server: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().fallback(move |request| async move { answer(request) });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { url, server }
    }

    /// Answers every query with the same.
    pub async fn always(answer: impl Fn() -> Response + Send + Sync + 'static) -> Self {
        Self::start(Arc::new(move |_| answer())).await
    }

    /// A reader of it.
    pub fn reader(&self) -> Reader {
        reader(&self.url)
    }
}

/// A reader of a URL with the settings of the flag.
pub fn reader(url: &str) -> Reader {
    Reader::new(SourceConfig::plain(url).expect("a URL"), Quality::default())
}

/// The series that is asked for.
pub fn asked(request: &Request<Body>) -> Series {
    let query = request.uri().query().unwrap_or_default();
    let of = |series: &Series| query.contains(&format!("query={}%7B", series.name().replace(':', "%3A")));
    Series::ALL.into_iter().find(of).unwrap_or_else(|| panic!("{query}"))
}

/// An answer in the words of Prometheus, at [`NOW`] by its clock.
pub fn reply(code: u16, body: impl Into<Body>) -> Response {
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&at(0)).expect("a date");
    let code = StatusCode::from_u16(code).expect("a code");
    (code, [(DATE, date)], body.into()).into_response()
}

/// The answer with these series, each a pair of labels and samples in JSON.
pub fn matrix(series: &[(&str, &str)]) -> String {
    let elements: Vec<String> =
        series.iter().map(|(labels, values)| format!(r#"{{"metric":{{{labels}}},"values":[{values}]}}"#)).collect();
    format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#, elements.join(","))
}

/// The labels of the object that tests ask for, with both a workload and a dependency.
pub const LABELS: &str =
    r#""namespace":"shop","recommender":"packages","workload":"serving","dependency":"serving","__name__":"x""#;

/// A sample so many seconds after [`NOW`], in JSON.
pub fn sample(seconds: i64, value: &str) -> String {
    format!(r#"[{}.0,"{value}"]"#, NOW + seconds)
}

/// The answer with samples of that object.
pub fn of_object(values: &str) -> String {
    matrix(&[(LABELS, values)])
}
