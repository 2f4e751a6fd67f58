//! Whether the version that is rolled out, or has served for a short time, does harm. Then it is taken back: the one before serves.
//!
//! | observed of the version | its state |
//! |---|---|
//! | its rollout makes no progress within the deadline of the Deployment, and its servers do not get ready | Failed |
//! | its servers crash in a loop while it is rolled out | Failed |
//! | its servers crash in a loop while it is watched | `RolledBack` |
//! | an objective is breached while it is watched, and was not when its rollout began | `RolledBack` |
//!
//! A version is blamed only for what it alone has changed:
//!
//! - The pod template beside the version is the one with which the last rollout was completed, see [`Servers::settings`]. When the
//!   spec changes together with the version, the one before would fail as well.
//! - Its containers have run. Pods without a node, an image, a volume or room in a quota are nothing that another version mends.
//! - The servers of the version before do not crash as well, and no critical dependency is down.
//!
//! Every step takes a version away for good, and the one that comes back has served before, so that it ends: with the oldest one that
//! has served, or with the one that answers requests.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Inputs;
use crate::{
    api::{RecommenderModelStatus, Verdict, Version, VersionState},
    burns::{self, Burn},
    health,
    model::Model,
    monitoring::objectives::FAST_BURN_ALERT,
    names::{self, SERVING_COMPONENT},
    observe::{Children, DeploymentState, PodState},
    time::whole_seconds,
};

/// Restarts from which on a server counts as one that crashes in a loop: 4. Before the last three the kubelet waits for 10, 20 and
/// 40 s, so a store that does not answer for a minute condemns no version.
pub const RESTARTS: i32 = 4;

/// Gate of a rollout that has to complete.
const ROLLOUT: &str = "rollout";
/// Gate of the first time of serving.
const WATCH: &str = "watch";
/// Verdict on a version that was rolled back and serves on, because the one that it was rolled back to failed.
pub(super) const ROLLBACK: &str = "rollback";

/// What is observed of the servers of the version in their Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Servers {
    /// That version.
    pub version: Option<String>,
    /// That version, if all of its servers are ready and no others exist.
    pub rolled_out: Option<String>,
    /// Hash of their settings, without the version.
    pub settings: Option<String>,
    /// Why their rollout failed, when its deadline has passed.
    pub stuck: Option<String>,
    /// How many of them crash in a loop, and why.
    pub crashes: Option<String>,
    /// Whether there are none on purpose: the Deployment is scaled to zero.
    pub is_stopped: bool,
    /// The objectives that are breached, or may soon be, or of which nothing is known.
    pub doubtful: Vec<String>,
    /// What is reported of those that are breached.
    pub breaches: BTreeMap<String, String>,
}

impl Servers {
    /// Of an object with this status. `burns`: the alerts on its objectives.
    pub fn new(
        model: &Model,
        prior: &RecommenderModelStatus,
        children: &Children,
        burns: &burns::Observed,
        now: Timestamp,
    ) -> Self {
        let Some(deployment) = super::deployment(model, children, names::serving) else { return Self::default() };
        let Some(version) = &deployment.version else { return Self::default() };
        let since = prior.serving.as_ref().and_then(|serving| serving.rolling_out_since.as_ref()).map(|since| since.0);
        let servers = || children.pods().filter(|pod| pod.component == SERVING_COMPONENT);
        let own: Vec<&PodState> = servers().filter(|pod| pod.version == *version).collect();
        let is_good = |pod: &&PodState| pod.version != *version && !is_taken_back(prior, &pod.version);
        let others: Vec<&PodState> = servers().filter(is_good).collect();
        let is_excused = is_dependency_down(prior) || deployment.refused.is_some() || do_crash_as_well(&others, since);
        Self {
            version: Some(version.clone()),
            rolled_out: deployment.rolled_out_version().map(Into::into),
            settings: Some(deployment.settings.clone()),
            stuck: stuck(deployment, &own, since, now).filter(|_| !is_excused),
            crashes: crashes(&own).filter(|_| !is_excused),
            is_stopped: deployment.desired == 0,
            doubtful: doubtful(model, burns),
            breaches: if is_excused { BTreeMap::new() } else { breaches(prior, burns) },
        }
    }
}

