//! Tests of the generated rules with promtool of Prometheus: they are valid PromQL, pass the linter, and give the
//! expected results on the series that servers expose. Needs no cluster; promtool is built from source on first use.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, ensure};
use e2e::promtool::{LINT, every_alert_fires_and_does_not_fire, promtool};
use jiff::Timestamp;
use recommender_operator::{
    api::{
        Dependency, Front, LatencyTarget, Quantile, RecommenderModel, Resources,
        monitoring_coreos::{Rule, RuleGroup},
    },
    catalog,
    model::Model,
    monitoring::{
        Requested, Signals, Watched,
        alerts::{Change, RUNBOOKS},
        application::{self, Application},
        canary::Compared,
        dependencies::reported,
        objectives::{Indicator, Objective},
        profiles, rule_groups,
    },
    render,
    series::Series,
    validate,
};
use serde::Deserialize;
use serde_json::json;

/// The monitored object of the tests.
const PACKAGES: Watched = Watched {
    namespace: "shop",
    recommender: "packages",
    serving_deployment: "packages-serving",
    is_routed: false,
    compared: None,
    reloads: false,
    workers: &[],
    base: "packages",
    claim: Some("packages-models"),
    cores: &[("serving", 3.0)],
    requested: &[SERVERS],
    front: None,
    profile: "FastApiInstrumentator",
    reads_native: false,
    signals: None,
    application: &SILENT,
    workers_interval_seconds: 15,
    interval_seconds: 15,
    metrics_path: "/metrics",
    health_paths: &["/health"],
    scaled_on: None,
    resources: None,
    dependencies: &[],
    scaled_on_lag_of: &[],
    training_period_seconds: Some(86_400),
    waits_for_inputs: false,
    promotions_wait: false,
    prunes: false,
    reports_progress: false,
    is_gated: false,
    minimums: &[],
    objectives: &[],
    alerts: &UNCHANGED,
    is_probed: true,
    runbooks: RUNBOOKS,
    query_offset_seconds: None,
};

/// What its servers request.
const SERVERS: Requested = Requested { workload: "serving", of_allowed: 0.5, memory: 1000.0 };

/// An application without series of its own.
static SILENT: Application = Application::new();

/// A latency target.
static P95: LatencyTarget = LatencyTarget { quantile: Quantile::P95, target_milliseconds: 75 };

/// Alerts as the catalogue has them.
static UNCHANGED: BTreeMap<String, Change> = BTreeMap::new();

