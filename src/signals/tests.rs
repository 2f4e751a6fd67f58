//! Metric sources that fail, lie and dawdle: rows S16 to S19 of the fault matrix. Whatever they do, only a fresh number
//! that was measured may come out as fresh.

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
    readings::reason,
    *,
};
use crate::scaling::Signal;

/// The signal of the object that the fake answers for.
fn lag(readings: &Readings, seconds: i64) -> Signal {
    readings.get(Series::Lag, "shop", "packages", "serving", at(seconds))
}

/// What a signal is, without its exact age.
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

/// An answer of more than any cap.
fn flood() -> Response {
    let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 20]));
    reply(200, Body::from_stream(chunks))
}

/// What samples become that a server has of an object.
#[tokio::test]
async fn a_signal_is_fresh_only_when_it_was_measured_lately() {
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

/// A clock that differs from the server's by an hour changes nothing; without a date ours has to do.
#[tokio::test]
async fn age_is_told_by_the_servers_clock() {
    let fake = Fake::always(|| reply(200, of_object(&sample(-5, "3")))).await;
    for ours in [-3600, 0, 3600] {
        let readings = fake.reader().read(at(ours)).await;
        let Signal::Fresh { age, .. } = lag(&readings, ours) else { panic!("{:?}", lag(&readings, ours)) };
        assert!((4.0..=5.0).contains(&age), "{age}");
        assert_eq!(kind(lag(&readings, ours + 30)), Is::Stale(3.0), "ages while nobody reads");
        assert_eq!(kind(lag(&readings, ours - 60)), Is::Missing(reason::FUTURE), "our clock was set back");
    }
}

/// Of everything that can be wrong with a source: before any answer nothing is known; after one, what it said becomes
/// stale and then goes. One sentence says which source, what happened, and what to check.
#[tokio::test]
async fn a_source_that_fails_is_told_and_keeps_what_it_said() {
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
        (dripping, "the metric source does not answer in time", "no whole answer within 1 s"),
        (
            || reply(200, Body::from_stream(futures::stream::iter([Ok("{"), Err(std::io::Error::other("gone"))]))),
            UNREACHABLE,
            "the connection broke",
        ),
    ];
    for (answer, reason, told) in cases {
        let good = Arc::new(AtomicUsize::new(Series::ALL.len()));
        let fake = Fake::start(Arc::new(move |_| {
            let first = good.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            if first { reply(200, of_object(&sample(0, "3"))) } else { answer() }
        }))
        .await;
        let mut config = SourceConfig::plain(&fake.url).expect("a URL");
        (config.timeout, config.max_bytes, config.max_series) = (Duration::from_secs(1), 3 << 20, 5);
        let mut known = Reader::new(config.clone(), Quality::default());
        assert_eq!(kind(lag(&*known.read(at(0)).await, 0)), Is::Fresh(3.0), "{told}");
        failed(&mut known, 5, told, &fake.url).await;
        let readings = known.latest();
        let ages = [(5, Is::Fresh(3.0)), (30, Is::Stale(3.0)), (299, Is::Stale(3.0)), (302, Is::Missing(reason))];
        for (seconds, expected) in ages {
            assert_eq!(kind(lag(&readings, seconds)), expected, "{told} after {seconds} s");
        }
        let mut new = Reader::new(config, Quality::default());
        assert_eq!(lag(&new.latest(), 0), Signal::Missing(reason::NOT_READ));
        failed(&mut new, 0, told, &fake.url).await;
        assert_eq!(lag(&new.latest(), 0), Signal::Missing(reason), "{told}");
    }
}

/// Reads from a source of which every query fails.
async fn failed(reader: &mut Reader, seconds: i64, told: &str, url: &str) {
    let started = Instant::now();
    let readings = reader.read(at(seconds)).await;
    assert!(started.elapsed() < Duration::from_secs(3), "{told} took {:?}", started.elapsed());
    assert_eq!(readings.stats().failed, Series::ALL.len(), "{told}");
    let sentence = readings.source_error().expect("an error");
    assert!(sentence.starts_with(&format!("metric source \"default\" ({url}): ")), "{sentence}");
    assert!(sentence.contains(told) && !sentence.contains('\n'), "{sentence}");
}

#[tokio::test]
async fn who_is_not_reached_is_told_from_who_does_not_resolve() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let plain = Fake::always(|| reply(200, "")).await;
    let cases = [
        (format!("http://{closed}"), "connection refused; is it running, is the port right?"),
        // No label is that long, so that nobody is asked for it.
        (format!("http://{}.invalid:9090", "a".repeat(64)), "its name does not resolve"),
        (
            plain.url.replace("http:", "https:"),
            "TLS failed: received corrupt message of type InvalidContentType; check",
        ),
    ];
    for (url, told) in cases {
        let readings = reader(&url).read(at(0)).await;
        let sentence = readings.source_error().expect("an error");
        assert!(sentence.contains(told), "{sentence}");
        assert_eq!(lag(&readings, 0), Signal::Missing("the metric source cannot be reached"), "{sentence}");
    }
}

