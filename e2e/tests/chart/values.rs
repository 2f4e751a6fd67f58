//! The values of the chart: refused, documented, and handed to the operator.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::helm::{IMAGE, chart, rendered, string, strings, template, text, value_sets, yaml};

#[test]
fn the_arguments_of_the_deployment_are_valid_on_the_command_line() -> Result<()> {
    use clap::Parser;
    for set in value_sets()? {
        let objects = yaml(&rendered("ops", &["--values", text(&set)])?)?;
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").context("no Deployment")?;
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let line = [&["recommender-operator"], strings(&container["args"]).as_slice()].concat();
        let cli = recommender_operator::cli::Cli::try_parse_from(&line);
        let cli = cli.with_context(|| format!("{}: {line:?}", set.display()))?;
        let recommender_operator::cli::Command::Run(run) = cli.command else { anyhow::bail!("not run: {line:?}") };
        ensure!(container["ports"][0]["containerPort"] == run.listen.port(), "{line:?} listens elsewhere");
    }
    Ok(())
}

#[test]
fn the_operator_reads_the_metric_sources_of_the_config_map() -> Result<()> {
    let everything = chart().join("ci/everything-values.yaml");
    let objects = yaml(&rendered("ops", &["--values", text(&everything)])?)?;
    let file = objects.iter().find_map(|object| object["data"]["metric-sources.yaml"].as_str());
    let sources = recommender_operator::signals::config::parse(file.context("no file of metric sources")?)?;
    let names: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["default", "mimir"]);
    Ok(())
}

/// Files of a ConfigMap become files of a directory as `items` of the volume name them.
#[test]
fn the_operator_accepts_the_files_of_its_catalogue() -> Result<()> {
    use recommender_operator::catalog;
    let everything = chart().join("ci/everything-values.yaml");
    let objects = yaml(&rendered("ops", &["--values", text(&everything)])?)?;
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").context("no Deployment")?;
    let pod = &deployment["spec"]["template"];
    let volumes = pod["spec"]["volumes"].as_array().context("no volumes")?;
    let volume = volumes.iter().find(|volume| volume["name"] == "catalog").context("no volume of the catalogue")?;
    let is_its_map = |object: &&Value| object["metadata"]["name"] == volume["configMap"]["name"];
    let map = objects.iter().filter(|object| object["kind"] == "ConfigMap").find(is_its_map).context("no ConfigMap")?;
    let items = volume["configMap"]["items"].as_array().context("no items")?;
    let files = items.iter().map(|item| (string(&item["path"]), string(&map["data"][string(&item["key"])])));
    let mut catalog = catalog::embedded().clone();
    let problems = catalog::add(&mut catalog, files);
    ensure!(problems.is_empty(), "{problems:?}");
    ensure!(catalog.profiles.contains_key("Own") && catalog.exporter("exporter", "Own").is_some());
    ensure!(catalog.alert("RecommenderSearchBusy").is_some());
    ensure!(pod["metadata"]["annotations"]["recommender.dev/catalog"].is_string(), "a change restarts no pod");
    let minimal = rendered("ops", &["--set", IMAGE])?;
    ensure!(!minimal.contains("--catalog"), "there is a catalogue without files:\n{minimal}");
    Ok(())
}

#[test]
fn invalid_values_are_refused_with_a_helpful_message() -> Result<()> {
    for (set, hint) in [
        ("replica=2", "additional properties 'replica' not allowed"),
        ("replicas=-1", "minimum: got -1, want 0"),
        ("port=80", "minimum: got 80, want 1,024"),
        ("watchNamespaces={Shop}", "/watchNamespaces/0"),
        ("watchNamespaces={a,a}", "items at 0 and 1 are equal"),
        ("image.digest=sha256:12", "/image/digest"),
        ("log.format=xml", "value must be one of 'json', 'text'"),
        ("serviceMonitor.interval=often", "/serviceMonitor/interval"),
        ("prometheusRule.runbookBaseURL=runbooks", "/prometheusRule/runbookBaseURL"),
        ("metricSources[0].name=default", "missing property 'url'"),
        ("metricSources[0].name=a,metricSources[0].url=prometheus:9090", "/metricSources/0/url"),
        ("catalog.profiles.my-own.profile=x", "'my-own' does not match pattern"),
        ("catalog.dependencies.nats.Own.exporter=x", "invalid propertyName 'nats'"),
        ("catalog.panels.own=x", "additional properties 'panels' not allowed"),
        ("image.repository=", "image.repository is empty"),
        ("replicas=2,leaderElection.enabled=false", "Enable leaderElection, or set replicas to 1"),
    ] {
        let refused = template("ops", &["--set", IMAGE, "--set", set])?.err();
        let refused = refused.with_context(|| format!("--set {set} is not refused"))?;
        ensure!(refused.contains(hint), "--set {set} prints:\n{refused}");
    }
    let old = template("ops", &["--set", IMAGE, "--kube-version", "1.32.9"])?.err().context("1.32 is not refused")?;
    ensure!(old.contains(">=1.33"), "{old}");
    Ok(())
}

#[test]
fn every_value_and_its_default_are_in_the_readme() -> Result<()> {
    let schema: Value = serde_json::from_str(&fs::read_to_string(chart().join("values.schema.json"))?)?;
    let defaults = yaml(&fs::read_to_string(chart().join("values.yaml"))?)?.remove(0);
    let readme = fs::read_to_string(chart().join("README.md"))?;
    let mut rows = Vec::new();
    values(&schema, &defaults, "", &mut rows);
    ensure!(rows.len() > 40, "only {} values in the schema", rows.len());
    for (path, default, description) in rows {
        let row = readme.lines().find_map(|line| line.strip_prefix(&format!("| `{path}` | `")));
        let row = row.with_context(|| format!("{path} has no row in the chart's README.md"))?;
        let (stated, meaning) = row.split_once("` | ").with_context(|| format!("{path}: no such row"))?;
        let stated: Value = serde_json::from_str(stated).with_context(|| format!("{path}: {stated} is no JSON"))?;
        assert_eq!(stated, default, "README.md: the default of {path}");
        assert_eq!(meaning, format!("{description} |"), "README.md: the meaning of {path}, as in values.schema.json");
    }
    Ok(())
}

/// Path, default and description of each value. Objects with listed fields are traversed.
fn values(schema: &Value, defaults: &Value, prefix: &str, into: &mut Vec<(String, Value, String)>) {
    let fields = schema["properties"].as_object().into_iter().flatten();
    for (name, field) in fields.filter(|(name, _)| *name != "global") {
        let path = format!("{prefix}{name}");
        if field["properties"].is_object() {
            values(field, &defaults[name], &format!("{path}."), into);
        } else {
            into.push((path, defaults[name].clone(), string(&field["description"]).to_owned()));
        }
    }
}
