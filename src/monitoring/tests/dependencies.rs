use std::collections::BTreeMap;

use super::{selectors::without_strings, *};
use crate::{
    api::{Custom, Flink, Kafka, NamedExporter, RabbitMq, RedisList, Rq},
    monitoring::{dependencies::reported, promql::quote_regex},
};

/// The names that a spec uses for dependencies.
#[derive(Clone, Debug)]
struct Names {
    namespace: String,
    recommender: String,
    one: String,
    several: Vec<String>,
    vhost: String,
    label: String,
}

impl Names {
    fn usual() -> Self {
        Self {
            namespace: "shop".into(),
            recommender: "packages".into(),
            one: "ml-recommender".into(),
            several: vec!["events".into(), "clicks".into()],
            vhost: "/".into(),
            label: "main".into(),
        }
    }

    /// All values that may occur in string literals of our expressions.
    fn values(&self, dependency: &str) -> Vec<String> {
        let any = self.several.iter().map(|name| quote_regex(name)).collect::<Vec<_>>().join("|");
        let (only, some) = (format!("({any})(,({any}))*"), format!("(.*,)?({any})(,.*)?"));
        let own = [&self.namespace, &self.recommender, &self.one, &any, &self.vhost, &self.label, &only, &some];
        own.into_iter().cloned().chain([dependency.into()]).collect()
    }

    fn dependencies(&self) -> Vec<Dependency> {
        let several = || self.several.clone();
        let kafka = |exporter: &str| Dependency {
            name: String::from(exporter),
            kafka: Some(Kafka {
                consumer_group: self.one.clone(),
                topics: several(),
                exporter: exporter.into(),
                transactional: false,
                dead_letter_topic: Some(self.one.clone()),
                retention_hours: Some(24),
            }),
            ..Dependency::default()
        };
        let rabbitmq = |endpoint: &str| Dependency {
            name: String::from(endpoint),
            rabbitmq: Some(RabbitMq {
                queues: several(),
                vhost: self.vhost.clone(),
                endpoint: endpoint.into(),
                dead_letter_queues: several(),
            }),
            ..Dependency::default()
        };
        let rq = Dependency {
            name: "rq".into(),
            rq: Some(Rq { queues: several(), exporter: "RqExporter".into() }),
            ..Dependency::default()
        };
        let list = RedisList { keys: several(), database: 3, exporter: "RedisExporter".into() };
        let list = Dependency { name: "list".into(), redis_list: Some(list), ..Dependency::default() };
        let flink = Flink { job: self.one.clone(), exporter: "PrometheusReporter".into(), task_managers: Some(2) };
        let flink = Dependency { name: "flink".into(), flink: Some(flink), ..Dependency::default() };
        let mut all = vec![
            kafka("KafkaExporter"),
            kafka("Burrow"),
            kafka("KafkaLagExporter"),
            kafka("ConsumerClient"),
            rabbitmq("Detailed"),
            rabbitmq("PerObject"),
            rq,
            list,
            flink,
        ];
        let named = catalog::embedded().exporters.keys().filter(|(kind, _)| kind == catalog::NO_LAG);
        all.extend(named.map(|(_, name)| Dependency {
            name: name.to_lowercase(),
            exporter: Some(NamedExporter { name: name.clone() }),
            ..Dependency::default()
        }));
        for dependency in &mut all {
            dependency.match_labels = BTreeMap::from([("cluster".into(), self.label.clone())]);
        }
        all
    }

    fn rules(&self, dependency: &Dependency) -> Vec<Rule> {
        let usual = packages("FastApiInstrumentator");
        let dependencies = std::slice::from_ref(dependency);
        let monitored = Monitored {
            object: Object { namespace: &self.namespace, name: &self.recommender, ..usual.object },
            dependencies,
            workers: &consumers(dependencies),
            ..usual
        };
        let rules = rule_groups(&monitored).into_iter().flat_map(|group| group.rules);
        rules.filter(|rule| rule.labels.contains_key("dependency")).collect()
    }
}

/// A worker for each dependency that scales on its lag.
pub fn consumers(dependencies: &[Dependency]) -> Vec<Worker<'_>> {
    let consumer = |of| Worker { name: "events", lag: Some((of, 120)), ..Worker::default() };
    dependencies.iter().map(|dependency| consumer(dependency.name.as_str())).collect()
}

