//! A Prometheus on loopback, in a temporary directory, that ends with the measurement or test.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{eventually, free_port, http_get, query_path, query_result, tools};

/// How long it may take to read the rules.
const START_TIMEOUT: Duration = Duration::from_secs(300);

/// What a Prometheus does.
pub struct Settings<'a> {
    /// Its rules, as a file in YAML.
    pub rules: &'a str,
    /// The server of the series that it scrapes.
    pub series: SocketAddr,
    /// Labels of that target, such as its namespace.
    pub labels: Value,
    /// Time between two scrapes, in seconds.
    pub scrape_seconds: u32,
    /// Whether it stores classic histograms as native ones (NHCB).
    pub converts: bool,
    /// `runtime.gogc`: how much its heap grows before a garbage collection, in percent.
    pub gogc: u32,
}

/// A running Prometheus. It scrapes itself, too.
pub struct Prometheus {
    directory: PathBuf,
    port: u16,
    process: Child,
}

impl Prometheus {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or is not ready in five minutes.
    pub async fn start(settings: &Settings<'_>) -> Result<Self> {
        let program = tokio::task::spawn_blocking(|| tools::program("prometheus")).await??;
        let port = free_port()?;
        let directory = std::env::temp_dir().join(format!("recommender-prometheus-{}-{port}", std::process::id()));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("rules.yaml"), settings.rules)?;
        let interval = format!("{}s", settings.scrape_seconds);
        let series = json!({"targets": [settings.series.to_string()], "labels": settings.labels});
        let config = json!({
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "convert_classic_histograms_to_nhcb": settings.converts,
            },
            "runtime": {"gogc": settings.gogc},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": "series", "honor_labels": true, "static_configs": [series]},
                {"job_name": "prometheus", "static_configs": [{"targets": [format!("127.0.0.1:{port}")]}]},
            ],
        });
        fs::write(directory.join("prometheus.yaml"), config.to_string())?; // JSON is YAML
        let log = fs::File::create(directory.join("log"))?;
        let process = Command::new(program)
            .arg(format!("--config.file={}", directory.join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start prometheus")?;
        let started = Self { directory, port, process };
        eventually("Prometheus is ready", START_TIMEOUT, async || {
            let (status, body) = started.get("/-/ready").await?;
            ensure!(status == 200, "{status}: {body}");
            Ok(())
        })
        .await?;
        Ok(started)
    }

    /// The samples of an instant query.
    ///
    /// # Errors
    /// When Prometheus does not answer or refuses the query.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let (status, body) = self.get(&query_path(query)).await?;
        query_result(query, status, &body)
    }

    /// The value of the first sample of an instant query.
    ///
    /// # Errors
    /// As [`Self::query`], and when there is no sample.
    pub async fn value(&self, query: &str) -> Result<f64> {
        let found = self.query(query).await?;
        number(found.first().with_context(|| format!("Prometheus has no {query}"))?)
    }

    /// The status and body of a GET request.
    ///
    /// # Errors
    /// When Prometheus does not answer.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        http_get(&format!("http://127.0.0.1:{}{path}", self.port)).await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // No data is kept, so it need not stop gracefully.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The value of a sample.
///
/// # Errors
/// When it has none.
pub fn number(sample: &Value) -> Result<f64> {
    Ok(sample["value"][1].as_str().context("a sample has a value")?.parse()?)
}