/// Why a rollout failed. The Deployment may still report that of the rollout before, so the time since its begin counts, too.
fn stuck(deployment: &DeploymentState, pods: &[&PodState], since: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let deadline = deployment.deadline.filter(|_| deployment.observed && deployment.stuck.is_some())?;
    let failing: Vec<&PodState> = pods.iter().copied().filter(|pod| is_failing(pod, now)).collect();
    (since? + deadline <= now && !failing.is_empty()).then(|| {
        let (count, all) = (failing.len(), pods.len());
        format!(
            "its rollout made no progress within {} s: {count} of {all} pods are not ready{}",
            deadline.as_secs(),
            cause(&failing)
        )
    })
}

/// How many servers crash in a loop, and why. At least half of the servers that have started have to crash: a single one may be on a broken node.
pub fn crashes(pods: &[&PodState]) -> Option<String> {
    let started = pods.iter().filter(|pod| pod.is_running).count();
    let is_looping = |pod: &&PodState| pod.is_running && pod.ready_since.is_none() && pod.restarts >= RESTARTS;
    let looping: Vec<&PodState> = pods.iter().copied().filter(is_looping).collect();
    (!looping.is_empty() && looping.len() * 2 >= started).then(|| {
        format!("{} of {started} pods were restarted {RESTARTS} times or more{}", looping.len(), cause(&looping))
    })
}

/// Whether a server fails although its container could be started: it was restarted, or has been running for a while without
/// being ready.
fn is_failing(pod: &PodState, now: Timestamp) -> bool {
    let is_unready = pod.unexplained.is_some_and(|of| of.from <= now);
    pod.is_running && pod.ready_since.is_none() && (pod.restarts > 0 || is_unready)
}

/// Whether at least half of the servers of other versions fail since a rollout began, too.
fn do_crash_as_well(others: &[&PodState], since: Option<Timestamp>) -> bool {
    let is_crashing = |pod: &&&PodState| {
        pod.ready_since.is_none() && pod.restarted_at.is_some_and(|at| since.is_some_and(|since| at >= since))
    };
    let count = others.iter().filter(is_crashing).count();
    count > 0 && count * 2 >= others.len()
}

/// Whether a version does harm itself, so that its servers are no measure of others.
fn is_taken_back(prior: &RecommenderModelStatus, id: &str) -> bool {
    let mut versions = prior.versions.iter().filter(|version| version.id == id);
    versions.any(|version| matches!(version.state, VersionState::RolledBack | VersionState::Failed))
}

/// Whether a critical dependency is down.
pub fn is_dependency_down(prior: &RecommenderModelStatus) -> bool {
    health::down(prior).is_some()
}

fn doubtful(model: &Model, burns: &burns::Observed) -> Vec<String> {
    let names = burns::of_requests(model);
    names.filter(|name| burns.get(*name) != Some(&Burn::Inactive)).map(Into::into).collect()
}

fn breaches(prior: &RecommenderModelStatus, burns: &burns::Observed) -> BTreeMap<String, String> {
    let firing = burns.iter().filter(|(_, burn)| **burn == Burn::Firing);
    let breach = |(name, _): (&String, &Burn)| {
        let status = prior.objectives.iter().find(|status| status.name == *name);
        let goal = status.map(|status| format!(" ({} %)", status.goal)).unwrap_or_default();
        let left = status.and_then(|status| status.budget_remaining_percent);
        let left = left.map(|left| format!("; {left} % of its error budget are left")).unwrap_or_default();
        let what = format!("the objective {name}{goal} is breached since its rollout: {FAST_BURN_ALERT} fires{left}");
        (name.clone(), what)
    };
    firing.map(breach).collect()
}