/// A dependency on each exporter of the catalogue, with these labels.
pub fn everything(labels: &[(&str, &str)]) -> Vec<Dependency> {
    let mut all = Names::usual().dependencies();
    let labels: BTreeMap<String, String> =
        labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    all.iter_mut().for_each(|dependency| dependency.match_labels = labels.clone());
    all
}

/// Hostile names, all different, and none of them a string that rules have themselves, such as `5..` for a class of statuses.
fn hostile_names() -> impl Strategy<Value = Names> {
    prop::collection::vec(hostile(), 7).prop_map(|names| {
        let name = |index: usize| format!("name {index}{}", names[index]);
        Names {
            namespace: name(0),
            recommender: name(1),
            one: name(2),
            several: vec![name(3), name(4)],
            vhost: name(5),
            label: name(6),
        }
    })
}

fn own() -> Dependency {
    let custom = Custom {
        lag: "backlog # what waits".into(),
        arrivals: None,
        consumed: Some("rate(done_total[1m])".into()),
        partitions: Some("shards".into()),
    };
    Dependency { name: "own".into(), custom: Some(custom), ..Dependency::default() }
}

/// Dependencies of some names; those whose name begins with `un` are not critical.
fn named(exporter: &str, names: &[&str]) -> Vec<Dependency> {
    let one = |name: &&str| Dependency {
        name: (*name).into(),
        exporter: Some(NamedExporter { name: exporter.into() }),
        critical: !name.starts_with("un"),
        ..Dependency::default()
    };
    names.iter().map(one).collect()
}

