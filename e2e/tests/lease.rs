//! The lease with a real API server: resource versions, deletion, RBAC, and writes of other clients.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Cluster, TestNamespace};
use k8s_openapi::api::coordination::v1;
use kube::{
    Api, Config,
    api::{DeleteParams, Patch, PatchParams},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use recommender_operator::leader::{Held, Lease, Loss, Timings};
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// Name of the lease.
const NAME: &str = "operator";
/// Timeout of every expected change.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Shorter than the defaults, so that hand-overs are quick, but long enough for a busy host.
const TIMINGS: Timings = Timings {
    lease_duration: Duration::from_secs(10),
    renew_deadline: Duration::from_secs(8),
    retry_period: Duration::from_millis(500),
};

/// A service account with exactly the verbs that the chart grants.
const ACCOUNT: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: candidate}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: candidate}
rules:
  - {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
  - {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [operator], verbs: [get, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: candidate}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: candidate}
subjects: [{kind: ServiceAccount, name: candidate}]
";

/// The lease of one test.
struct Scene {
    namespace: TestNamespace,
    config: Config,
    leases: Api<v1::Lease>,
}

impl Scene {
    /// Candidates have the rights of the service account, `leases` those of an administrator.
    async fn new(hint: &str) -> Result<Self> {
        let cluster: Cluster = e2e::cluster().await?;
        let namespace = cluster.namespace(hint).await?;
        cluster.kubectl_with_input(&["-n", &namespace.name, "apply", "-f", "-"], ACCOUNT).await?;
        let token = cluster.kubectl(&["-n", &namespace.name, "create", "token", "candidate"]).await?;
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig())?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.auth_info = AuthInfo { token: Some(token.trim().to_owned().into()), ..AuthInfo::default() };
        let leases = Api::namespaced(cluster.client(), &namespace.name);
        Ok(Self { namespace, config, leases })
    }

    fn candidate(&self, identity: &str) -> Result<Lease> {
        Ok(Lease::new(&self.config, &self.namespace.name, NAME, identity, TIMINGS)?)
    }

    async fn held(&self, identity: &str) -> Result<Held> {
        let held = timeout(TIMEOUT, self.candidate(identity)?.acquire()).await;
        held.with_context(|| format!("{identity} does not get the lease"))
    }

    /// A candidate that waits for the lease and has read it.
    async fn waiting(&self, identity: &str) -> Result<JoinHandle<Held>> {
        let candidate = self.candidate(identity)?;
        let waiting = tokio::spawn(async move { candidate.acquire().await });
        sleep(TIMINGS.retry_period * 3).await;
        ensure!(!waiting.is_finished(), "{identity} took a lease that was not free");
        Ok(waiting)
    }

    async fn spec(&self) -> Result<v1::LeaseSpec> {
        self.leases.get(NAME).await?.spec.context("a spec")
    }

    /// The holder and the number of transitions.
    async fn record(&self) -> Result<(String, i32)> {
        let record = self.spec().await?;
        Ok((record.holder_identity.unwrap_or_default(), record.lease_transitions.unwrap_or_default()))
    }

    async fn edit(&self, spec: serde_json::Value) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.leases.patch(NAME, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_released_lease_is_handed_over_at_once_and_counted() -> Result<()> {
    let scene = Scene::new("lease-release").await?;
    let first = scene.held("first").await?;
    let (holder, transitions) = scene.record().await?;
    ensure!(holder.starts_with("first_") && transitions == 0, "{holder} {transitions}");
    let waiting = scene.waiting("second").await?;

    first.release().await?;
    let released = Instant::now();
    let second = timeout(TIMEOUT, waiting).await??;
    ensure!(released.elapsed() < TIMINGS.lease_duration, "it waited {:?} as if for a dead holder", released.elapsed());
    let (holder, transitions) = scene.record().await?;
    ensure!(holder.starts_with("second_") && transitions == 1, "{holder} {transitions}");
    ensure!(second.fence().is_valid());
    Ok(())
}

#[tokio::test]
async fn a_dead_holder_is_replaced_after_its_lease_duration() -> Result<()> {
    let scene = Scene::new("lease-dead").await?;
    let first = scene.held("first").await?;
    let fence = first.fence();
    let waiting = scene.waiting("second").await?;
    drop(first); // stops renewing without releasing the lease
    ensure!(!fence.is_valid());
    let renewed = scene.spec().await?.renew_time.context("it was renewed")?.0;
    timeout(TIMEOUT, waiting).await??;
    let acquired = scene.spec().await?.acquire_time.context("it was acquired")?.0;
    let waited = acquired.duration_since(renewed).unsigned_abs();
    // The clock of the host, which both read, may be corrected meanwhile.
    let within = waited + Duration::from_millis(100) < TIMINGS.lease_duration;
    ensure!(!within, "replaced after {waited:?}, within the lease duration");
    Ok(())
}

#[tokio::test]
async fn a_lease_edited_to_another_holder_is_lost_and_acquired_again_after_its_duration() -> Result<()> {
    let scene = Scene::new("lease-given").await?;
    let first = scene.held("first").await?;
    let waiting = scene.waiting("second").await?;
    // The others may observe the change before its answer arrives here.
    let edited = Instant::now();
    scene.edit(json!({"holderIdentity": "mallory"})).await?;
    let loss = timeout(TIMEOUT, first.lost()).await?;
    ensure!(loss == Loss::TakenBy("mallory".to_owned()), "{loss}");
    ensure!(!first.fence().is_valid());
    ensure!(
        edited.elapsed() < TIMINGS.renew_deadline,
        "the next renewal did not detect it; after {:?}",
        edited.elapsed()
    );
    timeout(TIMEOUT, waiting).await??;
    ensure!(edited.elapsed() >= TIMINGS.lease_duration, "{:?}", edited.elapsed());
    Ok(())
}

#[tokio::test]
async fn the_holder_keeps_a_lease_that_is_cleared_shortened_or_deleted() -> Result<()> {
    let scene = Scene::new("lease-edited").await?;
    let first = scene.held("first").await?;
    let (holder, _) = scene.record().await?;
    let waiting = scene.waiting("second").await?;
    for round in 0..4 {
        match round {
            0 => scene.edit(json!({"holderIdentity": null})).await?,
            1 => scene.edit(json!({"leaseDurationSeconds": 1})).await?,
            _ => scene.leases.delete(NAME, &DeleteParams::default()).await.map(drop)?,
        }
        // Longer than the shortened duration and than the retry period of the second candidate, shorter than the lease
        // duration.
        sleep(TIMINGS.retry_period * 6).await;
        ensure!(first.fence().is_valid(), "round {round}: lost");
        ensure!(!waiting.is_finished(), "round {round}: a second holder");
        let (now, transitions) = scene.record().await?;
        ensure!(now == holder && transitions == 0, "round {round}: {now} {transitions}");
    }
    waiting.abort();
    first.release().await?;
    Ok(())
}

#[tokio::test]
async fn two_of_many_candidates_never_hold_the_lease_at_once() -> Result<()> {
    let scene = Scene::new("lease-many").await?;
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut candidates = tokio::task::JoinSet::new();
    for number in 0..6 {
        let (candidate, count) = (scene.candidate(&format!("candidate-{number}"))?, count.clone());
        candidates.spawn(async move {
            use std::sync::atomic::Ordering::SeqCst;
            let held = candidate.acquire().await;
            let others = count.fetch_add(1, SeqCst);
            sleep(TIMINGS.retry_period).await;
            count.fetch_sub(1, SeqCst);
            held.release().await?;
            anyhow::Ok(others)
        });
    }
    let turns = timeout(TIMEOUT, candidates.join_all()).await.context("not all acquired the lease")?;
    for others in turns {
        ensure!(others? == 0, "two held it at once");
    }
    let (_, transitions) = scene.record().await?;
    ensure!(transitions >= 5, "six holders, {transitions} transitions");
    Ok(())
}
