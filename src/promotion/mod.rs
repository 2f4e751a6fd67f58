//! What serves: decided once in a reconcile. Rendering, applying and the status read this value. Pure.
//!
//! ```text
//! servers ─> watch (harm) ──┐
//! versions ─> gates ────────┤
//! annotations ─> requests ──┼─> settled ─> choose (which version serves or is a canary, and why) ─> states ─> condition PromotionReady
//! verdict on the canary ────┤
//! prior status ─────────────┘
//! ```

pub mod canary;
pub mod copies;
pub mod counts;
mod gates;
mod held;
pub mod judge;
mod outcome;
mod readiness;
pub mod reload;
pub mod reports;
mod requests;
mod restored;
pub mod route;
mod settled;
pub mod source;
mod track;
pub mod trial;
mod watch;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use held::Held;
pub use readiness::Waiting;
pub use restored::{hold_back_newer, restored, served, unreadable};
use settled::Settled;
pub use source::{Source, SourceUnavailable};
pub use watch::{Servers, harm_of};

use crate::{
    api::{CanaryVersions, PruningStatus, RecommenderModelStatus, Verdict, Version, VersionState},
    model::{
        Identity, Model,
        promotion::{Policy, Requests},
        readiness::Readiness,
    },
    observe::{Children, DeploymentState},
    training::{Outcome, Reading},
};

/// The decision on what serves, and the state of every version.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// The version to serve; none before the first one that may, and then the Deployment is left as it is.
    pub serve: Option<Version>,
    /// Why this one, as text to follow "because".
    pub why: &'static str,
    /// The version that gets a part of the requests beside that one.
    pub canary: Option<Version>,
    /// The version that answers requests: the last one whose rollout was completed.
    pub serving: Option<String>,
    /// The version that is being rolled out: the one to serve until it answers requests.
    pub rolling_out: Option<String>,
    /// The version to serve, if it is not in the artifact store of the spec, or its artifact is not known: it is not rolled out, because its
    /// pods could not read it, and what serves is left as it is until a newer version is promoted.
    pub elsewhere: Option<String>,
    /// All versions with their states, newest first.
    pub versions: Vec<Version>,
    /// The value of the annotation that rolls back, once it was followed.
    pub last_rollback: Option<String>,
    /// Until when the version that answers requests is watched.
    pub watched_until: Option<Timestamp>,
    /// The objectives that were breached when its rollout began.
    pub breached: Vec<String>,
    /// Hash of the settings with which the last rollout was completed.
    pub settings: Option<String>,
    /// Whether a version is taken back now, or its canary has ended. That is recorded before another one is applied: afterwards its
    /// servers are gone, and it would be promoted again.
    pub is_recorded_first: bool,
    /// The version without an approval that holds back the newest one, or the approved one: that version itself, or one that it is based on.
    pub unapproved: Option<String>,
    /// What the newest version that may be promoted waits for.
    pub held: Option<Held>,
    /// Whether that version is to be a canary and has not begun, so that its metric source is read.
    pub reads_source: bool,
    /// Since when one waits, also while another one is a canary or is rolled out: the longest wait does not begin anew behind it.
    pub waiting_since: Option<Timestamp>,
    /// The version that is pinned, if the pin is followed.
    pub pinned: Option<String>,
    /// The pin to be recorded: that one, or one whose rollout goes on while its version is not in the artifact store of the spec.
    pub recorded_pin: Option<String>,
    /// The condition `PromotionReady`.
    pub condition: Outcome,
    /// When to decide again even if nothing happens.
    pub wake_at: Option<Timestamp>,
}

/// What is known of canaries.
#[derive(Clone, Copy, Debug)]
pub struct CanaryInputs<'a> {
    /// The verdict on the canary of a version, when there is one.
    pub verdict: Option<(&'a str, &'a Verdict)>,
    /// Whether the canary has ended without a verdict, because nothing could be counted: it begins anew.
    pub lacks_data: bool,
    /// Whether the requests of a canary can be counted.
    pub source: &'a Source,
}