/// A dependency for each exporter: the name of its scenarios, and its YAML.
const DEPENDENCIES: &[(&str, &str)] = &[
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

fn dependency(yaml: &str) -> Result<Dependency> {
    Ok(serde_saphyr::from_str(yaml)?)
}

/// The labels that prometheus-operator and our ServiceMonitor add to the series of a target.
fn target(recommender: &str, pod: &str, address: &str) -> String {
    format!(
        r#"namespace="shop",recommender="{recommender}",workload="serving",job="{recommender}",service="{recommender}",pod="{pod}",container="server",endpoint="http",instance="{address}:8000""#
    )
}

/// A directory for each test.
fn directory(test: &str) -> Result<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rules").join(test);
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Writes a rule file, as JSON, which is valid YAML.
fn write_rules(path: &Path, groups: &[RuleGroup]) -> Result<()> {
    fs::write(path, serde_json::to_vec_pretty(&serde_json::json!({ "groups": groups }))?)?;
    Ok(())
}

#[test]
fn the_rules_of_every_profile_are_valid_and_lint() -> Result<()> {
    let file = directory("lint")?.join("rules.yaml");
    for profile in profiles::all() {
        let groups = rule_groups(&Watched { profile, ..PACKAGES });
        write_rules(&file, &groups)?;
        let stdout = promtool(&LINT, &file).with_context(|| format!("the rules of {profile}"))?;
        let found = format!("{} rules found", groups.iter().map(|group| group.rules.len()).sum::<usize>());
        ensure!(stdout.contains(&found), "promtool read other than {found} of {profile}: {stdout}");
    }
    Ok(())
}

#[test]
fn the_rules_of_the_examples_of_five_designs_lint() -> Result<()> {
    let file = directory("lint-designs")?.join("rules.yaml");
    let mut linted = 0;
    for name in stems("../examples/designs")?.iter().filter(|name| *name != "README") {
        let path = e2e::paths::repository().join("examples/designs").join(name).with_extension("yaml");
        let object: RecommenderModel = serde_saphyr::from_str(&fs::read_to_string(path)?)?;
        let model = Model::new(&object, Timestamp::now()).map_err(|problems| anyhow!("{name}: {problems:?}"))?;
        fs::write(&file, render::rule_file(&[model])?)?;
        promtool(&LINT, &file).with_context(|| name.clone())?;
        linted += 1;
    }
    ensure!(linted == 5, "five examples were expected: {linted}");
    Ok(())
}

#[test]
fn the_rules_of_all_scaling_signals_are_valid_and_lint() -> Result<()> {
    let file = directory("lint-scaling")?.join("rules.yaml");
    let mut dependencies = DEPENDENCIES.iter().map(|(_, yaml)| dependency(yaml)).collect::<Result<Vec<_>>>()?;
    for (dependency, (exporter, _)) in dependencies.iter_mut().zip(DEPENDENCIES) {
        dependency.name = (*exporter).into();
    }
    // Then an alert has two rules of different severity.
    dependencies[0].critical = false;
    let resources: Resources = serde_saphyr::from_str("{limits: {cpu: 500m}}")?;
    // Two windows of error budgets.
    let mut objectives = measured();
    objectives[0].window_days = 7;
    let watched = Watched {
        scaled_on: Some(&P95),
        resources: Some(&resources),
        dependencies: &dependencies,
        objectives: &objectives,
        ..PACKAGES
    };
    let fronts = ["{ingressNginx: {}}", "{istio: {}}", "{custom: {requests: 'rate(requests_total[1m]) # in front'}}"];
    for front in fronts {
        let front: Front = serde_saphyr::from_str(front)?;
        let file = directory("lint-front")?.join("rules.yaml");
        write_rules(&file, &rule_groups(&Watched { front: Some(&front), ..watched }))?;
        promtool(&LINT, &file)?;
    }
    write_rules(&file, &rule_groups(&watched))?;
    promtool(&LINT, &file).map(drop)
}

/// `render --rules` prints valid rules and a valid scrape configuration.
#[test]
fn the_rule_file_and_its_scrape_configuration_are_valid() -> Result<()> {
    let directory = directory("file")?;
    let mut models = Vec::new();
    for (name, spec) in [("packages", json!({})), ("books.v2", scaled_spec()?)] {
        let text = fs::read_to_string(e2e::paths::repository().join("examples/packages.yaml"))?;
        let mut object = validate::documents(&text)?.remove(0).object;
        object["metadata"]["name"] = name.into();
        for (field, value) in spec.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        if name == "packages" {
            object["spec"]["monitoring"]["probe"] = json!({"prober": "blackbox:9115"});
        }
        let object: RecommenderModel = serde_json::from_value(validate::stored(&object))?;
        models.push(Model::new(&object, Timestamp::now()).map_err(|problems| anyhow!("{problems:?}"))?);
    }
    let text = render::rule_file(&models)?;

    let rules = directory.join("rules.yaml");
    fs::write(&rules, &text)?;
    promtool(&["check", "rules", "--lint=none"], &rules)?;
    let written: serde_json::Value = serde_saphyr::from_str(&text)?;
    let groups = written["groups"].as_array().context("groups")?;
    ensure!(
        groups.len() == 5,
        "two groups of rules of each object and one of custom ones were expected: {}",
        groups.len()
    );

    let commented =
        text.lines().skip_while(|line| *line != "# scrape_configs:").take_while(|line| line.starts_with('#'));
    let scraping: Vec<&str> = commented.map(|line| &line[2..]).collect();
    ensure!(scraping.iter().filter(|line| line.starts_with("- job_name:")).count() == 4, "{text}");
    let configuration = directory.join("prometheus.yaml");
    fs::write(&configuration, scraping.join("\n"))?;
    promtool(&["check", "config"], &configuration).map(drop)
}

/// PromQL of specs, see the file.
#[derive(Deserialize)]
struct Expressions {
    accepted: Vec<String>,
    /// Each with a part of the reason.
    refused: BTreeMap<String, String>,
}

#[test]
fn promql_of_specs_is_accepted_and_refused_as_by_promtool() -> Result<()> {
    let file = directory("promql")?.join("rules.yaml");
    let table: Expressions = serde_saphyr::from_str(include_str!("../../tests/promql.yaml"))?;
    let check = |expression: &str| {
        let rule = Rule { record: Some("x:y".into()), expr: format!("sum((\n{expression}\n))"), ..Rule::default() };
        write_rules(&file, &[RuleGroup { name: "a".into(), interval: None, query_offset: None, rules: vec![rule] }])?;
        promtool(&["check", "rules", "--lint=none"], &file).map(drop)
    };
    for accepted in &table.accepted {
        check(accepted).with_context(|| accepted.clone())?;
    }
    for refused in table.refused.keys() {
        ensure!(check(refused).is_err(), "promtool accepts {refused}");
    }
    Ok(())
}

/// Fields of an object that scales on all supported signals.
fn scaled_spec() -> Result<serde_json::Value> {
    let dependencies = DEPENDENCIES.iter().map(|(name, yaml)| {
        let mut dependency: serde_json::Value = serde_saphyr::from_str(yaml)?;
        dependency["name"] = name.replace('_', "-").into();
        Ok(dependency)
    });
    Ok(json!({
        "dependencies": dependencies.collect::<Result<Vec<_>>>()?,
        "workers": [{"name": "events", "metrics": {"port": 9100, "path": "/metrics"}}],
    }))
}

#[test]
fn the_rules_are_valid_with_any_names() -> Result<()> {
    let file = directory("names")?.join("rules.yaml");
    let names = [
        "a",
        "7days",
        "shop.packages",
        "\"",
        "\\",
        "\\\"",
        "x\"} or up{a=\"",
        "{{ .Labels }}",
        "{@}",
        "a\nb\t\0",
        "#",
        "é\u{202e}",
        "$1|.*",
    ];
    let mut groups = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let other = names[(index + 3) % names.len()];
        groups.extend(rule_groups(&Watched {
            namespace: other,
            recommender: name,
            serving_deployment: name,
            metrics_path: name,
            health_paths: &[other],
            ..PACKAGES
        }));
    }
    write_rules(&file, &groups)?;
    // Without lint: in one file the alerts of several objects count as duplicates. In a cluster each object has its own
    // file.
    promtool(&["check", "rules", "--lint=none"], &file).map(drop)
}

