//! How the version that is to serve gets to the servers: by the start of their pods, or by the file in which running ones read it. Pure.
//!
//! | what is to change | how |
//! |---|---|
//! | anything of the pod template beside the version | pods are replaced, and start with the version to serve |
//! | the version, to one with another full version at its root | pods are replaced |
//! | the version, to one with the same full version at its root | the file names it; done once as many pods as desired report it, and all that run |
//! | the same, and a pod that runs does not report it in time | pods are replaced |
//!
//! The status has the begin of a reload before the file changes. So a restart of the operator, and a status that was not written, lose
//! neither the time-out nor what has to be confirmed. What the file names is read from its ConfigMap, and with which version pods were
//! started from the Deployment.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Rollout,
    reports::{Plan, Reports},
};
use crate::{
    api::{RecommenderModelStatus, ReloadStatus, Version},
    kinds::Kind,
    model::Model,
    names::{self, SERVING_COMPONENT},
    observe::{ChildState, Children, PodState},
    time::whole_seconds,
    version_file::{Artifact, Observed, Placement},
};

/// Message of a reload during which the pods are replaced for another reason.
pub const REPLACED: &str = "the pods change otherwise as well, so they are replaced";

/// What is decided on how a version gets to the servers. By default they get it by their start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reload {
    /// With what their pods are started, and what their file names; none where they read no file.
    pub placement: Option<Placement>,
    /// Whether their Deployment stays as it is for now, because it was written since it was observed.
    pub keeps_servers: bool,
    /// The reload that goes on.
    pub status: Option<ReloadStatus>,
    /// Whether the status has to have it before the file changes, or pods are restarted.
    pub is_recorded_first: bool,
    /// When it is over.
    pub until: Option<Timestamp>,
    /// What files of pods that are replaced are to name, by the hash of their template: see [`returned`].
    pub returned: Vec<(String, Artifact)>,
}

/// What it is decided on.
pub struct Inputs<'a> {
    /// The version to serve.
    pub target: &'a Version,
    /// All versions.
    pub versions: &'a [Version],
    /// The Deployment of the servers.
    pub deployed: Option<Deployed>,
    /// Hash of the pod template with which a version is started, see [`Placement::restarted`].
    pub template: &'a dyn Fn(&Artifact, Option<&str>) -> String,
    /// The version that the file of the pods of a template names, if there is one.
    pub named: &'a dyn Fn(&str) -> Option<Artifact>,
    /// The reload that the status has.
    pub prior: Option<&'a ReloadStatus>,
    /// Which servers report its version.
    pub reports: Option<&'a Reports>,
    /// Seconds that a reload may take.
    pub timeout: SignedDuration,
    /// The current time.
    pub now: Timestamp,
}

/// What is observed of the Deployment of the servers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deployed {
    /// The file of their pods; none where they read none.
    pub file: Option<Observed>,
    /// Whether it was written since it was observed.
    pub is_stale: bool,
    /// Whether pods of an earlier template still exist.
    pub is_rolling: bool,
    /// Whether there are to be no pods.
    pub is_stopped: bool,
    /// How many pods there are to be.
    pub desired: usize,
    /// The pods of the template whose container runs. One that is not ready has a version as well, and may get ready with it.
    pub running: BTreeSet<String>,
    /// Those of them that are ready.
    pub ready: BTreeSet<String>,
}