impl CanaryInputs<'static> {
    /// There was none, and one may begin.
    pub const NONE: Self = Self { verdict: None, lacks_data: false, source: &Source::Answers };
}

/// What a rollout is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Which object it is, for advice.
    pub identity: &'a Identity,
    /// The gates.
    pub policy: &'a Policy,
    /// What is requested by annotations.
    pub requests: &'a Requests,
    /// The value of the annotation that rolls back that was followed last.
    pub last_rollback: Option<&'a str>,
    /// The valid versions with the states that were recorded last, newest first.
    pub versions: &'a [Version],
    /// What was and is pruned.
    pub pruning: Option<&'a PruningStatus>,
    /// URI of the artifact store.
    pub store: &'a str,
    /// The version that answered requests when the status was written last.
    pub serving: Option<&'a str>,
    /// The version that was being rolled out then.
    pub rolling_out: Option<&'a str>,
    /// The pin that was recorded then.
    pub pinned: Option<&'a str>,
    /// The version of which all servers are ready and no other servers exist.
    pub rolled_out: Option<&'a str>,
    /// Which versions begin as a canary; none if no version does.
    pub canary_versions: Option<CanaryVersions>,
    /// The version that was the canary then.
    pub canary: Option<&'a str>,
    /// The verdict on the canary of a version, when there is one.
    pub verdict: Option<(&'a str, &'a Verdict)>,
    /// Whether the requests of a canary can be counted.
    pub source: &'a Source,
    /// What is observed of the servers.
    pub servers: &'a Servers,
    /// Hash of the settings with which the last rollout was completed.
    pub settings: Option<&'a str>,
    /// Until when the version that answers requests is watched.
    pub watched_until: Option<Timestamp>,
    /// The objectives that were breached when its rollout began.
    pub breached: &'a [String],
    /// What a promotion waits for.
    pub readiness: &'a Readiness,
    /// What the last tick observed of that.
    pub readings: &'a BTreeMap<String, Reading>,
    /// Since when a version waits for it, if one did when the status was written last.
    pub waiting_since: Option<Timestamp>,
    /// The current time.
    pub now: Timestamp,
}

impl<'a> Inputs<'a> {
    /// From the object, the status that was written last, and the observed Deployment of the servers. `store`: URI of the artifact
    /// store. `canaries`: what is known of them. `readings`: of its inputs.
    pub fn new(
        model: &'a Model,
        (store, versions): (&'a str, &'a [Version]),
        prior: &'a RecommenderModelStatus,
        servers: &'a Servers,
        canaries: CanaryInputs<'a>,
        readings: &'a BTreeMap<String, Reading>,
        now: Timestamp,
    ) -> Self {
        let serving = prior.serving.as_ref();
        Self {
            identity: &model.identity,
            policy: &model.promotion,
            requests: &model.promotion_requests,
            last_rollback: prior.last_rollback.as_deref(),
            versions,
            pruning: prior.pruning.as_ref(),
            store,
            serving: serving.and_then(|serving| serving.version.as_deref()),
            rolling_out: serving.and_then(|serving| serving.rolling_out.as_deref()),
            pinned: serving.and_then(|serving| serving.pinned.as_deref()),
            rolled_out: servers.rolled_out.as_deref(),
            canary_versions: model.canary.as_ref().map(|canary| canary.versions),
            canary: trial::status(prior).filter(|_| !canaries.lacks_data).map(|canary| canary.version.as_str()),
            verdict: canaries.verdict,
            source: canaries.source,
            servers,
            settings: serving.and_then(|serving| serving.settings.as_deref()),
            watched_until: serving.and_then(|serving| serving.watched_until.as_ref()).map(|until| until.0),
            breached: serving.map_or(&[], |serving| &serving.breached),
            readiness: &model.promotion_readiness,
            readings,
            waiting_since: serving.and_then(|serving| serving.waiting_since.as_ref()).map(|since| since.0),
            now,
        }
    }

