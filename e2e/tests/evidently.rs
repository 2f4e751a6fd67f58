//! The monitor of drift of examples/evidently, with the real Evidently and a real Prometheus: its scores are recorded, an alert fires
//! when the data drift, and resolves when they no longer do. Evidently takes a gigabyte, so it is a process and no image.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use e2e::{
    eventually, free_port, http_get, image, paths,
    prometheus::{Prometheus, Settings},
};
use jiff::Timestamp;
use recommender_operator::{api::RecommenderModel, model::Model, render, validate};
use serde_json::json;

/// How long Evidently may take to be imported and to compare for the first time: some seconds on an idle core.
const START: Duration = Duration::from_secs(120);
/// How long a change of the data may take until an alert: a comparison, a scrape and an evaluation, each every second.
const CHANGE: Duration = Duration::from_secs(60);
/// Rows of a table: with fewer, the index of data without drift is not small.
const ROWS: u32 = 2_000;
/// The shift of data that drifted, in standard deviations.
const SHIFT: f64 = 1.5;

#[tokio::test]
async fn drift_that_evidently_finds_is_alerted_on() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("recommender-evidently-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("reference.csv"), table(1, 0.0))?;
    fs::write(directory.join("current.csv"), table(2, 0.0))?;
    let monitor = Monitor::start(directory).await?;
    let rules = render::rule_file(&[model()?])?;
    let prometheus = Prometheus::start(&Settings {
        rules: &every_second(&rules),
        series: monitor.address,
        labels: json!({"namespace": "shop"}),
        scrape_seconds: 1,
        gogc: 75,
    })
    .await?;
    let score = |feature: &str| format!(r#"recommender:drift_score{{recommender="films",feature="{feature}"}}"#);
    let firing = r#"ALERTS{alertname="RecommenderDrift",alertstate="firing",dependency="data"}"#;

    eventually("the scores are recorded", CHANGE, async || {
        ensure!(prometheus.value(&score("age")).await? < 0.1 && prometheus.value(&score("genre")).await? < 0.1);
        Ok(())
    })
    .await?;
    ensure!(prometheus.query(firing).await?.is_empty(), "the data did not drift");

    // The alert and what is recorded are evaluated one after the other, so all of it is awaited together.
    monitor.replace_current(&table(2, SHIFT))?;
    eventually("the alert fires, for one of two features", CHANGE, async || {
        let (age, genre) = (prometheus.value(&score("age")).await?, prometheus.value(&score("genre")).await?);
        let ratio = prometheus.value(r#"recommender:drifted_features_ratio{recommender="films"}"#).await?;
        ensure!(!prometheus.query(firing).await?.is_empty(), "age {age}, genre {genre}, ratio {ratio}");
        ensure!(
            age > 1.0 && genre < 0.1 && (ratio - 0.5).abs() < f64::EPSILON,
            "age {age}, genre {genre}, ratio {ratio}"
        );
        Ok(())
    })
    .await?;

    // Data that cannot be read: what is known stays, and gets older.
    monitor.replace_current("no,table\n1")?;
    eventually("the age grows", CHANGE, async || {
        let age = prometheus.value(r#"recommender:drift_age_seconds{recommender="films"}"#).await?;
        ensure!(age > 4.0, "{age}");
        Ok(())
    })
    .await?;
    ensure!(!prometheus.query(firing).await?.is_empty(), "nothing says that the drift is over");

    monitor.replace_current(&table(2, 0.0))?;
    eventually("the alert resolves", CHANGE, async || {
        ensure!(prometheus.query(firing).await?.is_empty(), "{:?}", prometheus.value(&score("age")).await);
        Ok(())
    })
    .await
}

/// The running program.
struct Monitor {
    directory: PathBuf,
    address: SocketAddr,
    process: Child,
}

impl Monitor {
    /// Compares the tables of a directory, and waits for its first scores.
    async fn start(directory: PathBuf) -> Result<Self> {
        let example = paths::repository().join("examples/evidently");
        let requirements = example.join("requirements.txt");
        let libraries = tokio::task::spawn_blocking(move || image::host_libraries(&requirements)).await??;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let log = fs::File::create(directory.join("log"))?;
        let process = Command::new("python3")
            .arg(example.join("drift_monitor.py"))
            .args(["--recommender", "films", "--every-seconds", "1", "--port", &address.port().to_string()])
            .arg("--reference")
            .arg(directory.join("reference.csv"))
            .arg("--current")
            .arg(directory.join("current.csv"))
            .env("PYTHONPATH", libraries)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start the monitor")?;
        let started = Self { directory, address, process };
        eventually("Evidently has compared the data", START, async || {
            let (_, metrics) = http_get(&format!("http://{address}/metrics")).await.with_context(|| started.log())?;
            ensure!(metrics.contains("recommender_drift_score{"), "{}", started.log());
            Ok(())
        })
        .await?;
        Ok(started)
    }

    /// Replaces the current data at once, so that no half of a table is read.
    fn replace_current(&self, table: &str) -> Result<()> {
        let next = self.directory.join("next.csv");
        fs::write(&next, table)?;
        Ok(fs::rename(next, self.directory.join("current.csv"))?)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A recommender whose data are monitored.
fn model() -> Result<Model> {
    let example = validate::documents(&fs::read_to_string(file("examples/latency.yaml"))?)?.pop();
    let mut object = example.context("the example has an object")?.object;
    object["metadata"] = json!({"name": "films", "namespace": "shop", "uid": "1"});
    object["spec"]["dependencies"] = json!([{"name": "data", "exporter": {"name": "DriftMonitor"}}]);
    object["spec"]["monitoring"]["alerts"] = json!({"RecommenderDrift": {"forSeconds": 0}});
    let object: RecommenderModel = serde_json::from_value(validate::stored(&object))?;
    Model::new(&object, Timestamp::now()).map_err(|problems| anyhow!("{problems:?}"))
}

/// The same rules, evaluated every second.
fn every_second(rules: &str) -> String {
    let line = |line: &str| match line.split_once("interval:") {
        Some((before, _)) => format!("{before}interval: 1s\n"),
        None => format!("{line}\n"),
    };
    rules.lines().map(line).collect()
}

/// Two features of a normal distribution; one of them shifted, in standard deviations. `seed`: other samples.
fn table(seed: u64, shift: f64) -> String {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407); // Knuth, MMIX
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    // The sum of twelve uniform samples has a variance of 1.
    let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
    let rows = (0..ROWS).map(|_| format!("{},{}\n", normal() + shift, normal()));
    ["age,genre\n".to_owned()].into_iter().chain(rows).collect()
}

fn file(path: &str) -> PathBuf {
    Path::new(&paths::repository()).join(path)
}
