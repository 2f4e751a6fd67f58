//! The fault matrix of metrics: missing or invalid data never lower replicas.

use axum::{body::Body, response::Response};

use super::{
    faults::{Expect, Free, Holds, Kept, NeverBelow, Raises, Really, Row, Steady, Wrong, run},
    fleet::TICK,
    source::Asked,
};
use crate::{
    series::Series,
    signals::fake::{matrix, reply_at},
};

use Really::{Doubles, Dwindles, Falls, Stays};
use Wrong::{Answers, NoSource, Slowly, Stopped, Url};

const REQUESTS: [Series; 2] = [Series::RequestRate, Series::LatestRequestRate];
const LATENCY: [Series; 1] = [Series::Latency];
const LAG: [Series; 1] = [Series::Lag];
const ALL: [Series; Series::SCALING.len()] = Series::SCALING;

/// All workloads hold their replicas, with this part in the message.
const fn all_hold(part: &'static str) -> [Expect; 3] {
    [Holds(part); 3]
}

fn row(name: &'static str, wrong: Wrong, expect: [Expect; 3]) -> Row {
    Row { name, wrong, really: Falls, expect }
}

#[tokio::test]
async fn s16_a_source_that_refuses_lowers_nothing() {
    run(&[
        row("HTTP 500", Answers(|asked| reply_at(asked.now, 500, "")), all_hold("HTTP 500; see its log")),
        row(
            "HTTP 401",
            Answers(|asked| reply_at(asked.now, 401, "no")),
            all_hold("HTTP 401: no; check bearerTokenFile"),
        ),
        row(
            "a login page",
            Answers(|asked| reply_at(asked.now, 200, "<html>Sign in</html>")),
            all_hold("does the URL point at a login page"),
        ),
        row(
            "an error with the code of success",
            Answers(|asked| reply_at(asked.now, 200, r#"{"status":"error","error":"tsdb: closed"}"#)),
            all_hold("it refused the query: tsdb: closed"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn s16_an_unreachable_source_lowers_nothing() {
    run(&[
        row("stopped", Stopped, all_hold("connection refused; is it running, is the port right?")),
        row(
            "another port",
            Url(|_| "http://127.0.0.1:1".into()),
            all_hold("connection refused; is it running, is the port right?"),
        ),
        // A DNS label cannot be that long, so no DNS server is queried.
        row(
            "DNS",
            Url(|_| format!("http://{}.invalid:9090", "a".repeat(64))),
            all_hold("its name does not resolve; is the host in the URL right"),
        ),
        row("TLS", Url(|url| url.replace("http:", "https:")), all_hold("TLS failed: ")),
        row(
            "no such source",
            NoSource,
            all_hold(
                "the operator has no metric source \"default\": set the value metricSources of its chart, or its flag --prometheus-url or --metric-sources",
            ),
        ),
    ])
    .await;
}

#[tokio::test]
async fn s17_invalid_values_lower_nothing() {
    run(&[
        row(
            "an empty vector",
            Answers(|asked| reply_at(asked.now, 200, matrix(&[]))),
            all_hold("s old: is it scraped, are its recording rules loaded?"),
        ),
        row("NaN", Answers(|asked| asked.values(&ALL, "NaN")), all_hold("the newest sample is not a number")),
        row("+Inf", Answers(|asked| asked.values(&ALL, "+Inf")), all_hold("larger than anything that can be measured")),
        row("-Inf", Answers(|asked| asked.values(&ALL, "-Inf")), all_hold("the newest sample is negative")),
        row("negative", Answers(|asked| asked.values(&ALL, "-0.5")), all_hold("the newest sample is negative")),
        row(
            "1e300",
            Answers(|asked| asked.values(&ALL, "1e300")),
            all_hold("larger than anything that can be measured"),
        ),
        row(
            "a string",
            Answers(|asked| asked.values(&ALL, "many")),
            all_hold("the newest sample cannot be read as a number"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn s17_a_missing_part_of_a_signal_lowers_no_workload_that_uses_it() {
    let no_latency = "recommender:scaling_latency_seconds:rate20s: ";
    run(&[
        Row {
            name: "a quantile of NaN while there are requests",
            wrong: Answers(|asked| asked.values(&LATENCY, "NaN")),
            really: Dwindles,
            expect: [Holds(no_latency), Free, Holds(no_latency)],
        },
        row(
            "no rates",
            Answers(|asked| asked.without(&REQUESTS)),
            [Holds("recommender:requests:rate20s"), Free, Holds("recommender:requests:rate20s")],
        ),
        row(
            "infinite arrivals",
            Answers(|asked| asked.values(&[Series::Arrivals], "+Inf")),
            [Free, Holds("recommender:arrivals:rate1m"), Holds("recommender:arrivals:rate1m")],
        ),
    ])
    .await;
}

#[tokio::test]
async fn s18_old_samples_lower_nothing() {
    run(&[
        row(
            "nothing is recorded any more",
            Answers(|asked| asked.without(&ALL)),
            all_hold("s old: is it scraped, are its recording rules loaded?"),
        ),
        row("a cache", Answers(|asked| asked.cached()), all_hold("s old")),
        row("a clock that stands still", Answers(|asked| asked.frozen()), all_hold("s old")),
        row("from the future", Answers(|asked| asked.later(3600)), all_hold("from the future: clocks are wrong")),
        row("four minutes late", Answers(|asked| asked.later(-240)), all_hold("s old")),
    ])
    .await;
}

/// Every minute the target is missing for 15 s, and its counters restart.
fn resets(asked: &Asked<'_>, during: fn(String) -> Option<String>) -> Response {
    asked.samples(|_, at, value| if at >= asked.since && at % 60 < 3 * TICK { during(value) } else { Some(value) })
}

#[tokio::test]
async fn s18_gaps_and_counter_resets_are_not_taken_for_a_change_of_the_load() {
    let stays = |name, answering| Row { name, wrong: Answers(answering), really: Stays, expect: [Steady; 3] };
    run(&[
        stays("gaps", |asked| resets(asked, |_| None)),
        Row {
            expect: [NeverBelow; 3],
            ..stays("a rate of nothing after each reset", |asked| resets(asked, |_| Some("0".into())))
        },
        Row {
            expect: [Kept; 3],
            ..stays(
                "off and on",
                |asked| {
                    if asked.now / 40 % 2 == 0 { asked.healthy() } else { reply_at(asked.now, 503, "") }
                },
            )
        },
        Row {
            expect: [Kept; 3],
            ..stays("negative after each reset", |asked| resets(asked, |_| Some("-12.5".into())))
        },
    ])
    .await;
}

/// An answer that never ends: one byte every 20 ms.
fn dripping(asked: &Asked<'_>) -> Response {
    let drops = futures::stream::unfold((), |()| async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>(" "), ()))
    });
    reply_at(asked.now, 200, Body::from_stream(drops))
}

/// More series than `max_series`, all of the right object.
fn too_many(asked: &Asked<'_>) -> Response {
    let labels = |index| format!(r#""namespace":"shop","recommender":"packages","workload":"w{index}""#);
    let series: Vec<String> = (0..21).map(labels).collect();
    let value = format!("[{}.0,\"0\"]", crate::signals::fake::NOW + asked.now);
    let series: Vec<(&str, &str)> = series.iter().map(|labels| (labels.as_str(), value.as_str())).collect();
    reply_at(asked.now, 200, matrix(&series))
}

#[tokio::test]
async fn s19_slow_and_huge_answers_lower_nothing() {
    run(&[
        row("slow", Slowly(30, dripping), all_hold("no complete answer within 1 s; is it overloaded")),
        row(
            "huge",
            Answers(|asked| reply_at(asked.now, 200, vec![b' '; 65 << 10])),
            all_hold("its answer is larger than 65536 bytes; raise maxBytes"),
        ),
        row("too many series", Answers(too_many), all_hold("it has 21 series, more than 20; raise maxSeries")),
        row(
            "an answer that breaks off",
            Answers(|asked| {
                let (now, body) = (asked.now, asked.body(asked.now, 0, |_, _, value| Some(value)));
                reply_at(now, 200, body[..body.len() / 2].to_owned())
            }),
            all_hold("its answer is not that of a Prometheus (no JSON)"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn s20_an_unknown_lag_lowers_no_consumers() {
    let lag = |part| [Free, Holds(part), Holds(part)];
    run(&[
        row("no committed offset", Answers(|asked| asked.values(&LAG, "-1")), lag("its exporter does not know")),
        row("no lag", Answers(|asked| asked.without(&LAG)), lag("recommender:lag_messages")),
        row("no arrivals", Answers(|asked| asked.without(&[Series::Arrivals])), lag("recommender:arrivals:rate1m")),
        row(
            "two clusters have the group",
            Answers(|asked| {
                let body = asked.body(asked.now, 0, |_, _, value| Some(value));
                // The same elements a second time, with an additional label.
                let (head, elements) = body.split_once("\"result\":[").expect("a matrix");
                let elements = elements.strip_suffix("]}}").expect("a matrix");
                let twice = elements.replace("\"__name__\"", "\"cluster\":\"b\",\"__name__\"");
                let comma = if elements.is_empty() { "" } else { "," };
                reply_at(asked.now, 200, format!("{head}\"result\":[{elements}{comma}{twice}]}}}}"))
            }),
            all_hold("narrow them with matchLabels"),
        ),
        row(
            "only a part of the answer",
            Answers(|asked| {
                let body = asked.body(asked.now, 0, |_, _, value| Some(value));
                reply_at(asked.now, 200, body.replacen('{', r#"{"isPartial":true,"#, 1))
            }),
            all_hold("its answer is incomplete, so replicas are not lowered"),
        ),
        // Partitions only limit the maximum, and their number never decreases.
        Row {
            name: "no partitions while the lag rises",
            wrong: Answers(|asked| asked.without(&[Series::Partitions])),
            really: Doubles,
            expect: [Free; 3],
        },
    ])
    .await;
}

#[tokio::test]
async fn s21_a_missing_signal_holds_replicas_and_other_signals_raise_them() {
    let raised = |name, answering: super::source::Answering, expect| Row {
        name,
        wrong: Answers(answering),
        really: Doubles,
        expect,
    };
    run(&[
        raised(
            "no lag, the latency rises",
            |asked| asked.without(&LAG),
            [Free, Holds("recommender:lag_messages"), Raises("recommender:lag_messages")],
        ),
        raised(
            "no rates, the lag rises",
            |asked| asked.without(&REQUESTS),
            [Holds("recommender:requests:rate20s"), Free, Raises("recommender:requests:rate20s")],
        ),
        raised(
            "a part of the answer, and all rises",
            |asked| {
                let body = asked.body(asked.now, 0, |_, _, value| Some(value));
                reply_at(asked.now, 200, body.replacen('{', r#"{"isPartial":true,"#, 1))
            },
            // The capacity of a consumer is not known, and no number of replicas is tried on data that may be wrong.
            [Raises("is incomplete"), Holds("is incomplete"), Raises("is incomplete")],
        ),
    ])
    .await;
}
