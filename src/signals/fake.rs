//! A fake Prometheus with configurable answers.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header::DATE},
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};

use super::{Quality, ReadStats, Reader, Readings, SourceConfig, answer, readings::Clock};
use crate::series::Series;

/// The current time in tests, seconds since 1970.
pub const NOW: i64 = 1_800_000_000;

/// The time so many seconds after [`NOW`].
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).expect("in range")
}

/// The answer to a request.
pub type Answer = Arc<dyn Fn(Request<Body>) -> Response + Send + Sync>;

/// A server on its own port. It stops when dropped.
pub struct Fake {
    pub url: String,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    pub async fn start(answer: Answer) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.expect("a free port"), answer)
    }

    /// Stops listening. Returns the socket to listen on again, which keeps the port reserved. Open connections survive, so a
    /// server that will be stopped has to answer with `Connection: close`.
    pub async fn stop(self) -> TcpSocket {
        self.server.abort();
        while !self.server.is_finished() {
            tokio::task::yield_now().await;
        }
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("set");
        socket.bind(self.address).expect("still free");
        socket
    }

    pub fn start_on(listener: TcpListener, answer: Answer) -> Self {
        let address = listener.local_addr().expect("bound");
        let url = format!("http://{address}");
        let router = Router::new().fallback(move |request| async move { answer(request) });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { url, address, server }
    }

    /// A server that answers every query in the same way.
    pub async fn always(answer: impl Fn() -> Response + Send + Sync + 'static) -> Self {
        Self::start(Arc::new(move |_| answer())).await
    }

    /// A reader of this server.
    pub fn reader(&self) -> Reader {
        reader(&self.url)
    }
}

/// An address at which nothing listens, and the socket that keeps others from it.
pub fn closed() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

/// A reader of a URL, with the settings of the flag `--prometheus-url`.
pub fn reader(url: &str) -> Reader {
    Reader::new(SourceConfig::plain(url).expect("a URL"), Quality::default())
}

/// The series that a request queries.
pub fn asked(request: &Request<Body>) -> Series {
    let query = request.uri().query().unwrap_or_default();
    let of = |series: &Series| {
        let name = series.name().replace(':', "%3A");
        [format!("query={name}%7B"), format!("%22{name}%7CALERTS")].iter().any(|part| query.contains(part))
    };
    Series::all().find(of).unwrap_or_else(|| panic!("{query}"))
}

/// An answer of a Prometheus whose clock is at [`NOW`].
pub fn reply(code: u16, body: impl Into<Body>) -> Response {
    reply_at(0, code, body)
}

/// An answer of a Prometheus whose clock is so many seconds after [`NOW`].
pub fn reply_at(seconds: i64, code: u16, body: impl Into<Body>) -> Response {
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&at(seconds)).expect("a date");
    let code = StatusCode::from_u16(code).expect("a code");
    (code, [(DATE, date)], body.into()).into_response()
}

/// The body of an answer with these series, each a pair of labels and samples in JSON.
pub fn matrix(series: &[(&str, &str)]) -> String {
    let elements: Vec<String> =
        series.iter().map(|(labels, values)| format!(r#"{{"metric":{{{labels}}},"values":[{values}]}}"#)).collect();
    format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#, elements.join(","))
}

/// The readings of these samples, `seconds` after [`NOW`]. A sample has the namespace and name of the object, the series, the
/// value of its label [`Series::about`], the value as Prometheus writes it, and the age in seconds.
pub fn readings(samples: &[(&str, &str, Series, &str, String, i64)], seconds: i64) -> Readings {
    let now = (NOW + seconds) as f64;
    let known = |series: Series| {
        let of_series = samples.iter().filter(|(_, _, of, ..)| *of == series);
        let elements: Vec<(String, String)> = of_series
            .map(|(namespace, name, of, about, value, age)| {
                let labels =
                    format!(r#""namespace":"{namespace}","recommender":"{name}","{}":"{about}""#, of.subject().label());
                (labels, sample(seconds - age, value))
            })
            .collect();
        let elements: Vec<(&str, &str)> =
            elements.iter().map(|(labels, value)| (labels.as_str(), value.as_str())).collect();
        let body = matrix(&elements);
        let answer = answer::parse(body.as_bytes(), 100).expect("an answer");
        let (clock, quality) = (Clock { ours: now, server: now }, Quality::default());
        Readings::none(quality).known(series).after(series, &answer, clock, quality, 100)
    };
    let demanded = samples.iter().map(|(_, _, series, ..)| *series).filter(|series| !Series::SCALING.contains(series));
    let demanded = demanded.map(|series| (series, known(series))).collect();
    Readings::none(Quality::default()).next(Series::SCALING.map(known).into(), demanded, None, ReadStats::default())
}

/// The labels of the object in the tests, with both a workload and a dependency.
pub const LABELS: &str = r#""namespace":"shop","recommender":"packages","workload":"serving","dependency":"serving","objective":"serving","pod":"serving","__name__":"x""#;

/// A sample from so many seconds after [`NOW`], in JSON.
pub fn sample(seconds: i64, value: &str) -> String {
    format!(r#"[{}.0,"{value}"]"#, NOW + seconds)
}

/// The body of an answer with samples of the object in the tests.
pub fn of_object(values: &str) -> String {
    matrix(&[(LABELS, values)])
}
