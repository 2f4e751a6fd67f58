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
    /// Evaluations of a rule.
    pub evaluations: f64,
    /// Those that failed.
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

/// What evaluations cost, by kind of group and by rule.
#[derive(Default)]
pub struct Loads {
    /// By the last part of the name of a group and its interval.
    pub groups: BTreeMap<String, Load>,
    /// By the name of a rule and its dependency.
    pub rules: BTreeMap<String, Load>,
}

/// What evaluations of the same kind cost.
#[derive(Clone, Copy, Default)]
pub struct Load {
    /// Seconds of evaluation per second.
    pub cores: f64,
    /// Seconds of one evaluation of each.
    pub seconds: f64,
}

impl Load {
    /// Adds a group or a rule of the API.
    fn add(&mut self, evaluated: &Value, interval: f64) {
        let seconds = evaluated["evaluationTime"].as_f64().unwrap_or_default();
        self.seconds += seconds;
        self.cores += seconds / interval;
    }
}

impl Prometheus {
    /// Starts it with these rules, and the server of the series as its target. Waits until it is ready. `gogc`: how much its heap grows
    /// before a garbage collection, in percent.
    pub async fn start(rules: &str, series: SocketAddr, gogc: u32) -> Result<Self> {
        let program = tokio::task::spawn_blocking(|| tools::program("prometheus")).await??;
        let port = free_port()?;
        let directory = std::env::temp_dir().join(format!("recommender-rules-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("rules.yaml"), rules)?;
        let config = json!({
            "global": {"scrape_interval": "5s", "scrape_timeout": "5s"},
            "runtime": {"gogc": gogc},
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

    /// Fails unless the series of the objects are scraped: rules without input cost next to nothing.
    pub async fn check_scrapes(&self) -> Result<()> {
        let up = self.value(r#"min_over_time(up{job="series"}[1m])"#).await?;
        ensure!(up == 1.0, "the series are not scraped, or not within 5 s: see Status > Target health");
        Ok(())
    }

    /// What it has counted so far.
    pub async fn totals(&self) -> Result<Totals> {
        Ok(Totals {
            missed: self.value("sum(prometheus_rule_group_iterations_missed_total)").await?,
            evaluations: self.value("sum(prometheus_rule_evaluations_total)").await?,
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

    /// What the last evaluations of all groups and of all rules took.
    pub async fn loads(&self) -> Result<Loads> {
        let (status, body) = self.get("/api/v1/rules?exclude_alerts=true").await?;
        ensure!(status == 200, "Prometheus answered {status}: {body}");
        let answer: Value = serde_json::from_str(&body)?;
        let mut loads = Loads::default();
        for group in answer["data"]["groups"].as_array().context("the answer has groups")? {
            let interval = group["interval"].as_f64().context("a group has an interval")?;
            // recommender/NAMESPACE/OBJECT/KIND
            let kind = group["name"].as_str().unwrap_or_default().split('/').nth(3).unwrap_or("(last)");
            loads.groups.entry(format!("{kind} every {interval} s")).or_default().add(group, interval);
            for rule in group["rules"].as_array().into_iter().flatten() {
                let of = rule["labels"]["dependency"].as_str().map_or_else(String::new, |of| format!(" of {of}"));
                let name = format!("{}{of}", rule["name"].as_str().unwrap_or_default());
                loads.rules.entry(name).or_default().add(rule, interval);
            }
        }
        Ok(loads)
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
