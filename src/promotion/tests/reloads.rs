//! How versions get to servers that read them from a file, with servers, ConfigMaps and a status that may be lost.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    api::ReloadStatus,
    kinds::Kind,
    observe::{ChildState, DeploymentState, PodFile, PodState, Watched},
    promotion::{
        reload::{self, Deployed, Reload, is_rolled_out},
        reports::{Plan, Reports},
    },
    version_file::{Artifact, Observed, Placement},
};

/// Seconds that a reload may take.
const TIMEOUT: SignedDuration = SignedDuration::from_secs(300);

/// A server.
#[derive(Clone, Debug)]
struct Server {
    template: String,
    /// The version that it answers with.
    runs: String,
    /// Whether it follows its file.
    reloads: bool,
    state: State,
}

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Ready,
    /// Its container runs.
    Unready,
    /// Its container waits, as between two crashes: it has no version.
    Waits,
}

/// The Deployment of the servers.
#[derive(Clone, Debug, PartialEq)]
struct Template {
    template: String,
    settings: u8,
    started: Artifact,
    restarted: Option<String>,
    /// Whether its pods read a file.
    has_file: bool,
}

/// What is lost when the operator ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    Never,
    /// Nothing is applied; what has to be recorded first is.
    Recorded,
    /// The file is written, and the Deployment is not.
    Written,
    /// All is applied, and the status is not written.
    Applied,
    /// No crash: the API server refuses the Deployment.
    Refused,
}

/// An object and its cluster.
#[derive(Clone)]
struct World {
    story: Story,
    reload: Option<ReloadStatus>,
    settings: u8,
    /// Whether the spec asks for hot reload.
    is_hot: bool,
    deployed: Option<Template>,
    files: BTreeMap<String, Artifact>,
    servers: Vec<Server>,
    reports: Option<Reports>,
    /// How often the pod template was changed.
    restarts: usize,
}

impl World {
    /// A full version serves.
    fn new() -> Self {
        let mut world = Self {
            story: without_gates(),
            reload: None,
            settings: 0,
            is_hot: true,
            deployed: None,
            files: BTreeMap::new(),
            servers: Vec::new(),
            reports: None,
            restarts: 0,
        };
        world.trains(version("full-1"));
        world.rolls();
        world.reconcile(Crash::Never);
        assert_eq!((world.serving(), world.restarts), ("full-1", 1));
        world
    }

    fn serving(&self) -> &str {
        self.story.rollout.serving.as_deref().unwrap_or_default()
    }

    fn template(settings: u8, started: &Artifact, restarted: Option<&str>) -> String {
        format!("{settings} {} {}", started.version, restarted.unwrap_or_default())
    }

    fn is_rolling(&self) -> bool {
        self.servers.iter().any(|server| self.deployed.as_ref().is_none_or(|of| of.template != server.template))
    }

    /// As it is observed: see [`reload::effective`].
    fn observed(&self) -> Option<Deployed> {
        let of = self.deployed.as_ref()?;
        let named = self.files.get(&of.template).cloned().or_else(|| self.last());
        let file = Observed {
            config_map: of.template.clone(),
            template: of.template.clone(),
            started: of.started.clone(),
            restarted: of.restarted.clone(),
            named,
        };
        let file = Some(file).filter(|_| of.has_file);
        let own = self.servers.iter().enumerate().filter(|(_, server)| server.template == of.template);
        let named = |is: fn(State) -> bool| {
            own.clone().filter(|(_, server)| is(server.state)).map(|(index, _)| index.to_string()).collect()
        };
        Some(Deployed {
            file,
            is_stale: false,
            is_rolling: self.is_rolling(),
            is_stopped: false,
            desired: 3,
            running: named(|state| state != State::Waits),
            ready: named(|state| state == State::Ready),
        })
    }

    /// The version that a file named that is gone.
    fn last(&self) -> Option<Artifact> {
        let rollout = &self.story.rollout;
        let serving = rollout.serving.as_ref().filter(|_| rollout.rolling_out.is_none());
        let id = self.reload.as_ref().map(|reload| &reload.version).or(serving)?;
        rollout.versions.iter().find(|version| version.id == *id).map(Artifact::from)
    }