impl Reload {
    /// See the table above.
    pub fn decide(inputs: &Inputs<'_>) -> Self {
        let target = Artifact::from(inputs.target);
        let prior = inputs.prior.filter(|prior| prior.version == target.version);
        if inputs.deployed.as_ref().is_some_and(|deployed| deployed.is_stale) {
            return Self { keeps_servers: true, status: inputs.prior.cloned(), ..Self::default() };
        }
        if let Some(restarting) = prior.filter(|prior| prior.restarts) {
            return restarted(inputs, &target, restarting.clone());
        }
        let begins_anew = |of: &Observed| {
            let has_another = of.named.as_ref().is_some_and(|named| *named != target);
            has_another && prior.is_none() && inputs.deployed.as_ref().is_some_and(|deployed| deployed.is_rolling)
        };
        // While pods of an earlier template exist, a rollout is under way: another version begins its own.
        let kept = kept(inputs, &target).filter(|of| !begins_anew(of));
        let (placement, named) = match &kept {
            Some(of) => {
                let (started, restarted) = (of.started.clone(), of.restarted.clone());
                (Placement { started, restarted, file: target.clone() }, of.named.clone())
            }
            None => {
                let placement = Placement::started(inputs.target);
                let named = (inputs.named)(&(inputs.template)(&target, None));
                (placement, named)
            }
        };
        let by_start = Self { placement: Some(placement), ..Self::default() };
        // Of pods that were started with another version, or whose file has named one, it has to be known. That of a reload that has not
        // ended is none that they are known to answer with.
        let is_known = inputs.prior.is_none();
        let is_confirmed = match (&named, &kept) {
            (Some(named), _) => *named == target && is_known,
            (None, Some(of)) => of.started == target && is_known,
            (None, None) => true,
        };
        // Until the pods are replaced, it is not known what the ones before answer with.
        let interrupted = inputs.prior.filter(|_| named.is_none() && kept.is_none());
        if let Some(ReloadStatus { since, .. }) = interrupted.cloned() {
            let status =
                ReloadStatus { version: target.version.clone(), since, restarts: true, message: REPLACED.into() };
            return restarted(inputs, &target, status);
        }
        match prior {
            // Pods that do not run have no version: they read the file when they start, and are no reason to restart others once the time
            // is over.
            Some(prior)
                if inputs.deployed.as_ref().is_some_and(|of| {
                    is_reported(of, prior, inputs.reports) && (is_complete(of) || is_over(inputs, prior))
                }) =>
            {
                by_start
            }
            Some(prior) if is_over(inputs, prior) => {
                let why = format!(
                    "it was not reloaded within {} s ({}), so that its servers are restarted",
                    inputs.timeout.as_secs(),
                    progress(inputs)
                );
                let status = ReloadStatus { restarts: true, message: why, ..prior.clone() };
                Self { is_recorded_first: true, ..restarted(inputs, &target, status) }
            }
            Some(prior) => by_start.with(ReloadStatus { message: progress(inputs), ..prior.clone() }, inputs.timeout),
            None if is_confirmed => by_start,
            None => {
                let since = Time(whole_seconds(inputs.now));
                let message = "the file of the servers names it".into();
                let begun = ReloadStatus { version: target.version, since, restarts: false, message };
                Self { is_recorded_first: true, ..by_start.with(begun, inputs.timeout) }
            }
        }
    }

    /// Of an object whose servers are to read no file any more. Until they are replaced, a reload that has not ended is not taken for
    /// done.
    pub fn without_file(prior: Option<&ReloadStatus>, deployed: Option<&Deployed>) -> Self {
        let is_left = deployed.is_some_and(|deployed| deployed.file.is_some() || deployed.is_stale);
        Self { status: prior.filter(|_| is_left).cloned(), ..Self::default() }
    }

    fn with(self, status: ReloadStatus, timeout: SignedDuration) -> Self {
        Self { until: Some(status.since.0 + timeout), status: Some(status), ..self }
    }
}

/// The pods as they are, if a version may be reloaded by them: nothing else of their template changes, and it has the full version at
/// its root that the one in their file has.
fn kept(inputs: &Inputs<'_>, target: &Artifact) -> Option<Observed> {
    let of = inputs.deployed.as_ref()?.file.clone()?;
    let is_same = (inputs.template)(&of.started, of.restarted.as_deref()) == of.template;
    let now = of.named.as_ref().unwrap_or(&of.started);
    (is_same && (now == target || root(inputs.versions, &now.version)? == root(inputs.versions, &target.version)?))
        .then_some(of)
}

/// The full version at the root of one. None when it is not known any more.
fn root<'a>(versions: &'a [Version], id: &str) -> Option<&'a str> {
    let version = versions.iter().find(|version| version.id == id)?;
    Some(version.base.as_ref().map_or(&version.id, |base| &base.full))
}

