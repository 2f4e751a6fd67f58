mod application;
mod bounded;
mod dependencies;
mod histogram;
mod objectives;
mod scaling;
mod selectors;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use proptest::prelude::*;
use selectors::{Selector, selectors};
use serde_json::json;

use super::{
    application::Application,
    canary::{Canary, Compared},
    objectives::Objective,
    *,
};
use crate::{
    api::{
        Dependency, Front, LatencyTarget, Quantile, Resources,
        monitoring_coreos::{Rule, RuleGroup},
    },
    catalog,
    series::Series,
};

/// A latency target.
static P95: LatencyTarget = LatencyTarget { quantile: Quantile::P95, target_milliseconds: 75 };

/// What the servers request and may use.
static RESOURCES: LazyLock<Resources> = LazyLock::new(|| {
    let resources = json!({"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"cpu": "500m"}});
    serde_json::from_value(resources).expect("resources")
});

/// What a canary is compared by.
pub(super) const COMPARED: Compared = Compared { errors: true, slow: Some(0.1) };

/// A canary.
const CANARY: Option<Canary> = Some(Canary { compared: COMPARED, is_routed: false });

pub(super) fn packages(profile: &str) -> Monitored<'_> {
    let object = Object { namespace: "shop", name: "packages", base: "packages" };
    Monitored {
        servers: Servers { resources: Some(&RESOURCES), is_probed: true, ..Servers::default() },
        training: Training {
            period_seconds: Some(86_400),
            waits_for_inputs: true,
            reports_progress: true,
            ..Training::default()
        },
        versions: Versions {
            claim: Some("packages-models"),
            prunes: true,
            wait_for_inputs: true,
            gates: Some(&[("precision_at_10", 0.2)]),
        },
        ..Monitored::new(object, Metrics::of(profile))
    }
}

fn rules(monitored: &Monitored) -> Vec<Rule> {
    rule_groups(monitored).into_iter().flat_map(|group| group.rules).collect()
}

#[test]
fn the_rules_of_every_profile() {
    for profile in profiles::all() {
        insta::assert_yaml_snapshot!(format!("the_rules_of_{profile}"), rule_groups(&packages(profile)));
    }
}

#[test]
fn a_canary_is_compared_by_the_counters_of_each_pod() {
    for (profile, slow) in [("FastApiInstrumentator", Some(0.1)), ("Triton", None), ("StarletteExporter", Some(1.0))] {
        let canary = Some(Canary { compared: Compared { slow, ..COMPARED }, is_routed: false });
        let rules = canary::rules(&Monitored { canary, ..packages(profile) });
        insta::assert_yaml_snapshot!(format!("the_rules_of_a_canary_of_{profile}"), rules);
    }
    assert_eq!(canary::rules(&packages("FastApiInstrumentator")), []);
}

#[test]
fn expressions_of_the_spec_are_recorded_in_a_group_of_their_own_and_scaled_on() {
    let custom = serde_json::from_value(json!({
        "requests": "rate(a_total[1m])",
        "errors": "rate(e_total[1m])",
        "inFlight": "flying",
        "latencyP95": "histogram_quantile(0.95, sum(rate(seconds[1m])))",
    }));
    let signals = Signals::new(&custom.expect("expressions"), "shop").expect("they are valid");
    let resources = scaling::half_a_core();
    let scaled = scaling::scaled(catalog::CUSTOM, &resources);
    let scaled = Monitored { metrics: Metrics { signals: Some(&signals), ..scaled.metrics }, ..scaled };
    let groups = rule_groups(&scaled);
    let (custom, own): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_custom);
    insta::assert_yaml_snapshot!("the_rules_of_Custom", custom);
    let names = ["a_total", "e_total", "flying", "seconds["];
    let read =
        own.iter().flat_map(|group| &group.rules).filter(|rule| names.iter().any(|name| rule.expr.contains(name)));
    assert_eq!(read.count(), 0);
    let alerts: BTreeSet<_> =
        own.iter().flat_map(|group| &group.rules).filter_map(|rule| rule.alert.as_deref()).collect();
    for (alert, fires) in
        [("RecommenderLatencyP95High", true), ("RecommenderLatencyHigh", false), ("RecommenderErrorRatioHigh", true)]
    {
        assert_eq!(alerts.contains(alert), fires, "{alert}: {alerts:?}");
    }
}

