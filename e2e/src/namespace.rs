//! A namespace for each test.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};

use crate::Cluster;
use crate::{command, tools};

/// Environment variable: if it is set, the namespaces of the tests are kept for inspection.
const KEEP_VARIABLE: &str = "E2E_KEEP_NAMESPACES";

/// Namespaces created by this process; makes their names unique.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A namespace that is deleted when this value is dropped, without waiting for the deletion.
pub struct TestNamespace {
    /// Its name.
    pub name: String,
    kubeconfig: std::path::PathBuf,
}

impl Cluster {
    /// Creates a namespace that enforces the Pod Security level `restricted`. `hint` is part of its name.
    pub async fn namespace(&self, hint: &str) -> Result<TestNamespace> {
        let enforce = ("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned());
        self.namespace_with(hint, BTreeMap::from([enforce])).await
    }

    /// Creates a namespace with these labels. `hint` is part of its name.
    pub async fn namespace_with(&self, hint: &str, labels: BTreeMap<String, String>) -> Result<TestNamespace> {
        // Unique among all tests that run and all namespaces that are still terminating.
        let millis = jiff::Timestamp::now().as_millisecond() % 100_000_000;
        let name = format!("t-{hint}-{}-{millis}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let metadata = ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let namespaces: Api<Namespace> = Api::all(self.client());
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("cannot create the namespace {name}"))?;
        Ok(TestNamespace { name, kubeconfig: self.kubeconfig().to_owned() })
    }
}

impl std::fmt::Display for TestNamespace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        if std::env::var_os(KEEP_VARIABLE).is_some() {
            return;
        }
        let deleted = tools::program("kubectl").and_then(|kubectl| {
            let mut command = std::process::Command::new(kubectl);
            command.arg("--kubeconfig").arg(&self.kubeconfig);
            command::output(command.args(["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"]))
        });
        if let Err(error) = deleted {
            eprintln!("the namespace {} could not be deleted: {error:#}", self.name);
        }
    }
}
