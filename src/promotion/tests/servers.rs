//! What is observed of servers: when they count as failing.

use serde_json::json;

use super::*;
use crate::{
    api::{
        ObjectiveStatus, RecommenderModel, RecommenderModelStatus, ServingStatus,
        conditions::{reasons, types},
    },
    burns::{self, Burn},
    kinds::Kind,
    observe::{Blocked, ChildState, Children, DeploymentState, Open, PodState, Unexplained, Watched},
    promotion::watch::RESTARTS,
    validate::tests::minimal,
};

/// A rollout of version `b` that began 600 s ago, with a deadline of 360 s.
struct Rolling {
    deployment: DeploymentState,
    pods: Vec<PodState>,
    status: RecommenderModelStatus,
    burns: burns::Observed,
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn ago(seconds: i64) -> Timestamp {
    NOW - SignedDuration::from_secs(seconds)
}

impl Rolling {
    fn new(pods: impl IntoIterator<Item = PodState>) -> Self {
        let deployment = DeploymentState {
            version: some("b"),
            deadline: Some(SignedDuration::from_secs(360)),
            observed: true,
            stuck: some("it has timed out"),
            settings: "hash".into(),
            desired: 2,
            ..DeploymentState::default()
        };
        let serving = ServingStatus { rolling_out_since: Some(Time(ago(600))), ..ServingStatus::default() };
        let status = RecommenderModelStatus { serving: Some(serving), ..RecommenderModelStatus::default() };
        Self { deployment, pods: pods.into_iter().collect(), status, burns: burns::Observed::new() }
    }

