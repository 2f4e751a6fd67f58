//! What the ticks keep of servers that change versions without a restart: which of them answer with the new one. Pure.
//!
//! ```text
//! reconcile: Plan (version, pods) ─> State ─ tick: recommender:pod_version_timestamp_seconds ─> Reports ─> reconcile, status
//! ```

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::RecommenderModelStatus,
    model::Model,
    observed::{NO_SOURCE, OfSource, Ticked},
    series::Series,
    signals::Readings,
};

/// Seconds for which a sample is one of now: it is recorded every 10 s, and one evaluation may fail.
const CURRENT_SECONDS: f64 = 30.0;
/// Least time between two reconciles for a part of the servers: 15 s. Each of them writes the status, and there may be a thousand.
const REPORT: SignedDuration = SignedDuration::from_secs(15);

/// Why a pod does not count: its processes report two versions in one scrape.
const MIXED: &str = "it reports another version as well, as one of several processes that has not changed";

/// What a reconcile knows of servers that are to change versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The version.
    pub version: String,
    /// Since when they are to.
    pub since: Timestamp,
    /// The pods whose container runs.
    pub pods: BTreeSet<String>,
    /// Whether these are servers that got ready after the version was rolled out.
    pub is_late: bool,
}

/// Which servers report the version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reports {
    /// The version.
    pub version: String,
    /// Since when they are to answer with it.
    pub since: Timestamp,
    /// The pods that do.
    pub pods: BTreeSet<String>,
    /// Why nothing is known of others, by pod.
    pub unknown: BTreeMap<String, &'static str>,
    /// With which other version servers answer that got ready after the version was rolled out, by pod. Only of what is known.
    pub others: BTreeMap<String, String>,
}

/// What the ticks keep of an object whose servers change versions.
#[derive(Debug, Default)]
pub struct State {
    object: OfSource,
    plan: Option<Plan>,
    observed: Reports,
    reported_at: Option<Timestamp>,
}

impl State {
    /// Takes over what a reconcile knows; `None` while no server is to change versions.
    pub fn plan(&mut self, plan: Option<Plan>) {
        let of = |plan: &Plan| (plan.version.clone(), plan.since);
        if self.plan.as_ref().map(of) != plan.as_ref().map(of) {
            let (version, since) = plan.as_ref().map(of).unwrap_or_default();
            self.observed = Reports { version, since, ..Reports::default() };
            self.reported_at = None;
        }
        self.plan = plan;
    }
}

impl Ticked for State {
    type Observed = Option<Reports>;

    fn update(&mut self, model: &Model, _: &RecommenderModelStatus) {
        self.object = OfSource::new(model);
    }

    fn object(&self) -> &OfSource {
        &self.object
    }

    fn is_empty(&self) -> bool {
        self.plan.is_none()
    }

    fn demanded(&self) -> Vec<Series> {
        vec![Series::PodVersion]
    }

    fn observed(&self) -> Option<Reports> {
        self.plan.as_ref().map(|_| self.observed.clone())
    }

