//! Files that are generated and committed: each must be what the code says now.
//!
//! `UPDATE_GENERATED=1 cargo test --test generated` writes them.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use k8s_openapi::api::core::v1::{Container, PodSpec};
use recommender_operator::{
    api::crd,
    catalog::{Profile, Selector},
    monitoring::profiles,
    validate::{documents, report, validate},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Compares a committed file with what it is generated from, or writes it when asked to.
fn assert_generated(path: &str, wanted: &str) {
    let file = Path::new(ROOT).join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(file.parent().expect("the file is in a directory")).expect("the directory can be made");
        fs::write(&file, wanted).expect("the file can be written");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let line = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "{path} is out of date (first difference in line {}): run `UPDATE_GENERATED=1 cargo test --test generated`",
        line.unwrap_or_else(|| found.lines().count().min(wanted.lines().count())) + 1
    );
}

#[test]
fn the_crd_for_kubectl_is_up_to_date() {
    assert_generated("crds/recommendermodels.recommender.dev.yaml", &crd::yaml());
}

#[test]
fn the_crd_in_the_chart_is_up_to_date() {
    assert_generated("charts/recommender-operator/files/crds/recommendermodels.recommender.dev.yaml", &crd::yaml());
}

#[test]
fn the_documentation_of_metric_profiles_is_up_to_date() {
    let mut page = String::from(PROFILES);
    for profile in profiles::all() {
        let of = profiles::of(profile);
        write!(page, "\n## {profile:?}\n\n{}\n\n{}", of.about, series(of)).expect("a String takes everything");
    }
    assert_generated("docs/profiles.md", &page);
}

/// How the page on metric profiles begins.
const PROFILES: &str = "\
<!-- Generated from src/catalog/profiles/ by UPDATE_GENERATED=1 cargo test --test generated -->
# Metric profiles: the series that servers expose

`spec.monitoring.metrics.profile` names the set of metrics that your servers expose. Recording rules map it to the canonical
series, which alerts and scaling read. A server in any language may expose the series of a profile.

## Several processes in a pod

With several processes behind one port (`uvicorn --workers`, `gunicorn`, a cluster of Node), each has its own counters, and each
scrape meets another process. Rates of such counters are nonsense: one that serves nothing seems to serve thousands of requests. A
start time that goes back, or that changes without a restart, shows it: `recommender:targets_of_several_processes` is then above 0,
no series of load and latency is recorded, replicas are held, and the alert `RecommenderSeveralProcesses` fires.

- Best run one process per pod and more replicas. Then each replica has the same capacity, and readiness is that of the process.
- Or let the processes share their counters. With `PROMETHEUS_MULTIPROC_DIR` set, Python's client library and
  prometheus-fastapi-instrumentator add them up. The directory must be writable (below `/tmp`) and emptied when the container
  starts, before its processes do. `process_cpu_seconds_total` and `process_start_time_seconds` are not exposed then: the CPU use
  is that of the kubelets, restarts are those that kube-state-metrics counts.

## Scrapes that are refused

With strict mTLS in the namespace, or a NetworkPolicy, every scrape fails although the servers answer their clients. While pods are
ready, this is the alert `RecommenderScrapesFail` (warning), not `RecommenderNoHealthyTarget` (critical), replicas are held, and
`ScalingActive` reports how many targets do not answer. Let Prometheus join the mesh, or exempt the metrics port from mTLS (Istio:
`portLevelMtls` of a PeerAuthentication), or allow its namespace in the NetworkPolicy.
";

