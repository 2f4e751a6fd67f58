//! Files that are generated and committed: each must be what the code says now.
//!
//! `UPDATE_GENERATED=1 cargo test --test generated` writes them.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use k8s_openapi::api::core::v1::{Container, PodSpec};
use recommender_operator::{
    api::crd,
    catalog::{Profile, Selector},
    monitoring::profiles,
    series::{Series, Subject},
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
        write!(page, "\n## {profile}\n\n{}\n\n{}", of.about, series(of)).expect("a String takes everything");
    }
    assert_generated("docs/profiles.md", &page);
}

#[test]
fn the_documentation_of_canonical_series_is_up_to_date() {
    let mut page = String::from(SERIES);
    for (title, applies_to, is_of_it) in [
        (
            "Servers",
            "`appliesTo: serving`, also `workloads`.",
            (|of| of.workload() == Some("serving") && of.subject() == Subject::Workload) as Of,
        ),
        ("Trainings and versions", "`appliesTo: training`, also `workloads`.", |of| {
            of.workload() == Some("training") && of.subject() == Subject::Workload
        }),
        ("Any workload", "`appliesTo: workloads`; with `serving` or `training` those of the one.", |of| {
            of.subject() == Subject::Workload && of.workload().is_none()
        }),
        ("Dependencies", "`appliesTo: dependencies` or `eachDependency`.", |of| of.subject() == Subject::Dependency),
        ("Objectives", "`appliesTo: objectives`.", |of| of.subject() == Subject::Objective),
        ("Pods and runs", "Alerts cannot read them: their label is another one with every run or pod.", |of| {
            matches!(of.subject(), Subject::Pod | Subject::Run)
        }),
    ] {
        let rows: Vec<String> = Series::all().filter(is_of_it).map(row).collect();
        assert!(!rows.is_empty(), "{title}");
        let head = "| Series, after `recommender:` | Unit | Labels | What it is |\n|---|---|---|---|\n";
        write!(page, "\n## {title}\n\n{applies_to}\n\n{head}{}", rows.concat()).expect("a String takes everything");
    }
    let listed = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(listed, Series::all().count(), "each is listed once");
    assert_generated("docs/series.md", &page);
}

/// Whether a series is one of a section.
type Of = fn(&Series) -> bool;

/// A series in a table. What it is, is said in the comment of its row.
fn row(series: Series) -> String {
    const SOURCE: &str = include_str!("../src/series/table.rs");
    let name = format!("        {series:?}: ");
    let before = SOURCE.lines().take_while(|line| !line.starts_with(&name)).collect::<Vec<_>>();
    let comment = before.iter().rev().map_while(|line| line.strip_prefix("        /// ")).collect::<Vec<_>>();
    let mut what = comment.into_iter().rev().collect::<Vec<_>>().join(" ");
    for other in Series::all() {
        what = what.replace(&format!("[`Series::{other:?}`]"), &format!("`{}`", other.short_name()));
    }
    assert!(what.ends_with('.'), "{series:?} has no comment: {what}");
    let labels = [series.subject().label()].into_iter().chain(series.labels().iter().copied());
    let labels: Vec<String> = labels.map(|label| format!("`{label}`")).collect();
    format!("| `{}` | {} | {} | {what} |\n", series.short_name(), series.unit(), labels.join(", "))
}

/// How the page on canonical series begins.
const SERIES: &str = r#"<!-- Generated from src/series/table.rs by UPDATE_GENERATED=1 cargo test --test generated -->
# Canonical series

