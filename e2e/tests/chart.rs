//! The Helm chart: rendered with every set of values in its `ci/`, and validated by a real API server. The operator
//! itself is installed from the chart by the tests that follow a model from apply to serving.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use e2e::{Cluster, TestNamespace, paths, tools};
use serde_json::Value;

/// The chart has no default image, so every rendering sets one.
const IMAGE: &str = "image.repository=recommender-operator";

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
    let name = "crd/recommendermodels.recommender.dev";
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", name]).await?;
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

#[tokio::test]
async fn the_service_account_has_exactly_the_rights_of_the_rules() -> Result<()> {
    let cluster = e2e::cluster().await?;
    let namespace = namespace(&cluster, "chart-rights").await?;
    let here = namespace.name.as_str();
    let watched = format!("watchNamespaces={{{here}}}");
    for file in ["serviceaccount", "rbac-operator", "rbac-lease"] {
        let file = format!("templates/{file}.yaml");
        let manifests = rendered(here, &["--set", IMAGE, "--set", &watched, "--show-only", &file])?;
        cluster.kubectl_with_input(&["apply", "--server-side", "-f", "-"], &manifests).await?;
    }
    let account = format!("--as=system:serviceaccount:{here}:r-recommender-operator");
    let may = |what: &str, place: &str| -> Result<bool> {
        let mut question = vec!["auth", "can-i", "--namespace", place, &account];
        question.extend(what.split(' '));
        let output = kubectl(&cluster, &question, "")?;
        match String::from_utf8_lossy(&output.stdout).trim() {
            "yes" => Ok(true),
            "no" => Ok(false),
            other => anyhow::bail!("can-i {what}: {other}{}", String::from_utf8_lossy(&output.stderr)),
        }
    };
    for needed in [
        "create jobs.batch",
        "patch deployments.apps",
        "delete deployments.apps",
        "patch deployments.apps --subresource=scale",
        "watch horizontalpodautoscalers.autoscaling",
        "patch podmonitors.monitoring.coreos.com",
        "list pods",
        "create events",
        "create leases.coordination.k8s.io",
        "update leases.coordination.k8s.io/r-recommender-operator",
    ] {
        ensure!(may(needed, here)?, "the operator must be allowed to {needed}");
    }
    for refused in [
        "get secrets",
        "list secrets",
        "create pods",
        "create pods --subresource=exec",
        "create serviceaccounts --subresource=token",
        "create rolebindings.rbac.authorization.k8s.io",
        "update leases.coordination.k8s.io/another",
    ] {
        ensure!(!may(refused, here)?, "the operator must not be allowed to {refused}");
    }
    ensure!(!may("list pods", "default")?, "the operator must see one namespace only");
    Ok(())
}

#[test]
fn no_rule_grants_too_much() -> Result<()> {
    let mut checked = 0;
    for set in value_sets()? {
        let objects = yaml(&rendered("ops", &["--values", text(&set)])?)?;
        for role in objects.iter().filter(|object| object["rules"].is_array()) {
            for rule in items(&role["rules"]) {
                check_rule(rule).with_context(|| format!("{}: {}", set.display(), role["metadata"]["name"]))?;
                checked += 1;
            }
        }
    }
    ensure!(checked > 50, "only {checked} rules were checked");
    Ok(())
}

/// Fails if a rule has wildcards, grants resources by which its holder could escalate privileges, or has unknown verbs.
fn check_rule(rule: &Value) -> Result<()> {
    const FORBIDDEN_RESOURCES: &[&str] = &[
        "secrets",
        "configmaps",
        "nodes",
        "namespaces",
        "roles",
        "rolebindings",
        "clusterroles",
        "clusterrolebindings",
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "customresourcedefinitions",
        "pods/exec",
        "pods/attach",
        "pods/portforward",
        "pods/ephemeralcontainers",
        "serviceaccounts/token",
    ];
    const KNOWN_VERBS: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let (resources, verbs) = (strings(&rule["resources"]), strings(&rule["verbs"]));
    ensure!(!resources.is_empty() && !verbs.is_empty() && rule["nonResourceURLs"].is_null(), "{rule} is no rule");
    ensure!(!rule.to_string().contains('*'), "a wildcard: {rule}");
    for resource in &resources {
        ensure!(!FORBIDDEN_RESOURCES.contains(resource), "{resource} in {rule}");
    }
    // Excludes escalate, bind and impersonate.
    ensure!(verbs.iter().all(|verb| KNOWN_VERBS.contains(verb)), "an unusual verb: {rule}");
    let reads = verbs.iter().all(|verb| ["get", "list", "watch"].contains(verb));
    ensure!(reads || !resources.contains(&"pods"), "pods are only read: {rule}");
    Ok(())
}

#[test]
fn every_rule_in_the_templates_has_its_reason_in_a_comment_above() -> Result<()> {
    let mut rules = 0;
    for template in files(&chart().join("templates"))? {
        let source = fs::read_to_string(&template)?;
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        for (above, line) in lines.windows(2).map(|pair| (pair[0], pair[1])) {
            if line.starts_with("- apiGroups:") {
                ensure!(above.starts_with("# "), "{}: no reason above {line}", template.display());
                rules += 1;
            }
        }
    }
    ensure!(rules > 10, "only {rules} rules were found in the templates");
    Ok(())
}