/// The series of a profile, as a table.
fn series(profile: &Profile) -> String {
    let name = |name: &str| match &profile.route {
        Some(route) if profile.has_route(name) => format!("`{name}{{{route}}}`"),
        _ => format!("`{name}`"),
    };
    let mut rows = vec!["| Series | Type | For |".to_owned(), "|---|---|---|".to_owned()];
    let failed: Vec<String> = profile.errors.iter().map(failed).collect();
    let failed = match failed.join(" or ") {
        none if none.is_empty() => "failed requests are not counted: no alert on errors".to_owned(),
        failed => format!("failed requests are those with {failed}, and refused ones count as failed"),
    };
    let of_users = if profile.route.is_some() { ", without the routes of probes and scrapes" } else { "" };
    rows.extend(
        profile.requests.iter().map(|of| format!("| {} | counter | the load{of_users}; {failed} |", name(&of.name))),
    );
    let other = profile.errors.iter().filter(|of| profile.requests.iter().all(|requests| requests.name != of.name));
    rows.extend(other.map(|of| format!("| {} | counter | failed requests |", name(&of.name))));
    rows.push(match &profile.latency {
        Some(of) => format!(
            "| {} | histogram | the latency in {}, up to {} s; needs a bucket bound near your target, and excludes refused \
             requests |",
            name(&of.histogram),
            match of.per_second {
                1 => "seconds",
                1000 => "milliseconds",
                _ => "microseconds",
            },
            of.limit_seconds
        ),
        None => "| none | | the latency: such servers have no histogram of it, so there is no alert on it, and no \
                 `autoscaling.latency` |"
            .into(),
    });
    let in_flight = profile.in_flight.as_ref();
    let others = if in_flight.is_some_and(|gauge| profile.has_route(gauge)) {
        ", without those of probes and scrapes"
    } else {
        ""
    };
    rows.extend(in_flight.map(|gauge| format!("| {} | gauge | requests in flight{others} |", name(gauge))));
    let is_named = [&profile.requests, &profile.errors].into_iter().flatten().any(|of| of.name == profile.presence);
    if !is_named && !PROCESS.contains(&profile.presence.as_str()) {
        let presence = &profile.presence;
        let type_ = if presence.ends_with("_count") || presence.ends_with("_total") { "counter" } else { "gauge" };
        rows.push(format!("| `{presence}` | {type_} | shows that the server runs, also before its first request |"));
    }
    rows.push(format!(
        "| `{}` | counter | CPU use; every client library of Prometheus exposes it on Linux |",
        PROCESS[0]
    ));
    rows.push(format!(
        "| `{}` | gauge | restarts, and whether several processes answer in turn; the same |",
        PROCESS[1]
    ));
    rows.join("\n") + "\n"
}

/// Series of the process, which client libraries of Prometheus expose.
const PROCESS: [&str; 2] = ["process_cpu_seconds_total", "process_start_time_seconds"];

/// What distinguishes failed requests.
fn failed(of: &Selector) -> String {
    let what = if of.matchers.is_empty() { &of.name } else { &of.matchers };
    format!("`{what}`")
}

#[test]
fn the_documentation_of_pods_names_every_field_of_a_pod_and_of_a_container() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/pods.md")).expect("the page can be read");
    let rows: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    for schema in [schemars::schema_for!(PodSpec), schemars::schema_for!(Container)] {
        let fields = schema.as_value()["properties"].as_object().expect("fields").keys();
        let missing: Vec<&String> = fields.filter(|field| !rows.contains(field.as_str())).collect();
        assert!(missing.is_empty(), "write in docs/pods.md where these are, or why not: {missing:?}");
    }
}

/// Paths in docs/pods.md such as `pod.tmp` are fields of the spec.
#[test]
fn the_documentation_of_pods_names_only_fields_that_exist() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/pods.md")).expect("the page can be read");
    let names = page.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.strip_prefix("pod."));
    let pod = &crd::schema()["properties"]["spec"]["properties"]["serving"]["properties"]["pod"];
    let mut checked = 0;
    for name in names {
        let field = name.split('.').fold(pod, |schema, name| &schema["properties"][name]);
        assert!(field.is_object(), "there is no serving.pod.{name}");
        checked += 1;
    }
    assert!(checked > 20, "only {checked} fields were found");
}

#[test]
fn the_examples_are_valid() {
    let mut models = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("examples")).expect("there are examples") {
        let path = entry.expect("the directory can be read").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("the example can be read");
        let found = documents(&text).unwrap_or_else(|error| panic!("{}:{error}", path.display()));
        assert!(!found.is_empty(), "{} has no RecommenderModel", path.display());
        for document in found {
            let problems = validate(&document.object);
            assert!(problems.is_empty(), "{}:{}: {}", path.display(), document.line, report("", &problems));
            models += 1;
        }
    }
    assert!(models >= 2, "examples/minimal.yaml and examples/packages.yaml are missing");
}
