//! What a recommender stands on, as real programs with their exporters: each is broken and mended.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::{eventually, parts, services};
use serde_json::{Value, json};

use crate::{bed::Bed, turn::Turn};

/// Name of the dependency, its exporter in the catalogue, and the `job` of its series.
const EXPORTERS: [(&str, &str, &str); 9] = [
    ("users-db", "PostgresExporter", "postgres-exporter"),
    ("cache", "RedisExporter", "cache-exporter"),
    ("front", "NginxExporter", "nginx-exporter"),
    ("upstream", "BlackboxExporter", "upstream-exporter"),
    ("broker", "RabbitMqBroker", "rabbitmq"),
    ("films", "FerretDb", "films"),
    ("models", "VersityGw", "s3-exporter"),
    ("store", "BlackboxExporter", "s3-probe"),
    ("drift", "DriftMonitor", "drift-monitor"),
];

/// What is broken, all at once, and mended. What must not be broken at the same time, because nothing else is known of it then, is in
/// the second round.
const ROUNDS: [Round; 2] = [
    Round {
        breakages: &[
            Breakage::Stopped("postgres"),
            // The next database has none of its collections, and only a server that starts again creates them.
            Breakage::Restarted("films", "true"),
            Breakage::Stopped("cache"),
            Breakage::Stopped("nginx"),
            Breakage::Stopped("mail-worker"),
            Breakage::Script("drift-monitor", "echo 1 > /tmp/shift", "rm /tmp/shift"),
            Breakage::Script("s3", "chmod 0 /tmp/objects/models", "chmod 755 /tmp/objects/models"),
            Breakage::Script("taskmanager", "touch /tmp/slow", "rm /tmp/slow"),
            // A JobManager that starts again has a directory of its own, and forgets the failures.
            Breakage::Restarted("jobmanager", "rm -r /tmp/checkpoints; touch /tmp/checkpoints"),
        ],
        down: &["users-db", "cache", "front", "upstream"],
        alerts: &[
            ("RecommenderNoConsumers", "mail"),
            ("RecommenderBrokerAlarm", "broker"),
            ("RecommenderDrift", "drift"),
            ("RecommenderStreamBackpressured", "features"),
            ("RecommenderCheckpointsFailing", "features"),
        ],
    },
    Round {
        breakages: &[
            Breakage::Broker("stop_app", "start_app"),
            Breakage::Stopped("taskmanager"),
            Breakage::Stopped("s3"),
            Breakage::Script("films", "kill -STOP $(cat /tmp/pid)", "kill -CONT $(cat /tmp/pid)"),
        ],
        down: &["broker", "features", "store", "films"],
        alerts: &[
            ("RecommenderStreamJobDown", "features"),
            ("RecommenderTaskManagerDown", "features"),
            ("RecommenderDriftUnknown", "drift"),
        ],
    },
];

/// Dependencies with errors in the first round: of the database below it, and of its disk. Rates cover two minutes, so these alerts
/// resolve while the second round goes on.
const FAILING: [&str; 2] = ["films", "models"];

/// What is broken at the same time, and what follows from it.
struct Round {
    breakages: &'static [Breakage],
    /// Dependencies that are down then.
    down: &'static [&'static str],
    /// Other alerts, each with the dependency it names.
    alerts: &'static [(&'static str, &'static str)],
}