    fn version(&self, id: &str) -> Option<&'a Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// The version that is to serve as long as no newer one is promoted: the one that answers requests. While that one is rolled
    /// back, it is the one that it is rolled back to.
    fn standing(&self) -> Option<&'a Version> {
        let serving = self.version(self.serving?);
        match serving {
            Some(Version { state: VersionState::RolledBack, .. }) => {
                let target =
                    self.rolling_out.and_then(|id| self.version(id)).filter(|version| requests::may_return(version));
                target.or_else(|| self.returning(self.serving?)).or(serving)
            }
            _ => serving,
        }
    }

    /// The version that one is rolled back to once a pin that was set meanwhile is gone: the one that the annotation named when it was
    /// followed last, unless another one has served since then, or else the one before it that served last.
    fn returning(&self, from: &str) -> Option<&'a Version> {
        let older: Vec<_> = watch::older(self, from).collect();
        let named = older.iter().position(|version| self.last_rollback == Some(version.id.as_str()));
        // A rollback leaves no newer one in this state.
        let is_last = |at: &usize| older[..*at].iter().all(|version| version.state != VersionState::Previous);
        named.filter(is_last).map(|at| older[at]).or_else(|| watch::last_served(older.iter().copied()))
    }
}

/// A version to serve, and why.
type Choice<'a> = (Option<&'a Version>, &'static str);

/// Why a request is not followed.
#[derive(Clone, Debug, PartialEq)]
struct Refusal {
    /// The annotation.
    annotation: &'static str,
    /// Its value.
    value: String,
    /// What is wrong with it, and what to write instead.
    why: String,
}

impl Rollout {
    /// The newest version that passes its gates serves, unless people request another one.
    pub fn decide(inputs: &Inputs<'_>) -> Self {
        let last = inputs;
        let settled = Settled::of(last);
        let inputs = &settled.inputs(last);
        let (pinned, back) = settled.requested(inputs);
        // Where it serves already, nothing has to be rolled back to it.
        let returning = back.filter(|back| inputs.serving != Some(back.id.as_str()));
        let (canary, (chosen, why)) = begin(inputs, choose(inputs, pinned, back));

        // A pin and a rollback do not wait.
        let is_requested = pinned.is_some() || returning.is_some();
        let next = permitted(inputs).first().copied().filter(|_| !is_requested);
        let held = next.and_then(|version| Held::of(inputs, version));
        let rechecked = match &held {
            Some(Held::Inputs(waiting)) => inputs.readiness.wakes(waiting.since, inputs.now).min(),
            _ => None,
        };
        let begins = |version: &Version| [canary, chosen].into_iter().flatten().any(|begun| begun.id == version.id);
        let waiting_since = next
            .filter(|version| !begins(version))
            .and_then(|version| readiness::pending(inputs, version).map(|(since, _)| since));

        let usable = chosen.filter(|version| version.is_in(inputs.store));
        let desired = usable.map(|version| version.id.as_str());
        let is_complete = desired.is_some() && inputs.rolled_out == desired;
        let serving = if is_complete { desired } else { inputs.serving };
        // One that is refused is tried again.
        let is_followed = |value: &&String| back.is_some() || inputs.last_rollback == Some(value.as_str());
        let refusals = settled.refusals();
        // Its objectives are those of all servers: they show the harm of another version that gets requests, too.
        let is_alone = canary.is_none() && desired == serving;
        let watched_until = watch::until(inputs, last.serving, serving).filter(|_| is_alone);
        let mut versions = track::marked(states(inputs.versions, serving, desired), canary);
        if let Some(version) = versions.iter_mut().find(|version| serving == Some(version.id.as_str())) {
            watch::record_serving(version, serving != last.serving, inputs.now);
        }
        let settings = inputs.servers.settings.as_deref().filter(|_| inputs.rolled_out.is_some()).or(inputs.settings);
        // Where nothing is rolled out because of its store, the Deployment is left as it is, and goes on with what it has begun.
        let left = inputs.rolling_out.filter(|id| inputs.servers.version.as_deref() == Some(*id));
        let left = left.filter(|_| chosen.is_some() && usable.is_none());
        let rolling_out = desired.filter(|desired| serving != Some(desired)).or(left);
        let recorded_pin = pinned.map(|version| version.id.as_str()).or(last.pinned.filter(|pin| left == Some(*pin)));
        // Its pods stay until the rollout is complete.
        let is_kept = |version: &&Version| {
            let id = Some(version.id.as_str());
            rolling_out == id && inputs.canary == id && track::has_passed(version)
        };
        let kept = chosen.filter(is_kept);
        Self {
            canary: canary.or(kept).cloned(),
            serve: versions.iter().find(|version| desired == Some(version.id.as_str())).cloned(),
            why,
            rolling_out: rolling_out.map(str::to_owned),
            serving: serving.map(str::to_owned),
            elsewhere: chosen.filter(|_| usable.is_none()).map(|version| version.id.clone()),
            versions,
            last_rollback: inputs.requests.rollback.as_ref().filter(is_followed).cloned(),
            breached: watch::breached(last, rolling_out, watched_until),
            watched_until,
            settings: settings.map(str::to_owned),
            is_recorded_first: settled.is_harmed || track::is_news(last),
            condition: outcome::condition(inputs, usable, canary, &refusals, held.as_ref()),
            wake_at: too_old_at(inputs, canary).into_iter().chain(rechecked).min(),
            waiting_since,
            unapproved: outcome::unapproved(inputs, usable).map(|(_, version)| version.id.clone()),
            held,
            reads_source: next.is_some_and(|version| source::is_read_for(inputs, version)),
            pinned: pinned.map(|version| version.id.clone()),
            recorded_pin: recorded_pin.map(str::to_owned),
        }
    }
}

