//! The YAML of the documentation: whole objects, and parts that are added to the smallest example, are rendered.

mod merge;

use std::{
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use recommender_operator::{
    api::RecommenderModel,
    catalog::{self, Catalog},
    child::Child,
    kinds::Kind,
    model::Model,
    render,
    series::Series,
    validate,
};
use serde_json::{Value, json};

use merge::merge;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const NOW: &str = "2026-11-21T12:00:00Z";

/// A block of YAML.
struct Block {
    /// The page, the heading above the block, and the number of its first line.
    at: String,
    /// The heading.
    heading: String,
    text: String,
}

impl Block {
    fn is_of(&self, kind: &str) -> bool {
        self.text.lines().any(|line| line == format!("kind: {kind}"))
    }

    /// The object: the block itself, or the smallest example with the block added.
    fn object(&self) -> Value {
        let head =
            "apiVersion: recommender.dev/v1alpha1\nkind: RecommenderModel\nmetadata: {name: shop, namespace: shop}\n";
        let is_part = self.text.starts_with("spec:");
        assert!(is_part || self.is_of("RecommenderModel"), "{}: begin with spec: or apiVersion:", self.at);
        let text = if is_part { format!("{head}{}", self.text) } else { self.text.clone() };
        let documents = validate::documents(&text).unwrap_or_else(|error| panic!("{}: {error}", self.at));
        let part = documents.into_iter().next().expect("it has a kind").object;
        let minimal = fs::read_to_string(Path::new(ROOT).join("examples/minimal.yaml")).expect("the example exists");
        let mut object = validate::documents(&minimal).expect("YAML").remove(0).object;
        if part["spec"]["artifacts"].is_object() {
            object["spec"].as_object_mut().expect("a spec").remove("artifacts");
        }
        if part["spec"]["monitoring"].is_object() {
            object["spec"]["monitoring"] = json!({ "metrics": { "profile": "FastApiInstrumentator" } });
        }
        merge(&mut object, &part);
        object
    }

    fn children(&self) -> Vec<Child> {
        let object = self.object();
        let problems = validate::validate(&object);
        assert!(problems.is_empty(), "{}: {}", self.at, validate::report("", &problems));
        let object: RecommenderModel = serde_json::from_value(validate::stored(&object)).expect("it was validated");
        let now = NOW.parse().expect("an instant");
        let model = Model::new(&object, now).unwrap_or_else(|problems| panic!("{}: {problems:?}", self.at));
        render::offline(&model, now)
    }
}

/// The blocks of YAML in README.md and docs/*.md.
fn blocks() -> Vec<Block> {
    let mut pages = pages("docs");
    // Its objects need its files, see tests/cli.rs.
    pages.retain(|page| !page.ends_with("catalog.md"));
    pages.push(Path::new(ROOT).join("README.md"));
    pages.iter().flat_map(|page| blocks_of(page)).collect()
}

/// The error on an unknown key lists those that there are.
#[test]
fn the_page_on_the_catalogue_explains_every_key() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/catalog.md")).expect("the page exists");
    let mut keys = 0;
    for (path, text) in [
        ("profiles/A.yaml", "x: 1"),
        ("profiles/A.yaml", "profile: A\nabout: ''\nseries: [{x: 1}]"),
        ("dependencies/exporter/A.yaml", "x: 1"),
        ("alerts/a.yaml", "alerts: [{x: 1}]"),
    ] {
        let problems = catalog::add(&mut Catalog::default(), [(path, text)]);
        let (_, known) = problems[0].reason.split_once("expected one of ").unwrap_or_else(|| panic!("{problems:?}"));
        for key in known.split(", ").map(|key| key.trim_matches('`')) {
            assert!(page.contains(&format!("\n| `{key}` |")), "docs/catalog.md has no row for {key} of {path}");
            keys += 1;
        }
    }
    assert!(keys > 25, "only {keys} keys were found");
}