/// One hanging series costs the time-out and nothing else; another source does not notice.
#[tokio::test]
async fn what_hangs_harms_no_other() {
    let fake = Fake::start(Arc::new(|request| match asked(&request) {
        Series::RequestRate => dripping(),
        _ => reply(200, of_object(&sample(0, "3"))),
    }))
    .await;
    let other = Fake::always(|| reply(200, of_object(&sample(0, "4")))).await;
    let mut config = SourceConfig::plain(&fake.url).expect("a URL");
    config.timeout = Duration::from_secs(1);
    let mut hanging = Reader::new(config, Quality::default());
    let mut healthy = other.reader();
    // Each in a task of its own, as they run in the operator.
    let healthy = tokio::spawn(async move {
        let started = Instant::now();
        (healthy.read(at(0)).await, started.elapsed())
    });
    let half = hanging.read(at(0)).await;
    let (whole, elapsed) = healthy.await.expect("no panic");
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    assert_eq!((kind(lag(&whole, 0)), whole.stats().series), (Is::Fresh(4.0), Series::ALL.len()));
    assert_eq!(
        (kind(lag(&half, 0)), half.stats().failed, half.stats().series),
        (Is::Fresh(3.0), 1, Series::ALL.len() - 1)
    );
    assert!(half.stats().seconds < 3.0, "{:?}", half.stats());
    let rate = half.get(Series::RequestRate, "shop", "packages", "serving", at(0));
    assert_eq!(rate, Signal::Missing("the metric source does not answer in time"));
    let sentence = half.source_error().expect("an error");
    assert!(sentence.contains(", recommender:requests:rate20s: no whole answer within 1 s"), "{sentence}");
}

#[tokio::test]
async fn a_source_that_comes_back_is_believed_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let fake = Fake::start(Arc::new(move |_| match calls.fetch_add(1, Ordering::SeqCst) / Series::ALL.len() {
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

/// Servers that lack a part of the data say so. What they have is true, but there may be more.
#[tokio::test]
async fn a_partial_answer_lowers_nothing() {
    for mark in [r#""warnings":["No StoreAPIs matched\nfor this query"]"#, r#""isPartial":true"#] {
        let body = of_object(&sample(0, "3")).replacen('{', &format!("{{{mark},"), 1);
        let fake = Fake::always(move || reply(200, body.clone())).await;
        let readings = fake.reader().read(at(0)).await;
        assert_eq!(kind(lag(&readings, 0)), Is::Stale(3.0), "{mark}");
        let sentence = readings.source_error().expect("told");
        assert!(sentence.contains("only a part, so replicas are not lowered"), "{sentence}");
        assert_eq!(readings.stats().failed, 0);
    }
    let none = of_object(&sample(0, "3")).replacen('{', r#"{"warnings":[],"isPartial":false,"#, 1);
    let fake = Fake::always(move || reply(200, none.clone())).await;
    assert_eq!(kind(lag(&*fake.reader().read(at(0)).await, 0)), Is::Fresh(3.0));
}

/// Two clusters in one Thanos, or two Prometheus without de-duplication: nobody knows which is meant.
#[tokio::test]
async fn two_series_of_one_object_are_none() {
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

/// A cache, or a server whose clock stands still, gives the same sample again and again, and its own time with it.
#[tokio::test]
async fn a_sample_that_is_repeated_grows_old() {
    let fake = Fake::always(|| reply(200, of_object(&sample(-5, "3")))).await;
    let mut reader = fake.reader();
    for (seconds, expected) in
        [(0, Is::Fresh(3.0)), (10, Is::Fresh(3.0)), (20, Is::Stale(3.0)), (310, Is::Missing(reason::OLD))]
    {
        assert_eq!(kind(lag(&*reader.read(at(seconds)).await, seconds)), expected, "{seconds}");
    }
}

/// Objects come and go; a server that makes up names fills no memory.
#[tokio::test]
async fn what_is_remembered_is_bounded() {
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
        assert_eq!(readings.stats().series, 3 * Series::ALL.len());
        assert!(readings.series.iter().all(|known| (3..=10).contains(&known.len())), "{tick}");
    }
    let readings = reader.read(at(400)).await;
    assert!(readings.series.iter().all(|known| known.len() == 3));
}

/// Names without a slash cannot be mistaken for those of another object.
#[tokio::test]
async fn labels_that_are_no_names_are_passed_over() {
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
    assert_eq!(readings.stats().series, 4 * Series::ALL.len());
    assert!(readings.series.iter().all(|known| known.len() == 0));
    assert_eq!(lag(&readings, 0), Signal::Missing(reason::NO_OBJECT));
}