    fn reconcile(&mut self, crash: Crash) {
        let before = self.story.rollout.clone();
        let observed = self.observed();
        let file = observed.as_ref().and_then(|of| of.file.as_ref());
        let named = file.map(|file| file.named.as_ref().unwrap_or(&file.started).version.clone());
        let started = self.deployed.as_ref().map(|of| of.started.version.clone());
        let named = named.or(started);
        let pending = self.reload.as_ref().zip(observed.as_ref()).filter(|_| file.is_some());
        let is_rolled_out = pending.and_then(|(reload, of)| is_rolled_out(of, reload, self.reports.as_ref()));
        let is_rolled_out = is_rolled_out.unwrap_or_else(|| {
            let is_ready = self.servers.iter().all(|server| server.state == State::Ready);
            !self.is_rolling() && !self.servers.is_empty() && is_ready
        });
        self.story.reconcile(named.as_deref().filter(|_| is_rolled_out));
        let Some(target) = self.story.rollout.serve.clone() else { return };
        let (settings, files) = (self.settings, self.files.clone());
        let without_file = Reload::without_file(self.reload.as_ref(), observed.as_ref());
        let decided = Reload::decide(&reload::Inputs {
            target: &target,
            versions: &self.story.rollout.versions,
            deployed: observed.clone(),
            template: &|started, restarted| Self::template(settings, started, restarted),
            named: &|template| files.get(template).cloned(),
            prior: self.reload.as_ref(),
            reports: self.reports.as_ref(),
            timeout: TIMEOUT,
            now: self.story.now,
        });
        let decided = if self.is_hot { decided } else { without_file };
        self.check_restart(&decided, &target, observed.as_ref());
        let is_recorded = decided.is_recorded_first || self.story.rollout.is_recorded_first;
        if is_recorded {
            self.reload.clone_from(&decided.status);
        }
        let Placement { started, restarted, file } =
            decided.placement.clone().unwrap_or_else(|| Placement::started(&target));
        let template = Self::template(settings, &started, restarted.as_deref());
        let template = if self.is_hot { template } else { format!("{template} without a file") };
        let is_new =
            !self.files.contains_key(&template) && self.deployed.as_ref().is_none_or(|of| of.template != template);
        assert!(
            !is_new || file == started,
            "pods of a new template would not read the version that they are started with"
        );
        if crash != Crash::Recorded && self.is_hot {
            let story = &self.story.rollout;
            let serving = story.versions.iter().find(|version| story.serving.as_ref() == Some(&version.id));
            let mounted = self.files.iter().filter(|(of, _)| self.servers.iter().any(|server| server.template == **of));
            let mounted = mounted.map(|(of, named)| (of.as_str(), named));
            let returned = |serving| reload::returned(mounted, &template, (serving, &target.id), &story.versions);
            let returned = serving.map(returned).unwrap_or_default();
            self.files.extend(returned);
            self.files.insert(template.clone(), file);
            self.check_files(&template, &target);
        }
        if matches!(crash, Crash::Never | Crash::Applied) {
            let next = Some(Template { template, settings, started, restarted, has_file: self.is_hot });
            self.restarts += usize::from(self.deployed != next);
            self.deployed = next;
        }
        match crash {
            Crash::Never | Crash::Refused => self.reload = decided.status,
            _ if !is_recorded => self.story.rollout = before,
            _ => {}
        }
    }

    /// Pods that are replaced load nothing that neither answers nor is to, unless it is on top of another full version.
    fn check_files(&self, placed: &str, target: &Version) {
        let versions = &self.story.rollout.versions;
        let root = |id: &str| {
            let version = versions.iter().find(|version| version.id == id)?;
            Some(version.base.as_ref().map_or(version.id.as_str(), |base| &base.full))
        };
        for server in self.servers.iter().filter(|server| server.template != placed) {
            let Some(named) = self.files.get(&server.template).map(|named| named.version.as_str()) else { continue };
            let is_right = named == self.serving() || named == target.id || root(named) != root(self.serving());
            assert!(is_right, "{named} while {} serves and {} is to", self.serving(), target.id);
        }
    }