    fn tick(&mut self, readings: Option<&Readings>, now: Timestamp) -> bool {
        let Some(plan) = &self.plan else { return false };
        let object = (self.object.namespace.as_str(), self.object.name.as_str());
        let (mut pods, mut unknown) = (BTreeSet::new(), BTreeMap::new());
        let versions = readings.map(|readings| readings.versions(object)).unwrap_or_default();
        // What a server reported before it changed is from an earlier scrape.
        let is_mixed = |pod: &str| {
            let of_pod = versions.get(pod);
            let own = of_pod.and_then(|of| of.get(plan.version.as_str()));
            let mut others = of_pod.into_iter().flatten().filter(|(version, _)| **version != plan.version);
            others.any(|(_, scraped)| own.is_some_and(|own| scraped >= own))
        };
        for pod in &plan.pods {
            let read = |readings: &Readings| readings.scraped(object, (pod, &plan.version), CURRENT_SECONDS, now);
            match readings.ok_or(NO_SOURCE).and_then(read) {
                Ok(_) if is_mixed(pod) => _ = unknown.insert(pod.clone(), MIXED),
                Ok(scraped) if scraped >= plan.since.as_duration().as_secs_f64() => _ = pods.insert(pod.clone()),
                // It may have answered with the version before it was to change it.
                Ok(_) => {}
                Err(why) => _ = unknown.insert(pod.clone(), why),
            }
        }
        let mut others = BTreeMap::new();
        for pod in plan.pods.iter().filter(|pod| plan.is_late && !pods.contains(*pod)) {
            let scraped = |version: &str| readings?.scraped(object, (pod, version), CURRENT_SECONDS, now).ok();
            let mut answered = versions.get(pod.as_str()).into_iter().flatten().map(|(version, _)| *version);
            let other = answered.find(|version| *version != plan.version && scraped(version).is_some());
            others.extend(other.map(|version| (pod.clone(), version.to_owned())));
        }
        let is_done = |pods: &BTreeSet<String>| plan.pods.is_subset(pods);
        let is_over = is_done(&pods) != is_done(&self.observed.pods);
        let is_due = self.reported_at.is_none_or(|at| now.duration_since(at).abs() >= REPORT);
        // Of servers that got ready later, only what they answer with otherwise is reported.
        let is_news = match plan.is_late {
            true => others != self.observed.others,
            false => (&pods, &unknown) != (&self.observed.pods, &self.observed.unknown),
        };
        if !is_news || !(is_over || is_due) {
            return false;
        }
        (self.observed.pods, self.observed.unknown, self.observed.others) = (pods, unknown, others);
        self.reported_at = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::fake::{NOW, at, readings};

    const PODS: [&str; 2] = ["s1", "s2"];

    fn state(since: i64) -> State {
        let mut state = State { object: OfSource::packages(), ..State::default() };
        state.plan(Some(plan("partial-2", since)));
        state
    }

    fn plan(version: &str, since: i64) -> Plan {
        let pods = PODS.map(String::from).into();
        Plan { version: version.into(), since: at(since), pods, is_late: false }
    }

    /// A read `second` seconds after the begin; both pods were scraped at these seconds, while they answered with `partial-2`.
    fn read(scraped: [Option<i64>; 2], second: i64) -> Readings {
        let of = |about, scraped: i64| ("shop", "packages", Series::PodVersion, about, (NOW + scraped).to_string(), 0);
        let about = [r#"s1","version":"partial-2"#, r#"s2","version":"partial-2"#];
        let samples = about.into_iter().zip(scraped).filter_map(|(about, scraped)| Some(of(about, scraped?)));
        readings(&samples.collect::<Vec<_>>(), second)
    }

    fn reported(state: &State) -> Vec<String> {
        state.observed().expect("a plan").pods.into_iter().collect()
    }

    #[test]
    fn a_server_reports_once_it_is_scraped_with_the_version_after_the_begin() {
        let mut state = state(10);
        state.tick(Some(&read([Some(9), None], 15)), at(15));
        assert!(reported(&state).is_empty(), "that was before");
        assert!(state.tick(Some(&read([Some(31), Some(8)], 35)), at(35)));
        assert_eq!(reported(&state), ["s1"]);
        assert!(state.tick(Some(&read([Some(36), Some(36)], 40)), at(40)), "the last one is reported at once");
        assert_eq!(reported(&state), PODS);
        assert!(!state.tick(Some(&read([Some(41), Some(41)], 45)), at(45)), "nothing is new");
        // Its series ends, and the last sample is none of now.
        let old = read([Some(41), Some(41)], 45);
        assert!(state.tick(Some(&old), at(80)));
        assert!(reported(&state).is_empty());
        let unknown = state.observed().expect("a plan").unknown;
        assert_eq!(unknown.len(), 2, "{unknown:?}");
    }

    #[test]
    fn a_pod_whose_processes_report_two_versions_in_one_scrape_has_not_changed() {
        let of = |about, scraped: i64| ("shop", "packages", Series::PodVersion, about, (NOW + scraped).to_string(), 0);
        let (new, old) = (r#"s1","version":"partial-2"#, r#"s1","version":"full-1"#);
        let other = of(r#"s2","version":"partial-2"#, 12);
        let mut state = state(0);
        state.tick(Some(&readings(&[of(new, 12), of(old, 12), other.clone()], 15)), at(15));
        assert_eq!(reported(&state), ["s2"]);
        assert_eq!(state.observed().expect("a plan").unknown["s1"], MIXED);
        // The last sample of the version before is of an earlier scrape.
        assert!(
            state.tick(Some(&readings(&[of(new, 42), of(old, 12), of(r#"s2","version":"partial-2"#, 42)], 45)), at(45))
        );
        assert_eq!(reported(&state), PODS);
    }

    #[test]
    fn a_part_of_the_servers_is_reported_every_15_s_only() {
        let mut state = state(0);
        state.tick(Some(&read([None, None], 5)), at(5));
        assert!(!state.tick(Some(&read([Some(8), None], 10)), at(10)));
        assert!(reported(&state).is_empty());
        assert!(state.tick(Some(&read([Some(18), None], 20)), at(20)));
        assert_eq!(reported(&state), ["s1"]);
    }

    #[test]
    fn of_servers_that_got_ready_later_only_another_version_is_news() {
        let of = |about, scraped: i64| ("shop", "packages", Series::PodVersion, about, (NOW + scraped).to_string(), 0);
        let (new, old) = (r#"s1","version":"partial-2"#, r#"s2","version":"full-1"#);
        let mut state = State { object: OfSource::packages(), ..State::default() };
        state.plan(Some(Plan { is_late: true, ..plan("partial-2", 0) }));
        let others = |state: &State| state.observed().expect("a plan").others;
        assert!(
            !state.tick(None, at(5)) && !state.tick(Some(&readings(&[of(new, 8)], 10)), at(10)),
            "nothing is known of s2"
        );
        assert!(state.tick(Some(&readings(&[of(new, 18), of(old, 18)], 20)), at(20)));
        assert_eq!(others(&state), [("s2".to_owned(), "full-1".to_owned())].into());
        assert!(!state.tick(Some(&readings(&[of(new, 23), of(old, 23)], 25)), at(25)));
        let changed = [of(new, 48), of(r#"s2","version":"partial-2"#, 48)];
        assert!(state.tick(Some(&readings(&changed, 50)), at(50)));
        assert!(others(&state).is_empty());
    }

    #[test]
    fn without_a_source_nothing_is_known_and_another_plan_begins_anew() {
        let mut state = state(0);
        assert!(state.tick(None, at(5)));
        assert_eq!(state.observed().expect("a plan").unknown["s1"], NO_SOURCE);
        state.tick(Some(&read([Some(19), Some(19)], 20)), at(20));
        assert_eq!(reported(&state), PODS);
        state.plan(Some(plan("partial-2", 0)));
        assert_eq!(reported(&state), PODS, "it is the same");
        state.plan(Some(plan("partial-2", 25)));
        assert!(reported(&state).is_empty());
        state.plan(None);
        assert!(state.is_empty() && state.observed().is_none());
    }
}
