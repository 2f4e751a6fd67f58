//! Metric sources that fail, return wrong data or are slow: rows S16 to S19 of the fault matrix. In every case, only a
//! recently measured number may become a fresh signal.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{body::Body, response::Response};
use tokio::time::sleep;

use super::{
    fake::{Fake, LABELS, asked, at, matrix, of_object, reader, reply, sample},
    *,
};
use crate::{scaling::Signal, series::Series};

/// The signal of the object in the fake's answers.
fn lag(readings: &Readings, seconds: i64) -> Signal {
    readings.get(Series::Lag, "shop", "packages", "serving", at(seconds))
}

/// A signal without its exact age.
#[derive(Debug, PartialEq)]
enum Is {
    Fresh(f64),
    Stale(f64),
    Missing(&'static str),
}

fn kind(signal: Signal) -> Is {
    match signal {
        Signal::Fresh { value, .. } => Is::Fresh(value),
        Signal::Stale { value, .. } => Is::Stale(value),
        Signal::Missing(reason) => Is::Missing(reason),
    }
}

/// An answer that never ends: one byte every 50 ms.
fn dripping() -> Response {
    let drops = futures::stream::unfold((), |()| async {
        sleep(Duration::from_millis(50)).await;
        Some((Ok::<_, std::io::Error>(" "), ()))
    });
    reply(200, Body::from_stream(drops))
}

/// An endless answer, larger than any limit.
fn flood() -> Response {
    let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 20]));
    reply(200, Body::from_stream(chunks))
}

/// The signal for each kind of samples of an object.
#[tokio::test]
async fn a_signal_is_fresh_only_when_it_was_measured_recently() {
    let stale = Is::Stale(3.0);
    let cases: [(&str, String, Is); 18] = [
        ("new", sample(0, "3"), Is::Fresh(3.0)),
        ("zero was measured", sample(0, "0"), Is::Fresh(0.0)),
        ("twenty seconds", sample(-19, "3"), Is::Fresh(3.0)),
        ("older", sample(-22, "3"), stale),
        ("old", sample(-299, "3"), Is::Stale(3.0)),
        ("useless", sample(-302, "3"), Is::Missing(reason::OLD)),
        ("a second ahead, as HTTP's date has no fractions", sample(1, "3"), Is::Fresh(3.0)),
        ("the newest counts", [sample(-10, "9"), sample(-5, "3")].join(","), Is::Fresh(3.0)),
        ("in any order", [sample(-5, "3"), sample(-10, "9")].join(","), Is::Fresh(3.0)),
        ("from the future", sample(60, "3"), Is::Missing(reason::FUTURE)),
        ("NaN, as a quantile without requests", sample(0, "NaN"), Is::Missing(reason::NAN)),
        ("NaN now is not what was before", [sample(-5, "9"), sample(0, "NaN")].join(","), Is::Missing(reason::NAN)),
        ("infinite", sample(0, "+Inf"), Is::Missing(reason::ABSURD)),
        ("minus infinite", sample(0, "-Inf"), Is::Missing(reason::NEGATIVE)),
        ("a lag of -1", sample(0, "-1"), Is::Missing(reason::NEGATIVE)),
        ("absurd", sample(0, "1e300"), Is::Missing(reason::ABSURD)),
        ("garbage", sample(0, "many"), Is::Missing(reason::NO_NUMBER)),
        ("no samples", String::new(), Is::Missing(reason::NO_SERIES)),
    ];
    for (name, values, expected) in cases {
        let fake = Fake::always(move || reply(200, of_object(&values))).await;
        let readings = fake.reader().read(at(0)).await;
        assert_eq!(kind(lag(&readings, 0)), expected, "{name}");
        assert_eq!(readings.source_error(), None, "{name}");
        assert_eq!(readings.stats().failed, 0, "{name}");
    }
}

/// It does not matter that our clock differs from the server's by an hour.
#[tokio::test]
async fn the_age_of_a_sample_is_measured_by_the_servers_clock() {
    let fake = Fake::always(|| reply(200, of_object(&sample(-5, "3")))).await;
    for ours in [-3600, 0, 3600] {
        let readings = fake.reader().read(at(ours)).await;
        let Signal::Fresh { age, .. } = lag(&readings, ours) else { panic!("{:?}", lag(&readings, ours)) };
        assert!((4.0..=5.0).contains(&age), "{age}");
        assert_eq!(kind(lag(&readings, ours + 30)), Is::Stale(3.0), "ages between reads");
        assert_eq!(kind(lag(&readings, ours - 60)), Is::Missing(reason::FUTURE), "our clock was set back");
    }
}

