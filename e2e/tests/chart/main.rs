//! The Helm chart: rendered with every set of values in its `ci/`, and validated by a real API server. The operator
//! itself is installed from the chart by the tests that follow a model from apply to serving.

mod alerts;
mod helm;
mod rights;
mod scenarios;
mod values;

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::helm::{IMAGE, chart, helm, items, namespace, rendered, server_dry_run, string, text, value_sets, yaml};

/// How long a change may take until the API server has it in all of its caches: a moment, on a busy machine longer.
const EFFECTIVE: Duration = Duration::from_secs(120);

#[test]
fn helm_lint_passes_with_every_set_of_values() -> Result<()> {
    for set in value_sets()? {
        let output = helm(&["lint", "--strict", text(&chart()), "--values", text(&set)])?;
        ensure!(output.status.success(), "{}:\n{}", set.display(), String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

#[tokio::test]
async fn the_api_server_accepts_every_set_of_values_without_a_warning() -> Result<()> {
    let cluster = e2e::cluster().await?;
    let namespace = namespace(&cluster, "chart").await?;
    for set in value_sets()? {
        let manifests = rendered(&namespace.name, &["--values", text(&set)])?;
        let answer = server_dry_run(&cluster, &manifests)?;
        let warnings = String::from_utf8_lossy(&answer.stderr);
        ensure!(answer.status.success(), "{}: {warnings}", set.display());
        // It warns about pods that Pod Security "restricted" would refuse, and about unknown or deprecated fields.
        ensure!(warnings.is_empty(), "{}: {warnings}", set.display());
    }
    Ok(())
}

#[tokio::test]
async fn the_example_for_artifact_hub_is_a_valid_object() -> Result<()> {
    let cluster = e2e::cluster().await?;
    let namespace = namespace(&cluster, "chart-example").await?;
    let crd = recommender_operator::api::crd::yaml();
    let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=e2e", "-f", "-"];
    cluster.kubectl_with_input(&apply, &crd).await?;
    e2e::until_served(&cluster.client(), "recommendermodels.recommender.dev").await?;
    e2e::until_discovered(&cluster, "recommendermodels.recommender.dev", EFFECTIVE).await?;
    let chart: Value = yaml(&fs::read_to_string(chart().join("Chart.yaml"))?)?.remove(0);
    let examples = yaml(string(&chart["annotations"]["artifacthub.io/crdsExamples"]))?.remove(0);
    ensure!(!items(&examples).is_empty(), "Chart.yaml has no example");
    for example in items(&examples) {
        let mut example = example.clone();
        example["metadata"]["namespace"] = namespace.name.as_str().into();
        let answer = server_dry_run(&cluster, &example.to_string())?;
        ensure!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    }
    Ok(())
}

#[test]
fn the_crd_is_kept_by_default_and_can_be_omitted() -> Result<()> {
    let crd = |arguments: &[&str]| -> Result<Option<Value>> {
        let objects = yaml(&rendered("ops", &[&["--set", IMAGE], arguments].concat())?)?;
        Ok(objects.into_iter().find(|object| object["kind"] == "CustomResourceDefinition"))
    };
    let policy = |crd: &Option<Value>| match crd {
        Some(crd) => crd["metadata"]["annotations"]["helm.sh/resource-policy"].clone(),
        None => "no CRD".into(),
    };
    let kept = crd(&[])?;
    assert_eq!(policy(&kept), "keep");
    assert_eq!(policy(&crd(&["--set", "crds.keep=false"])?), Value::Null);
    assert_eq!(policy(&crd(&["--set", "crds.install=false"])?), "no CRD");
    // Helm parses and renders the file: nothing of the schema may be lost or rounded.
    let generated = yaml(&recommender_operator::api::crd::yaml())?.remove(0);
    let same = kept.context("there is no CRD")?["spec"] == generated["spec"];
    ensure!(same, "the chart renders another CRD than the operator's types: see CONTRIBUTING.md for how to copy it");
    Ok(())
}

#[test]
fn the_notes_contain_the_rollout_command_for_every_set_of_values() -> Result<()> {
    for set in value_sets()? {
        let chart = chart();
        let dry = ["install", "r", text(&chart), "--dry-run=client", "--namespace", "ops", "--values", text(&set)];
        let output = helm(&dry)?;
        let printed = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let notes = printed.split_once("NOTES:").context("there are no notes")?.1;
        ensure!(notes.contains("kubectl -n ops rollout status deployment/"), "{notes}");
        ensure!(!notes.contains("<no value>") && !notes.contains("%!"), "{notes}");
    }
    Ok(())
}