/// Everything that rules are rendered for.
fn whole<'a>(
    dependencies: &'a [Dependency],
    front: &'a Front,
    resources: &'a Resources,
    objectives: &'a [Objective],
) -> Monitored<'a> {
    let usual = packages("FastApiInstrumentator");
    Monitored {
        objectives,
        servers: Servers {
            resources: Some(resources),
            latency_target: Some(&P95),
            front: Some(front),
            reloads: true,
            ..usual.servers
        },
        workers: &[Worker { name: "events", lag: Some(("events", 120)), resources: None }],
        canary: CANARY,
        dependencies,
        ..usual
    }
}

#[test]
fn every_series_is_recorded_and_no_other_and_every_alert_reads_recorded_ones() {
    let queues = [
        json!({"name": "events", "kafka": {"consumerGroup": "g", "topics": ["t"], "retentionHours": 24}}),
        json!({"name": "stream", "flink": {"job": "j", "taskManagers": 2}}),
        json!({"name": "mail", "rabbitmq": {"queues": ["q"]}}),
        json!({"name": "jobs", "rq": {"queues": ["q"]}}),
    ];
    let exporters = catalog::embedded().exporters.keys().filter(|(kind, _)| kind == catalog::NO_LAG);
    let others = exporters.map(|(_, name)| json!({"name": "other", "exporter": {"name": name}}));
    let all = queues.into_iter().chain(others);
    let dependencies: Vec<Dependency> = all.map(|of| serde_json::from_value(of).expect("a dependency")).collect();
    let front: Front = serde_json::from_value(json!({"istio": {}})).expect("a front");
    let resources = scaling::half_a_core();
    let application = application::all();
    let changes = BTreeMap::from([("RecommenderErrorRateHigh".to_owned(), alerts::Change::default())]);
    let objectives = objectives::some();
    let whole = whole(&dependencies, &front, &resources, &objectives[..2]);
    let alerting = Alerting { changes: &changes, ..whole.alerting };
    let rules = rules(&Monitored { application: &application, alerting, ..whole });
    let recorded: BTreeSet<&str> = rules.iter().filter_map(|rule| rule.record.as_deref()).collect();
    let declared: BTreeSet<&str> = Series::all().map(Series::name).collect();
    assert_eq!(recorded, declared);
    // Of a series of any workload, the expression has the label, or several rules have each its own.
    for rule in &rules {
        let Some(series) = rule.record.as_deref().and_then(Series::named) else { continue };
        let Some(workload) = series.workload() else { continue };
        assert_eq!(rule.labels.get("workload").map(String::as_str), Some(workload), "{}", series.name());
    }
    let alerts: Vec<&Rule> = rules.iter().filter(|rule| rule.alert.is_some()).collect();
    assert_eq!(alerts.len(), catalog::embedded().alerts.len());
    for alert in alerts {
        let read = selectors(&alert.expr).into_iter().map(|selector| selector.name);
        let unknown: Vec<String> = read.filter(|name| !declared.contains(name.as_str())).collect();
        assert!(unknown.is_empty(), "{:?} reads {unknown:?}", alert.alert);
    }
}

fn names(selectors: &[Selector]) -> Vec<&str> {
    selectors.iter().map(|selector| selector.name.as_str()).collect()
}

/// Names that Kubernetes refuses, with quotes, braces, templates and placeholders that could break out of string literals.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{1,40}",
        "[\"\\\\{}@|.*$\n\t,= ]{1,40}",
        Just(r#"x"} or up{namespace="other"#.to_owned()),
        Just(r#"\"#.to_owned()),
        Just("{@}".to_owned()),
        Just("{{ $labels.namespace }}".to_owned()),
        "[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?",
    ]
}