    /// Pods are replaced only for a reason.
    fn check_restart(&self, decided: &Reload, target: &Version, observed: Option<&Deployed>) {
        let Some((before, placement)) = self.deployed.as_ref().zip(decided.placement.as_ref()) else { return };
        let after = Self::template(self.settings, &placement.started, placement.restarted.as_deref());
        let named = observed.and_then(|of| of.file.as_ref()?.named.clone()).unwrap_or_else(|| before.started.clone());
        let root = |id: &str| {
            let version = self.story.rollout.versions.iter().find(|version| version.id == id)?;
            Some(version.base.as_ref().map_or(version.id.clone(), |base| base.full.clone()))
        };
        let is_new = before.settings != self.settings
            || before.has_file != self.is_hot
            || root(&named.version) != root(&target.id);
        let restarts = decided.status.as_ref().is_some_and(|status| status.restarts);
        assert!(
            after == before.template || is_new || restarts || self.is_rolling(),
            "{} to {after} for {}",
            before.template,
            target.id
        );
    }

    fn trains(&mut self, version: Version) {
        self.story.rollout.versions.insert(0, version);
        self.reconcile(Crash::Never);
    }

    /// All pods of an earlier template are replaced. A server that starts reads its file.
    fn rolls(&mut self) {
        let Some(of) = &self.deployed else { return };
        self.servers
            .resize(3, Server { template: String::new(), runs: String::new(), reloads: true, state: State::Ready });
        for server in self.servers.iter_mut().filter(|server| server.template != of.template) {
            let named = self.files.get(&of.template).filter(|_| of.has_file).unwrap_or(&of.started).version.clone();
            *server = Server { template: of.template.clone(), runs: named, state: State::Ready, ..server.clone() };
        }
    }

    /// The kubelet updates the files of pods.
    fn propagates(&mut self, pods: impl Fn(usize) -> bool) {
        for (index, server) in self.servers.iter_mut().enumerate() {
            if let Some(named) = self.files.get(&server.template).filter(|_| pods(index) && server.reloads) {
                server.runs.clone_from(&named.version);
            }
        }
    }

    /// The container of a server changes states. One that starts reads its file.
    fn changes(&mut self, pod: usize, state: State) {
        let server = &self.servers[pod];
        let named = self.files.get(&server.template).filter(|_| server.state == State::Waits);
        let runs = named.map_or_else(|| server.runs.clone(), |named| named.version.clone());
        self.servers[pod] = Server { state, runs, ..server.clone() };
    }

    /// What the ticks find.
    fn ticks(&mut self) {
        let plan = reload::plan(self.observed().as_ref(), self.reload.as_ref());
        self.reports = plan.map(|Plan { version, since, pods, .. }| {
            let runs = |pod: &String| pod.parse().is_ok_and(|pod: usize| self.servers[pod].runs == version);
            let pods: BTreeSet<String> = pods.into_iter().filter(runs).collect();
            Reports { version, since, pods, ..Reports::default() }
        });
    }

    /// Nothing keeps it from its end.
    fn ends(&mut self) {
        self.servers.iter_mut().for_each(|server| server.reloads = true);
        (0..3).for_each(|pod| self.changes(pod, State::Ready));
        for _ in 0..8 {
            self.rolls();
            self.propagates(|_| true);
            self.ticks();
            self.reconcile(Crash::Never);
            self.story.now += SignedDuration::from_secs(20);
        }
    }

    fn runs(&self) -> Vec<&str> {
        self.servers.iter().map(|server| server.runs.as_str()).collect()
    }
}

fn partial(number: u32, full: &str) -> Version {
    let version = based(&format!("partial-{number}"), full, full);
    Version { uri: format!("{STORE}/partial-{number}"), ..version }
}