/// Matchers beside those of the object, and severity, of each rule of an alert.
fn severities(dependencies: &[Dependency], alert: &str, change: alerts::Change) -> Vec<(String, String)> {
    let changes = BTreeMap::from([(alert.to_owned(), change)]);
    let alerting = Alerting { changes: &changes, ..Alerting::default() };
    let monitored = Monitored { dependencies, alerting, ..packages("FastApiInstrumentator") };
    let rules = rules(&monitored).into_iter().filter(|rule| rule.alert.as_deref() == Some(alert));
    let beside = |rule: &Rule| {
        let (_, rest) = rule.expr.split_once(r#"recommender="packages""#).expect("matchers of the object");
        rest.split_once('}').expect("the end of a selector").0.trim_start_matches(',').to_owned()
    };
    rules.map(|rule| (beside(&rule), rule.labels["severity"].clone())).collect()
}

#[test]
fn critical_alerts_are_warnings_for_dependencies_that_are_not_critical() {
    let of = |names: &[&str], change| {
        let found = severities(&named("PostgresExporter", names), "RecommenderDependencyDown", change);
        found.into_iter().map(|(matchers, severity)| format!("{matchers} {severity}")).collect::<Vec<_>>()
    };
    let usual = alerts::Change::default;
    assert_eq!(of(&["a", "b"], usual()), [" critical"]);
    assert_eq!(of(&["una", "unb"], usual()), [" warning"]);
    assert_eq!(of(&["a", "una", "b"], usual()), [r#"dependency=~"a|b" critical"#, r#"dependency=~"una" warning"#]);
    let info = alerts::Change { severity: Some(catalog::Severity::Info), ..usual() };
    assert_eq!(of(&["a", "una"], info), [" info"]);
    // What has no rule of its own does not count: a monitor of drift is neither up nor down.
    let mut mixed = named("PostgresExporter", &["a"]);
    mixed.extend(named("DriftMonitor", &["undrift"]));
    let found = severities(&mixed, "RecommenderDependencyDown", usual());
    assert_eq!(found, [(String::new(), "critical".into())]);
}

#[test]
fn an_alert_on_what_is_absent_names_each_dependency_that_could_report_it() {
    let mut dependencies = named("PostgresExporter", &["a", "unb"]);
    dependencies.extend(named("DriftMonitor", &["drift"]));
    let monitored = Monitored { dependencies: &dependencies, ..packages("FastApiInstrumentator") };
    let all = rules(&monitored);
    let expr = |name: &str| {
        let [rule] = &all.iter().filter(|rule| rule.alert.as_deref() == Some(name)).collect::<Vec<_>>()[..] else {
            panic!("one rule of {name}")
        };
        rule.expr.replace(r#"namespace="shop",recommender="packages","#, "")
    };
    let up =
        r#"absent(recommender:dependency_up{dependency="a"}) or absent(recommender:dependency_up{dependency="unb"})"#;
    assert_eq!(expr("RecommenderExporterAbsent"), up);
    assert!(expr("RecommenderDriftUnknown").ends_with(r#"absent(recommender:drift_age_seconds{dependency="drift"})"#));
}

#[test]
fn the_room_of_an_exporter_alone_has_the_alerts_that_its_series_allow() {
    for (exporter, expected) in [
        ("NodeExporter", &["RecommenderDependencyFullSoon"][..]),
        ("MongoDbExporter", &["RecommenderDependencyFilling", "RecommenderDependencyFullSoon"]),
        ("ElasticsearchExporter", &["RecommenderDependencyFilling", "RecommenderDependencyFullSoon"]),
        ("MinIoV3", &["RecommenderDependencyFilling", "RecommenderDependencyFullSoon"]),
        ("RedisExporter", &[]),
    ] {
        let all = named(exporter, &["x"]);
        let monitored = Monitored { dependencies: &all, ..packages("FastApiInstrumentator") };
        let alerts: Vec<String> = rules(&monitored).into_iter().filter_map(|rule| rule.alert).collect();
        let found: Vec<&String> = alerts.iter().filter(|name| name.starts_with("RecommenderDependencyF")).collect();
        assert_eq!(found, expected, "{exporter}");
    }
}

#[test]
fn without_a_label_of_a_target_only_the_exporter_in_the_namespace_of_the_object_counts() {
    let expr = |labels: &[(&str, &str)]| {
        let mut all = named("PostgresExporter", &["db"]);
        all[0].match_labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let monitored = Monitored { dependencies: &all, ..packages("FastApiInstrumentator") };
        let up = rules(&monitored).into_iter().find(|rule| rule.record.as_deref() == Some(Series::DependencyUp.name()));
        up.expect("it is recorded").expr
    };
    assert_eq!(expr(&[]), r#"(min(pg_up{namespace="shop"})) >= 0"#);
    assert_eq!(expr(&[("cluster", "main")]), r#"(min(pg_up{cluster="main",namespace="shop"})) >= 0"#);
    assert_eq!(expr(&[("namespace", "data")]), r#"(min(pg_up{namespace="data"})) >= 0"#);
}

#[test]
fn the_rules_of_every_dependency() {
    let names = Names::usual();
    let mut all = names.dependencies();
    all.push(own());
    let workers = consumers(&all);
    let monitored = Monitored { dependencies: &all, workers: &workers, ..packages("FastApiInstrumentator") };
    let mut groups = rule_groups(&monitored);
    let mut others = groups.split_off(2);
    // Of the last groups, only what they have of dependencies.
    others.iter_mut().for_each(|group| group.rules.retain(|rule| rule.labels.contains_key("dependency")));
    insta::assert_yaml_snapshot!("the_health_of_every_dependency", others);
    let names: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.interval.as_deref())).collect();
    let every = Some("10s");
    assert_eq!(names, [("recommender/shop/packages/lags", every), ("recommender/shop/packages/custom", every)]);
    insta::assert_yaml_snapshot!(groups);
}

#[test]
fn only_the_lags_that_workers_scale_on_are_recorded_every_15_s_and_the_others_before_the_alerts_on_them() {
    let names = Names::usual();
    let mut all = names.dependencies();
    all.push(own());
    let worker = Worker { name: "jobs", lag: Some(("rq", 120)), ..Worker::default() };
    let monitored = Monitored { dependencies: &all, workers: &[worker], ..packages("FastApiInstrumentator") };
    let groups = rule_groups(&monitored);
    let intervals: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.interval.as_deref())).collect();
    let of = |name: &'static str, interval: &'static str| (name, Some(interval));
    let expected = [
        of("recommender/shop/packages/lags", "10s"),
        of("recommender/shop/packages/custom", "60s"),
        of("recommender/shop/packages", "60s"),
        of("recommender/shop/packages/slow", "120s"),
    ];
    assert_eq!(intervals, expected);
    let recorded_of: BTreeSet<&str> = groups[0].rules.iter().map(|rule| rule.labels["dependency"].as_str()).collect();
    assert_eq!(recorded_of, BTreeSet::from(["rq"]));
    let last = &groups[2].rules;
    let first_alert = last.iter().position(|rule| rule.alert.is_some()).expect("there are alerts");
    let recorded_of = |rules: &[Rule]| rules.iter().filter(|rule| rule.labels.contains_key("dependency")).count();
    assert_eq!(recorded_of(&last[..first_alert]), recorded_of(last));
    assert!(recorded_of(last) > 0);
}

/// prometheus-operator drops a whole PrometheusRule of which one expression is invalid.
#[test]
fn expressions_of_the_spec_are_in_a_group_of_their_own() {
    let front: Front = serde_json::from_value(json!({"custom": {"requests": "in_front"}})).expect("a front");
    let all = [own()];
    let usual = packages("FastApiInstrumentator");
    let monitored = Monitored {
        // An object may have the name of the group.
        object: Object { name: "custom", ..usual.object },
        servers: Servers { front: Some(&front), latency_target: Some(&P95), ..usual.servers },
        dependencies: &all,
        ..usual
    };
    let (custom, others): (Vec<_>, Vec<_>) = rule_groups(&monitored).into_iter().partition(is_custom);
    let [custom] = &custom[..] else { panic!("{custom:?}") };
    let recorded: Vec<_> = custom.rules.iter().filter_map(|rule| rule.record.as_deref()).collect();
    assert_eq!(recorded.len(), 5, "{recorded:?}");
    let of_the_spec =
        |rule: &&Rule| ["backlog", "done_total", "shards", "in_front"].iter().any(|of| rule.expr.contains(of));
    assert_eq!(custom.rules.iter().filter(of_the_spec).count(), 4, "arrivals are computed from recorded series");
    assert_eq!(others.iter().flat_map(|group| &group.rules).filter(of_the_spec).count(), 0, "{others:?}");
}

#[test]
fn the_rate_window_of_metrics_exposed_by_workers_spans_four_of_their_scrapes() {
    let all = Names::usual().dependencies();
    let by_workers: Vec<_> = all.into_iter().filter(|dependency| dependency.name == "ConsumerClient").collect();
    for (interval, window) in [(5, "[1m]"), (60, "[4m]")] {
        let usual = packages("FastApiInstrumentator");
        let metrics = Metrics { workers_interval_seconds: interval, ..usual.metrics };
        let monitored = Monitored { metrics, dependencies: &by_workers, ..usual };
        let expr =
            rules(&monitored).into_iter().find(|rule| rule.record.as_deref() == Some("recommender:arrivals:rate1m"));
        assert!(expr.as_ref().is_some_and(|rule| rule.expr.contains(window)), "{interval}: {expr:?}");
        assert_eq!(
            f64::from(crate::monitoring::dependencies::window_seconds(&by_workers[0], interval)),
            if interval == 5 { 60.0 } else { 240.0 }
        );
    }
}

#[test]
fn every_rule_labels_its_series_with_the_object_and_the_dependency() {
    let names = Names::usual();
    for dependency in names.dependencies().iter().chain([&own()]) {
        let rules = names.rules(dependency);
        let has_lag = rules.iter().any(|rule| rule.record.as_deref() == Some("recommender:lag_messages"));
        assert!(has_lag == dependency.exporter.is_none() && !rules.is_empty(), "{dependency:?}");
        for rule in rules {
            let labels: Vec<(&str, &str)> = rule.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let expected =
                [("dependency", dependency.name.as_str()), ("namespace", "shop"), ("recommender", "packages")];
            assert_eq!(labels, expected, "{:?}", rule.record);
        }
    }
}

/// Labels of an exporter's series that identify the dependency.
const SUBJECTS: &[&str] = &["consumergroup", "consumer_group", "group", "topic", "queue", "queues", "key", "job_name"];

#[test]
fn every_selector_matches_the_object_or_its_dependency() {
    let names = Names::usual();
    for dependency in &names.dependencies() {
        for selector in names.rules(dependency).iter().flat_map(|rule| selectors(&rule.expr)) {
            let name = selector.name.as_str();
            let about = |label: &str| selector.matchers.iter().any(|(l, op, _)| l == label && op.starts_with('='));
            if name.starts_with("recommender") {
                assert_eq!(selector.value("namespace"), Some("shop"), "{selector:?}");
                assert_eq!(selector.value("recommender"), Some("packages"), "{selector:?}");
            }
            if name.starts_with("recommender:") {
                assert_eq!(selector.value("dependency"), Some(dependency.name.as_str()), "{selector:?}");
            } else {
                assert_eq!(selector.value("cluster"), Some("main"), "{selector:?}");
                let of_a_cluster =
                    ["redis_up", "kafka_brokers", "flink_jobmanager_num", "flink_taskmanager_Status_", "up"];
                let is_whole = of_a_cluster.iter().any(|of| name.starts_with(of)) || dependency.exporter.is_some();
                assert!(is_whole || SUBJECTS.iter().any(|label| about(label)), "{selector:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_name_can_escape_from_its_string_literal(names in hostile_names()) {
        let usual = Names::usual();
        for (hostile, ordinary) in names.dependencies().iter().zip(&usual.dependencies()) {
            for (rule, expected) in names.rules(hostile).iter().zip(usual.rules(ordinary)) {
                prop_assert_eq!(
                    without_strings(&rule.expr, &names.values(&hostile.name)),
                    without_strings(&expected.expr, &usual.values(&ordinary.name)),
                    "in {}", rule.expr
                );
            }
        }
    }

    #[test]
    fn a_name_in_a_regular_expression_matches_itself(name in hostile()) {
        let regex = regex::Regex::new(&format!("^(?s:{})$", quote_regex(&name))).expect("a regular expression");
        prop_assert!(regex.is_match(&name));
    }
}

#[test]
fn a_duplicate_name_counts_once() {
    let mut names = Names::usual();
    names.several.push("events".into());
    let rules = names.rules(&names.dependencies()[4]);
    assert!(rules[0].expr.contains(" - 1e12 * 2 >= 0"), "{}", rules[0].expr);
}

#[test]
fn arrivals_and_consumption_are_recorded_only_if_they_are_reported() {
    let names = Names::usual();
    let records = |dependency: &Dependency| -> Vec<String> {
        let all = names.rules(dependency).into_iter().filter_map(|rule| rule.record);
        all.filter(|name| name != "recommender:lag_target_seconds").collect()
    };
    let [list, own] = [&names.dependencies()[7], &own()].map(records);
    assert_eq!(list, ["recommender:lag_messages", "recommender:dependency_up"]);
    let all = [
        "recommender:lag_partitions",
        "recommender:lag_messages",
        "recommender:consumed:rate1m",
        "recommender:arrivals:rate1m",
        "recommender:lag_seconds",
    ];
    assert_eq!(own, all);
    let mut only_lag = super::dependencies::own();
    let custom = only_lag.custom.as_mut().expect("custom");
    (custom.consumed, custom.partitions) = (None, None);
    assert_eq!(records(&only_lag), ["recommender:lag_messages"]);
    only_lag.custom.as_mut().expect("custom").arrivals = Some("sum(rate(in_total[1m]))".into());
    assert_eq!(records(&only_lag), ["recommender:lag_messages", "recommender:arrivals:rate1m"]);
}

/// The loader checks templates with an example of each value.
#[test]
fn the_values_of_each_kind_of_dependency_are_those_that_its_templates_may_use() {
    let mut kinds = BTreeMap::new();
    for dependency in Names::usual().dependencies() {
        let (kind, name, values) = reported(&dependency).expect("an exporter of the catalogue");
        assert!(
            catalog::embedded().exporter(kind, &name).is_some(),
            "write src/catalog/dependencies/{kind}/{name}.yaml"
        );
        kinds.insert(kind, values.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    let declared = catalog::KINDS.map(|(kind, values)| (kind, values.iter().map(|(name, _)| *name).collect()));
    assert_eq!(kinds, BTreeMap::from(declared));
}