/// The error on an unknown value lists those that there are.
#[test]
fn the_page_on_the_catalogue_names_every_value_that_files_may_have() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/catalog.md")).expect("the page exists");
    let alert = "name: RecommenderA\n  appliesTo: serving\n  expr: recommender:sessions{@} > @threshold\n  severity: info\n  summary: A.\n";
    let alert = format!("alerts:\n- {alert}  description: a\n  threshold: {{default: 1, unit: messages}}\n");
    let exporter = "exporter: A\nseries: []\nlag: {total: '@nothing'}\nrecords: {}";
    let mut files = vec![
        ("alerts/a.yaml".to_owned(), alert.replace("unit: messages", "unit: x"), "expected one of "),
        ("alerts/a.yaml".to_owned(), alert.replace("appliesTo: serving", "appliesTo: x"), "expected one of "),
        ("alerts/a.yaml".to_owned(), alert.replace("severity: info", "severity: x"), "expected one of "),
    ];
    for (kind, _) in catalog::KINDS {
        let text = if kind == catalog::NO_LAG {
            exporter.replace("lag: {total: '@nothing'}\n", "").replace("{}", "{dependency_up: '@nothing'}")
        } else {
            exporter.to_owned()
        };
        files.push((format!("dependencies/{kind}/A.yaml"), text, "a value of "));
    }
    for (path, text, begin) in &files {
        let problems = catalog::add(&mut Catalog::default(), [(path.as_str(), text.as_str())]);
        let reason = problems.first().map(|of| of.reason.as_str()).unwrap_or_default();
        let (_, known) = reason.split_once(begin).unwrap_or_else(|| panic!("{path}: {problems:?}"));
        let known = known.split_once(": ").map_or(known, |(_, names)| names);
        for name in known.split(", ").map(|name| name.trim_matches('`')) {
            assert!(page.contains(&format!("`{name}`")), "docs/catalog.md does not name {name} of {path}");
        }
    }
}

#[test]
fn the_page_on_dependencies_has_every_exporter_and_every_series_of_them_with_its_labels() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/dependencies.md")).expect("the page exists");
    let exporters = catalog::embedded().exporters.keys().filter(|(kind, _)| kind == catalog::NO_LAG);
    for (_, name) in exporters {
        let has_row = page.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{name}`")));
        assert!(has_row, "docs/dependencies.md has no row for {name}");
    }
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for series in Series::of_exporters() {
        let (name, brace) = (series.short_name(), series.short_name().rsplit_once(':'));
        let is_named = |row: &&&str| {
            let named = row.trim_start_matches("| ").split(" | ").next().unwrap_or_default();
            let short = brace.is_some_and(|(begin, end)| {
                named
                    .split_once(&format!("`{begin}:{{"))
                    .and_then(|(_, rest)| rest.split_once('}'))
                    .is_some_and(|(ends, _)| ends.split(',').any(|of| of == end))
            });
            short || named.contains(&format!("`{name}`"))
        };
        let row = rows.iter().find(is_named).unwrap_or_else(|| panic!("docs/dependencies.md has no row for {name}"));
        let missing: Vec<_> = series.labels().iter().filter(|label| !row.contains(&format!("`{label}`"))).collect();
        assert!(missing.is_empty(), "the row of {name} does not name {missing:?}");
    }
}

#[test]
fn the_page_on_signals_has_a_row_for_each_with_its_labels_and_alert() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/signals.md")).expect("the page exists");
    for series in Series::SIGNALS {
        let begin = format!("| `{}` |", series.short_name());
        let row = page.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no row {begin}"));
        let missing: Vec<_> = series.labels().iter().filter(|label| !row.contains(&format!("`{label}`"))).collect();
        assert!(missing.is_empty(), "{begin} does not name {missing:?}");
        assert_eq!(series.is_sum(), row.contains("| sum |"), "{row}");
        let alerts = catalog::embedded().alerts.iter().filter(|alert| alert.series.contains(&series));
        let unnamed: Vec<_> = alerts.map(|alert| &alert.name).filter(|name| !row.contains(name.as_str())).collect();
        assert!(unnamed.is_empty(), "{begin} does not name {unnamed:?}");
    }
}

/// The pages of a directory.
fn pages(directory: &str) -> Vec<PathBuf> {
    let pages = fs::read_dir(Path::new(ROOT).join(directory)).expect("there is documentation");
    let mut pages: Vec<_> = pages.map(|entry| entry.expect("the directory can be read").path()).collect();
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages
}

fn blocks_of(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).expect("the page can be read");
    let (mut heading, mut open, mut blocks) = (String::new(), None, Vec::new());
    for (index, line) in text.lines().enumerate() {
        let at = format!("{}:{}: {heading}", page.display(), index + 1);
        match (&mut open, line) {
            (None, "```yaml") => open = Some(Block { at, heading: heading.clone(), text: String::new() }),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), line) => block.text += &format!("{line}\n"),
            (None, line) => heading = line.strip_prefix("## ").map_or(heading, str::to_owned),
        }
    }
    blocks
}

fn block<'a>(blocks: &'a [Block], heading: &str) -> &'a Block {
    blocks.iter().find(|block| block.heading == heading).unwrap_or_else(|| panic!("no block is below {heading}"))
}

#[test]
fn every_object_of_the_documentation_can_be_rendered() {
    let blocks = blocks();
    let models: Vec<_> = blocks.iter().filter(|block| !block.is_of("NetworkPolicy")).collect();
    assert!(models.len() > 8, "only {} blocks were found", models.len());
    for block in models {
        assert!(!block.children().is_empty(), "{}", block.at);
    }
}