#[test]
fn a_partial_version_serves_once_every_server_reports_it_and_no_pod_is_replaced() {
    let mut world = World::new();
    world.trains(partial(2, "full-1"));
    assert_eq!(world.story.rollout.rolling_out.as_deref(), Some("partial-2"));
    let begun = world.reload.clone().expect("it is reloaded");
    assert_eq!((begun.version.as_str(), begun.since.0), ("partial-2", world.story.now));
    world.propagates(|pod| pod < 2);
    world.ticks();
    world.reconcile(Crash::Never);
    let message = world.reload.as_ref().expect("one is missing").message.clone();
    assert_eq!((world.serving(), message.as_str()), ("full-1", "2 of 3 pods report it; 2 does not"));
    world.propagates(|_| true);
    world.ticks();
    world.reconcile(Crash::Never);
    assert_eq!((world.serving(), world.reload.clone(), world.restarts), ("partial-2", None, 1));

    // A pod that is started later reads the file.
    world.servers[0].template = String::new();
    world.rolls();
    assert_eq!(world.runs(), ["partial-2"; 3]);
}

#[test]
fn servers_that_do_not_report_it_in_time_are_restarted_once() {
    let mut world = World::new();
    world.servers[1].reloads = false;
    world.trains(partial(2, "full-1"));
    world.propagates(|_| true);
    world.ticks();
    world.story.now += SignedDuration::from_secs(299);
    world.reconcile(Crash::Never);
    assert_eq!(world.restarts, 1);
    world.story.now += SignedDuration::from_secs(1);
    world.reconcile(Crash::Applied);
    world.reconcile(Crash::Never);
    let reload = world.reload.clone().expect("it goes on");
    let why = "it was not reloaded within 300 s (2 of 3 pods report it; 1 does not), so that its servers are restarted";
    assert_eq!(
        (reload.restarts, reload.message.as_str(), world.restarts),
        (true, why, 2),
        "a lost status repeats nothing"
    );
    world.rolls();
    world.reconcile(Crash::Never);
    assert_eq!((world.serving(), world.reload.clone(), world.runs()), ("partial-2", None, vec!["partial-2"; 3]));
    world.ends();
    assert_eq!(world.restarts, 2);
}

#[test]
fn a_server_that_is_not_ready_counts_as_well_and_one_that_does_not_run_only_delays() {
    let mut world = World::new();
    (world.servers[1].state, world.servers[1].reloads) = (State::Unready, false);
    world.trains(partial(2, "full-1"));
    let step = |world: &mut World| {
        world.propagates(|_| true);
        world.ticks();
        world.reconcile(Crash::Never);
        world.reload.as_ref().map(|reload| reload.message.clone())
    };
    assert_eq!(step(&mut world), some("2 of 3 pods report it; 1 does not"), "it may get ready with it");
    // It ends, and waits to be started again.
    world.changes(1, State::Waits);
    assert_eq!(step(&mut world), some("2 of 3 pods report it; 1 not running"));
    assert_eq!((world.serving(), world.restarts), ("full-1", 1));
    world.story.now += TIMEOUT;
    assert_eq!(step(&mut world), None, "nothing runs with another version");
    assert_eq!((world.serving(), world.restarts), ("full-1", 1), "a rollout waits for its pods as well");
    world.changes(1, State::Ready);
    assert_eq!(step(&mut world), None);
    assert_eq!((world.serving(), world.runs(), world.restarts), ("partial-2", vec!["partial-2"; 3], 1));

    // One that runs and does not report it is restarted with all others.
    (world.servers[1].state, world.servers[1].reloads) = (State::Unready, false);
    world.trains(partial(3, "full-1"));
    step(&mut world);
    world.story.now += TIMEOUT;
    let why = step(&mut world).expect("it goes on");
    assert!(why.contains("(2 of 3 pods report it; 1 does not), so that its servers are restarted"), "{why}");
    assert_eq!(world.restarts, 2);
}

#[test]
fn without_metrics_nothing_is_taken_for_done() {
    let mut world = World::new();
    world.trains(partial(2, "full-1"));
    world.propagates(|_| true);
    let unknown = [("0".to_owned(), "no source")].into();
    let begun = world.reload.clone().expect("it is reloaded");
    world.reports = Some(Reports { version: begun.version, since: begun.since.0, unknown, ..Reports::default() });
    world.reconcile(Crash::Never);
    let message = world.reload.clone().expect("it goes on").message;
    assert_eq!((world.serving(), message.as_str()), ("full-1", "0 of 3 pods report it; 0 is not known to: no source"));
    world.story.now += TIMEOUT;
    world.reconcile(Crash::Never);
    assert_eq!(world.restarts, 2);
}