/// Pods that are replaced because they have not changed versions. The time of the begin makes their template another one, also where
/// they are started with the version that they were started with before.
fn restarted(inputs: &Inputs<'_>, target: &Artifact, status: ReloadStatus) -> Reload {
    let restarted = Some(status.since.0.to_string());
    let deployed = inputs.deployed.as_ref().and_then(|deployed| Some((deployed, deployed.file.as_ref()?)));
    let is_over = deployed.is_some_and(|(deployed, file)| {
        let is_it = (&file.started, &file.restarted) == (target, &restarted);
        is_it && !deployed.is_rolling && (deployed.is_stopped || !deployed.ready.is_empty())
    });
    let placement = Some(Placement { started: target.clone(), restarted, file: target.clone() });
    Reload { placement, status: Some(status).filter(|_| !is_over), ..Reload::default() }
}

/// The files that name the version that answers requests again: those of pods that are replaced, if they name one that is neither that
/// nor the one to serve. Their reload was interrupted, and nothing else would end it. `files`: those of pods, by the hash of their
/// template. `placed`: the one of the pods to be.
pub fn returned<'a>(
    files: impl Iterator<Item = (&'a str, &'a Artifact)>,
    placed: &str,
    (serving, target): (&Version, &str),
    versions: &[Version],
) -> Vec<(String, Artifact)> {
    let is_interrupted = |named: &Artifact| {
        let is_other = named.version != serving.id && named.version != target;
        // Its servers may have no room for one on top of another full version.
        is_other && root(versions, &named.version).is_some_and(|of| Some(of) == root(versions, &serving.id))
    };
    let interrupted = files.filter(|(template, named)| *template != placed && is_interrupted(named));
    interrupted.map(|(template, _)| (template.to_owned(), serving.into())).collect()
}

/// Since when a server is to answer with the version that it has, if it was started with another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Since {
    /// Name of its pod.
    pub pod: String,
    /// The version.
    pub version: String,
    /// Since when.
    pub at: Timestamp,
    /// Whether that reload goes on.
    pub goes_on: bool,
    /// How often it was restarted before, as far as its last restart tells: that may be the only one since, or one of several.
    pub restarts: i32,
}

/// Since when servers are to answer with the version that they have, if they were started with another one: that is in the status, so a
/// restart of the operator loses none of it. `children`: see [`effective`].
pub fn since(children: &Children, prior: &RecommenderModelStatus) -> Vec<Since> {
    let reload = prior.serving.as_ref().and_then(|serving| serving.reload.as_ref());
    let of = |pod: &PodState| {
        let reload = reload.filter(|reload| reload.version == pod.version);
        // One that was reloaded counts from its first time on; when another one comes back, its reload counts, and it is not watched.
        let served_at = || {
            let changed = pod.file.as_ref().is_some_and(|file| file.started != pod.version);
            let version = prior.versions.iter().find(|version| changed && version.id == pod.version);
            version.and_then(|version| version.served_at.as_ref())
        };
        let at = reload.map(|reload| &reload.since).or_else(served_at).filter(|at| pod.created_at < at.0)?.0;
        let is_since = pod.restarted_at.is_some_and(|restarted| restarted >= at);
        let restarts = pod.restarts - i32::from(is_since).min(pod.restarts);
        Some(Since { pod: pod.name.clone(), version: pod.version.clone(), at, goes_on: reload.is_some(), restarts })
    };
    children.pods().filter(|pod| pod.file.is_some()).filter_map(of).collect()
}

/// The versions that servers may load when they start, beside those that the status names: what any file of them names, also that of an
/// earlier template whose reload was interrupted, and what their variables have.
pub fn mounted(children: &Children, uid: &str) -> Vec<String> {
    let named = children.version_files(uid).map(|(_, named)| named.version.clone());
    let of_deployments = children.owned(Kind::Deployment, uid).filter_map(|(_, of)| match &of.state {
        ChildState::Deployment(state) => Some(state.file.as_ref()?.started.version.clone()),
        _ => None,
    });
    let of_pods = children.pods().filter_map(|pod| Some((pod.version.clone(), pod.file.as_ref()?.started.clone())));
    named.chain(of_deployments).chain(of_pods.flat_map(<[String; 2]>::from)).collect()
}

