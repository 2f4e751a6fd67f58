//! Results for the series of every exporter.

use super::*;

/// A dependency for each exporter: the name of its scenarios, and its YAML.
pub(super) const DEPENDENCIES: &[(&str, &str)] = &[
    (
        "kafka_exporter",
        "{name: events, kafka: {consumerGroup: ml-recommender, topics: [events, clicks], deadLetterTopic: events-dlq,
          retentionHours: 24}, matchLabels: {namespace: data}}",
    ),
    (
        "kafka_exporter_transactional",
        "{name: events, kafka: {consumerGroup: ml-recommender, topics: [events], transactional: true,
          deadLetterTopic: events-dlq}, matchLabels: {namespace: data}}",
    ),
    (
        "kafka_lag_exporter",
        "{name: events, kafka: {consumerGroup: ml-recommender, topics: [events, clicks], exporter: KafkaLagExporter},
          matchLabels: {cluster_name: main}}",
    ),
    (
        "burrow",
        "{name: events, kafka: {consumerGroup: ml-recommender, topics: [events], exporter: Burrow},
          matchLabels: {cluster: main}}",
    ),
    (
        "burrow_transactional",
        "{name: events, kafka: {consumerGroup: ml-recommender, topics: [events], exporter: Burrow, transactional: true},
          matchLabels: {cluster: main}}",
    ),
    (
        "consumer_client",
        "{name: events, kafka: {consumerGroup: ml-recommender, topics: [events], exporter: ConsumerClient}}",
    ),
    ("rabbitmq_detailed", "{name: mail, rabbitmq: {queues: [mail, digest], deadLetterQueues: [mail-dlq]}}"),
    ("rabbitmq_per_object", "{name: mail, rabbitmq: {queues: [mail, digest], endpoint: PerObject, deadLetterQueues: [mail-dlq]}}"),
    ("rq", "{name: jobs, rq: {queues: [train_model, update]}}"),
    ("redis_list", "{name: todo, redisList: {keys: [todo, 'todo:urgent']}, matchLabels: {namespace: data}}"),
    ("flink", "{name: stream, flink: {job: features, taskManagers: 2}, matchLabels: {job: exporter}}"),
    ("postgres_exporter", "{name: users-db, exporter: {name: PostgresExporter}, matchLabels: {namespace: data}}"),
    ("pg_bouncer_exporter", "{name: pool, exporter: {name: PgBouncerExporter}, matchLabels: {namespace: data}}"),
    ("node_exporter", "{name: users-db, exporter: {name: NodeExporter}, matchLabels: {job: exporter}}"),
    ("redis_exporter", "{name: cache, exporter: {name: RedisExporter}, matchLabels: {namespace: data}}"),
    ("mongo_db_exporter", "{name: films, exporter: {name: MongoDbExporter}, matchLabels: {namespace: data}}"),
    ("ferret_db", "{name: films, exporter: {name: FerretDb}, matchLabels: {namespace: data}}"),
    ("min_io_v2", "{name: models, exporter: {name: MinIoV2}, matchLabels: {namespace: data}}"),
    ("min_io_v3", "{name: models, exporter: {name: MinIoV3}, matchLabels: {namespace: data}}"),
    ("versity_gw", "{name: models, exporter: {name: VersityGw}, matchLabels: {namespace: data}}"),
    ("nginx_exporter", "{name: front, exporter: {name: NginxExporter}, matchLabels: {namespace: data}}"),
    ("blackbox_exporter", "{name: upstream, exporter: {name: BlackboxExporter}, matchLabels: {namespace: data}}"),
    ("elasticsearch_exporter", "{name: search, exporter: {name: ElasticsearchExporter}, matchLabels: {namespace: data}}"),
    ("fluent_bit", "{name: shipper, exporter: {name: FluentBit}, matchLabels: {job: exporter}}"),
    ("fluentd", "{name: shipper, exporter: {name: Fluentd}, matchLabels: {job: exporter}}"),
    (
        "open_telemetry_collector",
        "{name: telemetry, exporter: {name: OpenTelemetryCollector}, matchLabels: {job: exporter}}",
    ),
    ("rabbit_mq_broker", "{name: broker, exporter: {name: RabbitMqBroker}, matchLabels: {job: exporter}}"),
    ("kafka_cluster", "{name: cluster, exporter: {name: KafkaExporter}, matchLabels: {namespace: data}}"),
    ("client", "{name: upstream, exporter: {name: Client}}"),
    ("drift_monitor", "{name: drift, exporter: {name: DriftMonitor}}"),
    (
        "custom",
        r##"{name: own, custom: {lag: 'backlog{shard!="test"} # what waits', consumed: 'rate(done_total[1m]) and done_total',
             partitions: shards}}"##,
    ),
];

pub(super) fn dependency(yaml: &str) -> Result<Dependency> {
    Ok(serde_saphyr::from_str(yaml)?)
}

#[test]
fn every_exporter_has_scenarios_and_all_scenarios_are_run() -> Result<()> {
    let tested: BTreeSet<String> = DEPENDENCIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(stems("tests/rules/dependencies")?, tested);
    let mut tested = BTreeSet::new();
    for (_, yaml) in DEPENDENCIES {
        tested.extend(reported(&dependency(yaml)?).map(|(kind, exporter, _)| (kind.to_owned(), exporter)));
    }
    let exporters: BTreeSet<_> = catalog::embedded().exporters.keys().cloned().collect();
    assert_eq!(tested, exporters, "each exporter needs an entry of DEPENDENCIES");
    Ok(())
}

#[test]
fn the_rules_give_the_expected_results_for_every_dependency() -> Result<()> {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules/dependencies");
    let mut problems = Vec::new();
    for (exporter, yaml) in DEPENDENCIES {
        let dependencies = [dependency(yaml)?];
        let lag = Some((dependencies[0].name.as_str(), 120));
        let workers = [Worker { name: "events", lag, ..Worker::default() }];
        let monitored = Monitored { dependencies: &dependencies, workers: &workers, ..packages() };
        let scenarios = fs::read_to_string(scenarios.join(exporter).with_extension("yaml"))?;
        write_not_a_number(&directory(exporter)?.join("nan.yaml"), &scenarios)?;
        let outcome = run_scenarios(exporter, &monitored, &scenarios).and_then(|()| {
            every_record_of_an_exporter_is_expected(&dependencies[0], &serde_saphyr::from_str(&scenarios)?)
        });
        problems.extend(outcome.err().map(|problem| format!("{exporter}: {problem:#}")));
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// promtool's notation of values has no NaN. `x_is_nan` in scenarios makes a series `x` that is NaN where `x_is_nan`
/// has a value.
fn write_not_a_number(path: &Path, scenarios: &str) -> Result<()> {
    let names =
        scenarios.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter_map(|w| w.strip_suffix("_is_nan"));
    let rule = |name: &str| Rule { record: Some(name.into()), expr: format!("{name}_is_nan * NaN"), ..Rule::default() };
    let rules = names.map(rule).collect();
    write_rules(path, &[RuleGroup { name: "nan".into(), interval: None, query_offset: None, rules }])
}