proptest! {
    #[test]
    fn every_selector_matches_the_object_and_no_other(
        namespace in hostile(), recommender in hostile(), base in hostile(), worker in hostile(),
        metrics_path in hostile(), health_path in hostile(), interval_seconds in 1..=300,
        profile in prop::sample::select(profiles::all().collect::<Vec<_>>()),
    ) {
        let resources = scaling::half_a_core();
        let [availability, _, lag, age] = objectives::some();
        let objectives = [availability, lag, age];
        let usual = Monitored { objectives: &objectives, ..scaling::scaled(profile, &resources) };
        let monitored = Monitored {
            object: Object { namespace: &namespace, name: &recommender, base: &base },
            metrics: Metrics { interval_seconds, unmeasured_paths: &[&metrics_path, &health_path], ..usual.metrics },
            versions: Versions { claim: Some(&worker), ..usual.versions },
            workers: &[Worker { name: &worker, ..Worker::default() }],
            ..usual
        };
        for (rule, usual) in rules(&monitored).iter().zip(&rules(&usual)) {
            let (found, expected) = (selectors(&rule.expr), selectors(&usual.expr));
            prop_assert_eq!(
                names(&found), names(&expected),
                "unexpected series in {}", rule.expr
            );
            for selector in found {
                let of_namespace = selector.value("namespace").or(selector.value("exported_namespace"));
                prop_assert_eq!(of_namespace, Some(namespace.as_str()), "in {}", rule.expr);
                // Series of kube-state-metrics and kubelets select by pod name, and by a join on the owner of Jobs.
                if !selector.name.starts_with("kube") && !selector.name.starts_with("container_") {
                    prop_assert_eq!(selector.value("recommender"), Some(recommender.as_str()), "in {}", rule.expr);
                }
            }
            prop_assert_eq!(&rule.annotations, &usual.annotations, "annotations are templates: no text of the object");
        }
    }
}

#[test]
fn alerts_read_only_series_that_every_profile_records() {
    for profile in profiles::all() {
        let all = rules(&packages(profile));
        let recorded: BTreeSet<String> = all.iter().filter_map(|rule| rule.record.clone()).collect();
        for rule in all.iter().filter(|rule| rule.alert.is_some()) {
            for selector in selectors(&rule.expr) {
                assert!(recorded.contains(&selector.name), "{} is not recorded: {}", selector.name, rule.expr);
            }
        }
    }
}

#[test]
fn the_documentation_of_a_profile_names_every_series_of_a_server_that_its_rules_read() {
    let page = include_str!("../../../docs/profiles.md");
    let resources = scaling::half_a_core();
    for profile in profiles::all() {
        let title = format!("\n## {profile}\n");
        let section =
            page.split_once(&title).unwrap_or_else(|| panic!("docs/profiles.md has no {profile}: generate it")).1;
        let section = section.split("\n## ").next().expect("what precedes the next title");
        let rules = [rules(&packages(profile)), rules(&scaling::scaled(profile, &resources))].concat();
        let selectors = rules.iter().flat_map(|rule| selectors(&rule.expr));
        // `up` is a series of Prometheus about a server, `recommender_model_info` of the contract of servers.
        let exposed = selectors.filter(|of| of.value("workload") == Some("serving") && of.name != "up");
        let exposed: BTreeSet<String> =
            exposed.map(|of| of.name).filter(|name| !name.starts_with("recommender")).collect();
        assert!(exposed.len() > 3, "{exposed:?}");
        let unnamed = exposed.iter().filter(|name| !section.contains(&format!("`{}", without_suffix(name))));
        let unnamed: Vec<_> = unnamed.collect();
        assert!(unnamed.is_empty(), "tests/generated.rs does not write {unnamed:?} of {profile}");
    }
}