    fn servers(&self) -> Servers {
        let objectives = ["availability", "fast", "slow", "unknown"];
        let objectives = objectives.map(|name| json!({"name": name, "goal": "99.9", "availability": {}}));
        let age = json!({"name": "model", "goal": "99", "modelAge": {"maxHours": 26}});
        let objectives: Vec<_> = objectives.into_iter().chain([age]).collect();
        let mut object = minimal();
        object["metadata"]["uid"] = "uid".into();
        object["spec"]["monitoring"] =
            json!({"metrics": {"profile": "FastApiInstrumentator"}, "objectives": objectives});
        let object: RecommenderModel = serde_json::from_value(object).expect("an object");
        let model = Model::new(&object, NOW).expect("valid");
        let deployment = ChildState::Deployment(self.deployment.clone());
        let children = Children::default().with(Watched::Child(Kind::Deployment), "packages-serving", deployment, None);
        let pods = self.pods.iter().enumerate();
        let children = pods.fold(children, |children, (index, pod)| {
            children.with(Watched::Pod, &index.to_string(), ChildState::Nothing, Some(pod.clone()))
        });
        Servers::new(&model, &self.status, &children, &self.burns, NOW)
    }
}

fn pod(version: &str) -> PodState {
    PodState { version: version.into(), component: "serving".into(), is_running: true, ..PodState::default() }
}

fn ready(version: &str) -> PodState {
    PodState { ready_since: Some(ago(60)), ..pod(version) }
}

/// A server that has crashed so often.
fn crashing(version: &str, restarts: i32) -> PodState {
    let why = "the container ends right after its start";
    let blocked = Some(Blocked { why: why.into(), counts_from: ago(60) });
    PodState { restarts, restarted_at: Some(ago(30)), blocked, ..pod(version) }
}

#[test]
fn servers_crash_in_a_loop_from_the_fourth_restart_on_if_half_of_them_do() {
    let crashes = |pods: &[PodState]| Rolling::new(pods.iter().cloned()).servers().crashes;
    let text = |count: &str| {
        Some(format!("{count} pods were restarted 4 times or more: the container ends right after its start"))
    };
    assert_eq!(crashes(&[crashing("b", RESTARTS), ready("a")]), text("1 of 1"));
    assert_eq!(crashes(&[crashing("b", RESTARTS - 1), ready("a")]), None);
    assert_eq!(crashes(&[crashing("b", RESTARTS), ready("b")]), text("1 of 2"));
    assert_eq!(crashes(&[crashing("b", RESTARTS), ready("b"), ready("b")]), None, "it may be on a broken node");
    assert_eq!(crashes(&[PodState { restarts: 9, ..ready("b") }]), None, "it works now");
    assert_eq!(crashes(&[crashing("a", 9), ready("b")]), None, "another version");
}

#[test]
fn a_rollout_fails_after_its_deadline_when_containers_that_run_do_not_get_ready() {
    let unready = PodState { unexplained: Some(Unexplained { open: Open::Start, from: ago(1) }), ..pod("b") };
    let rolling = Rolling::new([unready.clone(), ready("a"), ready("a")]);
    assert_eq!(
        rolling.servers().stuck.as_deref(),
        Some("its rollout made no progress within 360 s: 1 of 1 pods are not ready")
    );
    assert!(Rolling::new([crashing("b", 1)]).servers().stuck.is_some(), "restarted by its startup probe");
    let of = |change: fn(&mut Rolling)| {
        let mut rolling = Rolling::new([unready.clone(), ready("a")]);
        change(&mut rolling);
        rolling.servers().stuck
    };
    assert_eq!(of(|of| of.deployment.stuck = None), None);
    assert_eq!(of(|of| of.deployment.observed = false), None);
    let begun = |of: &mut Rolling, seconds| {
        of.status.serving.get_or_insert_default().rolling_out_since = Some(Time(ago(seconds)));
    };
    assert!(of(|of| of.status.serving = None).is_none());
    let mut new = Rolling::new([unready.clone()]);
    begun(&mut new, 359);
    assert_eq!(new.servers().stuck, None, "the Deployment reports the rollout before");
    begun(&mut new, 360);
    assert!(new.servers().stuck.is_some());
}

#[test]
fn what_hits_every_version_alike_is_not_the_fault_of_the_new_one() {
    let stuck = |pods: &[PodState]| Rolling::new(pods.iter().cloned()).servers().stuck;
    let waits = |reason: &str| PodState { is_running: false, waits_for: some(reason), ..pod("b") };
    for reason in ["Unschedulable", "ImagePullBackOff", "ContainerCreating", "CreateContainerConfigError"] {
        assert_eq!(stuck(&[waits(reason), ready("a")]), None, "{reason}");
    }
    assert_eq!(stuck(&[]), None, "no pod was created");
    let just_started = PodState { unexplained: Some(Unexplained { open: Open::Start, from: ago(-20) }), ..pod("b") };
    assert_eq!(stuck(&[just_started]), None, "its first seconds");
    let both = [crashing("b", 9), crashing("a", 1), ready("a")];
    assert_eq!(
        (stuck(&both), Rolling::new(both.clone()).servers().crashes),
        (None, None),
        "those before crash as well"
    );
    let earlier = PodState { restarted_at: Some(ago(601)), ..crashing("a", 1) };
    assert!(stuck(&[crashing("b", 9), earlier]).is_some(), "that was before the rollout");

    let mut back = Rolling::new(both.clone());
    back.status.versions = vec![Version { state: VersionState::RolledBack, ..version("a") }];
    assert!(back.servers().crashes.is_some(), "the version before was taken back, because it crashes");

    let mut quota = Rolling::new([crashing("b", 9)]);
    quota.deployment.refused = some("a quota");
    assert_eq!(quota.servers().stuck, None);
    let mut outage = Rolling::new([crashing("b", 9)]);
    let down = serde_json::from_value(json!({
        "type": types::DEPENDENCIES_HEALTHY, "status": "False", "reason": reasons::DEPENDENCY_DOWN, "message": "",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }));
    outage.status.conditions.push(down.expect("a condition"));
    assert_eq!((outage.servers().stuck, outage.servers().crashes), (None, None));
}

#[test]
fn objectives_that_are_breached_are_reported_with_their_goal_and_what_is_left_of_their_budget() {
    let mut rolling = Rolling::new([ready("b")]);
    rolling.burns = [("availability", Burn::Firing), ("fast", Burn::Pending), ("slow", Burn::Inactive)]
        .map(|(name, burn)| (name.to_owned(), burn))
        .into();
    let objective = ObjectiveStatus {
        name: "availability".into(),
        goal: "99.9".into(),
        budget_remaining_percent: Some(71),
        ..ObjectiveStatus::default()
    };
    rolling.status.objectives.push(objective);
    let servers = rolling.servers();
    let text = "the objective availability (99.9 %) is breached since its rollout: RecommenderObjectiveBurnFast fires; 71 % of its error \
                budget are left";
    assert_eq!(servers.breaches.into_values().collect::<Vec<_>>(), [text]);
    assert_eq!(servers.doubtful, ["availability", "fast", "unknown"]);
}
