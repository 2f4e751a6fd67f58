//! The offline validation of the operator reports the same errors as a real API server: every bound and every rule of
//! the schema is violated once, and both results are compared.
//!
//! The CRD is installed under its own group, so that no other program in the cluster uses it, and it is removed at the
//! end.

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

/// How long a kind may take until it is served, and known to kubectl: the API server compiles the rules of four large definitions at once.
const SERVED: Duration = Duration::from_secs(180);

/// Number of parallel requests.
const IN_PARALLEL: usize = 8;

/// Validation of our schema by the API server.
struct Validator {
    cluster: Cluster,
    namespace: TestNamespace,
    group: String,
}

impl Validator {
    /// Installs the CRD as `badinputs.{namespace}.recommender.dev`.
    async fn new(name: &str) -> Result<Self> {
        let cluster = e2e::cluster().await?;
        let namespace = cluster.namespace(&format!("bad-{name}")).await?;
        let validator = Self { group: format!("{namespace}.recommender.dev"), cluster, namespace };
        let mut crd = crd::crd();
        crd.spec.group = validator.group.clone();
        crd.spec.names.plural = "badinputs".into();
        crd.spec.names.singular = Some("badinput".into());
        crd.spec.names.short_names = None;
        crd.spec.names.categories = None;
        crd.metadata.name = Some(validator.crd_name());
        let crds = validator.crds();
        crds.create(&PostParams::default(), &crd).await.context("the API server refuses the CRD")?;
        e2e::eventually("the CRD is served", SERVED, async || {
            let list = Request::get(validator.path("")).body(Vec::new())?;
            validator.cluster.client().request::<Value>(list).await.map_err(Into::into)
        })
        .await?;
        Ok(validator)
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

    /// The errors of the API server for an object, as `kubectl create --dry-run=server` requests them.
    async fn errors(&self, object: &Value) -> Result<BTreeSet<String>> {
        let body = serde_json::to_vec(&self.in_our_group(object))?;
        let request = Request::post(self.path("?dryRun=All&fieldValidation=Strict"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)?;
        match self.cluster.client().request::<Value>(request).await {
            Ok(_) => Ok(BTreeSet::new()),
            Err(kube::Error::Api(status)) => Ok(errors(&status)),
            Err(error) => Err(error.into()),
        }
    }

    /// The output of kubectl when it applies an invalid object. The kind may be served before it is among those that kubectl discovers.
    async fn kubectl_apply(&self, object: &Value) -> Result<String> {
        e2e::until_discovered(&self.cluster, &self.crd_name(), SERVED).await?;
        let input = serde_json::to_string(&self.in_our_group(object))?;
        let arguments = ["-n", &self.namespace.name, "apply", "--dry-run=server", "-f", "-"];
        let refused = self.cluster.kubectl_with_input(&arguments, &input).await.err();
        Ok(format!("{:#}", refused.context("kubectl accepts the object")?))
    }

    /// Runs `test`, and removes the CRD regardless of the result.
    async fn run(name: &str, test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let validator = Self::new(name).await?;
        let result = test(&validator).await;
        validator.crds().delete(&validator.crd_name(), &DeleteParams::default()).await?;
        result
    }
}

/// The errors in a response of the API server, as kubectl prints them.
fn errors(status: &Status) -> BTreeSet<String> {
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

/// Compares both results for each of `cases`: errors only of the API server, and errors only of the offline validation.
async fn differences(validator: &Validator, cases: Vec<bad_input::Case>) -> Result<Vec<String>> {
    let differences = stream::iter(cases).map(|case| async move {
        let (server, offline) = (validator.errors(&case.object).await?, offline(&case.object));
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
async fn offline_validation_reports_the_errors_of_the_api_server() -> Result<()> {
    Validator::run("bounds", async |validator| {
        let cases = bad_input::broken(&bad_input::table());
        let count = cases.len();
        let differences = differences(validator, cases).await?;
        ensure!(differences.is_empty(), "{} of {count} differ:\n{}", differences.len(), differences.join("\n"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_table_has_the_errors_of_the_api_server() -> Result<()> {
    Validator::run("table", async |validator| {
        let table = bad_input::table();
        let mut wrong = Vec::new();
        for case in &table.wrong {
            let errors: Vec<String> = validator.errors(&case.object(&table)).await?.into_iter().collect();
            if errors != case.says {
                wrong.push(format!("{}: {errors:#?}", case.what));
            }
        }
        for valid in &table.valid {
            let errors = validator.errors(&valid.object).await?;
            ensure!(errors.is_empty(), "{} is refused: {errors:#?}", valid.what);
        }
        ensure!(
            wrong.is_empty(),
            "tests/bad_input/cases.yaml has other errors than the API server:\n{}",
            wrong.join("\n")
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn names_of_up_to_253_characters_with_dots_and_leading_digits_are_accepted() -> Result<()> {
    Validator::run("names", async |validator| {
        let mut object = bad_input::table().valid.swap_remove(0).object;
        for name in ["a", "0", "1.2-3.x", &"a".repeat(63), &format!("{}b", "a.".repeat(126))] {
            object["metadata"]["name"] = json!(name);
            let errors = validator.errors(&object).await?;
            ensure!(errors.is_empty() && offline(&object).is_empty(), "{name} is refused: {errors:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_apply_prints_what_render_prints() -> Result<()> {
    Validator::run("kubectl", async |validator| {
        let table = bad_input::table();
        for what in ["a port of zero", "replicas and a target of zero"] {
            let case = table.wrong.iter().find(|case| case.what == what).context("the table has the case")?;
            let object = case.object(&table);
            let output = validator.kubectl_apply(&object).await?;
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            for line in report(name, &validate(&object)).lines() {
                ensure!(output.contains(line.trim_end()), "{line}\nis not in\n{output}");
            }
        }
        Ok(())
    })
    .await
}
