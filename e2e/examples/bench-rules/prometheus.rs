//! A Prometheus on loopback, in a temporary directory, that ends with the measurement.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use e2e::{eventually, free_port, http_get, query_path, query_result, tools};
use serde_json::{Value, json};

/// How long it may take to read the rules.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A running Prometheus.
pub struct Prometheus {
    directory: PathBuf,
    port: u16,
    process: Child,
}

/// What it has counted since its start.
pub struct Totals {
    /// Evaluations that did not take place.
    pub missed: f64,
    /// Evaluations of a rule that failed.
    pub failed: f64,
    /// CPU seconds.
    pub cpu: f64,
    /// Resident memory in bytes, at this moment.
    pub memory: f64,
}

/// The group whose evaluation takes the largest share of its interval.
pub struct Share {
    /// Time of an evaluation over the interval.
    pub of_interval: f64,
    /// The name of the group.
    pub group: String,
}

impl Prometheus {
    /// Starts it with these rules, and the server of the series as its target. Waits until it is ready.
    pub async fn start(rules: &str, series: SocketAddr) -> Result<Self> {
        let program = tokio::task::spawn_blocking(|| tools::program("prometheus")).await??;
        let port = free_port()?;
        let directory = std::env::temp_dir().join(format!("recommender-rules-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("rules.yaml"), rules)?;
        let config = json!({
            "global": {"scrape_interval": "5s", "scrape_timeout": "5s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": "series", "honor_labels": true, "static_configs": [{"targets": [series.to_string()]}]},
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

    /// What it has counted so far.
    pub async fn totals(&self) -> Result<Totals> {
        Ok(Totals {
            missed: self.value("sum(prometheus_rule_group_iterations_missed_total)").await?,
            failed: self.value("sum(prometheus_rule_evaluation_failures_total)").await?,
            cpu: self.value(r#"process_cpu_seconds_total{job="prometheus"}"#).await?,
            memory: self.value(r#"process_resident_memory_bytes{job="prometheus"}"#).await?,
        })
    }

    /// The group whose slowest evaluation within a window took the largest share of its interval.
    pub async fn worst_share(&self, window: &str) -> Result<Share> {
        let slowest = format!("max_over_time(prometheus_rule_group_last_duration_seconds[{window}])");
        let found = self.query(&format!("topk(1, {slowest} / prometheus_rule_group_interval_seconds)")).await?;
        let worst = found.first().context("there are no rule groups")?;
        let group = worst["metric"]["rule_group"].as_str().unwrap_or_default();
        let group = group.rsplit_once(';').map_or(group, |(_, name)| name).to_owned();
        Ok(Share { of_interval: number(worst)?, group })
    }

    /// Number of rule groups.
    pub async fn groups(&self) -> Result<f64> {
        self.value("count(prometheus_rule_group_rules)").await
    }

    /// Number of rules.
    pub async fn rules(&self) -> Result<f64> {
        self.value("sum(prometheus_rule_group_rules)").await
    }

    /// Number of series that rules have recorded.
    pub async fn recorded(&self) -> Result<f64> {
        self.value(r#"count({__name__=~"recommender:.*"})"#).await
    }

    /// The rules by name, with the time that the last evaluations of all that have it took, in seconds. The longest first.
    pub async fn by_name(&self) -> Result<Vec<(String, f64)>> {
        let (status, body) = self.get("/api/v1/rules?exclude_alerts=true").await?;
        ensure!(status == 200, "Prometheus answered {status}: {body}");
        let answer: Value = serde_json::from_str(&body)?;
        let groups = answer["data"]["groups"].as_array().context("the answer has groups")?;
        let mut by_name: BTreeMap<String, f64> = BTreeMap::new();
        for rule in groups.iter().filter_map(|group| group["rules"].as_array()).flatten() {
            let seconds = rule["evaluationTime"].as_f64().unwrap_or_default();
            let of = rule["labels"]["dependency"].as_str().map_or_else(String::new, |of| format!(" of {of}"));
            *by_name.entry(format!("{}{of}", rule["name"].as_str().unwrap_or_default())).or_default() += seconds;
        }
        let mut by_time: Vec<(String, f64)> = by_name.into_iter().collect();
        by_time.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        Ok(by_time)
    }

    async fn value(&self, query: &str) -> Result<f64> {
        let found = self.query(query).await?;
        number(found.first().with_context(|| format!("Prometheus has no {query}"))?)
    }

    async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let (status, body) = self.get(&query_path(query)).await?;
        query_result(query, status, &body)
    }

    async fn get(&self, path: &str) -> Result<(u16, String)> {
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
fn number(sample: &Value) -> Result<f64> {
    Ok(sample["value"][1].as_str().context("a sample has a value")?.parse()?)
}