/// Scenarios in `e2e/tests/rules/` that are not of a profile: those of servers that scale, of alerts, of objectives, and a directory.
const OTHER_SCENARIOS: [&str; 14] = [
    "signals",
    "requested",
    "scaling",
    "dependencies",
    "alerts",
    "weeks",
    "object",
    "objectives",
    "budget",
    "custom_signals",
    "canary",
    "reload",
    "native",
    "native_counters",
];

#[test]
fn the_rules_give_the_expected_results_for_every_profile() -> Result<()> {
    let mut unread = stems("tests/rules")?;
    unread.retain(|name| !OTHER_SCENARIOS.contains(&name.as_str()));
    let mut tests = Vec::new();
    for profile in profiles::all() {
        let name = snake_case(profile);
        let file = format!("e2e/tests/rules/{name}.yaml");
        let text = fs::read_to_string(e2e::paths::repository().join(&file))
            .with_context(|| format!("{profile} has no scenarios: write {file}, with real series of such a server"))?;
        let watched = Watched { profile, ..PACKAGES };
        let objectives = fast(profile);
        run_scenarios(&name, &Watched { objectives: &objectives, ..watched }, &text).with_context(|| file.clone())?;
        let scenarios: Scenarios = serde_saphyr::from_str(&text)?;
        every_series_of_a_profile_is_expected(&watched, &scenarios).with_context(|| file.clone())?;
        tests.extend(scenarios.tests);
        unread.remove(&name);
    }
    for (_, scenarios) in ALERTS {
        tests.extend(serde_saphyr::from_str::<Scenarios>(scenarios)?.tests);
    }
    ensure!(unread.is_empty(), "e2e/tests/rules/ has scenarios of no profile: {unread:?}");
    for (exporter, _) in DEPENDENCIES {
        let file = format!("e2e/tests/rules/dependencies/{exporter}.yaml");
        let text = fs::read_to_string(e2e::paths::repository().join(&file)).context(file)?;
        tests.extend(serde_saphyr::from_str::<Scenarios>(&text)?.tests);
    }
    every_alert_is_tested_firing_and_not_firing(tests)
}

