//! Runs every policy on all combinations of traces, variants, service times, start-ups and seeds.

use std::collections::BTreeMap;

use recommender_operator::scaling::Headroom;
use serde::Serialize;

use super::front;
use super::log::{self, LagOutcome, LagPolicy, LogWorld, OurWorkers};
use super::ours::Ours;
use super::peers::{flink, hpa, keda, kpa};
use super::run::{Clairvoyant, Outcome, Point, Policy, Scenario, run};
use super::trace::{Scale, Trace, Variant};
use super::world::{Balancing, Servers, World};

/// The options of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Options {
    /// Mean service times, seconds.
    pub services: Vec<f64>,
    /// From the order of a replica to ready, seconds.
    pub startups: Vec<u32>,
    /// Target of the p95 in seconds. None: 2.5 times the unloaded p95.
    pub target: Option<f64>,
    /// Variants.
    pub variants: Vec<Variant>,
    /// Workers per pod.
    pub workers: u32,
    /// How requests are balanced over pods.
    pub balancing: Balancing,
    /// What overloaded servers do.
    pub servers: Servers,
    /// Number of seeds.
    pub seeds: u64,
    /// Whether peers run with a grid of their settings, or only with their defaults.
    pub grid: bool,
}

/// A policy with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Contender {
    Clairvoyant,
    Ours(Headroom),
    Kpa { utilisation: f64, stable: u32, delay: u32 },
    Cpu { target: f64, stabilization: u32 },
    Latency { share: f64, window: u32 },
    Rate { share: f64 },
}

impl Contender {
    fn family(self) -> &'static str {
        match self {
            Self::Clairvoyant => "clairvoyant",
            Self::Ours(_) => "ours",
            Self::Kpa { .. } => "kpa",
            Self::Cpu { .. } => "hpa-cpu",
            Self::Latency { .. } => "hpa-latency",
            Self::Rate { .. } => "hpa-rate",
        }
    }

    fn setting(self) -> String {
        match self {
            Self::Clairvoyant => "knows the future".into(),
            Self::Ours(headroom) => format!("{headroom:?}"),
            Self::Kpa { utilisation, stable, delay } => {
                format!("target {:.0} %, window {stable} s, delay {delay} s", utilisation * 100.0)
            }
            Self::Cpu { target, stabilization } => format!("{:.0} %, down {stabilization} s", target * 100.0),
            Self::Latency { share, window } => format!("{:.0} % of the target, window {window} s", share * 100.0),
            Self::Rate { share } => format!("{:.0} % of what a pod carries at first", share * 100.0),
        }
    }

    fn is_default(self) -> bool {
        Self::defaults().contains(&self)
    }

    const fn defaults() -> [Self; 6] {
        [
            Self::Clairvoyant,
            Self::Ours(Headroom::Balanced),
            Self::Kpa { utilisation: 0.7, stable: 60, delay: 0 },
            Self::Cpu { target: 0.7, stabilization: 300 },
            Self::Latency { share: 1.0, window: 60 },
            Self::Rate { share: 0.7 },
        ]
    }

    fn all(grid: bool) -> Vec<Self> {
        let mut all = Self::defaults().to_vec();
        all.extend([Self::Ours(Headroom::Economy), Self::Ours(Headroom::Reliable)]);
        if grid {
            for utilisation in [0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85] {
                for stable in [30, 60, 120] {
                    all.extend([0, 120, 300].map(|delay| Self::Kpa { utilisation, stable, delay }));
                }
            }
            for target in [0.4, 0.5, 0.6, 0.7, 0.8] {
                all.extend([0, 300].map(|stabilization| Self::Cpu { target, stabilization }));
            }
            for share in [0.5, 0.7, 1.0] {
                all.extend([15, 60].map(|window| Self::Latency { share, window }));
            }
            all.extend([0.5, 0.6, 0.7, 0.8, 0.9].map(|share| Self::Rate { share }));
        }
        let mut unique: Vec<Self> = Vec::new();
        all.into_iter().for_each(|contender| {
            if !unique.contains(&contender) {
                unique.push(contender)
            }
        });
        unique
    }

    fn policy(self, scenario: &Scenario) -> Box<dyn Policy> {
        let (world, phase) = (&scenario.world, (scenario.seed * 7 % 15) as u32);
        let hpa = |metric, stabilization| {
            let settings = hpa::Settings { stabilization, ..hpa::Settings::new(metric) };
            Box::new(hpa::Hpa::new(settings, phase))
        };
        match self {
            Self::Clairvoyant => Box::new(Clairvoyant::new(scenario)),
            Self::Ours(headroom) => Box::new(Ours::new(world, headroom, scenario.seed)),
            Self::Kpa { utilisation, stable, delay } => {
                let settings = kpa::Settings { stable, delay, ..kpa::Settings::new(world.workers, utilisation) };
                Box::new(kpa::Kpa::new(settings))
            }
            Self::Cpu { target, stabilization } => hpa(hpa::Metric::Cpu { target }, stabilization),
            Self::Latency { share, window } => hpa(hpa::Metric::Latency { target: share * world.target, window }, 300),
            Self::Rate { share } => hpa(hpa::Metric::Rate { target: share * world.capacity(1.0), window: 60 }, 300),
        }
    }
}

