//! The CRD is accepted by the API server of the oldest supported Kubernetes, which estimates the cost of rules differently than the
//! one of the cluster.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::{paths, tools, validate_crd};
use recommender_operator::api::crd;
use serde_json::{Value, json};

/// The requests of workers in the CRD: a rule on them counts once for each worker.
const REQUESTS: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/workers/items/properties\
                        /resources/properties/requests";

#[test]
fn the_oldest_supported_api_server_accepts_the_crd() -> Result<()> {
    let problems = validate_crd::problems(&crd::yaml())?;
    ensure!(problems.is_empty(), "Kubernetes 1.33 refuses the CRD:\n{}", problems.join("\n"));
    Ok(())
}

#[test]
fn a_rule_that_is_too_expensive_for_it_is_reported() -> Result<()> {
    let mut crd = serde_json::to_value(crd::crd())?;
    let requests = crd.pointer_mut(REQUESTS).and_then(Value::as_object_mut).context("there are no requests")?;
    let rule = json!({"rule": "self.all(k, isQuantity(string(self[k])))", "message": "write a quantity"});
    requests.insert("x-kubernetes-validations".into(), json!([rule]));
    let problems = validate_crd::problems(&crd.to_string())?;
    let is_of_requests =
        |problem: &&String| problem.contains("[workers].items.properties[resources].properties[requests]");
    let problem = problems.iter().find(is_of_requests).with_context(|| format!("{problems:#?}"))?;
    ensure!(problem.contains("estimated rule cost exceeds budget"), "{problem}");
    Ok(())
}

#[test]
fn it_is_the_oldest_version_that_the_chart_accepts() -> Result<()> {
    let version = tools::component("validate-crd")?.version()?;
    let minor = version.split('.').nth(1).context("the module has a version")?;
    let chart = fs::read_to_string(paths::repository().join("charts/recommender-operator/Chart.yaml"))?;
    ensure!(chart.contains(&format!("kubeVersion: \">=1.{minor}.0-0\"")), "not the version {version}:\n{chart}");
    Ok(())
}
