//! What the operator says of bad input offline is what a real API server says: every bound and every rule of the schema
//! is broken once, and both are asked.
//!
//! The CRD is installed under a group of its own, so that nothing else in the cluster sees it and nothing of it stays.

#[path = "../../tests/bad_input/mod.rs"]
mod bad_input;

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::{Cluster, TestNamespace};
use futures::{StreamExt, TryStreamExt, stream};
use http::Request;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
    core::Status,
};
use recommender_operator::{
    api::crd,
    validate::{Problem, report, validate},
};
use serde_json::{Value, json};

/// Requests at once.
const IN_PARALLEL: usize = 8;

/// The API server's validation of our schema.
struct Judge {
    cluster: Cluster,
    namespace: TestNamespace,
    group: String,
}

impl Judge {
    /// Installs the CRD as `{name}.bad-input.recommender.dev`.
    async fn new(name: &str) -> Result<Self> {
        let cluster = e2e::cluster().await?;
        let namespace = cluster.namespace(&format!("bad-{name}")).await?;
        let judge = Self { group: format!("{namespace}.recommender.dev"), cluster, namespace };
        let mut crd = crd::crd();
        crd.spec.group = judge.group.clone();
        crd.spec.names.plural = "badinputs".into();
        crd.spec.names.singular = Some("badinput".into());
        crd.spec.names.short_names = None;
        crd.spec.names.categories = None;
        crd.metadata.name = Some(judge.crd_name());
        let crds = judge.crds();
        crds.create(&PostParams::default(), &crd).await.context("the API server refuses the CRD")?;
        e2e::eventually("the CRD is served", Duration::from_secs(30), async || {
            let list = Request::get(judge.path("")).body(Vec::new())?;
            judge.cluster.client().request::<Value>(list).await.map_err(Into::into)
        })
        .await?;
        Ok(judge)
    }

    fn crd_name(&self) -> String {
        format!("badinputs.{}", self.group)
    }

    fn crds(&self) -> Api<CustomResourceDefinition> {
        Api::all(self.cluster.client())
    }

    fn path(&self, query: &str) -> String {
        format!("/apis/{}/v1alpha1/namespaces/{}/badinputs{query}", self.group, self.namespace)
    }

    fn in_our_group(&self, object: &Value) -> Value {
        let mut object = object.clone();
        object["apiVersion"] = json!(format!("{}/v1alpha1", self.group));
        object
    }

    /// What the API server objects to, as `kubectl create --dry-run=server` asks it.
    async fn objections(&self, object: &Value) -> Result<BTreeSet<String>> {
        let body = serde_json::to_vec(&self.in_our_group(object))?;
        let request = Request::post(self.path("?dryRun=All&fieldValidation=Strict"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)?;
        match self.cluster.client().request::<Value>(request).await {
            Ok(_) => Ok(BTreeSet::new()),
            Err(kube::Error::Api(status)) => Ok(objections(&status)),
            Err(error) => Err(error.into()),
        }
    }

    /// What kubectl prints when it applies the object, which must fail.
    async fn kubectl_apply(&self, object: &Value) -> Result<String> {
        let input = serde_json::to_string(&self.in_our_group(object))?;
        let arguments = ["-n", &self.namespace.name, "apply", "--dry-run=server", "-f", "-"];
        let refused = self.cluster.kubectl_with_input(&arguments, &input).await.err();
        Ok(format!("{:#}", refused.context("kubectl applies the object")?))
    }

    /// Runs `test` and removes the CRD, however it ends.
    async fn run(name: &str, test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let judge = Self::new(name).await?;
        let result = test(&judge).await;
        judge.crds().delete(&judge.crd_name(), &DeleteParams::default()).await?;
        result
    }
}

/// The objections in an answer of the API server, as kubectl prints them.
fn objections(status: &Status) -> BTreeSet<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let causes: BTreeSet<String> = causes.map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    if !causes.is_empty() {
        return causes;
    }
    let message = &status.message;
    let undecodable = "RecommenderModel in version \"v1alpha1\" cannot be handled as a RecommenderModel: ";
    BTreeSet::from([message.strip_prefix(undecodable).unwrap_or(message).to_owned()])
}

fn offline(object: &Value) -> BTreeSet<String> {
    validate(object).iter().map(Problem::to_string).collect()
}

/// Asks both about each of `cases`: what the API server says that `offline` does not, and the other way round.
async fn differences(judge: &Judge, cases: Vec<bad_input::Case>) -> Result<Vec<String>> {
    let differences = stream::iter(cases).map(|case| async move {
        let (server, offline) = (judge.objections(&case.object).await?, offline(&case.object));
        let difference = (server != offline).then(|| {
            let lines = |left: &BTreeSet<String>, right: &BTreeSet<String>, mark: &str| -> String {
                left.difference(right).map(|text| format!("\n  {mark} {}", shortened(text))).collect()
            };
            format!(
                "{}: {}{}{}",
                case.field,
                case.what,
                lines(&server, &offline, "server: "),
                lines(&offline, &server, "offline:")
            )
        });
        anyhow::Ok(difference)
    });
    let differences: Vec<Option<String>> = differences.buffer_unordered(IN_PARALLEL).try_collect().await?;
    Ok(differences.into_iter().flatten().collect())
}

fn shortened(text: &str) -> String {
    if text.len() > 400 { format!("{} ...", text.chars().take(400).collect::<String>()) } else { text.to_owned() }
}

#[tokio::test]
async fn the_api_server_says_what_offline_validation_says() -> Result<()> {
    Judge::run("bounds", async |judge| {
        let cases = bad_input::broken(&bad_input::table());
        let asked = cases.len();
        let differences = differences(judge, cases).await?;
        ensure!(differences.is_empty(), "{} of {asked} differ:\n{}", differences.len(), differences.join("\n"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_table_says_what_the_api_server_says() -> Result<()> {
    Judge::run("table", async |judge| {
        let table = bad_input::table();
        let mut wrong = Vec::new();
        for case in &table.wrong {
            let says: Vec<String> = judge.objections(&case.object(&table)).await?.into_iter().collect();
            if says != case.says {
                wrong.push(format!("{}: {says:#?}", case.what));
            }
        }
        for valid in &table.valid {
            let says = judge.objections(&valid.object).await?;
            ensure!(says.is_empty(), "{} is refused: {says:#?}", valid.what);
        }
        ensure!(wrong.is_empty(), "tests/bad_input/cases.yaml is not what the API server says:\n{}", wrong.join("\n"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn names_of_up_to_253_characters_with_dots_and_leading_digits_are_taken() -> Result<()> {
    Judge::run("names", async |judge| {
        let mut object = bad_input::table().valid.swap_remove(0).object;
        for name in ["a", "0", "1.2-3.x", &"a".repeat(63), &format!("{}b", "a.".repeat(126))] {
            object["metadata"]["name"] = json!(name);
            let says = judge.objections(&object).await?;
            ensure!(says.is_empty() && offline(&object).is_empty(), "{name} is refused: {says:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_apply_prints_what_render_prints() -> Result<()> {
    Judge::run("kubectl", async |judge| {
        let table = bad_input::table();
        for what in ["a port of zero", "replicas and a target of zero"] {
            let case = table.wrong.iter().find(|case| case.what == what).context("the table has the case")?;
            let object = case.object(&table);
            let said = judge.kubectl_apply(&object).await?;
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            for line in report(name, &validate(&object)).lines() {
                ensure!(said.contains(line.trim_end()), "{line}\nis not in\n{said}");
            }
        }
        Ok(())
    })
    .await
}
