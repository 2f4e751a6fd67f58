//! A real Gateway in the namespace of a test: Contour, which reads Gateways and HTTPRoutes and reports on them, and an Envoy, through which
//! the requests go. Its routes are those of one more namespace.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::addons::{filled, once, rolled_out};
use crate::kubectl::{kubectl, kubectl_apply};
use crate::{gateway, tools};

/// The name of the Gateway that it is the controller of.
pub const GATEWAY: &str = "public";

/// The Service of its Envoy. The listener on port 80 of the Gateway is its port 80.
pub const SERVICE: &str = "envoy";

/// Kinds of the Gateway API that it watches, in addition to HTTPRoutes, by their plurals.
const KINDS: [&str; 3] = ["gatewayclasses", "gateways", "referencegrants"];

/// Its own kinds that it cannot run without.
const OWN_KINDS: [&str; 2] = ["httpproxies.projectcontour.io", "tlscertificatedelegations.projectcontour.io"];

/// Starts it in `namespace`, which is also the name of its GatewayClass, for routes of `served`. Waits until it is ready.
pub fn install(image: &str, namespace: &str, served: &str) -> Result<()> {
    let definitions = definitions()?;
    once("contour", &definitions, || {
        kubectl_apply(&definitions)?;
        let names = KINDS.map(|plural| format!("{plural}.gateway.networking.k8s.io"));
        for name in names.iter().map(String::as_str).chain(OWN_KINDS) {
            kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &format!("crd/{name}")])?;
        }
        Ok(())
    })?;
    let uid = kubectl(&["get", "namespace", namespace, "-o", "jsonpath={.metadata.uid}"])?;
    let values = [("IMAGE", image), ("NAMESPACE", namespace), ("SERVED", served), ("UID", &uid)];
    kubectl_apply(&filled(include_str!("../manifests/gateway.yaml"), &values)?)?;
    rolled_out(namespace, "deployment/gateway")
}

/// The definitions of all kinds that it watches, as a List in JSON.
fn definitions() -> Result<String> {
    let path = tools::component("contour")?.module_directory()?.join("examples/contour/01-crds.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut items = own_definitions(&text)?;
    for plural in KINDS {
        items.push(serde_saphyr::from_str(&gateway::definition(plural)?)?);
    }
    Ok(serde_json::to_string(&json!({"apiVersion": "v1", "kind": "List", "items": items}))?)
}

/// Those of [`OWN_KINDS`].
fn own_definitions(text: &str) -> Result<Vec<Value>> {
    let mut all: Vec<Value> = serde_saphyr::from_multiple(text)?;
    all.retain(|object| object["metadata"]["name"].as_str().is_some_and(|name| OWN_KINDS.contains(&name)));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_its_own_kinds_only_those_that_it_cannot_run_without_are_defined() {
        let text = "
metadata: {name: contourdeployments.projectcontour.io}
---
metadata: {name: httpproxies.projectcontour.io}
";
        let expected = [json!({"metadata": {"name": "httpproxies.projectcontour.io"}})];
        assert_eq!(own_definitions(text).expect("is YAML"), expected);
    }

    #[test]
    fn the_manifest_has_no_other_placeholders() {
        let values = ["IMAGE", "NAMESPACE", "SERVED", "UID"].map(|name| (name, "x"));
        let manifest = filled(include_str!("../manifests/gateway.yaml"), &values).expect("is complete");
        let objects: Vec<Value> = serde_saphyr::from_multiple(&manifest).expect("is YAML");
        assert!(objects.iter().any(|object| object["kind"] == "GatewayClass" && object["metadata"]["name"] == "x"));
    }
}
