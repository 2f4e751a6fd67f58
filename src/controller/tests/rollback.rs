//! A version that is taken back by itself: what is written, in which order, and what a restart in between changes.

use super::{
    life::{roll_out, train, whole},
    *,
};
use crate::{
    api::{VersionState, conditions::types},
    promotion::harm_of,
};

const DEPLOYMENT: &str = "PATCH deployments/packages-serving";

/// An object whose first version serves, while the second one is being rolled out and its only server crashes in a loop.
async fn crashing() -> (Fixture, Value) {
    let (mut fixture, mut object) = (Fixture::new(), whole());
    fixture.requests(&object).await;
    train(&fixture);
    fixture.requests(&object).await;
    roll_out(&fixture, 2);
    fixture.requests(&object).await;
    object["metadata"]["annotations"] = json!({"recommender.dev/train": "full again"});
    fixture.requests(&object).await;
    train(&fixture);
    assert!(fixture.requests(&object).await.contains(&DEPLOYMENT.to_owned()));
    let status = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 2});
    fixture.show_child(Watched::Child(Kind::Deployment), "deployments/packages-serving", &status);
    fixture.context.cache.show(Watched::Pod, crashing_server(&fixture));
    (fixture, object)
}

/// A server of the version that the Deployment has.
fn crashing_server(fixture: &Fixture) -> Value {
    let deployment = fixture.server.object("deployments/packages-serving").expect("was created");
    let mut meta = deployment["spec"]["template"]["metadata"].clone();
    for (field, value) in [("name", "new"), ("namespace", "shop"), ("uid", "new"), ("resourceVersion", "5000")] {
        meta[field] = value.into();
    }
    meta["creationTimestamp"] = json!(Timestamp::now());
    let last = json!({"terminated": {"exitCode": 1, "finishedAt": Timestamp::now()}});
    let status = json!({"phase": "Running", "containerStatuses": [{
        "name": "server", "image": "i", "imageID": "i", "ready": false, "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last,
    }]});
    json!({"metadata": meta, "spec": {"containers": []}, "status": status})
}

/// The states of the versions, newest first, and the version that the Deployment has as an index of them.
fn states(fixture: &Fixture) -> (Vec<VersionState>, Option<usize>) {
    let status = fixture.status();
    let deployment = fixture.server.object("deployments/packages-serving").expect("was created");
    let applied = &deployment["spec"]["template"]["metadata"]["labels"]["recommender.dev/version"];
    let applied = status.versions.iter().position(|version| version.id == applied.as_str().unwrap_or_default());
    (status.versions.iter().map(|version| version.state).collect(), applied)
}

#[tokio::test]
async fn that_a_version_is_taken_back_is_recorded_before_the_one_before_is_applied() {
    let (mut fixture, object) = crashing().await;
    assert_eq!(states(&fixture), (vec![VersionState::Candidate, VersionState::Serving], Some(0)));
    assert_eq!(fixture.requests(&object).await, [STATUS, EVENT, DEPLOYMENT, STATUS]);
    assert_eq!(states(&fixture), (vec![VersionState::Failed, VersionState::Serving], Some(1)));
    let why = harm_of(&fixture.status().versions[0]).expect("a verdict");
    assert!(why.starts_with("1 of 1 pods were restarted 4 times or more: the container ends right after"), "{why}");
    assert_eq!(fixture.condition(types::PROMOTION_READY).0, "RolloutFailed");
}

#[tokio::test]
async fn nothing_is_applied_unless_it_is_recorded_and_a_restart_after_that_does_not_try_it_again() {
    let (mut fixture, object) = crashing().await;
    fixture.server.refuse(STATUS, 500, "not now");
    assert!(fixture.reconcile(&object).await.is_err());
    assert!(!fixture.server.requests().contains(&DEPLOYMENT.to_owned()));
    assert_eq!(states(&fixture).1, Some(0));

    fixture.server.refuse_nothing();
    fixture.server.refuse(DEPLOYMENT, 500, "not now");
    assert!(fixture.reconcile(&object).await.is_err());
    assert_eq!(states(&fixture), (vec![VersionState::Failed, VersionState::Serving], Some(0)), "recorded, not applied");

    fixture.server.refuse_nothing();
    fixture.server.requests();
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&DEPLOYMENT.to_owned()) && !requests.contains(&EVENT.to_owned()), "{requests:?}");
    assert_eq!(states(&fixture).1, Some(1));
}
