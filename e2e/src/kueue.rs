//! Kueue in the cluster, from the chart in its module. It admits the Jobs of labelled namespaces only: while it starts, the API server
//! refuses every Job that Kueue is to be asked about.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::addons::{filled, once, rolled_out};
use crate::kubectl::{kubectl, kubectl_apply};
use crate::{command, tools};

/// The label of namespaces whose Jobs Kueue admits.
pub const LABEL: &str = "kueue-managed";

/// The namespace and the prefix of its objects.
const NAMESPACE: &str = "kueue-system";

/// The group of Kueue's own kinds.
const GROUP: &str = "kueue.x-k8s.io";

/// Installs Kueue with this image and waits until it is ready.
pub fn install(image: &str) -> Result<()> {
    let (repository, tag) = image.rsplit_once(':').with_context(|| format!("the image {image} has no tag"))?;
    let values = filled(include_str!("../manifests/kueue.yaml"), &[("REPOSITORY", repository), ("TAG", tag)])?;
    let manifests = manifests(&rendered(&values)?)?;
    once("kueue", &manifests, || {
        kubectl(&["create", "namespace", NAMESPACE])
            .map(drop)
            .or_else(|error| if format!("{error:#}").contains("AlreadyExists") { Ok(()) } else { Err(error) })?;
        kubectl_apply(&manifests)
    })?;
    rolled_out(NAMESPACE, "deployment/kueue-controller-manager")
}

/// What Helm renders of the chart, as YAML.
fn rendered(values: &str) -> Result<String> {
    let chart = tools::component("kueue")?.module_directory()?.join("charts/kueue").display().to_string();
    let mut helm = Command::new(tools::program("helm")?);
    helm.args(["template", "kueue", &chart, "--namespace", NAMESPACE, "--values", "-"]);
    command::output_with_input(&mut helm, values.as_bytes())
}

/// The objects of the chart as a List, without what would reach other tests: the aggregated API, without which no namespace can be
/// deleted while Kueue does not run, and webhooks for other kinds and other namespaces.
fn manifests(rendered: &str) -> Result<String> {
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(rendered)?;
    objects.retain(|object| object["kind"] != "APIService");
    for object in &mut objects {
        let Some(webhooks) = object.get_mut("webhooks").and_then(Value::as_array_mut) else { continue };
        webhooks.retain(|webhook| is_about(webhook, GROUP) || is_about(webhook, "batch"));
        for webhook in webhooks.iter_mut().filter(|webhook| is_about(webhook, "batch")) {
            webhook["namespaceSelector"] = json!({"matchLabels": {LABEL: "true"}});
        }
    }
    Ok(serde_json::to_string(&json!({"apiVersion": "v1", "kind": "List", "items": objects}))?)
}

/// Whether the first rule of a webhook is about this API group.
fn is_about(webhook: &Value, group: &str) -> bool {
    webhook["rules"][0]["apiGroups"][0] == group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_asked_about_jobs_of_labelled_namespaces_only() {
        let rendered = "
kind: MutatingWebhookConfiguration
webhooks:
- {name: job, rules: [{apiGroups: [batch]}]}
- {name: pod, rules: [{apiGroups: ['']}]}
- {name: workload, rules: [{apiGroups: [kueue.x-k8s.io]}]}
---
kind: APIService
---
kind: Service
";
        let list: Value = serde_json::from_str(&manifests(rendered).expect("is YAML")).expect("is JSON");
        let webhooks = json!([
            {"name": "job", "rules": [{"apiGroups": ["batch"]}], "namespaceSelector": {"matchLabels": {"kueue-managed": "true"}}},
            {"name": "workload", "rules": [{"apiGroups": ["kueue.x-k8s.io"]}]},
        ]);
        let configuration = json!({"kind": "MutatingWebhookConfiguration", "webhooks": webhooks});
        assert_eq!(list["items"], json!([configuration, {"kind": "Service"}]));
    }
}
