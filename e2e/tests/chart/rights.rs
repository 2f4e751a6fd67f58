//! The permissions that the chart grants.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use serde_json::Value;

use crate::EFFECTIVE;
use crate::helm::{IMAGE, chart, files, items, namespace, rendered, string, strings, text, value_sets, yaml};

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
    // A review in place of `kubectl auth can-i`, which misreads a resource whose kind the cluster does not have.
    let reviews: Api<SubjectAccessReview> = Api::all(cluster.client());
    let may = async |question: &str, place: &str| -> Result<bool> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{here}:r-recommender-operator")),
                groups: Some(vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()]),
                resource_attributes: Some(attributes(question, place)?),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let status =
            reviews.create(&PostParams::default(), &review).await?.status.context("a review without a status")?;
        Ok(status.allowed)
    };
    let needed = [
        "create jobs.batch",
        "patch deployments.apps",
        "delete deployments.apps",
        "patch deployments.apps/scale",
        "watch horizontalpodautoscalers.autoscaling",
        "patch podmonitors.monitoring.coreos.com",
        "patch httproutes.gateway.networking.k8s.io",
        "get gateways.gateway.networking.k8s.io",
        "list prometheuses.monitoring.coreos.com",
        "list pods",
        "create events",
        "create leases.coordination.k8s.io",
        "update leases.coordination.k8s.io r-recommender-operator",
    ];
    // The API server decides by what its watches have delivered.
    eventually("the roles are in effect", EFFECTIVE, async || {
        for needed in needed {
            ensure!(may(needed, here).await?, "the operator must be allowed to {needed}");
        }
        Ok(())
    })
    .await?;
    for refused in [
        "get secrets",
        "patch prometheuses.monitoring.coreos.com",
        "patch gateways.gateway.networking.k8s.io",
        "delete httproutes.gateway.networking.k8s.io",
        "list secrets",
        "create pods",
        "create pods/exec",
        "create serviceaccounts/token",
        "create rolebindings.rbac.authorization.k8s.io",
        "update leases.coordination.k8s.io another",
    ] {
        ensure!(!may(refused, here).await?, "the operator must not be allowed to {refused}");
    }
    ensure!(!may("list pods", "default").await?, "the operator must see one namespace only");
    Ok(())
}

/// What `VERB RESOURCE.GROUP/SUBRESOURCE NAME` asks for; group, subresource and name may be left out.
fn attributes(question: &str, namespace: &str) -> Result<ResourceAttributes> {
    let mut words = question.split(' ');
    let (verb, what) = words.next().zip(words.next()).with_context(|| format!("not VERB RESOURCE: {question}"))?;
    let (what, subresource) =
        what.split_once('/').map_or((what, None), |(what, subresource)| (what, Some(subresource)));
    let (resource, group) = what.split_once('.').unwrap_or((what, ""));
    Ok(ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: subresource.map(str::to_owned),
        name: words.next().map(str::to_owned),
        ..ResourceAttributes::default()
    })
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
fn rights_on_config_maps_are_granted_only_for_hot_reload() -> Result<()> {
    let of = |arguments: &[&str]| -> Result<(bool, bool)> {
        let objects = yaml(&rendered("ops", &[&["--set", IMAGE], arguments].concat())?)?;
        let rules = objects.iter().filter(|object| object["rules"].is_array());
        let is_granted = rules
            .flat_map(|role| items(&role["rules"]))
            .any(|rule| strings(&rule["resources"]).contains(&"configmaps"));
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").context("no Deployment")?;
        let arguments = strings(&deployment["spec"]["template"]["spec"]["containers"][0]["args"]);
        Ok((is_granted, arguments.contains(&"--hot-reload")))
    };
    assert_eq!(of(&[])?, (false, false));
    assert_eq!(of(&["--set", "hotReload.enabled=true"])?, (true, true));
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