#[test]
fn a_version_is_taken_back_by_a_reload_of_the_one_before() {
    let mut world = World::new();
    world.trains(partial(2, "full-1"));
    world.ends();
    world.trains(partial(3, "full-1"));
    world.propagates(|pod| pod == 0);
    world.story.servers.crashes = some("2 of 3 pods were restarted 4 times or more");
    world.reconcile(Crash::Never);
    world.story.servers.crashes = None;
    assert_eq!((world.story.serve(), world.serving()), (Some("partial-2"), "partial-2"));
    let back = world.reload.clone().expect("the first server has changed already");
    assert_eq!(back.version, "partial-2");
    world.ends();
    assert_eq!((world.runs(), world.reload.clone(), world.restarts), (vec!["partial-2"; 3], None, 1));

    world.story.requests.rollback = some("full-1");
    world.reconcile(Crash::Never);
    world.ends();
    assert_eq!((world.serving(), world.runs(), world.restarts), ("full-1", vec!["full-1"; 3], 1));
}

#[test]
fn another_full_version_and_other_settings_are_rolled_out() {
    let mut world = World::new();
    world.trains(partial(2, "full-1"));
    world.ends();
    world.settings = 1;
    world.reconcile(Crash::Never);
    let started = |world: &World| world.deployed.clone().expect("it is there").started.version;
    assert_eq!((world.restarts, started(&world).as_str()), (2, "partial-2"), "no pod reads an older version");
    world.ends();
    world.trains(version("full-3"));
    assert_eq!((world.restarts, started(&world).as_str()), (3, "full-3"));
    world.ends();
    // On top of a full version that never served.
    world.story.rollout.versions.insert(0, version("full-4"));
    world.trains(partial(5, "full-4"));
    assert_eq!((world.restarts, started(&world).as_str()), (4, "partial-5"));
}

#[test]
fn an_interrupted_reload_leaves_the_pods_that_are_replaced_with_what_serves() {
    let mut world = World::new();
    world.trains(partial(2, "full-1"));
    let before = world.deployed.clone().expect("it is there").template;
    assert_eq!(world.files[&before].version, "partial-2");
    // It is taken back, and the servers change otherwise as well.
    world.story.requests.pin = some("full-1");
    world.settings = 1;
    world.reconcile(Crash::Refused);
    assert_eq!(world.files[&before].version, "full-1", "its pods may start again before they are replaced");
    world.ends();
    assert_eq!((world.serving(), world.runs()), ("full-1", vec!["full-1"; 3]));
}

#[test]
fn each_pod_has_the_version_that_its_own_file_names() {
    let artifact = |id: &str| Artifact { version: id.into(), ..Artifact::default() };
    let named = |id: &str| ChildState::VersionFile(artifact(id));
    // All are started with the same version, and the settings differ.
    let pod = |name: &str, config_map: &str| {
        let file = Some(PodFile { config_map: config_map.into(), started: "full-1".into() });
        PodState {
            name: name.into(),
            component: "serving".into(),
            version: "full-1".into(),
            file,
            ..PodState::default()
        }
    };
    let file = Observed { config_map: "new".into(), started: artifact("full-1"), ..Observed::default() };
    let children = Children::default()
        .with(Watched::Child(Kind::ConfigMap), "new", named("partial-3"), None)
        .with(Watched::Child(Kind::ConfigMap), "old", named("partial-2"), None)
        .with(Watched::Pod, "a", ChildState::Nothing, Some(pod("a", "new")))
        .with(Watched::Pod, "b", ChildState::Nothing, Some(pod("b", "old")))
        .with(Watched::Pod, "c", ChildState::Nothing, Some(pod("c", "gone")));
    let file = Observed { named: Some(artifact("partial-3")), ..file };
    let children = children.with_version_files(("uid", "packages-serving"), "serving", Some(file));
    let versions: Vec<&str> = children.pods().map(|pod| pod.version.as_str()).collect();
    assert_eq!(versions, ["partial-3", "partial-2", "full-1"]);
}