/// An object may read native histograms while its Prometheus still stores classic ones.
#[test]
fn the_rules_of_native_histograms_give_the_same_results_for_classic_ones() -> Result<()> {
    let watched = Watched { reads_native: true, ..PACKAGES };
    let lint = directory("lint-native")?.join("rules.yaml");
    for profile in profiles::all().filter(|profile| profiles::of(profile).histograms().next().is_some()) {
        write_rules(&lint, &rule_groups(&Watched { profile, ..watched }))?;
        promtool(&LINT, &lint).with_context(|| profile)?;
    }
    // With requests that are counted apart from their durations, and those that are the count of a histogram.
    for (profile, scenarios) in [
        ("FastApiInstrumentator", include_str!("rules/fast_api_instrumentator.yaml")),
        ("OpenTelemetryLegacy", include_str!("rules/open_telemetry_legacy.yaml")),
    ] {
        let objectives = fast(profile);
        let watched = Watched { profile, objectives: &objectives, ..watched };
        run_scenarios(&format!("{profile}-classic"), &watched, scenarios)?;
    }
    let compared = Some(Compared { errors: true, slow: Some(0.1) });
    run_scenarios("canary-classic", &Watched { compared, ..watched }, include_str!("rules/canary.yaml"))
}

#[test]
fn the_rules_give_the_expected_results_for_native_histograms() -> Result<()> {
    let compared = Some(Compared { errors: true, slow: Some(0.1) });
    let objectives = &measured()[..2];
    let watched = Watched { reads_native: true, compared, objectives, ..PACKAGES };
    run_scenarios("native", &watched, include_str!("rules/native.yaml"))?;
    let profile = "OpenTelemetry";
    run_scenarios("native_counters", &Watched { profile, ..watched }, include_str!("rules/native_counters.yaml"))
}

/// An objective of the latency, of a profile whose histogram has the bound 50.
fn fast(profile: &str) -> Vec<Objective> {
    let mut objectives = objectives(&["fast"]);
    objectives[0].indicator = Indicator::Latency { bucket: 50.0 };
    objectives.retain(|_| profiles::of(profile).buckets().contains(&50.0));
    objectives
}