/// Why pods are not ready, to be appended to a message.
fn cause(pods: &[&PodState]) -> String {
    let blocked = pods.iter().filter_map(|pod| pod.blocked.as_ref()).map(|blocked| blocked.why.as_str()).min();
    let unready = || pods.iter().filter_map(|pod| pod.unready.as_deref()).min();
    blocked.or_else(unready).map(|why| format!(": {why}")).unwrap_or_default()
}

/// A version that does harm.
#[derive(Clone, Debug, PartialEq)]
pub struct Harm<'a> {
    version: &'a Version,
    gate: &'static str,
    state: VersionState,
    why: String,
    /// The version that comes back; none when there is none, and then this one stays.
    pub to: Option<&'a Version>,
}

impl<'a> Harm<'a> {
    /// That of the version that is being rolled out, or else of the one that is watched. Nothing follows from it as long as one is pinned.
    pub fn of(inputs: &Inputs<'a>) -> Option<Self> {
        let is_its_own = inputs.servers.settings.is_some() && inputs.servers.settings.as_deref() == inputs.settings;
        if !is_its_own {
            return None;
        }
        let servers = inputs.servers;
        let is_watched = inputs.watched_until.is_some_and(|until| inputs.now < until);
        let (id, gate, state, why) = match inputs.rolling_out {
            Some(id) => (id, ROLLOUT, VersionState::Failed, servers.stuck.as_ref().or(servers.crashes.as_ref())),
            None => (inputs.serving?, WATCH, VersionState::RolledBack, harm_of_watched(inputs).filter(|_| is_watched)),
        };
        let version = inputs.version(id).filter(|_| servers.version.as_deref() == Some(id))?;
        Some(Self { version, gate, state, why: why?.clone(), to: before(inputs, version) })
    }

    /// What is being rolled out then.
    pub fn rolling_out(&self, inputs: &Inputs<'a>) -> Option<&'a str> {
        match self.to {
            Some(to) => Some(to.id.as_str()).filter(|to| inputs.serving != Some(to)),
            None => inputs.rolling_out,
        }
    }

    /// The versions then. Older ones that have never served are not promoted in its place: the one before comes back.
    pub fn applied(&self, versions: &[Version]) -> Vec<Version> {
        let position = versions.iter().position(|version| version.id == self.version.id).unwrap_or_default();
        let of = |(index, version): (usize, &Version)| {
            let is_skipped =
                index > position && version.state == VersionState::Candidate && version.served_at.is_none();
            let comes_back = self.to.is_some_and(|to| to.id == version.id);
            match version.state {
                _ if index == position => {
                    let state = if self.to.is_some() { self.state } else { version.state };
                    Version { state, ..with_verdict(version, self.gate, self.why.clone()) }
                }
                VersionState::RolledBack if comes_back => {
                    let why = format!("{}, to which it was rolled back, failed: {}", self.version.id, self.why);
                    with_verdict(version, ROLLBACK, why)
                }
                _ if is_skipped && self.to.is_some() => Version { state: VersionState::Superseded, ..version.clone() },
                _ => version.clone(),
            }
        };
        versions.iter().enumerate().map(of).collect()
    }
}

/// What speaks against the version that is watched.
fn harm_of_watched<'a>(inputs: &Inputs<'a>) -> Option<&'a String> {
    let mut breaches = inputs.servers.breaches.iter().filter(|(name, _)| !inputs.breached.contains(name));
    inputs.servers.crashes.as_ref().or_else(|| breaches.next().map(|(_, breach)| breach))
}

/// The version that comes back when this one does harm: the one that answers requests, unless that is rolled back itself; else the
/// one before it that served last; and at last the one that answers requests in any case.
fn before<'a>(inputs: &Inputs<'a>, harmful: &Version) -> Option<&'a Version> {
    let serving = inputs.serving.and_then(|id| inputs.version(id));
    let is_other = |version: &&Version| version.id != harmful.id && version.is_in(inputs.store);
    let serving = serving.filter(is_other);
    let good = serving.filter(|version| version.state == VersionState::Serving);
    let older = |than: &str| last_served(older(inputs, than).filter(is_other));
    good.or_else(|| older(&harmful.id)).or_else(|| older(inputs.serving?)).or(serving)
}