#[test]
fn a_version_that_a_mounted_file_names_or_a_server_was_started_with_is_in_use() {
    let artifact = |id: &str| Artifact { version: id.into(), ..Artifact::default() };
    let file = Observed { started: artifact("full-1"), ..Observed::default() };
    let state = DeploymentState { file: Some(file), ..DeploymentState::default() };
    let pod = PodFile { config_map: "packages-version-old".into(), started: "full-0".into() };
    let pod = PodState { file: Some(pod), version: "partial-2".into(), ..PodState::default() };
    let children = Children::default()
        .with(Watched::Child(Kind::Deployment), "packages-serving", ChildState::Deployment(state), None)
        .with(
            Watched::Child(Kind::ConfigMap),
            "packages-version-old",
            ChildState::VersionFile(artifact("partial-3")),
            None,
        )
        .with(Watched::Pod, "server", ChildState::Nothing, Some(pod));
    assert_eq!(reload::mounted(&children, "uid"), ["partial-3", "full-1", "partial-2", "full-0"]);
    assert!(reload::mounted(&children, "another").iter().all(|id| id != "partial-3"));
}

#[test]
fn a_version_that_is_a_canary_first_is_reloaded_once_it_has_passed() {
    let mut world = World::new();
    world.story.canary_versions = Some(CanaryVersions::All);
    world.trains(partial(2, "full-1"));
    assert_eq!(world.story.rollout.canary.as_ref().map(|canary| canary.id.as_str()), Some("partial-2"));
    assert_eq!((world.reload.clone(), world.files.len()), (None, 1), "its pods are its own");
    let verdict = Verdict { gate: "canary".into(), passed: true, message: "no worse".into() };
    world.story.verdict = Some(("partial-2".into(), verdict));
    world.reconcile(Crash::Never);
    assert_eq!(world.reload.as_ref().map(|reload| reload.version.as_str()), Some("partial-2"));
    assert!(world.story.rollout.canary.is_some(), "its pods stay until the others have changed");
    world.ends();
    assert_eq!((world.serving(), world.restarts, world.story.rollout.canary.is_some()), ("partial-2", 1, false));
}

#[test]
fn a_version_that_was_reloaded_is_watched() {
    let mut world = World::new();
    world.trains(partial(2, "full-1"));
    world.propagates(|_| true);
    world.ticks();
    world.reconcile(Crash::Never);
    assert_eq!(world.serving(), "partial-2");
    assert!(world.story.rollout.watched_until.is_some());
    world.story.servers.crashes = some("3 of 3 pods were restarted 4 times or more");
    world.reconcile(Crash::Never);
    world.story.servers.crashes = None;
    assert_eq!(world.reload.as_ref().map(|reload| reload.version.as_str()), Some("full-1"));
    world.ends();
    assert_eq!((world.serving(), world.runs(), world.restarts), ("full-1", vec!["full-1"; 3], 1));
}