/// The name of a histogram or a summary; other names as they are.
fn without_suffix(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

#[test]
fn every_recording_rule_labels_its_series_with_the_object_and_the_workload() {
    for rule in rules(&scaling::scaled("FastApiInstrumentator", &scaling::half_a_core())) {
        let Some(record) = rule.record else { continue };
        let of_training = [
            "training_",
            "promotion_",
            "prune_",
            "not_refreshable_",
            "model_",
            "data_",
            "artifact_",
            "version_",
            "versions_",
            "volume_",
        ];
        let is_of_training = of_training.iter().any(|start| record.starts_with(&format!("recommender:{start}")));
        let workload = if is_of_training { "training" } else { "serving" };
        let mut expected = vec![("namespace", "shop"), ("recommender", "packages"), ("workload", workload)];
        if rule.expr.contains(" by (workload") || record.ends_with("_1w") {
            expected.pop(); // That of the operator's gauge, of the pods, or of what is recorded of them.
        }
        if record == Series::RouteRequests.name() && rule.labels.contains_key("route") {
            expected.insert(2, ("route", "other")); // Of the other routes together.
        }
        let labels: Vec<(&str, &str)> = rule.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(labels, expected, "{record}");
    }
}

#[test]
fn an_alert_on_a_latency_that_the_buckets_cannot_show_is_left_out() {
    for profile in profiles::all() {
        let limit = profiles::of(profile).latency.as_ref().map_or(0.0, |of| of.limit_seconds);
        let rules = rules(&packages(profile));
        let has = |name: &str| rules.iter().any(|rule| rule.alert.as_deref() == Some(name));
        assert_eq!(has("RecommenderLatencyHigh"), limit > 1.0, "{profile:?}: {limit}");
    }
}

#[test]
fn an_alert_that_has_to_be_set_is_only_in_objects_that_set_it() {
    let name = "RecommenderErrorRateHigh";
    let of = |changes: &BTreeMap<String, alerts::Change>| {
        let alerting = Alerting { changes, ..Alerting::default() };
        let rules = rules(&Monitored { alerting, ..packages("FastApiInstrumentator") });
        rules.into_iter().find(|rule| rule.alert.as_deref() == Some(name))
    };
    let changes = |change| BTreeMap::from([(name.to_owned(), change)]);
    assert_eq!(of(&BTreeMap::new()), None);
    assert_eq!(of(&changes(alerts::Change { is_disabled: true, ..alerts::Change::default() })), None);
    let set = of(&changes(alerts::Change { threshold: Some(0.5), ..alerts::Change::default() })).expect("it is set");
    assert!(set.expr.ends_with(" > 0.5"), "{}", set.expr);
}

#[test]
fn an_object_changes_threshold_duration_and_severity_of_an_alert_or_leaves_it_out() {
    let change = alerts::Change::default;
    let changes = BTreeMap::from([
        ("RecommenderErrorRatioHigh".to_owned(), alerts::Change { threshold: Some(0.2), ..change() }),
        ("RecommenderRestarting".to_owned(), alerts::Change { for_seconds: Some(90), ..change() }),
        ("RecommenderMetricsMissing".to_owned(), alerts::Change { for_seconds: Some(0), ..change() }),
        (
            "RecommenderTrainingFailed".to_owned(),
            alerts::Change { severity: Some(catalog::Severity::Critical), ..change() },
        ),
        ("RecommenderScrapesFail".to_owned(), alerts::Change { is_disabled: true, ..change() }),
    ]);
    let usual = rules(&packages("FastApiInstrumentator"));
    let alerting = Alerting { changes: &changes, ..Alerting::default() };
    let changed = rules(&Monitored { alerting, ..packages("FastApiInstrumentator") });
    let find = |rules: &[Rule], name: &str| rules.iter().find(|rule| rule.alert.as_deref() == Some(name)).cloned();
    let rule = |name: &str| find(&changed, name).unwrap_or_else(|| panic!("no {name}"));
    let ratio = rule("RecommenderErrorRatioHigh");
    assert!(ratio.expr.contains(" > 0.2 and "), "{}", ratio.expr);
    assert!(ratio.annotations["description"].contains("more than 20% is too much"));
    assert_eq!(rule("RecommenderRestarting").for_.as_deref(), Some("90s"));
    assert_eq!(rule("RecommenderMetricsMissing").for_, None);
    assert_eq!(rule("RecommenderTrainingFailed").labels["severity"], "critical");
    assert!(find(&usual, "RecommenderScrapesFail").is_some() && find(&changed, "RecommenderScrapesFail").is_none());
    assert_eq!(changed.len() + 1, usual.len());
    assert_eq!(find(&changed, "RecommenderLatencyHigh"), find(&usual, "RecommenderLatencyHigh"));
}

#[test]
fn rate_windows_span_at_least_a_minute_and_four_scrapes() {
    for (interval, window) in [(1, "[60s]"), (45, "[180s]"), (60, "[240s]"), (300, "[1200s]")] {
        let usual = packages("FastApiInstrumentator");
        let metrics = Metrics { interval_seconds: interval, ..usual.metrics };
        let monitored = Monitored { metrics, ..usual };
        let group = &rule_groups(&monitored)[0];
        assert_eq!(group.interval.as_deref(), Some("60s"));
        for rule in group.rules.iter().filter(|rule| rule.expr.contains("rate(")) {
            assert!(rule.expr.contains(window), "every {interval} s: {}", rule.expr);
        }
    }
}

#[test]
fn a_path_with_a_query_is_excluded_by_its_route() {
    let usual = packages("FastApiInstrumentator");
    let metrics = Metrics { unmeasured_paths: &["/metrics", "/health?deep=1"], ..usual.metrics };
    let monitored = Monitored { metrics, ..usual };
    assert!(rules(&monitored).iter().any(|rule| rule.expr.contains(r#"handler!~"/metrics|/health""#)));
}