/// The result of a policy with its settings.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The kind of policy.
    pub family: &'static str,
    /// Its settings as text.
    pub setting: String,
    /// Whether these are its defaults.
    pub default: bool,
    /// Sum over all traces.
    pub total: Outcome,
    /// Seconds above the target, minus the clairvoyant's.
    pub net_seconds_above: f64,
    /// Results by trace.
    pub traces: BTreeMap<String, Outcome>,
}

/// One of our settings compared with the best peer at the same replica-hours.
#[derive(Debug, Clone, Serialize)]
pub struct Versus {
    /// Our setting.
    pub setting: String,
    /// Our replica-hours divided by those of the clairvoyant.
    pub hours_ratio: f64,
    /// Our net seconds above the target.
    pub net_seconds_above: f64,
    /// Net seconds above the target of the best peer at the same hours. None when no peer is so cheap.
    pub best_peer: Option<f64>,
}

/// The result of a variant.
#[derive(Debug, Clone, Serialize)]
pub struct VariantReport {
    /// The variant.
    pub variant: Variant,
    /// All policies and settings.
    pub rows: Vec<Row>,
    /// Our settings compared with the Pareto front of all peers.
    pub versus: Vec<Versus>,
    /// Traces on which a peer with default settings is better than our default on both axes.
    pub beaten_on: Vec<String>,
}

/// Runs a variant over all traces.
#[must_use]
pub fn variant(options: &Options, traces: &[Trace], variant: Variant) -> VariantReport {
    let contenders = Contender::all(options.grid);
    let mut results = vec![BTreeMap::<String, Outcome>::new(); contenders.len()];
    for trace in traces {
        for scenario in scenarios(options, trace, variant) {
            for (contender, result) in contenders.iter().zip(&mut results) {
                let outcome = run(&scenario, contender.policy(&scenario).as_mut(), None);
                result.entry(trace.name.clone()).or_default().add(&outcome);
            }
        }
    }
    let mut rows: Vec<Row> = Vec::new();
    for (contender, traces) in contenders.iter().zip(results) {
        let mut total = Outcome::default();
        traces.values().for_each(|outcome| total.add(outcome));
        let least = rows.first().map_or(total.seconds_above, |clairvoyant| clairvoyant.total.seconds_above);
        rows.push(Row {
            family: contender.family(),
            setting: contender.setting(),
            default: contender.is_default(),
            net_seconds_above: (total.seconds_above - least).max(0.0),
            total,
            traces,
        });
    }
    VariantReport { variant, versus: versus(&rows), beaten_on: beaten_on(&rows), rows }
}

fn scenarios(options: &Options, trace: &Trace, variant: Variant) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for service in &options.services {
        for startup in &options.startups {
            let world = World::new(*service, *startup, options.target);
            let Options { workers, balancing, servers, .. } = *options;
            let world = World { workers, balancing, servers, ..world };
            let target = options.target.unwrap_or(2.5 * super::run::unloaded(&world));
            let world = World { target, ..world };
            for seed in 1..=options.seeds {
                let load = trace.per_second(&Scale::of(world.capacity(1.0), 20, world.bounds.1), variant, seed);
                // Periods have other relative phases in every scenario.
                let name: u64 = trace.name.bytes().map(u64::from).sum();
                let seed = (seed << 16) + (name << 3) + scenarios.len() as u64;
                scenarios.push(Scenario::new(world, load, variant, seed));
            }
        }
    }
    scenarios
}