#[test]
fn a_deployment_that_was_written_since_it_was_observed_stays_as_it_is() {
    let target = version("full-1");
    let deployed = Deployed { is_stale: true, ..World::new().observed().expect("it is there") };
    let decided = Reload::decide(&reload::Inputs {
        target: &target,
        versions: std::slice::from_ref(&target),
        deployed: Some(deployed),
        template: &|_, _| "another".into(),
        named: &|_| None,
        prior: None,
        reports: None,
        timeout: TIMEOUT,
        now: Timestamp::UNIX_EPOCH,
    });
    assert!(decided.keeps_servers && decided.placement.is_none());
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    Partial,
    Full,
    Settings(u8),
    Hot(bool),
    Propagates(usize),
    Follows(usize, bool),
    Changes(usize, State),
    Rolls,
    Ticks,
    Waits(i64),
    Reconciled(Crash),
    FileDeleted,
    Crashes,
    RolledBack(usize),
    Pinned(Option<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let state = prop_oneof![2 => Just(State::Ready), 1 => Just(State::Unready), 1 => Just(State::Waits)];
    let crash = prop_oneof![
        5 => Just(Crash::Never),
        1 => Just(Crash::Recorded),
        1 => Just(Crash::Written),
        1 => Just(Crash::Applied),
        1 => Just(Crash::Refused),
    ];
    prop_oneof![
        4 => Just(Step::Partial),
        1 => Just(Step::Full),
        1 => (0..2u8).prop_map(Step::Settings),
        1 => any::<bool>().prop_map(Step::Hot),
        5 => (0..3usize).prop_map(Step::Propagates),
        2 => (0..3usize, any::<bool>()).prop_map(|(pod, follows)| Step::Follows(pod, follows)),
        2 => (0..3usize, state).prop_map(|(pod, state)| Step::Changes(pod, state)),
        3 => Just(Step::Rolls),
        5 => Just(Step::Ticks),
        3 => (0..320i64).prop_map(Step::Waits),
        8 => crash.prop_map(Step::Reconciled),
        1 => Just(Step::FileDeleted),
        1 => Just(Step::Crashes),
        1 => (0..6usize).prop_map(Step::RolledBack),
        1 => proptest::option::of(0..6usize).prop_map(Step::Pinned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn what_the_status_calls_serving_is_what_every_server_answers_with(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        for (number, step) in steps.into_iter().enumerate() {
            let before = world.serving().to_owned();
            let id = |index: usize| world.story.rollout.versions.get(index).map(|version| version.id.clone());
            let number = u32::try_from(number + 2).expect("few");
            match step {
                Step::Partial => {
                    let refused = [VersionState::Rejected, VersionState::RolledBack, VersionState::Failed];
                    let base = world.story.rollout.versions.iter().find(|version| !refused.contains(&version.state));
                    let base = base.expect("one serves");
                    let full = base.base.as_ref().map_or(&base.id, |base| &base.full).clone();
                    let next = Version { base: Some(Base { version: base.id.clone(), ..partial(number, &full).base.expect("one") }), ..partial(number, &full) };
                    world.story.rollout.versions.insert(0, next);
                }
                Step::Full => world.story.rollout.versions.insert(0, version(&format!("full-{number}"))),
                Step::Settings(settings) => world.settings = settings,
                Step::Hot(is_hot) => world.is_hot = is_hot,
                Step::Propagates(pod) => world.propagates(|of| of == pod),
                Step::Follows(pod, follows) => world.servers[pod].reloads = follows,
                Step::Changes(pod, state) => world.changes(pod, state),
                Step::Rolls => world.rolls(),
                Step::Ticks => world.ticks(),
                Step::Waits(seconds) => world.story.now += SignedDuration::from_secs(seconds),
                Step::Reconciled(crash) => world.reconcile(crash),
                Step::FileDeleted => {
                    // The ConfigMap is created again by the next reconcile, before a pod can start.
                    let template = world.deployed.as_ref().expect("it is there").template.clone();
                    world.files.remove(&template);
                    world.reconcile(Crash::Never);
                }
                Step::Crashes => {
                    world.story.servers.crashes = some("1 of 3 pods were restarted 4 times or more");
                    world.reconcile(Crash::Never);
                    world.story.servers.crashes = None;
                }
                Step::RolledBack(index) => world.story.requests.rollback = id(index),
                Step::Pinned(index) => world.story.requests.pin = index.and_then(id),
            }
            if world.serving() != before {
                let serving = world.serving();
                let running = || world.servers.iter().filter(|server| server.state != State::Waits);
                prop_assert!(running().all(|server| server.runs == serving), "{serving}: {:?}", world.runs());
            }
        }
        world.story.requests.pin = None;
        world.ends();
        let desired = world.story.serve().expect("something serves").to_owned();
        prop_assert_eq!(world.serving(), &desired);
        prop_assert!(world.runs().iter().all(|runs| *runs == desired), "{:?}", world.runs());
        prop_assert_eq!(&world.reload, &None);
        let restarts = world.restarts;
        world.ends();
        prop_assert_eq!(world.restarts, restarts, "a converged object is left alone");
    }
}