/// Whether the version that the file names is rolled out; none where the Deployment tells. Pods that are to be restarted have to be of
/// another template first.
pub(super) fn is_rolled_out(deployed: &Deployed, reload: &ReloadStatus, reports: Option<&Reports>) -> Option<bool> {
    if !reload.restarts {
        return Some(is_done(deployed, reload, reports));
    }
    let since = reload.since.0.to_string();
    let is_replaced =
        |file: &Observed| file.started.version == reload.version && file.restarted.as_ref() == Some(&since);
    let is_replaced = deployed.file.as_ref().is_some_and(is_replaced);
    (!is_replaced).then_some(false)
}

/// Whether a reload may go on no longer.
fn is_over(inputs: &Inputs<'_>, reload: &ReloadStatus) -> bool {
    inputs.now.duration_since(reload.since.0) >= inputs.timeout
}

/// Whether as many pods as desired report the version of a reload, and every other one that runs.
fn is_done(deployed: &Deployed, reload: &ReloadStatus, reports: Option<&Reports>) -> bool {
    is_complete(deployed) && is_reported(deployed, reload, reports)
}

/// Whether as many pods as desired run.
fn is_complete(deployed: &Deployed) -> bool {
    deployed.is_stopped || deployed.running.len() >= deployed.desired
}

/// Whether every pod that runs reports the version of a reload, and at least one is ready.
fn is_reported(deployed: &Deployed, reload: &ReloadStatus, reports: Option<&Reports>) -> bool {
    let named = deployed.file.as_ref().and_then(|file| file.named.as_ref());
    let names_it = named.is_some_and(|named| named.version == reload.version);
    let reported = |reports: &Reports| deployed.running.is_subset(&reports.pods);
    let reports = reports.filter(|of| (&of.version, of.since) == (&reload.version, reload.since.0));
    names_it && (deployed.is_stopped || (!deployed.ready.is_empty() && reports.is_some_and(reported)))
}

/// How many pods report the version, and what is known of the first of the others.
fn progress(inputs: &Inputs<'_>) -> String {
    let (no_pods, no_reports) = (Deployed::default(), Reports::default());
    let Deployed { desired, running, ready, .. } = inputs.deployed.as_ref().unwrap_or(&no_pods);
    let reports = inputs.reports.unwrap_or(&no_reports);
    if ready.is_empty() {
        return "no pod is ready".into();
    }
    let others: Vec<&String> = running.difference(&reports.pods).collect();
    let count = running.len() - others.len();
    let first = others.first().map(|pod| match reports.unknown.get(*pod) {
        Some(why) => format!("; {pod} is not known to: {why}"),
        None => format!("; {pod} does not"),
    });
    let all = running.len().max(*desired);
    let missing = || format!("; {} not running", desired - running.len());
    let first = first.or_else(|| (running.len() < *desired).then(missing));
    format!("{count} of {all} pods report it{}", first.unwrap_or_default())
}

/// The Deployment of the servers as it is observed.
pub fn deployed(model: &Model, children: &Children) -> Option<Deployed> {
    let state = super::deployment(model, children, names::serving)?;
    // Pods of an earlier template may have the same version.
    let is_own = |pod: &&PodState| match (&state.file, &pod.file) {
        (Some(of), Some(file)) => file.config_map == of.config_map,
        (of, file) => of.is_some() == file.is_some() && state.version.as_ref() == Some(&pod.version),
    };
    let own: Vec<&PodState> = children.pods().filter(|pod| pod.component == SERVING_COMPONENT).filter(is_own).collect();
    let named = |is: fn(&PodState) -> bool| own.iter().filter(|pod| is(pod)).map(|pod| pod.name.clone()).collect();
    Some(Deployed {
        file: state.file.clone(),
        is_stale: state.is_stale(),
        is_rolling: state.total != state.updated,
        is_stopped: state.desired == 0,
        desired: usize::try_from(state.desired).unwrap_or_default(),
        running: named(|pod| pod.runs || pod.ready_since.is_some()),
        ready: named(|pod| pod.ready_since.is_some()),
    })
}