#[test]
fn the_namespaced_mode_has_roles_in_the_watched_namespaces_and_no_cluster_wide_objects() -> Result<()> {
    let objects = yaml(&rendered("ops", &["--set", IMAGE, "--set", "watchNamespaces={shop,search}"])?)?;
    for object in &objects {
        let namespaced = object["metadata"]["namespace"].is_string();
        ensure!(namespaced || object["kind"] == "CustomResourceDefinition", "cluster-wide: {object}");
    }
    let places = |kind: &str| -> BTreeSet<String> {
        let of_kind =
            objects.iter().map(|object| (object, &object["metadata"])).filter(|(object, _)| object["kind"] == kind);
        of_kind.map(|(_, meta)| format!("{}/{}", string(&meta["namespace"]), string(&meta["name"]))).collect()
    };
    let expected = ["ops/r-recommender-operator-lease", "search/r-recommender-operator", "shop/r-recommender-operator"];
    assert_eq!(places("Role"), BTreeSet::from(expected.map(str::to_owned)));
    assert_eq!(places("RoleBinding"), BTreeSet::from(expected.map(str::to_owned)));
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").context("no Deployment")?;
    let arguments = strings(&deployment["spec"]["template"]["spec"]["containers"][0]["args"]);
    for argument in ["--watch-namespace=shop", "--watch-namespace=search"] {
        ensure!(arguments.contains(&argument), "{argument} is missing in {arguments:?}");
    }
    Ok(())
}

#[test]
fn both_modes_grant_the_same_rights() -> Result<()> {
    let rules = |kind: &str, arguments: &[&str]| -> Result<Value> {
        let objects = yaml(&rendered("ops", &[&["--set", IMAGE], arguments].concat())?)?;
        let role = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == "r-recommender-operator";
        Ok(objects.iter().find(role).with_context(|| format!("no {kind}"))?["rules"].clone())
    };
    assert_eq!(rules("Role", &["--set", "watchNamespaces={shop}"])?, rules("ClusterRole", &[])?);
    Ok(())
}

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
        ("metricSources[0].name=default", "missing property 'url'"),
        ("metricSources[0].name=a,metricSources[0].url=prometheus:9090", "/metricSources/0/url"),
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

fn chart() -> PathBuf {
    paths::repository().join("charts/recommender-operator")
}

/// The sets of values in the chart's `ci/`, which Helm's chart-testing also uses.
fn value_sets() -> Result<Vec<PathBuf>> {
    let mut sets = files(&chart().join("ci"))?;
    sets.retain(|path| text(path).ends_with("-values.yaml"));
    ensure!(sets.len() >= 6, "sets of values are missing in the chart's ci/: {sets:?}");
    Ok(sets)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Runs Helm without a cluster and without the settings of the user.
fn helm(arguments: &[&str]) -> Result<Output> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
    let mut helm = Command::new(tools::program("helm")?);
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        helm.env(variable, &home);
    }
    helm.args(arguments).env_remove("KUBECONFIG").output().context("cannot run helm")
}

/// The chart rendered as release `r`, or the error of Helm.
fn template(namespace: &str, arguments: &[&str]) -> Result<Result<String, String>> {
    let chart = chart();
    let fixed = ["template", "r", text(&chart), "--namespace", namespace, "--kube-version", "1.33.0"];
    let output = helm(&[&fixed, arguments].concat())?;
    Ok(match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(String::from_utf8(output.stderr)?),
    })
}

fn rendered(namespace: &str, arguments: &[&str]) -> Result<String> {
    template(namespace, arguments)?.map_err(|error| anyhow::anyhow!("helm template {arguments:?}: {error}"))
}

/// Creates a namespace that refuses pods that are not `restricted`, and warns about Deployments of such pods.
async fn namespace(cluster: &Cluster, hint: &str) -> Result<TestNamespace> {
    let label = |mode: &str| (format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
    cluster.namespace_with(hint, [label("enforce"), label("warn")].into()).await
}

/// Validates, defaults and admits manifests with the API server, without writing them.
fn server_dry_run(cluster: &Cluster, manifests: &str) -> Result<Output> {
    let arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"];
    kubectl(cluster, &arguments, manifests)
}

/// As [`Cluster::kubectl_with_input`], but returns warnings and failures as output.
fn kubectl(cluster: &Cluster, arguments: &[&str], input: &str) -> Result<Output> {
    use std::io::Write;
    let mut kubectl = Command::new(tools::program("kubectl")?);
    kubectl.arg("--kubeconfig").arg(cluster.kubeconfig()).args(arguments);
    kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = kubectl.spawn().context("cannot run kubectl")?;
    // kubectl reads everything before it writes. If it exits early, its output has the reason.
    let _ = child.stdin.take().context("stdin is piped")?.write_all(input.as_bytes());
    child.wait_with_output().context("cannot wait for kubectl")
}

fn yaml(text: &str) -> Result<Vec<Value>> {
    serde_saphyr::from_multiple(text).context("this is not YAML")
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn strings(list: &Value) -> Vec<&str> {
    items(list).iter().map(string).collect()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the checkout's path is UTF-8")
}