/// Ids of versions that are never dropped: those that serve, are being rolled out, are a canary or have served before, the full ones at the
/// root of any version, and those that are requested: pinned, to be rolled back to, or approved and not promoted yet. Without the roots,
/// partial versions every quarter of an hour would soon leave no full one to roll back to, and nothing that shows that what they are based on
/// was refused.
pub fn in_use(prior: &RecommenderModelStatus, requests: &Requests) -> Vec<String> {
    let serving: Vec<&String> = prior.serving.iter().flat_map(|of| of.version.iter().chain(&of.rolling_out)).collect();
    let is_approved =
        |version: &Version| version.state == VersionState::Candidate && requests.approve.as_ref() == Some(&version.id);
    let is_used = |version: &&Version| {
        version.state == VersionState::Previous || serving.contains(&&version.id) || is_approved(version)
    };
    let used = prior.versions.iter().filter(is_used).map(|version| &version.id);
    let roots = prior.versions.iter().filter_map(|version| Some(&version.base.as_ref()?.full));
    let canary = trial::status(prior).map(|canary| &canary.version);
    // One that waits for the end of a pin.
    let back = requests.rollback.as_ref().filter(|back| prior.last_rollback.as_ref() != Some(back));
    let requested = requests.pin.iter().chain(back);
    serving.iter().copied().chain(canary).chain(used).chain(roots).chain(requested).cloned().collect()
}

/// Whether a version serves or served just before, or has this id.
fn has_served(version: &Version, id: Option<&str>) -> bool {
    matches!(version.state, VersionState::Serving | VersionState::Previous) || id == Some(version.id.as_str())
}

/// The Deployment of an object with this name.
fn deployment<'a>(
    model: &Model,
    children: &'a Children,
    name: impl FnOnce(&str) -> String,
) -> Option<&'a DeploymentState> {
    children.deployment(&name(&model.identity.base), model.identity.uid.as_deref().unwrap_or_default())
}