/// `FastApiInstrumentator` as `fast_api_instrumentator`.
fn snake_case(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[test]
fn the_rules_give_the_expected_results_for_expressions_of_the_spec() -> Result<()> {
    let custom = json!({
        "requests": "rate(shop_requests_total[1m])",
        "errors": "rate(shop_requests_total{code=~\"5..\"}[1m]) # of the servers",
        "inFlight": "shop_requests_in_flight",
        "latencyP95": "histogram_quantile(0.95, sum(rate(shop_seconds[1m])))",
    });
    let signals = Signals::new(&serde_json::from_value(custom)?, PACKAGES.namespace);
    let signals = signals.map_err(|problems| anyhow!("{problems:?}"))?;
    let watched = Watched { profile: catalog::CUSTOM, signals: Some(&signals), ..PACKAGES };
    let file = directory("custom_signals_lint")?.join("rules.yaml");
    write_rules(&file, &rule_groups(&watched))?;
    promtool(&LINT, &file)?;
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules/custom_signals.yaml");
    run_scenarios("custom_signals", &watched, &fs::read_to_string(scenarios)?)
}

#[test]
fn the_rules_give_the_expected_results_for_servers_that_scale() -> Result<()> {
    let resources: Resources = serde_saphyr::from_str("{limits: {cpu: 500m, memory: 256Mi}}")?;
    let front: Front = serde_saphyr::from_str("{ingressNginx: {}}")?;
    let watched = Watched {
        interval_seconds: 5,
        scaled_on: Some(&P95),
        resources: Some(&resources),
        front: Some(&front),
        ..PACKAGES
    };
    run_scenarios("scaling", &watched, include_str!("rules/scaling.yaml"))
}

#[test]
fn the_counters_of_each_pod_are_recorded_while_there_is_a_canary() -> Result<()> {
    let compared = Some(Compared { errors: true, slow: Some(0.1) });
    run_scenarios("canary", &Watched { compared, ..PACKAGES }, include_str!("rules/canary.yaml"))
}

#[test]
fn the_version_of_each_server_is_recorded_where_servers_change_versions_without_a_restart() -> Result<()> {
    run_scenarios("reload", &Watched { reloads: true, ..PACKAGES }, include_str!("rules/reload.yaml"))
}

#[test]
fn the_rules_about_trainings_versions_and_pods_give_the_expected_results() -> Result<()> {
    let workers = [("events", "packages-worker-events".to_owned())];
    let watched = Watched {
        workers: &workers,
        waits_for_inputs: true,
        promotions_wait: true,
        prunes: true,
        reports_progress: true,
        is_gated: true,
        minimums: &[("precision_at_10", 0.2)],
        ..PACKAGES
    };
    run_scenarios("object", &watched, include_str!("rules/object.yaml"))
}

/// Scenarios of alerts whose canonical series are given, so that a week takes seconds.
const ALERTS: [(&str, &str); 2] =
    [("alerts", include_str!("rules/alerts.yaml")), ("weeks", include_str!("rules/weeks.yaml"))];

#[test]
fn the_alerts_fire_and_resolve_as_their_canonical_series_ask_for() -> Result<()> {
    let resources: Resources = serde_saphyr::from_str("{limits: {cpu: 500m, memory: 256Mi}}")?;
    // The alerts on dependencies without a lag are left out of objects without their exporters.
    let dependencies = DEPENDENCIES.iter().map(|(_, yaml)| dependency(yaml)).collect::<Result<Vec<_>>>()?;
    let watched = Watched {
        scaled_on: Some(&P95),
        resources: Some(&resources),
        dependencies: &dependencies,
        scaled_on_lag_of: &[("events", 120)],
        objectives: &objectives(&["availability", "quiet", "gone"]),
        application: &application("shop")?,
        waits_for_inputs: true,
        promotions_wait: true,
        prunes: true,
        is_gated: true,
        minimums: &[("precision_at_10", 0.2)],
        alerts: &BTreeMap::from([("RecommenderErrorRateHigh".to_owned(), Change::default())]),
        ..PACKAGES
    };
    let rules = rule_groups(&watched).into_iter().flat_map(|group| group.rules);
    let alerts: Vec<Rule> = rules.filter(|rule| rule.alert.is_some()).collect();
    assert_eq!(alerts.len(), catalog::embedded().alerts.len());
    let object = r#"namespace="shop",recommender="packages""#;
    for (name, scenarios) in ALERTS {
        let is_tested = |rule: &&Rule| rule.alert.as_ref().is_some_and(|alert| scenarios.contains(alert.as_str()));
        let rules = alerts.iter().filter(is_tested).cloned().collect();
        let group = RuleGroup { name: "alerts".into(), interval: Some("1m".into()), query_offset: None, rules };
        let scenarios = scenarios
            .replace("@serving", &format!(r#"{object},workload="serving""#))
            .replace("@training", &format!(r#"{object},workload="training""#))
            .replace("@worker", &format!(r#"{object},workload="events""#))
            .replace("@dependency", &format!(r#"{object},dependency="events""#))
            .replace("@objective", &format!(r#"{object},objective="availability""#))
            .replace("@quiet", &format!(r#"{object},objective="quiet""#))
            .replace("@gone", &format!(r#"{object},objective="gone""#));
        run_groups(name, &[group], &scenarios)?;
    }
    Ok(())
}

/// The signals of an application: `tests/rules/signals.yaml` has their series.
fn application(namespace: &str) -> Result<Application> {
    let page = fs::read_to_string(e2e::paths::repository().join("docs/signals.md"))?;
    // All that the documentation proposes.
    let blocks = page.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next());
    let mut signals = BTreeMap::new();
    for block in blocks {
        let spec: serde_json::Value = serde_saphyr::from_str(block)?;
        let of: BTreeMap<String, String> = serde_json::from_value(spec["spec"]["monitoring"]["signals"].clone())?;
        signals.extend(of.into_iter().map(|(name, text)| (name, text.replace("\"shop\"", "\"packages\""))));
    }
    application::read(&signals, namespace).map_err(|problems| anyhow!("{problems:?}"))
}

#[test]
fn the_rules_give_the_expected_results_for_the_signals_of_the_documentation() -> Result<()> {
    let watched = Watched { application: &application(PACKAGES.namespace)?, ..PACKAGES };
    assert_eq!(watched.application.len(), Series::SIGNALS.len(), "the documentation has an example of each");
    let file = directory("signals_lint")?.join("rules.yaml");
    write_rules(&file, &rule_groups(&watched))?;
    promtool(&LINT, &file)?;
    let scenarios = include_str!("rules/signals.yaml");
    run_scenarios("signals", &watched, scenarios)?;
    let signals = Series::SIGNALS.into_iter().chain([Series::TenantShare]);
    every_series_is_expected(signals.map(|of| of.name().to_owned()), &serde_saphyr::from_str(scenarios)?)
}

/// Objectives of these names: 99.9 % of the requests do not fail.
fn objectives(names: &[&str]) -> Vec<Objective> {
    let of = |name: &&str| Objective {
        name: (*name).into(),
        indicator: Indicator::Availability,
        is_critical: true,
        error_budget: 0.001,
        window_days: 30,
        min_bad_requests: Some(10),
    };
    names.iter().map(of).collect()
}

/// An objective of each kind.
fn measured() -> Vec<Objective> {
    let lag = Indicator::Lag { dependency: "events".into(), within_seconds: 120 };
    let indicators = [
        ("availability", Indicator::Availability, 0.001),
        ("fast", Indicator::Latency { bucket: 1.0 }, 0.01),
        ("events", lag, 0.005),
        ("fresh", Indicator::Age { series: Series::ModelAge, max_hours: 26 }, 0.01),
    ];
    let of = |(name, indicator, error_budget): (&str, Indicator, f64)| Objective {
        min_bad_requests: matches!(indicator, Indicator::Availability | Indicator::Latency { .. }).then_some(10),
        is_critical: !matches!(indicator, Indicator::Age { .. }),
        indicator,
        error_budget,
        ..objectives(&[name]).remove(0)
    };
    indicators.map(of).into()
}

#[test]
fn the_rules_give_the_expected_results_for_objectives() -> Result<()> {
    let dependencies = [dependency("{name: events, custom: {lag: waiting, consumed: done}}")?];
    let watched = Watched { objectives: &measured(), dependencies: &dependencies, ..PACKAGES };
    run_scenarios("objectives", &watched, include_str!("rules/objectives.yaml"))
}

/// The rules over hours and days alone, over days of given series: an hour of the servers' own would take minutes.
#[test]
fn the_error_budget_is_that_of_the_days_of_an_objective() -> Result<()> {
    let objectives = [Objective { window_days: 7, ..objectives(&["availability"]).remove(0) }];
    let mut groups = rule_groups(&Watched { objectives: &objectives, ..PACKAGES });
    groups.retain(|group| group.name.ends_with("/objectives"));
    run_groups("budget", &groups, include_str!("rules/budget.yaml"))
}

/// Without the other rules, which a week of samples would make slow.
#[test]
fn what_pods_used_within_a_week_is_compared_with_what_they_request() -> Result<()> {
    let worker = Requested { workload: "events", of_allowed: 1.0, memory: 2000.0 };
    let watched = Watched {
        workers: &[("events", "packages-worker-events".to_owned())],
        cores: &[("serving", 3.0), ("events", 1.0)],
        requested: &[SERVERS, worker],
        ..PACKAGES
    };
    let read = [Series::CpuUse, Series::MemoryRequested, Series::CpuRequestedWeek, Series::MemoryRequestedWeek]
        .map(Series::name);
    let mut groups = rule_groups(&watched);
    let is_of_week = |rule: &Rule| match (&rule.record, &rule.alert) {
        (Some(record), _) => read.contains(&record.as_str()),
        (None, alert) => alert.as_deref() == Some("RecommenderOversized"),
    };
    groups.iter_mut().for_each(|group| group.rules.retain(is_of_week));
    groups.retain(|group| !group.rules.is_empty());
    run_groups("requested", &groups, include_str!("rules/requested.yaml"))
}

/// Names of files of a directory of the repository, without their extension.
fn stems(directory: &str) -> Result<BTreeSet<String>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let files = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect())
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
        let scaled_on = [(dependencies[0].name.as_str(), 120)];
        let watched = Watched { dependencies: &dependencies, scaled_on_lag_of: &scaled_on, ..PACKAGES };
        let scenarios = fs::read_to_string(scenarios.join(exporter).with_extension("yaml"))?;
        write_not_a_number(&directory(exporter)?.join("nan.yaml"), &scenarios)?;
        let outcome = run_scenarios(exporter, &watched, &scenarios).and_then(|()| {
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

fn run_scenarios(name: &str, watched: &Watched, scenarios: &str) -> Result<()> {
    run_groups(name, &rule_groups(watched), scenarios)
}

fn run_groups(name: &str, groups: &[RuleGroup], scenarios: &str) -> Result<()> {
    let directory = directory(name)?;
    write_rules(&directory.join("rules.yaml"), groups)?;
    let file = directory.join("scenarios.yaml");
    let exporter = |address| format!(r#"job="exporter",namespace="data",instance="{address}:9000""#);
    let expanded = scenarios
        .replace("@a", &target("packages", "packages-serving-7c9d8b6f5-x2x4z", "10.1.0.5"))
        .replace("@b", &target("packages", "packages-serving-7c9d8b6f5-4k8wq", "10.1.0.6"))
        .replace("@other", &target("books", "books-serving-5f6b7c8d9-9zv7m", "10.1.0.7"))
        .replace("@x", &exporter("10.2.0.5"))
        .replace("@y", &exporter("10.2.0.6"))
        .replace("@z", &exporter("10.2.0.7"));
    fs::write(&file, &expanded)?;
    promtool(&["test", "rules"], &file).map(drop)
}

/// The fields of promtool's format that name the tested alerts and series.
#[derive(Deserialize)]
struct Scenarios {
    tests: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    #[serde(default)]
    alert_rule_test: Vec<AlertTest>,
    #[serde(default)]
    promql_expr_test: Vec<ExprTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct ExprTest {
    exp_samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    /// The series: `name{label="value"}`, or `{series="name"}` where its name is lost. Empty for a result without labels.
    #[serde(default)]
    labels: String,
}

/// Fails unless each series that an exporter records of the health of a dependency has an expected value.
fn every_record_of_an_exporter_is_expected(dependency: &Dependency, scenarios: &Scenarios) -> Result<()> {
    let Some((kind, name, _)) = reported(dependency) else { return Ok(()) };
    let exporter = catalog::embedded().exporter(kind, &name).context("it is in the catalogue")?;
    every_series_is_expected(exporter.records.keys().map(|series| series.name().to_owned()), scenarios)
}

/// Fails unless each series that is computed from the names of the profile has an expected value.
fn every_series_of_a_profile_is_expected(watched: &Watched, scenarios: &Scenarios) -> Result<()> {
    let names: Vec<&str> = profiles::of(watched.profile).series.iter().map(|series| series.name.as_str()).collect();
    let rules = rule_groups(watched).into_iter().flat_map(|group| group.rules);
    let rules = rules.filter(|rule| names.iter().any(|name| rule.expr.contains(name)));
    every_series_is_expected(rules.filter_map(|rule| rule.record), scenarios)
}

fn every_series_is_expected(series: impl Iterator<Item = String>, scenarios: &Scenarios) -> Result<()> {
    let expressions = scenarios.tests.iter().flat_map(|scenario| &scenario.promql_expr_test);
    let samples: Vec<&Sample> = expressions.flat_map(|expression| &expression.exp_samples).collect();
    let is_expected = |series: &String| {
        let [named, quoted] = [format!("{series}{{"), format!("{series:?}")];
        samples.iter().any(|sample| sample.labels.contains(&named) || sample.labels.contains(&quoted))
    };
    let unexpected: Vec<String> = series.filter(|series| !is_expected(series)).collect();
    ensure!(unexpected.is_empty(), "these series need an expected value in exp_samples: {unexpected:?}");
    Ok(())
}

/// Fails unless each alert has a scenario in which it fires and one in which it does not. Alerts read canonical series, which are
/// the same for all profiles, so one such scenario is enough.
fn every_alert_is_tested_firing_and_not_firing(scenarios: Vec<Scenario>) -> Result<()> {
    let tests = scenarios.into_iter().flat_map(|scenario| scenario.alert_rule_test);
    let tested = tests.map(|test| (test.alertname, !test.exp_alerts.is_empty()));
    let all = catalog::embedded().alerts.iter().map(|alert| alert.name.clone()).collect();
    every_alert_fires_and_does_not_fire(&all, tested)
}