#[test]
fn every_object_of_a_runbook_can_be_rendered_and_changes_the_alert_of_its_page() {
    let blocks = pages("docs/runbooks").into_iter().flat_map(|page| {
        let alert = page.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        blocks_of(&page).into_iter().map(move |block| (alert.clone(), block))
    });
    let blocks: Vec<_> = blocks.collect();
    assert!(blocks.len() > 8, "only {} blocks were found", blocks.len());
    for (alert, block) in blocks {
        assert!(!block.children().is_empty(), "{}", block.at);
        let changes = block.object()["spec"]["monitoring"]["alerts"].clone();
        assert!(changes.get(&alert).is_some(), "{}: no change of {alert}", block.at);
    }
}

/// A container and its pod in a Deployment or Job.
const CONTAINER: &str = "/spec/template/spec/containers/0";

#[test]
fn the_recipes_do_what_they_state() {
    let blocks = blocks();
    let probe = |probe: &str| format!("{CONTAINER}/{probe}");
    let metric = "/spec/metrics/0/containerResource";
    let label = "/spec/template/metadata/labels/azure.workload.identity~1use";
    let group = "/spec/template/spec/securityContext/fsGroup".to_owned();
    let (deployment, job) = (Kind::Deployment, Kind::Job);
    for (heading, kind, pointer, expected) in [
        ("Google Cloud Storage on GKE", Kind::ServiceAccount, "/metadata/name".into(), json!("shop")),
        ("Azure Blob Storage on AKS", deployment, label.into(), json!("true")),
        ("Azure Blob Storage on AKS", job, label.into(), json!("true")),
        ("OpenShift", deployment, group.clone(), Value::Null),
        ("OpenShift", job, group, Value::Null),
        ("Metrics over TLS", Kind::ServiceMonitor, "/spec/endpoints/0/scheme".into(), json!("https")),
        (
            "Metrics over TLS",
            Kind::ServiceMonitor,
            "/spec/endpoints/0/tlsConfig/serverName".into(),
            json!("shop.shop.svc"),
        ),
        ("gRPC, further ports and a headless Service", deployment, probe("startupProbe/grpc/port"), json!(9000)),
        ("gRPC, further ports and a headless Service", deployment, probe("readinessProbe/grpc/port"), json!(9000)),
        ("gRPC, further ports and a headless Service", Kind::Service, "/spec/clusterIP".into(), json!("None")),
        ("gRPC, further ports and a headless Service", Kind::Service, "/spec/ports/1/port".into(), json!(9000)),
        ("Probes of servers", deployment, probe("startupProbe/httpGet/path"), json!("/ready")),
        ("Probes of servers", deployment, probe("startupProbe/failureThreshold"), json!(61)),
        ("Probes of servers", deployment, probe("readinessProbe/failureThreshold"), json!(2)),
        ("Probes of servers", deployment, probe("readinessProbe/timeoutSeconds"), json!(3)),
        ("Probes of servers", deployment, probe("livenessProbe/periodSeconds"), json!(30)),
        ("Probes of servers", deployment, probe("livenessProbe/failureThreshold"), json!(6)),
        ("Replicas that follow the memory", Kind::HorizontalPodAutoscaler, format!("{metric}/name"), json!("memory")),
        ("Replicas that follow the memory", Kind::HorizontalPodAutoscaler, "/spec/metrics/1".into(), Value::Null),
        ("Distributed training", job, "/spec/backoffLimit".into(), json!(4)),
        ("Distributed training", job, "/spec/parallelism".into(), json!(4)),
        ("Distributed training", Kind::Service, "/metadata/name".into(), json!("shop-trainers")),
    ] {
        let children = block(&blocks, heading).children();
        let child = children.iter().find(|child| child.kind == kind).expect("it is rendered");
        let found = child.object.pointer(&pointer).cloned().unwrap_or_default();
        assert_eq!(found, expected, "{heading}: {} {pointer}", kind.as_str());
    }
}

#[test]
fn the_network_policy_selects_the_trainers() {
    let blocks = blocks();
    let policy = blocks.iter().find(|block| block.is_of("NetworkPolicy")).expect("a policy");
    let policy: NetworkPolicy = serde_saphyr::from_str(&policy.text).expect("a NetworkPolicy");
    let spec = policy.spec.expect("a spec");
    let from = spec.ingress.expect("ingress")[0].from.clone().expect("peers")[0].pod_selector.clone();
    assert_eq!(from, spec.pod_selector, "they reach each other");
    let children = block(&blocks, "Distributed training").children();
    let job = children.iter().find(|child| child.kind == Kind::Job).expect("a Job");
    let labels = &job.object["spec"]["template"]["metadata"]["labels"];
    let selected = spec.pod_selector.and_then(|selector| selector.match_labels).expect("labels");
    assert!(selected.len() > 1 && selected.iter().all(|(name, value)| labels[name] == **value), "{labels}");
}