/// The versions that have not served, and are newer than the one that does and the one before: only these are judged, and may be
/// promoted.
fn unserved<'a>(versions: &'a [Version], serving: Option<&str>) -> impl Iterator<Item = &'a Version> + Clone {
    let end = versions.iter().position(|version| has_served(version, serving)).unwrap_or(versions.len());
    versions[..end].iter().filter(|version| matches!(version.state, VersionState::Candidate | VersionState::Rejected))
}

/// The versions with the verdicts of the gates on those that may be promoted. They are judged again each time, so that a change of
/// the gates counts. `back`: the version that is rolled back to now.
fn judged(inputs: &Inputs<'_>, versions: Vec<Version>, back: Option<&Version>) -> Vec<Version> {
    let inputs = &Inputs { versions: &versions, ..*inputs };
    let earlier: Vec<&Version> = versions.iter().filter(|version| requests::may_return(version)).collect();
    let baselines = gates::Baselines { serving: back.or_else(|| inputs.standing()), earlier: &earlier };
    let unserved: Vec<&str> = unserved(&versions, inputs.serving).map(|version| version.id.as_str()).collect();
    let mut judged: Vec<Version> = Vec::new();
    // The oldest first, so that a version is refused with its base.
    for version in versions.iter().rev() {
        let is_begun = inputs.rolling_out == Some(version.id.as_str());
        // Where nothing else serves, a rollout that has begun goes on.
        if !unserved.contains(&version.id.as_str()) || (is_begun && baselines.serving.is_none()) {
            judged.push(version.clone());
            continue;
        }
        // The data of one that was promoted or became a canary in time do not become too old.
        let is_canary = inputs.canary == Some(version.id.as_str()) || track::has_passed(version);
        let now = if is_begun || is_canary { version.trained_at.0 } else { inputs.now };
        // The versions in between may be dropped already.
        let is_base = |known: &&Version| {
            version.base.as_ref().is_some_and(|base| [&base.version, &base.full].contains(&&known.id))
        };
        let refused_base = judged.iter().filter(is_base).find_map(gates::of_base);
        let mut gates: Vec<Verdict> =
            refused_base.into_iter().chain(inputs.policy.judge(version, baselines, now)).collect();
        let passed = gates.iter().all(|verdict| verdict.passed);
        let state = if passed { VersionState::Candidate } else { VersionState::Rejected };
        gates.extend(version.gates.iter().filter(|verdict| watch::is_harm(verdict)).cloned());
        judged.push(Version { gates, state, ..version.clone() });
    }
    judged.reverse();
    judged
}

/// When the data of the first version that waits becomes too old to be promoted: for an approval, or the end of a pause, a pin or a
/// canary of another one. `canary`: that one.
fn too_old_at(inputs: &Inputs<'_>, canary: Option<&Version>) -> Option<Timestamp> {
    let is_begun = |version: &Version| {
        let id = Some(version.id.as_str());
        id == inputs.rolling_out || id == canary.map(|version| version.id.as_str()) || track::has_passed(version)
    };
    let waiting = unserved(inputs.versions, inputs.serving).filter(|version| version.state == VersionState::Candidate);
    let ends = waiting.filter(|version| !is_begun(version)).filter_map(|version| inputs.policy.too_old_at(version));
    ends.filter(|at| *at >= inputs.now).min()
}