/// For every kind of failure: before the first answer there are no signals; after one, signals become stale and then
/// missing. One sentence has the source, the failure, and what to check.
#[tokio::test]
async fn a_failing_source_is_reported_and_its_samples_are_kept_until_they_are_too_old() {
    const UNREACHABLE: &str = "the metric source cannot be reached";
    const NO_PROMETHEUS: &str = "the metric source does not answer as a Prometheus does";
    const REFUSES: &str = "the metric source refuses queries";
    type Answer = fn() -> Response;
    let cases: [(Answer, &str, &str); 15] = [
        (|| reply(500, ""), REFUSES, "HTTP 500; see its log"),
        (
            || reply(503, r#"{"status":"error","error":"tsdb: not ready"}"#),
            REFUSES,
            "HTTP 503: tsdb: not ready; it is over",
        ),
        (|| reply(401, "Unauthorized\n"), REFUSES, "HTTP 401: Unauthorized; check bearerTokenFile"),
        (|| reply(302, "<a href=/login>"), REFUSES, "HTTP 302; redirects are not followed"),
        (|| reply(404, "404 page not found"), REFUSES, "path prefix"),
        (|| reply(200, "<html>Sign in</html>"), NO_PROMETHEUS, "(a page of HTML); does the URL point at a login page"),
        (|| reply(200, "{"), NO_PROMETHEUS, "(no JSON)"),
        (|| reply(200, ""), NO_PROMETHEUS, "(no JSON)"),
        (
            || reply(200, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#),
            NO_PROMETHEUS,
            "a vector",
        ),
        (|| reply(200, r#"{"status":"error","error":"boom"}"#), REFUSES, "it refused the query: boom"),
        (|| reply(200, matrix(&[(LABELS, "[1,2]")])), NO_PROMETHEUS, "invalid type"),
        (
            || reply(200, matrix(&[("", "[1,\"1\"]"); 6])),
            "the metric source has more series than maxSeries",
            "raise maxSeries",
        ),
        (flood, "the metric source's answer is larger than maxBytes", "raise maxBytes"),
        (dripping, "the metric source does not answer in time", "no complete answer within 1 s"),
        (
            || reply(200, Body::from_stream(futures::stream::iter([Ok("{"), Err(std::io::Error::other("gone"))]))),
            UNREACHABLE,
            "the connection broke",
        ),
    ];
    for (answer, reason, message) in cases {
        let good = Arc::new(AtomicUsize::new(Series::SCALING.len()));
        let fake = Fake::start(Arc::new(move |_| {
            let first = good.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            if first { reply(200, of_object(&sample(0, "3"))) } else { answer() }
        }))
        .await;
        let mut config = SourceConfig::plain(&fake.url).expect("a URL");
        // A few bytes, so that a busy machine reads them within the time-out.
        (config.timeout, config.max_bytes, config.max_series) = (Duration::from_secs(1), 1 << 16, 5);
        let mut known = Reader::new(config.clone(), Quality::default());
        assert_eq!(kind(lag(&*known.read(at(0)).await, 0)), Is::Fresh(3.0), "{message}");
        failed(&mut known, 5, message, &fake.url).await;
        let readings = known.latest();
        let ages = [(5, Is::Fresh(3.0)), (30, Is::Stale(3.0)), (299, Is::Stale(3.0)), (302, Is::Missing(reason))];
        for (seconds, expected) in ages {
            assert_eq!(kind(lag(&readings, seconds)), expected, "{message} after {seconds} s");
        }
        let mut new = Reader::new(config, Quality::default());
        assert_eq!(lag(&new.latest(), 0), Signal::Missing(reason::NOT_READ));
        failed(&mut new, 0, message, &fake.url).await;
        assert_eq!(lag(&new.latest(), 0), Signal::Missing(reason), "{message}");
    }
}

/// Reads a source for which every query fails, and checks that the error contains this message.
async fn failed(reader: &mut Reader, seconds: i64, message: &str, url: &str) {
    let started = Instant::now();
    let readings = reader.read(at(seconds)).await;
    // Within the time-out of one query, although each of them hangs: they are sent together.
    assert!(started.elapsed() < Duration::from_secs(8), "{message} took {:?}", started.elapsed());
    assert_eq!(readings.stats().failed, Series::SCALING.len(), "{message}");
    let sentence = readings.source_error().expect("an error");
    assert!(sentence.starts_with(&format!("metric source \"default\" ({url}): ")), "{sentence}");
    assert!(sentence.contains(message) && !sentence.contains('\n'), "{sentence}");
}

#[tokio::test]
async fn refused_connections_dns_errors_and_tls_errors_are_distinguished() {
    let (_reserved, closed) = super::fake::closed();
    let plain = Fake::always(|| reply(200, "")).await;
    let cases = [
        (format!("http://{closed}"), "connection refused; is it running, is the port right?"),
        // A DNS label cannot be that long, so no DNS server is queried.
        (format!("http://{}.invalid:9090", "a".repeat(64)), "its name does not resolve"),
        (format!("https://{}.invalid:9090", "a".repeat(64)), "its name does not resolve"),
        (
            plain.url.replace("http:", "https:"),
            "TLS failed: received corrupt message of type InvalidContentType; check",
        ),
    ];
    for (url, message) in cases {
        let readings = reader(&url).read(at(0)).await;
        let sentence = readings.source_error().expect("an error");
        assert!(sentence.contains(message), "{sentence}");
        assert_eq!(lag(&readings, 0), Signal::Missing("the metric source cannot be reached"), "{sentence}");
    }
}

/// A hanging series delays the read up to the time-out. Other series and other sources are not affected.
#[tokio::test]
async fn a_hanging_query_affects_no_other_series_and_no_other_source() {
    let fake = Fake::start(Arc::new(|request| match asked(&request) {
        Series::RequestRate => dripping(),
        _ => reply(200, of_object(&sample(0, "3"))),
    }))
    .await;
    let other = Fake::always(|| reply(200, of_object(&sample(0, "4")))).await;
    let mut config = SourceConfig::plain(&fake.url).expect("a URL");
    // Long, so that a busy machine reads all else within it.
    config.timeout = Duration::from_secs(3);
    let mut hanging = Reader::new(config, Quality::default());
    let mut healthy = other.reader();
    // Each source has its own task, as in the operator.
    let healthy = tokio::spawn(async move {
        let started = Instant::now();
        (healthy.read(at(0)).await, started.elapsed())
    });
    let half = hanging.read(at(0)).await;
    let (whole, elapsed) = healthy.await.expect("no panic");
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
    assert_eq!((kind(lag(&whole, 0)), whole.stats().series), (Is::Fresh(4.0), Series::SCALING.len()));
    assert_eq!(
        (kind(lag(&half, 0)), half.stats().failed, half.stats().series),
        (Is::Fresh(3.0), 1, Series::SCALING.len() - 1)
    );
    assert!(half.stats().seconds < 9.0, "{:?}", half.stats());
    let rate = half.get(Series::RequestRate, "shop", "packages", "serving", at(0));
    assert_eq!(rate, Signal::Missing("the metric source does not answer in time"));
    let sentence = half.source_error().expect("an error");
    assert!(sentence.contains(", recommender:requests:rate20s: no complete answer within 3 s"), "{sentence}");
}

/// A series that no object demands costs no query. Of several values of an object one is made, which is not the case of others.
#[tokio::test]
async fn a_series_is_read_on_demand_and_of_its_labels_the_largest_or_the_sum_counts() {
    let queries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&queries);
    let fake = Fake::start(Arc::new(move |request| {
        counted.fetch_add(1, Ordering::SeqCst);
        let labels = |of: &str| format!(r#"{LABELS},"of":"{of}""#);
        let (a, b) = (labels("a"), labels("b"));
        match asked(&request) {
            Series::DriftScore | Series::Exceptions | Series::DriftAge => {
                reply(200, matrix(&[(&a, &sample(0, "2")), (&b, &sample(-5, "3"))]))
            }
            _ => reply(200, of_object(&sample(0, "1"))),
        }
    }))
    .await;
    let mut reader = fake.reader();
    let read = |readings: &Readings, series| kind(readings.get(series, "shop", "packages", "serving", at(0)));
    let readings = reader.read(at(0)).await;
    assert_eq!(queries.swap(0, Ordering::SeqCst), Series::SCALING.len());
    assert!(matches!(read(&readings, Series::DriftScore), Is::Missing(_)));
    reader.demand([Series::DriftScore, Series::Exceptions, Series::DriftAge, Series::DriftScore, Series::Lag]);
    let readings = reader.read(at(0)).await;
    assert_eq!(queries.swap(0, Ordering::SeqCst), Series::SCALING.len() + 3);
    assert_eq!(read(&readings, Series::DriftScore), Is::Fresh(3.0));
    assert_eq!(read(&readings, Series::Exceptions), Is::Fresh(5.0));
    assert!(matches!(read(&readings, Series::DriftAge), Is::Missing(_)), "it has no label");
    assert_eq!((read(&readings, Series::Lag), readings.stats().failed), (Is::Fresh(1.0), 0));
    reader.demand([]);
    reader.read(at(0)).await;
    assert_eq!(queries.load(Ordering::SeqCst), Series::SCALING.len());
}

#[tokio::test]
async fn samples_of_a_recovered_source_are_fresh_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let fake = Fake::start(Arc::new(move |_| match calls.fetch_add(1, Ordering::SeqCst) / Series::SCALING.len() {
        0 => reply(200, of_object(&sample(-5, "3"))),
        1 => reply(500, ""),
        _ => reply(200, of_object(&sample(0, "4"))),
    }))
    .await;
    let mut reader = fake.reader();
    for (seconds, expected) in [(0, Is::Fresh(3.0)), (60, Is::Stale(3.0)), (65, Is::Fresh(4.0))] {
        assert_eq!(kind(lag(&*reader.read(at(seconds)).await, seconds)), expected, "{seconds}");
    }
    assert_eq!(reader.latest().source_error(), None);
}

/// Servers mark an answer from which data are missing. Its values are correct, but the actual ones may be higher.
#[tokio::test]
async fn values_of_a_partial_answer_are_stale_so_that_they_lower_nothing() {
    for mark in [r#""warnings":["No StoreAPIs matched\nfor this query"]"#, r#""isPartial":true"#] {
        let body = of_object(&sample(0, "3")).replacen('{', &format!("{{{mark},"), 1);
        let fake = Fake::always(move || reply(200, body.clone())).await;
        let readings = fake.reader().read(at(0)).await;
        assert_eq!(kind(lag(&readings, 0)), Is::Stale(3.0), "{mark}");
        let sentence = readings.source_error().expect("reported");
        assert!(sentence.contains("is incomplete, so replicas are not lowered"), "{sentence}");
        assert_eq!(readings.stats().failed, 0);
    }
    let none = of_object(&sample(0, "3")).replacen('{', r#"{"warnings":[],"isPartial":false,"#, 1);
    let fake = Fake::always(move || reply(200, none.clone())).await;
    assert_eq!(kind(lag(&*fake.reader().read(at(0)).await, 0)), Is::Fresh(3.0));
}

/// Two clusters in one Thanos, or two Prometheus without de-duplication: it is not clear which series is meant.
#[tokio::test]
async fn two_series_of_one_object_give_no_signal() {
    let mine = format!(r#"{LABELS},"cluster":"a""#);
    let theirs = format!(r#"{LABELS},"cluster":"b""#);
    let other = LABELS.replace("packages", "films");
    let (small, large) = (sample(0, "3"), sample(-5, "300"));
    let body = matrix(&[(&mine, &small), (&theirs, &large), (&other, &small)]);
    let fake = Fake::always(move || reply(200, body.clone())).await;
    let readings = fake.reader().read(at(0)).await;
    assert_eq!(kind(lag(&readings, 0)), Is::Missing(reason::AMBIGUOUS));
    assert_eq!(kind(readings.get(Series::Lag, "shop", "films", "serving", at(0))), Is::Fresh(3.0));
    assert_eq!(kind(readings.get(Series::Lag, "shop", "books", "serving", at(0))), Is::Missing(reason::NO_OBJECT));
}

/// A cache, or a server whose clock has stopped, returns the same sample repeatedly, together with the same server time.
#[tokio::test]
async fn a_repeated_sample_ages() {
    let fake = Fake::always(|| reply(200, of_object(&sample(-5, "3")))).await;
    let mut reader = fake.reader();
    for (seconds, expected) in
        [(0, Is::Fresh(3.0)), (10, Is::Fresh(3.0)), (20, Is::Stale(3.0)), (310, Is::Missing(reason::OLD))]
    {
        assert_eq!(kind(lag(&*reader.read(at(seconds)).await, seconds)), expected, "{seconds}");
    }
}

/// A server that returns new object names with every answer does not fill the memory.
#[tokio::test]
async fn the_number_of_kept_samples_is_bounded() {
    let calls = Arc::new(AtomicUsize::new(0));
    let fake = Fake::start(Arc::new(move |_| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        let labels = [0, 1, 2].map(|n| LABELS.replace("packages", &format!("o{call}-{n}")));
        let value = sample(0, "3");
        reply(200, matrix(&labels.each_ref().map(|labels| (labels.as_str(), value.as_str()))))
    }))
    .await;
    let mut config = SourceConfig::plain(&fake.url).expect("a URL");
    config.max_series = 10;
    let mut reader = Reader::new(config, Quality::default());
    for tick in 0..8 {
        let readings = reader.read(at(tick)).await;
        assert_eq!(readings.stats().series, 3 * Series::SCALING.len());
        assert!(readings.series.iter().all(|known| (3..=10).contains(&known.len())), "{tick}");
    }
    let readings = reader.read(at(400)).await;
    assert!(readings.series.iter().all(|known| known.len() == 3));
}

/// Keys are joined with slashes, so a label with a slash could be mistaken for another object.
#[tokio::test]
async fn labels_that_are_not_valid_names_are_ignored() {
    let odd = [
        LABELS.replace("shop", "shop/packages"),
        LABELS.replace(r#""packages""#, r#""""#),
        LABELS.replace("serving", &"x".repeat(1000)),
        r#""recommender":"packages""#.to_owned(),
    ];
    let value = sample(0, "3");
    let body = matrix(&odd.each_ref().map(|labels| (labels.as_str(), value.as_str())));
    let fake = Fake::always(move || reply(200, body.clone())).await;
    let readings = fake.reader().read(at(0)).await;
    assert_eq!(readings.stats().series, 4 * Series::SCALING.len());
    assert!(readings.series.iter().all(|known| known.len() == 0));
    assert_eq!(lag(&readings, 0), Signal::Missing(reason::NO_OBJECT));
}

#[tokio::test]
async fn the_query_for_error_budgets_brings_the_alert_on_a_fast_burn_as_well() {
    let queried = Arc::new(std::sync::Mutex::new(Vec::new()));
    let queries = queried.clone();
    let fake = Fake::start(Arc::new(move |request| {
        let series = asked(&request);
        queries.lock().expect("unpoisoned").push((series, request.uri().query().unwrap_or_default().to_owned()));
        let of = |more: &str| format!(r#""namespace":"shop","recommender":"packages","objective":"fast"{more}"#);
        let alert = of(r#","__name__":"ALERTS","alertname":"RecommenderObjectiveBurnFast","alertstate":"firing""#);
        let (budget, values) = (of(""), sample(-1, "0.25"));
        let both = matrix(&[(&budget, &values), (&alert, &sample(-30, "1"))]);
        reply(200, if series == Series::BudgetSpent { both } else { matrix(&[]) })
    }))
    .await;
    let readings = fake.reader().read(at(0)).await;
    let budget = readings.get(Series::BudgetSpent, "shop", "packages", "fast", at(0));
    assert_eq!(kind(budget), Is::Fresh(0.25), "the alert is another series");
    let age = |objective, state| readings.alert("shop", "packages", objective, state, at(0)).map(f64::round);
    assert_eq!([age("fast", "firing"), age("fast", "pending"), age("slow", "firing")], [Some(30.0), None, None]);

    let queried = queried.lock().expect("unpoisoned");
    assert_eq!(queried.len(), Series::SCALING.len(), "one request for each series");
    let of_budgets = queried.iter().find(|(series, _)| *series == Series::BudgetSpent).expect("it was queried");
    let query = "query=%7B__name__%3D~%22recommender%3Aerror_budget_spent%7CALERTS%22%2Crecommender%21%3D%22%22%2C\
                 alertname%3D~%22RecommenderObjectiveBurnFast%7C%22%7D%5B30s%5D&";
    assert!(of_budgets.1.starts_with(query), "{}", of_budgets.1);
}
