//! A Prometheus that stores the classic histograms of servers as native ones (NHCB), and the rules of an object that reads them; and those
//! of a profile that declares native ones. Needs no cluster; Prometheus is built from source on first use.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use axum::{Router, routing::get};
use e2e::{
    eventually,
    prometheus::{Prometheus, Settings},
    promtool::{LINT, promtool},
};
use jiff::Timestamp;
use recommender_operator::{api::RecommenderModel, catalog, model::Model, render, validate};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The histogram of the servers' durations.
const HISTOGRAM: &str = "http_server_request_duration_seconds";
/// Requests per second of the server.
const RATE: f64 = 1000.0;
/// How long the rules may take to record what is expected: some scrapes, one per second.
const RECORDED: Duration = Duration::from_secs(60);

/// What a server with OpenTelemetry exposes after so many seconds: half of the requests take up to 50 ms, nine of ten up to 100 ms, and all
/// up to a second; one in twenty fails.
fn exposition(seconds: f64) -> String {
    let mut text = format!("# TYPE {HISTOGRAM} histogram\n");
    for (code, share) in [("200", 0.95), ("503", 0.05)] {
        let requests = (RATE * seconds * share).floor();
        let labels = format!("http_response_status_code=\"{code}\",http_route=\"/recommendations\"");
        for (bound, part) in [("0.05", 0.5), ("0.1", 0.9), ("1.0", 1.0), ("+Inf", 1.0)] {
            text += &format!("{HISTOGRAM}_bucket{{{labels},le=\"{bound}\"}} {}\n", (requests * part).floor());
        }
        text += &format!("{HISTOGRAM}_count{{{labels}}} {requests}\n{HISTOGRAM}_sum{{{labels}}} {}\n", 0.06 * requests);
    }
    text + &format!("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {seconds}\n")
}

async fn server() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let started = Instant::now();
    let metrics = get(move || async move { exposition(started.elapsed().as_secs_f64()) });
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", metrics)).await });
    Ok(address)
}

/// The rule file of the example with these metrics and an objective of the latency.
fn rule_file(metrics: &Value, milliseconds: i32) -> Result<String> {
    let text = fs::read_to_string(e2e::paths::repository().join("examples/packages.yaml"))?;
    let mut object = validate::documents(&text)?.remove(0).object;
    object["metadata"]["namespace"] = "shop".into();
    object["spec"]["monitoring"] = json!({
        "metrics": metrics,
        "objectives": [{"name": "fast", "goal": "99", "latency": {"thresholdMilliseconds": milliseconds}}],
    });
    let object: RecommenderModel = serde_json::from_value(validate::stored(&object))?;
    let model = Model::new(&object, Timestamp::now()).map_err(|problems| anyhow!("{problems:?}"))?;
    render::rule_file(&[model])
}

/// The rules of native histograms, evaluated every second.
fn rules() -> Result<String> {
    let text = rule_file(&json!({"profile": "OpenTelemetry", "histograms": "Native"}), 100)?;
    let mut file: Value = serde_saphyr::from_str(&text)?;
    for group in file["groups"].as_array_mut().into_iter().flatten() {
        group["interval"] = "1s".into();
    }
    Ok(file.to_string()) // JSON is YAML
}

