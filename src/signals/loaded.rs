//! What the API of a metric source lists beside samples: rule groups, scrape pools and targets. Only the fields that are used
//! are decoded.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    answer,
    failure::{Failure, shorten},
    readings::{Clock, seconds},
};

/// First part of the names of our rule groups.
const OURS: &str = "recommender/";
/// The value of `health` of a rule whose last evaluation failed.
const FAILED: &str = "err";

/// An object to ask a source about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub recommender: String,
    /// Names of its rule groups.
    pub groups: Vec<String>,
}

impl Asked {
    /// Its namespace and name.
    pub fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.recommender.clone())
    }
}

/// What a source has loaded of the objects that it was asked about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Rule groups by name: several, where several files or servers have one of that name. The error is why the source does not
    /// list them.
    pub groups: Result<BTreeMap<String, Vec<Group>>, String>,
    /// By namespace, object and workload.
    pub workloads: BTreeMap<(String, String, String), Scraped>,
    /// Why nothing is known of an object now, by namespace and name: one sentence.
    pub failed: BTreeMap<(String, String), String>,
    /// Whether the rule groups are those of all objects.
    pub is_complete: bool,
}

impl Default for Loaded {
    fn default() -> Self {
        Self { groups: Ok(BTreeMap::new()), workloads: BTreeMap::new(), failed: BTreeMap::new(), is_complete: false }
    }
}

impl Loaded {
    /// What it has of a workload.
    pub fn workload(&self, namespace: &str, recommender: &str, workload: &str) -> Option<&Scraped> {
        self.workloads.get(&(namespace.into(), recommender.into(), workload.into()))
    }
}

/// The series of a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scraped {
    /// Names of the series that were asked for and exist.
    pub names: BTreeSet<String>,
    /// Its scrape targets.
    pub targets: u32,
    /// Those that answered their last scrape.
    pub up: u32,
    /// The same two numbers as the rules of the servers record them; none where they are not recorded.
    pub recorded: (Option<u32>, Option<u32>),
}

/// A rule group as it is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its rules, in any order: some servers sort them.
    pub rules: Vec<LoadedRule>,
    /// Seconds between two evaluations; none where the source does not report it.
    pub interval_seconds: Option<f64>,
    /// Name of a rule whose last evaluation failed, and why.
    pub failed: Option<(String, String)>,
    /// When it was last evaluated.
    pub evaluated: Evaluated,
}

/// A rule. What a source does not report is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadedRule {
    /// Name of the series or alert.
    pub name: String,
    /// Its PromQL.
    pub query: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: Option<BTreeMap<String, String>>,
    /// How long its condition holds until the alert fires, in seconds.
    pub for_seconds: Option<f64>,
}

/// When a group was last evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Evaluated {
    /// The source does not report it.
    Unknown,
    /// Not since it was loaded.
    Never,
    /// So many seconds before the answer, by the server's clock.
    Ago(f64),
}

/// What a source reports of one scrape pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Nothing is known: the source does not list scrape pools.
    Unknown,
    /// It is not loaded.
    Absent,
    /// It is loaded, and no target is discovered in it.
    Empty,
    /// It has targets; the error of one whose last scrape failed.
    Targets(Option<String>),
}

/// Our rule groups in an answer of `/api/v1/rules`. Also returns whether it has groups that were not asked for, as of servers that
/// ignore the filter: then it has all.
pub(super) fn groups(
    body: &[u8],
    asked: &BTreeSet<&str>,
    clock: Clock,
) -> Result<(BTreeMap<String, Vec<Group>>, bool), Failure> {
    let (data, _) = answer::data::<RulesData>(body)?;
    let mut is_complete = false;
    let mut groups: BTreeMap<String, Vec<Group>> = BTreeMap::new();
    for group in data.groups {
        is_complete |= !asked.contains(&*group.name);
        if group.name.starts_with(OURS) {
            let loaded = Group {
                failed: group.rules.iter().find_map(failed),
                evaluated: evaluated(&group, clock),
                interval_seconds: group.interval,
                rules: group.rules.into_iter().map(LoadedRule::from).collect(),
            };
            groups.entry(group.name.into_owned()).or_default().push(loaded);
        }
    }
    Ok((groups, is_complete))
}

