//! The HTTP requests that are sent, and the log lines that are not written.

use std::sync::{Arc, Mutex};

use axum::http::header::AUTHORIZATION;

use super::{
    fake::{Fake, at, matrix, reader, reply},
    *,
};
use crate::{scaling::Signal, series::Series};

/// The path prefix, one query per series, the tenant, and the token that is in its file at that time.
#[tokio::test]
async fn every_query_has_the_prefix_tenant_and_token_of_the_source() {
    type Received = (String, Option<String>, Option<String>);
    let received: Arc<Mutex<Vec<Received>>> = Arc::default();
    let sink = received.clone();
    let fake = Fake::start(Arc::new(move |request| {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().expect("ASCII").to_owned());
        let uri = request.uri().to_string();
        sink.lock().expect("sound").push((uri, header(AUTHORIZATION.as_str()), header("x-scope-orgid")));
        reply(200, matrix(&[]))
    }))
    .await;
    let file = std::env::temp_dir().join(format!("recommender-operator-token-{}", std::process::id()));
    let text = format!(
        "sources: [{{name: mimir, url: '{}/prometheus/', bearerTokenFile: {file:?}, headers: {{X-Scope-OrgID: shop}}, \
         matchLabels: {{cluster: 'a\"b'}}}}]",
        fake.url
    );
    let [config] = config::parse(&text).expect("valid").try_into().expect("one");
    let mut reader = Reader::new(config, Quality::default());

    let readings = reader.read(at(0)).await;
    let sentence = readings.source_error().expect("no file yet");
    assert!(sentence.contains("its bearerTokenFile \"") && sentence.contains("No such file"), "{sentence}");
    let signal = readings.get(Series::Lag, "shop", "packages", "events", at(0));
    assert_eq!(signal, Signal::Missing("the metric source is not set up as it should be"));
    assert!(received.lock().expect("sound").is_empty(), "no query is sent without the token");

    for token in ["first", "second"] {
        std::fs::write(&file, format!("{token}\n")).expect("written");
        assert_eq!(reader.read(at(0)).await.source_error(), None);
        let requests = std::mem::take(&mut *received.lock().expect("sound"));
        assert_eq!(requests.len(), Series::SCALING.len());
        let lag = "/prometheus/api/v1/query?query=recommender%3Alag_messages%7B\
             recommender%21%3D%22%22%2Ccluster%3D%22a%5C%22b%22%7D%5B30s%5D&timeout=4s&nocache=1";
        assert_eq!(requests.iter().filter(|(uri, ..)| uri == lag).count(), 1, "{requests:?}");
        for (_, authorization, tenant) in requests {
            assert_eq!(authorization, Some(format!("Bearer {token}")));
            assert_eq!(tenant.as_deref(), Some("shop"));
        }
    }
    std::fs::write(&file, " \n").expect("written");
    let readings = reader.read(at(0)).await;
    assert!(readings.source_error().expect("empty").contains("it is empty"), "{:?}", readings.source_error());
    std::fs::remove_file(&file).expect("removed");
}

/// An operator without its Prometheus for a night must not fill the log: the HTTP client's own lines are suppressed.
#[tokio::test]
async fn the_http_client_logs_nothing_when_a_source_fails() {
    let lines: Arc<Mutex<Vec<u8>>> = Arc::default();
    let sink = Sink(lines.clone());
    let subscriber = tracing_subscriber::fmt().with_writer(move || sink.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let fake = Fake::always(|| reply(500, "")).await;
    assert_eq!(fake.reader().read(at(0)).await.stats().failed, Series::SCALING.len());
    let (_reserved, closed) = super::fake::closed();
    assert_eq!(reader(&format!("http://{closed}")).read(at(0)).await.stats().failed, Series::SCALING.len());
    assert_eq!(String::from_utf8_lossy(&lines.lock().expect("sound")), "");
}

#[derive(Clone)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("sound").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