fn versus(rows: &[Row]) -> Vec<Versus> {
    let peers: Vec<front::Cost> = rows
        .iter()
        .filter(|row| row.family != "ours" && row.family != "clairvoyant")
        .map(|row| (row.total.replica_hours, row.net_seconds_above))
        .collect();
    let clairvoyant = rows[0].total.replica_hours;
    rows.iter()
        .filter(|row| row.family == "ours")
        .map(|row| Versus {
            setting: row.setting.clone(),
            hours_ratio: row.total.replica_hours / clairvoyant,
            net_seconds_above: row.net_seconds_above,
            best_peer: front::at(&peers, row.total.replica_hours),
        })
        .collect()
}

fn beaten_on(rows: &[Row]) -> Vec<String> {
    let Some(ours) = rows.iter().find(|row| row.family == "ours" && row.default) else { return vec![] };
    let peers = rows.iter().filter(|row| row.default && row.family != "ours" && row.family != "clairvoyant");
    let mut beaten = Vec::new();
    for peer in peers {
        for (trace, theirs) in &peer.traces {
            let our = &ours.traces[trace];
            if theirs.seconds_above < our.seconds_above && theirs.replica_hours < our.replica_hours {
                beaten.push(format!("{trace} by {}", peer.family));
            }
        }
    }
    beaten
}

/// Runs to be plotted or printed.
#[derive(Debug, Clone)]
pub struct Timelines {
    /// Requests per second, one per second.
    pub load: Vec<f64>,
    /// Requests per second that one replica serves at the target.
    pub capacity: f64,
    /// By family, one point per second.
    pub runs: Vec<(&'static str, Vec<Point>)>,
}

/// The runs of our default, the KPA's default and the clairvoyant in the first scenario of a trace. None if there is no
/// scenario.
#[must_use]
pub fn timelines(options: &Options, trace: &Trace, variant: Variant) -> Option<Timelines> {
    let scenario = scenarios(options, trace, variant).into_iter().next()?;
    let [clairvoyant, ours, kpa, ..] = Contender::defaults();
    let runs = [clairvoyant, kpa, ours]
        .map(|contender| {
            let mut points = Vec::new();
            run(&scenario, contender.policy(&scenario).as_mut(), Some(&mut points));
            (contender.family(), points)
        })
        .to_vec();
    Some(Timelines { capacity: scenario.world.capacity(1.0), load: scenario.load, runs })
}

/// The result of a lag policy.
#[derive(Debug, Clone, Serialize)]
pub struct LagRow {
    /// The policy and its settings.
    pub name: String,
    /// Sum over all traces.
    pub total: LagOutcome,
}

/// Runs workers of a log with 12 partitions. The 99th percentile of the load needs 8 workers, and a lag must be
/// processed within two minutes.
#[must_use]
pub fn workers(options: &Options, traces: &[Trace], variant: Variant) -> Vec<LagRow> {
    let mut rows: BTreeMap<(usize, String), LagOutcome> = BTreeMap::new();
    for trace in traces {
        for startup in &options.startups {
            let world = LogWorld { partitions: 12, each: 50.0, startup: *startup, rebalance: 10, catch_up: 120.0 };
            for seed in 1..=options.seeds {
                let arrivals = trace.per_second(&Scale::of(world.each, 8, world.partitions), variant, seed);
                for (index, (name, mut policy)) in lag_policies(&world, seed).into_iter().enumerate() {
                    let outcome = log::run(world, &arrivals, seed, policy.as_mut());
                    rows.entry((index, name)).or_default().add(&outcome);
                }
            }
        }
    }
    rows.into_iter().map(|((_, name), total)| LagRow { name, total }).collect()
}

fn lag_policies(world: &LogWorld, seed: u64) -> Vec<(String, Box<dyn LagPolicy>)> {
    let mut policies: Vec<(String, Box<dyn LagPolicy>)> = vec![("ours".into(), Box::new(OurWorkers::new(world)))];
    let phase = (seed * 7 % 15) as u32;
    for threshold in [keda::Keda::LAG_THRESHOLD, 100.0, 1000.0, 6000.0] {
        policies.push((format!("keda, lagThreshold {threshold}"), Box::new(keda::Keda::new(threshold, phase))));
    }
    let defaults = flink::Settings { restart: f64::from(world.rebalance), ..flink::Settings::default() };
    policies.push(("flink, defaults, restart measured".into(), Box::new(flink::Flink::new(defaults))));
    let fast =
        flink::Settings { catch_up: world.catch_up, window: 60, stabilization: 30, down_interval: 300, ..defaults };
    policies.push(("flink, as fast as it can be set".into(), Box::new(flink::Flink::new(fast))));
    policies
}

#[cfg(test)]
#[path = "suite_tests.rs"]
mod tests;