/// What the ticks need of a reload.
pub fn plan(deployed: Option<&Deployed>, status: Option<&ReloadStatus>) -> Option<Plan> {
    let status = status.filter(|status| !status.restarts)?;
    let pods = deployed?.running.clone();
    Some(Plan { version: status.version.clone(), since: status.since.0, pods, is_late: false })
}

/// What the ticks need of servers that got ready after the version that their file names was rolled out, such as new ones and those that
/// were restarted, and until when: as long as a reload may take. Those that are known to answer with another version go on being observed. That
/// is not known any more after a restart of the operator, so all of them are observed again then. `first_at`: when it first saw the object.
pub fn late(
    model: &Model,
    rollout: &Rollout,
    children: &Children,
    known: Option<&Reports>,
    (first_at, now): (Timestamp, Timestamp),
) -> Option<(Plan, Option<Timestamp>)> {
    let settings = model.hot_reload.as_ref()?;
    let serving = rollout.serving.as_ref().filter(|_| rollout.rolling_out.is_none())?;
    let since = rollout.versions.iter().find(|version| version.id == *serving)?.served_at.as_ref()?.0;
    let deployed = deployed(model, children)?;
    let file = deployed.file.as_ref()?;
    // What pods were started with, they have without the file.
    file.named.as_ref().filter(|named| named.version == *serving && file.started.version != *serving)?;
    let timeout = SignedDuration::from_secs(settings.timeout_seconds.into());
    let known = known.filter(|known| known.version == *serving);
    let is_known = |pod: &PodState| known.is_some_and(|known| known.others.contains_key(&pod.name));
    let ready = children.pods().filter(|pod| deployed.ready.contains(&pod.name));
    let is_since = |ready: &Timestamp| whole_seconds(*ready) > since;
    let ready = ready.filter_map(|pod| Some((pod, pod.ready_since.filter(is_since)?.max(first_at) + timeout)));
    let late: Vec<_> = ready.filter(|(pod, until)| *until > now || is_known(pod)).collect();
    let until = late.iter().map(|(_, until)| *until).filter(|until| *until > now).max();
    let pods: BTreeSet<String> = late.iter().map(|(pod, _)| pod.name.clone()).collect();
    (!pods.is_empty()).then(|| (Plan { version: serving.clone(), since, pods, is_late: true }, until))
}

/// The children with the version that the servers' file names in place of the one that they were started with: all that is decided and
/// reported on versions is about that. While they change versions, their Deployment is not rolled out.
pub fn effective(
    model: &Model,
    children: Children,
    prior: &RecommenderModelStatus,
    reports: Option<&Reports>,
) -> Children {
    let uid = model.identity.uid.as_deref().unwrap_or_default();
    let name = names::serving(&model.identity.base);
    let file = super::deployment(model, &children, names::serving).and_then(|state| state.file.clone());
    let serving = prior.serving.as_ref();
    let reload = serving.and_then(|serving| serving.reload.as_ref());
    // A ConfigMap that was deleted is created again as it was: until then the mounted files stay.
    let last = || {
        let last = match (reload, serving?) {
            (Some(reload), _) => &reload.version,
            (None, serving) => serving.version.as_ref().filter(|_| serving.rolling_out.is_none())?,
        };
        prior.versions.iter().find(|version| version.id == *last).map(Artifact::from)
    };
    let has_file = file.is_some();
    let named = |config_map: &str| children.version_file(config_map, uid).cloned().or_else(last);
    let file = file.map(|file| Observed { named: named(&file.config_map), ..file });
    let children = children.with_version_files((uid, &name), SERVING_COMPONENT, file);
    let children = children.with_answers(&reports.map(|reports| reports.others.clone()).unwrap_or_default());
    if !has_file {
        return children;
    }
    let deployed = deployed(model, &children);
    let is_rolled_out = deployed.and_then(|deployed| match reload {
        _ if deployed.is_stale => Some(false),
        reload => is_rolled_out(&deployed, reload?, reports),
    });
    children.with_reload((uid, &name), is_rolled_out)
}
