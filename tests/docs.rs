//! The YAML of the documentation: whole objects, and parts that are added to the smallest example, are rendered.

mod merge;

use std::{
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use recommender_operator::{
    api::RecommenderModel,
    kinds::Kind,
    model::Model,
    render::{self, Child},
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
    pages.push(Path::new(ROOT).join("README.md"));
    pages.iter().flat_map(|page| blocks_of(page)).collect()
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