/// Which version serves: one that is pinned, one that is rolled back to now, the newest one that may be promoted, or the one that stands,
/// in this order of precedence. A rollout that has begun goes on where none does. What may be promoted next is newer than all that is rolled
/// back.
fn choose<'a>(inputs: &Inputs<'a>, pinned: Option<&'a Version>, back: Option<&Version>) -> Choice<'a> {
    if pinned.is_some() {
        return (pinned, "it is pinned");
    }
    if let Some(back) = back {
        return (inputs.version(&back.id), "it is rolled back to");
    }
    if let Some(new) = promotable(inputs) {
        let why = match inputs.policy.has_gates() {
            true => "it is the newest version that passes its gates",
            false => "it is the newest valid version",
        };
        return (Some(new), why);
    }
    let mut waiting = unserved(inputs.versions, inputs.serving).filter(|of| of.state == VersionState::Candidate);
    let standing = inputs.standing();
    // Whatever it waits for: the Deployment would be left with it.
    let begun = waiting.clone().find(|of| inputs.rolling_out == Some(of.id.as_str()) && of.is_in(inputs.store));
    if let Some(begun) = begun.filter(|_| standing.is_none()) {
        return (Some(begun), "its rollout has begun, and nothing else serves");
    }
    let is_back = standing.is_some_and(|version| inputs.serving != Some(version.id.as_str()));
    let why = if is_back { "it is rolled back to" } else { "no newer version is promoted" };
    (standing.or_else(|| waiting.find(|version| !version.is_in(inputs.store))), why)
}

/// What gets requests of what was chosen: a version that has to be a canary first gets a part of them, beside the one to serve.
fn begin<'a>(inputs: &Inputs<'a>, (chosen, why): Choice<'a>) -> (Option<&'a Version>, Choice<'a>) {
    match chosen.filter(|version| track::needs_canary(inputs, version)) {
        None => (None, (chosen, why)),
        canary => (canary, (inputs.standing(), "a newer version is a canary")),
    }
}

/// The newest version that passes its gates and needs no approval that it does not have, or an older one that is the canary. One that is being rolled out goes on while
/// promotion is paused.
fn promotable<'a>(inputs: &Inputs<'a>) -> Option<&'a Version> {
    let promotable: Vec<&Version> =
        permitted(inputs).into_iter().filter(|version| Held::of(inputs, version).is_none()).collect();
    let named = |id: Option<&str>| promotable.iter().copied().find(|version| id == Some(version.id.as_str()));
    let newest = promotable.first().copied();
    // What has begun comes to its end before a newer version begins: with frequent trainings nothing would end otherwise.
    let newest_needs_canary = newest.is_some_and(|version| track::needs_canary(inputs, version));
    let begun = named(inputs.canary).or_else(|| named(inputs.rolling_out).filter(|_| newest_needs_canary));
    begun.or(newest)
}

/// The versions that may be promoted once their inputs are there, the newest first.
fn permitted<'a>(inputs: &Inputs<'a>) -> Vec<&'a Version> {
    let is_approved = |version: &&Version| {
        !inputs.policy.is_manual || inputs.requests.approve.as_deref() == Some(version.id.as_str())
    };
    let may_begin = |version: &&Version| !inputs.requests.is_paused || inputs.rolling_out == Some(version.id.as_str());
    unserved(inputs.versions, inputs.serving)
        .filter(|version| version.state == VersionState::Candidate && version.is_in(inputs.store))
        .filter(|version| is_approved(version) && may_begin(version))
        .filter(|version| track::base_to_wait_for(inputs, version).is_none())
        .collect()
}

/// The versions with their states when `serving` answers requests and `desired` is to.
fn states(versions: &[Version], serving: Option<&str>, desired: Option<&str>) -> Vec<Version> {
    let mut versions = versions.to_vec();
    let Some(now) = versions.iter().position(|version| serving == Some(version.id.as_str())) else { return versions };
    // It still answers while another version is rolled back to.
    if versions[now].state == VersionState::RolledBack && serving != desired {
        return versions;
    }
    let changed = versions[now].state != VersionState::Serving;
    for (index, version) in versions.iter_mut().enumerate() {
        version.state = match version.state {
            _ if index == now => VersionState::Serving,
            // An older one was pinned: it may be promoted again.
            VersionState::Serving | VersionState::Previous if index < now => VersionState::Candidate,
            VersionState::Serving => VersionState::Previous,
            VersionState::Previous if changed => VersionState::Superseded,
            VersionState::Candidate if index > now => VersionState::Superseded,
            state => state,
        };
    }
    versions
}

#[cfg(test)]
mod tests;
