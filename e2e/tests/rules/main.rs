//! Tests of the generated rules with promtool of Prometheus: they are valid PromQL, pass the linter, and give the
//! expected results on the series that servers expose. Needs no cluster; promtool is built from source on first use.

mod alerts;
mod dependencies;
mod every_profile;
mod expected;
mod objectives;
mod signals;
mod valid;
mod workloads;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
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
        Alerting, Metrics, Monitored, Object, Servers, Signals, Training, Versions, Worker,
        alerts::Change,
        application::{self, Application},
        canary::{Canary, Compared},
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

use alerts::ALERTS;
use dependencies::{DEPENDENCIES, dependency};
use expected::*;
use objectives::{measured, objectives};
use signals::application;

/// The monitored object of the tests.
const OBJECT: Object = Object { namespace: "shop", name: "packages", base: "packages" };

/// What its servers request and may use.
static RESOURCES: LazyLock<Resources> =
    LazyLock::new(|| resources("{requests: {cpu: 1500m, memory: '1000'}, limits: {cpu: '3'}}"));

/// A latency target.
static P95: LatencyTarget = LatencyTarget { quantile: Quantile::P95, target_milliseconds: 75 };

/// A canary that is compared by all that it can be.
const CANARY: Option<Canary> = Some(Canary { compared: Compared { errors: true, slow: Some(0.1) }, is_routed: false });

/// The object with servers of the profile that most tests use.
fn packages() -> Monitored<'static> {
    of_profile("FastApiInstrumentator")
}

/// The object with servers of this profile.
fn of_profile(profile: &str) -> Monitored<'_> {
    Monitored {
        servers: Servers { resources: Some(&RESOURCES), is_probed: true, ..Servers::default() },
        training: Training { period_seconds: Some(86_400), ..Training::default() },
        versions: Versions { claim: Some("packages-models"), ..Versions::default() },
        ..Monitored::new(OBJECT, Metrics::of(profile))
    }
}

/// The object with gates, inputs to wait for and Jobs that delete artifacts, all of which the operator reports on.
fn with_gauges_of_operator(monitored: Monitored) -> Monitored {
    Monitored {
        training: Training { waits_for_inputs: true, ..monitored.training },
        versions: Versions {
            wait_for_inputs: true,
            prunes: true,
            gates: Some(&[("precision_at_10", 0.2)]),
            ..monitored.versions
        },
        ..monitored
    }
}

/// Compute resources in YAML.
fn resources(yaml: &str) -> Resources {
    serde_saphyr::from_str(yaml).expect("resources")
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

/// Names of the YAML files of a directory of the repository, without their extension.
fn stems(directory: &str) -> Result<BTreeSet<String>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let files = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let paths = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    Ok(paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect())
}

fn run_scenarios(name: &str, monitored: &Monitored, scenarios: &str) -> Result<()> {
    run_groups(name, &rule_groups(monitored), scenarios)
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