/// The versions before one that have served and may do so again, newest first.
pub fn older<'a>(inputs: &Inputs<'a>, than: &str) -> impl Iterator<Item = &'a Version> + Clone + use<'a> {
    let has_served = |version: &&Version| match version.state {
        VersionState::Serving | VersionState::Previous => true,
        VersionState::Superseded => version.served_at.is_some(),
        _ => false,
    };
    let start =
        inputs.versions.iter().position(|version| version.id == than).map_or(inputs.versions.len(), |at| at + 1);
    let store = inputs.store;
    inputs.versions[start..].iter().filter(move |version| has_served(version) && version.is_in(store))
}

/// Of versions that have served, newest first, the one that answered requests just before; else the newest. After a rollback or a pin it may be
/// older than others, which somebody has gone back past.
pub fn last_served<'a>(mut versions: impl Iterator<Item = &'a Version> + Clone) -> Option<&'a Version> {
    let previous = versions.clone().find(|version| version.state == VersionState::Previous);
    previous.or_else(|| versions.next())
}

/// A version with a verdict; the first one of a gate counts.
pub(super) fn with_verdict(version: &Version, gate: &str, message: String) -> Version {
    let mut version = version.clone();
    if !version.gates.iter().any(|verdict| verdict.gate == gate) {
        version.gates.push(Verdict { gate: gate.into(), passed: false, message });
    }
    version
}

/// Why a version was taken back, or would have been if there were another one. None when it does no harm.
pub fn harm_of(version: &Version) -> Option<String> {
    // One that serves nevertheless was pinned.
    let is_back = version.state != VersionState::Serving;
    let canary = version.canary.iter().filter(|verdict| is_back && !verdict.passed);
    let verdicts = version.gates.iter().filter(|verdict| is_harm(verdict)).chain(canary);
    let why: Vec<&str> = verdicts.map(|verdict| verdict.message.as_str()).collect();
    (!why.is_empty()).then(|| why.join("; "))
}

/// Whether a verdict is one of those that take a version back.
pub fn is_harm(verdict: &Verdict) -> bool {
    [ROLLOUT, WATCH, ROLLBACK].contains(&verdict.gate.as_str())
}

/// Records that a version answers requests. When that begins, what was observed of an earlier try does not count any more.
pub fn record_serving(version: &mut Version, begins: bool, now: Timestamp) {
    version.gates.retain(|verdict| !begins || !is_harm(verdict));
    version.served_at.get_or_insert(Time(whole_seconds(now)));
}

/// The objectives that were breached when a rollout began: with a new one those of now, and they stay while its version is watched.
/// `last`: what was recorded last.
pub fn breached(last: &Inputs<'_>, rolling_out: Option<&str>, watched_until: Option<Timestamp>) -> Vec<String> {
    match rolling_out {
        Some(_) if rolling_out != last.rolling_out => last.servers.doubtful.clone(),
        None if watched_until.is_none() => Vec::new(),
        _ => last.breached.to_vec(),
    }
}

/// Until when the version that answers requests is watched. `before`: the one that did so before this decision. One that has
/// served before, or came with other settings, is not watched.
pub fn until(inputs: &Inputs<'_>, before: Option<&str>, serving: Option<&str>) -> Option<Timestamp> {
    let is_same = |settings: &Option<String>| settings.is_none() || settings.as_deref() == inputs.settings;
    if serving == before || !is_same(&inputs.servers.settings) {
        return inputs.watched_until.filter(|_| serving == before && is_same(&inputs.servers.settings));
    }
    let is_new = inputs.version(serving?).is_some_and(|version| version.served_at.is_none());
    let is_watched = is_new && before.is_some() && !inputs.policy.watch.is_zero();
    is_watched.then(|| whole_seconds(inputs.now + inputs.policy.watch))
}