/// How a program is broken, and mended.
enum Breakage {
    /// It has no pod until it is mended.
    Stopped(&'static str),
    /// By a script in its pod, and by another one.
    Script(&'static str, &'static str, &'static str),
    /// By a script in its pod, and by another pod.
    Restarted(&'static str, &'static str),
    /// RabbitMQ, by its own tool.
    Broker(&'static str, &'static str),
}

/// Alerts that fire as soon as their expression is true, so that the test does not wait for minutes.
const AT_ONCE: [&str; 12] = [
    "RecommenderDependencyDown",
    "RecommenderDependencyErrors",
    "RecommenderNoConsumers",
    "RecommenderDeadLetters",
    "RecommenderBrokerAlarm",
    "RecommenderDrift",
    "RecommenderDriftUnknown",
    "RecommenderExporterAbsent",
    "RecommenderStreamBackpressured",
    "RecommenderStreamJobDown",
    "RecommenderTaskManagerDown",
    "RecommenderCheckpointsFailing",
];

/// Timeout until a series or an alert follows a program: a scrape, and two evaluations 60 s apart, on a busy machine.
const FOLLOWS: Duration = Duration::from_secs(480);

/// Number of messages that the consumer rejects.
const BAD: u32 = 20;

/// Requests per second to whatever has a client here, and how many in all: half an hour, so that they end after the test.
const LOAD: [&str; 4] = ["--count", "3600", "--per-second", "2"];
/// As [`LOAD`], of the events of the stream.
const EVENTS: [&str; 4] = ["--count", "36000", "--per-second", "20"];

pub async fn a_sick_dependency_is_named_and_alerted_on() -> Result<()> {
    let _turn = Turn::shared().await;
    let test = Test { bed: Bed::new("dependencies").await?, started: Instant::now() };
    test.start_programs().await?;
    test.note("the programs run");
    test.create().await?;
    test.condition("True", &[]).await?;
    test.series(r#"recommender:consumers{$labels,queue="mail"}"#, |value| value == 1.0).await?;
    test.series(r#"recommender:consumed:rate1m{$labels,dependency="mail"}"#, |value| value > 0.5).await?;
    test.series(r#"recommender:consumed:rate1m{$labels,dependency="features"}"#, |value| value > 5.0).await?;
    test.series(r#"recommender:dependency_requests:rate1m{$labels,dependency="films",operation="insert"}"#, |value| {
        value > 0.5
    })
    .await?;
    test.series(
        r#"recommender:dependency_requests:rate1m{$labels,dependency="models",operation="PutObject"}"#,
        |value| value > 0.5,
    )
    .await?;
    test.series(r#"recommender:drift_score{$labels,feature="age"}"#, |value| value < 0.1).await?;

    for dependency in FAILING {
        test.resolves("RecommenderDependencyErrors", dependency).await?;
    }

    let [first, second] = &ROUNDS;
    test.break_all(first).await?;
    // From here on, the broker blocks those who publish.
    test.start("bad", &["publish", "--bad", "--count", &BAD.to_string()]).await?;
    parts::finish(&test.bed.cluster, test.namespace(), "bad", FOLLOWS).await?;
    test.memory_limit("absolute 1MB").await?;
    test.fires_all(first).await?;
    for dependency in FAILING {
        test.fires("RecommenderDependencyErrors", dependency).await?;
    }
    test.series(r#"recommender:consumers{$labels,queue="mail"}"#, |value| value == 0.0).await?;
    test.series(r#"recommender:queue_messages{$labels,queue="mail",state="ready"}"#, |value| value >= f64::from(BAD))
        .await?;

    test.mend_all(first).await?;
    test.memory_limit("0.4").await?;
    // Its score is old from here on.
    services::scale(&test.bed.cluster, test.namespace(), "drift-monitor", 0).await?;
    test.condition("True", &[]).await?;
    test.resolves_all(first).await?;
    test.series(r#"recommender:dead_letter_messages{$labels,queue="mail-dead"}"#, |value| value == f64::from(BAD))
        .await?;
    test.series(r#"recommender:dead_letters:rate5m{$labels,reason="rejected"}"#, |value| value > 0.0).await?;
    test.fires("RecommenderDeadLetters", "broker").await?;

    test.break_all(second).await?;
    test.fires_all(second).await?;
    test.mend_all(second).await?;
    services::scale(&test.bed.cluster, test.namespace(), "drift-monitor", 1).await?;
    test.condition("True", &[]).await?;
    test.resolves_all(second).await?;
    for dependency in FAILING {
        test.resolves("RecommenderDependencyErrors", dependency).await?;
    }
    test.series(r#"recommender:drift_score{$labels,feature="age"}"#, |value| value < 0.1).await.map(drop)
}

struct Test {
    bed: Bed,
    started: Instant,
}

impl Test {
    fn namespace(&self) -> &str {
        &self.bed.namespace.name
    }

    /// Prints what holds now, and since when the test runs.
    fn note(&self, what: &str) {
        println!("dependencies: {:>4} s  {what}", self.started.elapsed().as_secs());
    }

    async fn start_programs(&self) -> Result<()> {
        let stream = async {
            parts::kafka(&self.bed.cluster, self.namespace()).await?;
            self.start("events", &[&["produce"], &EVENTS[..]].concat()).await
        };
        tokio::try_join!(services::start(&self.bed.cluster, self.namespace()), stream)?;
        for (name, program) in [("steady", "publish"), ("objects", "objects"), ("documents", "films")] {
            self.start(name, &[&[program], &LOAD[..]].concat()).await?;
        }
        Ok(())
    }

    async fn create(&self) -> Result<()> {
        let labels = |job: &str| json!({"namespace": self.namespace(), "job": job});
        let mut dependencies: Vec<Value> = EXPORTERS
            .iter()
            .map(|(name, exporter, job)| {
                json!({"name": name, "exporter": {"name": exporter}, "matchLabels": labels(job)})
            })
            .collect();
        let queues = json!({"queues": ["mail"], "deadLetterQueues": ["mail-dead"]});
        dependencies.push(json!({"name": "mail", "rabbitmq": queues, "matchLabels": labels("rabbitmq-queues")}));
        // The `job` of the JobManager is another one than that of the TaskManager.
        let stream = json!({"job": "features_job", "taskManagers": 1});
        dependencies.push(json!({"name": "features", "flink": stream, "matchLabels": {"namespace": self.namespace()}}));
        let alerts = AT_ONCE.map(|alert| (alert.to_owned(), json!({"forSeconds": 0}))).into_iter().collect();
        self.bed.create_dependencies(dependencies.into(), Value::Object(alerts)).await
    }

    /// Starts a program of the workers' image.
    async fn start(&self, name: &str, program: &[&str]) -> Result<()> {
        parts::start(&self.bed.cluster, self.namespace(), name, program).await
    }

    async fn break_all(&self, round: &Round) -> Result<()> {
        let (cluster, namespace) = (&self.bed.cluster, self.namespace());
        let break_one = |breakage: &'static Breakage| async move {
            match breakage {
                Breakage::Stopped(program) => services::scale(cluster, namespace, program, 0).await,
                Breakage::Script(program, script, _) | Breakage::Restarted(program, script) => {
                    services::run(cluster, namespace, program, script).await.map(drop)
                }
                Breakage::Broker(command, _) => services::rabbitmqctl(cluster, namespace, command).await.map(drop),
            }
        };
        futures::future::try_join_all(round.breakages.iter().map(break_one)).await?;
        self.note("everything is broken");
        Ok(())
    }

    async fn mend_all(&self, round: &Round) -> Result<()> {
        let (cluster, namespace) = (&self.bed.cluster, self.namespace());
        let mend = |breakage: &'static Breakage| async move {
            match breakage {
                Breakage::Stopped(program) => services::scale(cluster, namespace, program, 1).await,
                Breakage::Script(program, _, script) => {
                    services::run(cluster, namespace, program, script).await.map(drop)
                }
                Breakage::Broker(_, command) => services::rabbitmqctl(cluster, namespace, command).await.map(drop),
                Breakage::Restarted(program, _) => {
                    services::scale(cluster, namespace, program, 0).await?;
                    services::scale(cluster, namespace, program, 1).await
                }
            }
        };
        // Together, because most of it is waiting until pods are ready.
        futures::future::try_join_all(round.breakages.iter().map(mend)).await?;
        self.note("everything is mended");
        Ok(())
    }

    async fn fires_all(&self, round: &Round) -> Result<()> {
        self.condition("False", round.down).await?;
        for (alert, dependency) in alerts_of(round) {
            self.fires(alert, dependency).await?;
        }
        Ok(())
    }

    async fn resolves_all(&self, round: &Round) -> Result<()> {
        for (alert, dependency) in alerts_of(round) {
            self.resolves(alert, dependency).await?;
        }
        Ok(())
    }

    /// Sets the memory from which on the broker accepts no messages.
    async fn memory_limit(&self, limit: &str) -> Result<()> {
        let set = format!("set_vm_memory_high_watermark {limit}");
        services::rabbitmqctl(&self.bed.cluster, self.namespace(), &set).await.map(drop)
    }

    /// Waits until the condition has this status, and its message names these dependencies.
    async fn condition(&self, status: &str, named: &[&str]) -> Result<()> {
        let what = format!("DependenciesHealthy is {status} and names {named:?}");
        eventually(&what, FOLLOWS, async || {
            let condition = self.bed.condition("DependenciesHealthy").await?;
            let missing: Vec<_> = named.iter().filter(|name| !condition.message.contains(**name)).collect();
            ensure!(condition.status == status && missing.is_empty(), "{}: {}", condition.status, condition.message);
            Ok(())
        })
        .await?;
        self.note(&what);
        Ok(())
    }

    /// Waits until the single value of the query is as desired.
    async fn series(&self, query: &str, desired: impl Fn(f64) -> bool) -> Result<()> {
        let value = self.bed.reaches(query, desired).await?;
        self.note(&format!("{query} is {value:.3}"));
        Ok(())
    }

    async fn fires(&self, alert: &str, dependency: &str) -> Result<()> {
        self.alert(alert, dependency, true).await
    }

    async fn resolves(&self, alert: &str, dependency: &str) -> Result<()> {
        self.alert(alert, dependency, false).await
    }

    async fn alert(&self, alert: &str, dependency: &str, fires: bool) -> Result<()> {
        let query =
            format!(r#"count(ALERTS{{alertname="{alert}",alertstate="firing",dependency="{dependency}",$labels}})"#);
        let what = format!("{alert} of {dependency} {}", if fires { "fires" } else { "does not fire" });
        eventually(&what, FOLLOWS, async || {
            let found = self.bed.query(&query).await?;
            ensure!(found.is_some() == fires, "it is {found:?}");
            Ok(())
        })
        .await?;
        self.note(&what);
        Ok(())
    }
}

fn alerts_of(round: &Round) -> impl Iterator<Item = (&'static str, &'static str)> {
    let down = round.down.iter().map(|dependency| ("RecommenderDependencyDown", *dependency));
    down.chain(round.alerts.iter().copied())
}