impl From<Rule<'_>> for LoadedRule {
    fn from(rule: Rule<'_>) -> Self {
        Self {
            name: rule.name.into_owned(),
            query: rule.query.map(Cow::into_owned),
            labels: rule.labels.unwrap_or_default(),
            annotations: rule.annotations,
            for_seconds: rule.duration,
        }
    }
}

fn failed(rule: &Rule) -> Option<(String, String)> {
    (rule.health == FAILED).then(|| (rule.name.clone().into_owned(), shorten(&rule.last_error)))
}

/// Some servers report the time of each rule instead of that of the group.
fn evaluated(group: &RuleGroup, clock: Clock) -> Evaluated {
    let of_rules = group.rules.iter().map(|rule| &*rule.last_evaluation);
    let times = std::iter::once(&*group.last_evaluation).chain(of_rules);
    let newest = times.filter_map(|time| time.parse::<Timestamp>().ok()).max();
    match newest {
        None => Evaluated::Unknown,
        // Go's zero time is that of the year 1.
        Some(time) if time < Timestamp::UNIX_EPOCH => Evaluated::Never,
        Some(time) => Evaluated::Ago((clock.server - seconds(time)).max(0.0)),
    }
}

/// The state of a pool in an answer of `/api/v1/targets`. None when it has no target in it.
pub(super) fn targets(body: &[u8], pool: &str) -> Result<Option<Pool>, Failure> {
    let (data, _) = answer::data::<TargetsData>(body)?;
    let of_pool: Vec<_> = data.active_targets.iter().filter(|target| target.scrape_pool == pool).collect();
    let error = of_pool.iter().find(|target| !target.last_error.is_empty()).map(|target| shorten(&target.last_error));
    Ok((!of_pool.is_empty()).then_some(Pool::Targets(error)))
}

/// Whether an answer of `/api/v1/scrape_pools` has a pool.
pub(super) fn has_pool(body: &[u8], pool: &str) -> Result<bool, Failure> {
    let (data, _) = answer::data::<PoolsData>(body)?;
    Ok(data.scrape_pools.iter().any(|name| name == pool))
}

/// Adds an element of a vector to the workloads.
pub(super) fn add(
    workloads: &mut BTreeMap<(String, String, String), Scraped>,
    element: &Element,
    change: impl FnOnce(&mut Scraped, &str, u32),
) {
    let Labels { namespace, recommender, workload, name } = &element.metric;
    let key = (namespace.to_string(), recommender.to_string(), workload.to_string());
    let count = element.value.1.parse::<f64>().unwrap_or_default();
    change(workloads.entry(key).or_default(), name, count as u32);
}

/// An element of a vector.
#[derive(Deserialize)]
pub(super) struct Element<'a> {
    #[serde(borrow)]
    metric: Labels<'a>,
    #[serde(borrow)]
    value: (f64, Cow<'a, str>),
}

#[derive(Deserialize)]
struct Labels<'a> {
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    recommender: Cow<'a, str>,
    #[serde(borrow, default)]
    workload: Cow<'a, str>,
    #[serde(borrow, default, rename = "__name__")]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RulesData<'a> {
    #[serde(borrow)]
    groups: Vec<RuleGroup<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleGroup<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    last_evaluation: Cow<'a, str>,
    interval: Option<f64>,
    #[serde(borrow, default)]
    rules: Vec<Rule<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    query: Option<Cow<'a, str>>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    duration: Option<f64>,
    #[serde(borrow, default)]
    health: Cow<'a, str>,
    #[serde(borrow, default)]
    last_error: Cow<'a, str>,
    #[serde(borrow, default)]
    last_evaluation: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetsData<'a> {
    #[serde(borrow)]
    active_targets: Vec<Target<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    #[serde(borrow)]
    scrape_pool: Cow<'a, str>,
    #[serde(borrow, default)]
    last_error: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PoolsData<'a> {
    #[serde(borrow)]
    scrape_pools: Vec<Cow<'a, str>>,
}