What our rules record under the same name for every object, whatever its servers and exporters expose. Alerts of your own, dashboards
and other rules read these. Each has the labels `namespace` and `recommender` of its object, and those in the table. A series is absent
while its value is unknown, or if the object has nothing that it is computed from; it is zero only if zero was measured. Alerts: see
[catalog.md](catalog.md#an-alert).

An end such as `rate1m` says over what a value is computed. Names with `rate20s` and `rate10s` are those that decisions on replicas are
made from, of objects that scale.
"#;

/// How the page on metric profiles begins.
const PROFILES: &str = r#"<!-- Generated from src/catalog/profiles/ by UPDATE_GENERATED=1 cargo test --test generated -->
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

## Servers without a latency

Of a summary or a sum of durations only the mean can be computed over several servers, and quantiles of a summary cannot be added
up. Such profiles (Triton, TorchServe) have no latency: there is no alert on it, `autoscaling.latency` is refused, and so is a
threshold of such an alert. `autoscaling.cpu` works, as do load, errors and requests in flight where they are exposed. A server
with a gauge or a summary per pod that you accept as it is can be read with the profile `Custom`, as `max by () (...)`.

## Native histograms

A Prometheus may store a histogram as one native series instead of a series for each bucket: `x` takes the place of `x_bucket`, `x_count`
and `x_sum`. It does so for targets that expose native histograms (`scrape_native_histograms`), and, where it converts them
(`convert_classic_histograms_to_nhcb`), for all others as well. Both are decided for the whole Prometheus, in its configuration or in
its object of prometheus-operator (`convertClassicHistogramsToNHCB`, and in newer releases `scrapeNativeHistograms`), not by the
operator. Rules that read classic histograms then have no load, no latency and no objective of the latency, and `MonitoringReady` is False
with the remedy:

```yaml
spec:
  monitoring:
    metrics:
      profile: OpenTelemetry
      histograms: Native
```

With it all that comes from a histogram is read in both forms: load and errors that are the count of one, quantiles, mean, least and
longest, objectives, canaries, and the signals of scaling. Set it before the Prometheus changes: no alert ends or fires while one form
becomes the other, on the way back, or where both are stored (`always_scrape_classic_histograms`), in which nothing counts twice, not even at a
failed scrape or for a pod that goes away. In the minute of such a change alone, load that is the count of a histogram may be wrong for a
scrape: up to 40 % too low while one sample of the form before is left, and partly twice if a scrape fails just then. The rules were tested
with Prometheus 3.15, and their results are numbers, as before. Without the field nothing is read of native histograms, and
nothing costs more.

- Converted histograms (NHCB) have the bounds of the classic ones, so thresholds and targets are limited by them as before.
- Exponential ones have none. Thresholds are still checked against the bounds that the profile declares, and durations above the
  largest are then measured. A profile of your own that declares the histogram with [`native: true`](catalog.md#series) takes any
  threshold, interpolated between its buckets, and needs no `histograms`.
- While some servers have one form and others the other, as in a rollout that changes the library, load, errors, mean and objectives
  are those of all servers, and quantiles those of the servers with native ones.
- `Custom`, `monitoring.signals`, `monitoring.front.custom` and what exporters of dependencies expose have the form that is written.

## Custom

The signals are PromQL of yours, with any name, label and type of histogram, native ones as well. Selectors get `namespace` of the
object, unless they have it or another label of the namespace that a series is about (`exported_namespace`,
`destination_service_namespace`, `destination_workload_namespace`); another namespace is refused. Two objects in a namespace with the
same application are kept apart by `recommender`, which every scrape of the operator's ServiceMonitor adds. What is left out is unknown:
without `errors` there is no alert on them, without a quantile none on it. Windows are those that you write; short ones make scaling
on latency quick: four scrapes, 20 s by default. The servers have to answer scrapes as with any profile, because a target that
does not answer is down.

```yaml
spec:
  monitoring:
    metrics:
      profile: Custom
      custom:
        requests: rate(shop_requests_total{recommender="shop",path!~"/(health|metrics)"}[1m])
        errors: rate(shop_requests_total{recommender="shop",code=~"5.."}[1m])
        latencyP95: histogram_quantile(0.95, sum(rate(shop_request_seconds{recommender="shop"}[1m])))
        latencyP99: histogram_quantile(0.99, sum(rate(shop_request_seconds{recommender="shop"}[1m])))
        inFlight: shop_requests_in_flight{recommender="shop"}
```

## Proxies in front of the servers

The series of an ingress, a gateway or the clients' sidecars are not scraped from the pods of the servers, so no profile can select
them. Two fields read them: `monitoring.front` counts the load in front of overloaded servers (see [overload.md](overload.md)), and
the profile `Custom` takes load, errors and latency from there. This is ingress-nginx as its chart is scraped by default, without
`honorLabels`, with the Service of the object:

```yaml
spec:
  monitoring:
    front: {ingressNginx: {}}
    metrics:
      profile: Custom
      custom:
        requests: rate(nginx_ingress_controller_requests{exported_namespace="shop",exported_service="shop"}[1m])
        errors: rate(nginx_ingress_controller_requests{exported_namespace="shop",exported_service="shop",status=~"5.."}[1m])
        latencyP95: >-
          histogram_quantile(0.95, sum by (le)
          (rate(nginx_ingress_controller_request_duration_seconds_bucket{exported_namespace="shop",exported_service="shop"}[1m])))
```

And this is Istio, as the proxies of the clients count:

```yaml
spec:
  monitoring:
    front: {istio: {}}
    metrics:
      profile: Custom
      custom:
        requests: >-
          rate(istio_requests_total{reporter="source",destination_service_namespace="shop",destination_service_name="shop"}[1m])
        errors: >-
          rate(istio_requests_total{reporter="source",destination_service_namespace="shop",destination_service_name="shop",response_code=~"5.."}[1m])
        latencyP95: >-
          histogram_quantile(0.95, sum by (le) (rate(istio_request_duration_milliseconds_bucket{reporter="source",destination_service_namespace="shop",destination_service_name="shop"}[1m])))
          / 1000
```

What cannot be had: the requests in flight of a front, its load without that of other routes to the same Service, and the series of
a gateway that have no label with the namespace of the object (Envoy Gateway names a route in `envoy_cluster_name`): record these
with a rule of your own that adds `namespace`, and write the name of that series.
"#;

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
        failed => {
            format!("failed requests are those with {failed}; refused ones that are counted have to be among them")
        }
    };
    let of_users = if profile.route.is_some() { ", without the routes of probes and scrapes" } else { "" };
    rows.extend(
        profile.requests.iter().map(|of| format!("| {} | counter | the load{of_users}; {failed} |", name(&of.name))),
    );
    let other = profile.errors.iter().filter(|of| profile.requests.iter().all(|requests| requests.name != of.name));
    rows.extend(other.map(|of| format!("| {} | counter | failed requests |", name(&of.name))));
    let kept_out = "refused requests, which look like quick ones, have to be kept out of it by the servers";
    rows.push(match &profile.latency {
        Some(of) if of.limit_seconds.is_infinite() => {
            format!("| {} | native histogram | the latency; {kept_out} |", name(&of.histogram))
        }
        Some(of) => format!(
            "| {} | histogram | the latency in {}, up to {} s; needs a bucket bound near your target; {kept_out} |",
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
    rows.extend(profile.responses.as_ref().map(|of| {
        let routes = if profile.routed().is_some() { ", also of the 20 busiest routes" } else { "" };
        format!("| {} | counter | responses by class of `{}`{routes} |", name(&of.counter.name), of.status)
    }));
    let of_routes = profile.route_latency.as_ref().filter(|_| profile.routed().is_some());
    rows.extend(of_routes.map(|of| {
        let sum = of.counter("_sum").name;
        format!("| {} | counter | mean latency of the busiest routes, with its `_count` |", name(&sum))
    }));
    for (counter, what) in [(&profile.request_bytes, "requests"), (&profile.response_bytes, "responses")] {
        rows.extend(counter.as_ref().map(|of| format!("| {} | counter | bytes of {what} |", name(&of.name))));
    }
    let in_flight = profile.in_flight.as_ref();
    let others = if in_flight.is_some_and(|gauge| profile.has_route(&gauge.name)) {
        ", without those of probes and scrapes"
    } else {
        ""
    };
    rows.extend(in_flight.map(|gauge| format!("| {} | gauge | requests in flight{others} |", name(&gauge.name))));
    let is_named = [&profile.requests, &profile.errors].into_iter().flatten().any(|of| of.name == profile.presence);
    if !is_named && !PROCESS.contains(&profile.presence.as_str()) {
        let presence = &profile.presence;
        let type_ = if presence.ends_with("_count") || presence.ends_with("_total") { "counter" } else { "gauge" };
        rows.push(format!("| `{presence}` | {type_} | shows that the server runs, also before its first request |"));
    }
    let [cpu, start] = PROCESS.map(|name| format!("`{name}`"));
    rows.extend(if profile.process {
        [
            format!("| {cpu} | counter | CPU use; every client library of Prometheus exposes it on Linux |"),
            format!("| {start} | gauge | restarts, and whether several processes answer in turn; the same |"),
        ]
    } else {
        [
            format!("| none | | CPU use: there is no {cpu}, it is that of the kubelets |"),
            format!("| none | | restarts: there is no {start}, they are those that kube-state-metrics counts |"),
        ]
    });
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

/// Paths in docs/runbooks/ such as `serving.drainSeconds` are fields of the spec, and `pod.tmp` those of a pod.
#[test]
fn the_runbooks_name_only_fields_that_exist() {
    let schema = crd::schema();
    let spec = &schema["properties"]["spec"]["properties"];
    let below = |schema: &serde_json::Value, name: &str| {
        let plain = name.trim_end_matches("[]");
        let field = match &schema["properties"][plain] {
            serde_json::Value::Null => schema["additionalProperties"].clone(),
            field => field.clone(),
        };
        if plain == name { field } else { field["items"].clone() }
    };
    let is_path =
        |text: &&str| text.contains('.') && text.chars().all(|c| c.is_ascii_alphanumeric() || ".[]".contains(c));
    let (mut checked, mut missing) = (0, Vec::new());
    for entry in fs::read_dir(Path::new(ROOT).join("docs/runbooks")).expect("there are runbooks") {
        let path = entry.expect("the directory can be read").path();
        let page = fs::read_to_string(&path).expect("the page can be read");
        for quoted in page.split('`').skip(1).step_by(2).filter(is_path) {
            let name = quoted.strip_prefix("spec.").unwrap_or(quoted);
            let first = name.split(['.', '[']).next().unwrap_or_default();
            let root = if first == "pod" { &spec["serving"] } else { &schema["properties"]["spec"] };
            if root["properties"][first].is_null() {
                continue;
            }
            checked += 1;
            let found = name.split('.').fold(root.clone(), |schema, name| below(&schema, name));
            missing.extend(found.is_null().then(|| format!("{}: {quoted}", path.display())));
        }
    }
    assert!(checked > 20, "only {checked} fields were found");
    assert!(missing.is_empty(), "there are no such fields: {missing:#?}");
}

#[test]
fn the_examples_are_valid() {
    let mut models = 0;
    let directories = ["examples", "examples/designs"].map(|directory| Path::new(ROOT).join(directory));
    let entries = directories.iter().flat_map(|directory| fs::read_dir(directory).expect("there are examples"));
    for entry in entries {
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