#[tokio::test]
async fn a_prometheus_that_converts_classic_histograms_records_what_the_servers_do() -> Result<()> {
    let labels = json!({
        "namespace": "shop", "recommender": "packages", "workload": "serving", "pod": "packages-serving-7c9d8b6f5-x2x4z",
    });
    let settings =
        Settings { rules: &rules()?, series: server().await?, labels, scrape_seconds: 1, converts: true, gogc: 75 };
    let prometheus = Prometheus::start(&settings).await?;
    let ratio = |bad: &str, all: &str| format!("sum(recommender:{bad}) / sum(recommender:{all})");
    for (what, query, expected) in [
        ("median", "recommender:request_latency_seconds:p50".to_owned(), 0.05),
        ("p95", "recommender:request_latency_seconds:p95".to_owned(), 0.55),
        ("mean", "recommender:request_latency_seconds:mean".to_owned(), 0.06),
        ("longest", "recommender:request_latency_seconds:max".to_owned(), 1.0),
        ("errors", ratio("request_errors:rate1m", "requests:rate1m"), 0.05),
        ("slow requests", ratio("objective_bad:rate1m", "objective_all:rate1m"), 0.1),
        ("mean of the route", "recommender:route_latency_seconds:mean".to_owned(), 0.06),
    ] {
        eventually(&format!("the {what} of the servers is recorded"), RECORDED, async || {
            let value = prometheus.value(&query).await?;
            ensure!((value / expected - 1.0).abs() < 0.02, "{query} is {value}, not {expected}");
            Ok(())
        })
        .await?;
    }
    let names = prometheus.query(&format!(r#"count by (__name__) ({{__name__=~"{HISTOGRAM}.*"}})"#)).await?;
    let names: Vec<_> = names.iter().filter_map(|of| of["metric"]["__name__"].as_str()).collect();
    ensure!(names == [HISTOGRAM], "the histogram is stored as {names:?}");
    // What is recorded of histograms are numbers.
    let recorded = prometheus.query(r#"{__name__=~"recommender:.+"}"#).await?;
    ensure!(recorded.len() > 10 && recorded.iter().all(|of| of["value"].is_array()), "{recorded:?}");
    Ok(())
}

/// Two servers with exponential buckets: of 150 requests between two scrapes 135 take 1/64 to 1/32 s, and 15 a quarter to half a second.
/// 15 of the 150 of the other one fail, and it restarts in between.
const EXPONENTIAL: &str = r#"
rule_files: [rules.yaml]
evaluation_interval: 15s
fuzzy_compare: true
tests:
- interval: 15s
  input_series:
  - {series: 'up{@a}', values: '1x80'}
  - {series: 'up{@b}', values: '1x80'}
  - {series: 'process_cpu_seconds_total{@a}', values: '0.5+0.01x80'}
  - {series: 'process_cpu_seconds_total{@b}', values: '0.5+0.01x80'}
  - series: 'shop_request_seconds{@a,path="/r",code="200"}'
    values: '{{schema:0 sum:0 count:0 buckets:[0]}}+{{schema:0 sum:9 count:150 offset:-5 buckets:[135 0 0 0 15]}}x80'
  - series: 'shop_request_seconds{@b,path="/r",code="200"}'
    values: >-
      {{schema:0 sum:0 count:0 buckets:[0]}}+{{schema:0 sum:8 count:135 offset:-5 buckets:[120 0 0 0 15]}}x40
      {{schema:0 sum:0 count:0 buckets:[0]}}+{{schema:0 sum:8 count:135 offset:-5 buckets:[120 0 0 0 15]}}x39
  - series: 'shop_request_seconds{@b,path="/r",code="503"}'
    values: '{{schema:0 sum:0 count:0 buckets:[0]}}+{{schema:0 sum:1 count:15 offset:-5 buckets:[15]}}x80'
  - series: 'shop_request_seconds{@a,path="/metrics",code="200"}'
    values: '{{schema:0 sum:0 count:0 buckets:[0]}}+{{schema:0 sum:999 count:999 offset:1 buckets:[999]}}x80'
  promql_expr_test:
  - {expr: 'round(recommender:requests:rate1m, 0.001)', eval_time: 20m, exp_samples: [{labels: '{@o}', value: 20}]}
  - {expr: 'round(recommender:request_errors:rate1m, 0.001)', eval_time: 20m, exp_samples: [{labels: '{@o}', value: 1}]}
  - {expr: 'round(recommender:request_latency_seconds:mean, 0.001)', eval_time: 20m, exp_samples: [{labels: '{@o}', value: 0.06}]}
  - {expr: 'round(recommender:request_latency_seconds:p95, 0.001)', eval_time: 20m, exp_samples: [{labels: '{@o}', value: 0.354}]}
  - {expr: 'round(recommender:request_latency_seconds:max, 0.001)', eval_time: 20m, exp_samples: [{labels: '{@o}', value: 0.5}]}
  - {expr: 'round(recommender:route_requests:rate1m{class="5xx"}, 0.001)', eval_time: 20m, exp_samples: [
      {labels: '{@o,route="/r",class="5xx"}', value: 1}]}
  # A threshold that is no bound, where no request is near.
  - {expr: 'round(recommender:objective_errors:ratio_rate1h, 0.001)', eval_time: 20m, exp_samples: [
      {labels: '{namespace="shop",recommender="packages",objective="fast"}', value: 0.1}]}
"#;

#[test]
fn a_profile_with_exponential_histograms_is_recorded() -> Result<()> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native_histograms");
    let page = fs::read_to_string(e2e::paths::repository().join("docs/catalog.md"))?;
    let example = page.split_once("# profiles/ShopNative.yaml").map(|(_, rest)| rest.split("```").next());
    fs::create_dir_all(directory.join("catalog/profiles"))?;
    fs::write(directory.join("catalog/profiles/ShopNative.yaml"), example.flatten().unwrap_or_default())?;
    let problems = catalog::extend(&directory.join("catalog"));
    ensure!(problems.is_empty(), "{problems:?}");
    fs::write(directory.join("rules.yaml"), rule_file(&json!({"profile": "ShopNative"}), 150)?)?;
    promtool(&LINT, &directory.join("rules.yaml"))?;
    let object = r#"namespace="shop",recommender="packages",workload="serving""#;
    let scenarios = EXPONENTIAL.replace("@o", object);
    let scenarios = ["a", "b"].into_iter().fold(scenarios, |text, pod| {
        let target = format!(r#"{object},pod="packages-serving-7c9d8b6f5-{pod}2x4z",instance="{pod}:8000""#);
        text.replace(&format!("@{pod}"), &target)
    });
    fs::write(directory.join("scenarios.yaml"), scenarios)?;
    promtool(&["test", "rules"], &directory.join("scenarios.yaml")).map(drop)
}
