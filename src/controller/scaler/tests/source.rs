//! A fake Prometheus. It records what fleets measure, and answers queries with these samples or with a fault.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    http::{HeaderValue, header::CONNECTION},
    response::Response,
};
use tokio::net::TcpSocket;

use crate::{
    series::Series,
    signals::{
        Quality, Reader, SourceConfig,
        fake::{Answer, Fake, NOW, asked, matrix, reply_at},
    },
};

/// Range of the queries, seconds.
const RANGE: i64 = 30;

/// How a query is answered.
pub type Answering = fn(&Asked<'_>) -> Response;

/// A query, and the recorded samples to answer it with.
pub struct Asked<'a> {
    pub series: Series,
    /// The server's time, seconds after [`NOW`].
    pub now: i64,
    /// Since when it answers like this, seconds after [`NOW`].
    pub since: i64,
    samples: &'a Samples,
}

/// Samples by series and labels: the time in seconds after [`NOW`], and the value as text.
type Samples = BTreeMap<(Series, String), Vec<(i64, String)>>;

struct State {
    now: i64,
    since: i64,
    samples: Samples,
    answering: Answering,
    /// Whether each answer closes its connection. Otherwise open connections would outlive a server that is stopped.
    closes: bool,
}

/// The server.
pub struct Source {
    state: Arc<Mutex<State>>,
    fake: Option<Fake>,
    stopped: Option<TcpSocket>,
}

impl Source {
    /// `stops`: whether the test will stop it.
    pub async fn start(stops: bool) -> Self {
        let (samples, closes) = (Samples::new(), stops);
        let state = State { now: 0, since: 0, samples, answering: |asked| asked.healthy(), closes };
        let state = Arc::new(Mutex::new(state));
        let fake = Fake::start(answer(&state)).await;
        Self { state, fake: Some(fake), stopped: None }
    }

    pub fn url(&self) -> String {
        self.fake.as_ref().expect("runs").url.clone()
    }

    /// Stops listening.
    pub async fn stop(&mut self) {
        self.stopped = Some(self.fake.take().expect("runs").stop().await);
    }

    /// Listens again at the same address.
    pub fn start_again(&mut self) {
        let listener = self.stopped.take().expect("was stopped").listen(128).expect("listens");
        self.fake = Some(Fake::start_on(listener, answer(&self.state)));
    }

    /// From now on queries are answered like this.
    pub fn answer_with(&self, answering: Answering) {
        let mut state = self.state.lock().expect("no panic");
        (state.answering, state.since) = (answering, state.now);
    }

    /// Records a value for an object in the namespace `shop`. The server's time becomes `now`.
    pub fn record(&self, recommender: &str, (series, about, value): (Series, String, String), now: i64) {
        let label = series.subject().label();
        let labels = format!(
            r#""namespace":"shop","recommender":"{recommender}","{label}":"{about}","__name__":"{}""#,
            series.name()
        );
        let mut state = self.state.lock().expect("no panic");
        state.now = now;
        state.samples.entry((series, labels)).or_default().push((now, value));
    }
}

/// A reader with limits that are low enough to be reached by tests. Its time-out is met on a busy machine as well.
pub fn reader(url: &str) -> Reader {
    let mut config = SourceConfig::plain(url).expect("a URL");
    (config.timeout, config.max_bytes, config.max_series) = (Duration::from_secs(1), 64 << 10, 20);
    Reader::new(config, Quality::default())
}

fn answer(state: &Arc<Mutex<State>>) -> Answer {
    let state = state.clone();
    Arc::new(move |request| {
        let state = state.lock().expect("no panic");
        let asked = Asked { series: asked(&request), now: state.now, since: state.since, samples: &state.samples };
        let mut response = (state.answering)(&asked);
        if state.closes {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    })
}

impl Asked<'_> {
    /// The recorded samples, without a fault.
    pub fn healthy(&self) -> Response {
        self.samples(|_, _, samples| Some(samples))
    }

    /// Samples of some series have this value since the fault began.
    pub fn values(&self, of: &[Series], text: &str) -> Response {
        self.samples(|series, at, value| {
            Some(if of.contains(&series) && at >= self.since { text.to_owned() } else { value })
        })
    }

    /// Some series have not been recorded since the fault began.
    pub fn without(&self, of: &[Series]) -> Response {
        self.samples(|series, at, value| (!of.contains(&series) || at < self.since).then_some(value))
    }

    /// All samples have a time that is so many seconds later.
    pub fn later(&self, seconds: i64) -> Response {
        reply_at(self.now, 200, self.body(self.now, seconds, |_, _, value| Some(value)))
    }

    /// The answer from the begin of the fault, with the current date.
    pub fn cached(&self) -> Response {
        reply_at(self.now, 200, self.body(self.since, 0, |_, _, value| Some(value)))
    }

    /// The server's clock has stopped at the begin of the fault: the ages of all samples stay the same.
    pub fn frozen(&self) -> Response {
        reply_at(self.since, 200, self.body(self.since, 0, |_, _, value| Some(value)))
    }

    /// The samples in range after `change`, which may also remove some.
    pub fn samples(&self, change: impl Fn(Series, i64, String) -> Option<String>) -> Response {
        reply_at(self.now, 200, self.body(self.now, 0, change))
    }

    /// The body of the answer at `now`; the samples' times are `later` seconds later.
    pub fn body(&self, now: i64, later: i64, change: impl Fn(Series, i64, String) -> Option<String>) -> String {
        let of_series = self.samples.iter().filter(|((series, _), _)| *series == self.series);
        let found: Vec<(&str, String)> = of_series
            .filter_map(|((series, labels), samples)| {
                let until = |end: i64| samples.partition_point(|(at, _)| *at <= end);
                let in_range = &samples[until(now - RANGE)..until(now)];
                let changed =
                    in_range.iter().filter_map(|(at, value)| Some((at, change(*series, *at, value.clone())?)));
                let texts: Vec<String> =
                    changed.map(|(at, value)| format!("[{}.0,{value:?}]", NOW + at + later)).collect();
                (!texts.is_empty()).then(|| (labels.as_str(), texts.join(",")))
            })
            .collect();
        matrix(&found.iter().map(|(labels, values)| (*labels, values.as_str())).collect::<Vec<_>>())
    }
}
