//! Measures the judge of canaries on simulated traffic: `cargo simulate-canary --help`.

#[allow(dead_code, reason = "the simulator of loads needs more of it")]
#[path = "../bench-scaling/judge/rng.rs"]
mod rng;
mod rollouts;
mod times;
mod traffic;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::Parser;
use recommender_operator::{
    model::canary::Settings,
    promotion::judge::{Comparison, Evidence, Finding},
};

use crate::{
    times::Times,
    traffic::{Counted, Run, Samplers, Traffic},
};

/// Text after the options in `--help`.
const COLUMNS: &str = "\
Errors are 0.5 % of the requests, with a floor of 1 %; slow are the 5 % above the p95 of the serving version. Latencies are
lognormal with σ = 0.5 (p95 = 2.3 p50), so 20 % more latency makes 10 % of the requests slow. A finding counts when it is
reached at any tick: Worse in the whole time, NoWorse (or Better) before Worse. In parentheses: the median time.
Bold: the finding is an error, so --check fails above the level.";

/// Runs the judge of canaries on simulated traffic, at every tick, and prints how often it finds what.
#[derive(Debug, Parser)]
#[command(name = "simulate-canary", after_help = COLUMNS)]
struct Arguments {
    /// Simulated canaries per row in which findings are errors
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    canaries: u32,
    /// Simulated canaries per other row
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    power_canaries: u32,
    /// Whole rollouts per row
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rollouts: u32,
    /// Level of the judge
    #[arg(long, default_value_t = 0.05)]
    alpha: f64,
    /// Margin of the judge
    #[arg(long, default_value_t = 1.5)]
    margin: f64,
    /// Per cent of the traffic that the canary gets
    #[arg(long, default_value_t = 10.0)]
    share: f64,
    /// Seconds of a tick
    #[arg(long, default_value_t = 5.0)]
    tick: f64,
    /// Minutes of a canary
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests per second, one row each
    #[arg(long, value_delimiter = ',', default_value = "1,10,100")]
    requests: Vec<f64>,
    /// Only rows whose first column has this text
    #[arg(long, default_value = "")]
    row: String,
    /// Fail if a level is exceeded
    #[arg(long)]
    check: bool,
}

impl Arguments {
    /// The seed of a canary.
    fn seed_of(&self, number: u32) -> u64 {
        self.seed.wrapping_mul(1_000_003).wrapping_add(number.into())
    }
}

/// A kind of canary.
struct Scenario {
    name: &'static str,
    traffic: Traffic,
    /// The finding that is an error; none in rows that measure power, or what is not covered.
    error: Option<Finding>,
    /// Seconds of a tick, if not the usual.
    tick: Option<f64>,
}

/// What was found in the canaries of a scenario.
#[derive(Default)]
struct Findings {
    runs: u32,
    worse: Times,
    no_worse: Times,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!(
        "seed {}, {} and {} canaries per row, level {}, margin {}, {} % of the traffic, ticks of {} s, {} min\n",
        arguments.seed,
        arguments.canaries,
        arguments.power_canaries,
        arguments.alpha,
        arguments.margin,
        arguments.share,
        arguments.tick,
        arguments.minutes
    );
    println!("| Canary | Signals | Requests/s | Worse | NoWorse or Better |\n|---|---|---|---|---|");
    let mut exceeded = Vec::new();
    for scenario in scenarios(&arguments).into_iter().filter(|of| of.name.contains(&arguments.row)) {
        let findings = simulate(&scenario, &arguments);
        let row = format!("{} | {} | {}", scenario.name, scenario.signals(), scenario.traffic.requests);
        let is_error = |of: &[Finding]| scenario.error.is_some_and(|error| of.contains(&error));
        let columns = [
            (&findings.worse, is_error(&[Finding::Worse])),
            (&findings.no_worse, is_error(&[Finding::NoWorse, Finding::Better])),
        ];
        let [worse, no_worse] = columns.map(|(found, is_error)| match found.text(findings.runs) {
            text if is_error => format!("**{text}**"),
            text => text,
        });
        println!("| {row} | {worse} | {no_worse} |");
        let errors =
            columns.iter().filter(|(_, is_error)| *is_error).map(|(found, _)| found.share(findings.runs)).sum::<f64>();
        if errors > arguments.alpha {
            exceeded.push(format!("{row}: {errors}"));
        }
    }
    rollouts::print(&arguments);
    if arguments.check && !exceeded.is_empty() {
        bail!("above the level {}: {}", arguments.alpha, exceeded.join("; "));
    }
    Ok(())
}

fn scenarios(arguments: &Arguments) -> Vec<Scenario> {
    let share = arguments.share / 100.0;
    let each = |make: &dyn Fn(f64) -> Scenario| arguments.requests.iter().map(|rate| make(*rate)).collect::<Vec<_>>();
    let errors = |ratio| vec![(Counted::Errors, ratio)];
    let slow = |ratio| vec![(Counted::Slow, ratio)];
    let both = |of_errors, of_slow| vec![(Counted::Errors, of_errors), (Counted::Slow, of_slow)];
    let base = |requests: f64, counted: Vec<(Counted, f64)>| Traffic::new(requests, share, counted);
    let plain = |name, error, requests, counted| Scenario { name, traffic: base(requests, counted), error, tick: None };
    let no_difference = "no difference";
    let (false_alarm, passes) = (Some(Finding::Worse), Some(Finding::NoWorse));
    let with = |name, requests, change: &dyn Fn(&mut Traffic)| {
        let mut traffic = base(requests, both(1.0, 1.0));
        change(&mut traffic);
        Scenario { name, traffic, error: false_alarm, tick: None }
    };
    let thirds = [0.0, 20.0, 40.0].map(|minutes| minutes * 60.0);
    [
        each(&|of| plain(no_difference, false_alarm, of, errors(1.0))),
        each(&|of| plain(no_difference, false_alarm, of, slow(1.0))),
        each(&|of| plain(no_difference, false_alarm, of, both(1.0, 1.0))),
        each(&|of| with("bursts of both tracks", of, &|traffic| traffic.has_bursts = true)),
        each(&|of| with("half of the traffic", of, &|traffic| traffic.shares = vec![(0.0, 0.5)])),
        each(&|of| {
            with("steps of 5, 20 and 50 %", of, &|traffic| {
                traffic.shares = thirds.into_iter().zip([0.05, 0.2, 0.5]).collect();
            })
        }),
        each(&|of| Scenario {
            tick: Some(15.0),
            ..with("increase() over 60 s each 15 s", of, &|traffic| traffic.is_extrapolated = true)
        }),
        each(&|of| plain("slow x 1.5, the margin", passes, of, slow(1.5))),
        each(&|of| plain("errors x 2, the floor", passes, of, errors(2.0))),
        each(&|of| plain("errors x 5", None, of, errors(5.0))),
        each(&|of| plain("latency + 20 %", None, of, slow(2.0))),
        each(&|of| plain("errors x 2", None, of, both(2.0, 1.0))),
        each(&|of| plain("latency + 20 %", None, of, both(1.0, 2.0))),
        each(&|of| Scenario {
            traffic: Traffic { differs_after: 1800.0, ..base(of, errors(5.0)) },
            ..plain("errors x 5 after 30 min", None, of, vec![])
        }),
        each(&|of| plain("slow x 1.2", None, of, slow(1.2))),
        each(&|of| Scenario {
            traffic: Traffic { group: 3, ..base(of, errors(1.0)) },
            ..plain("not covered: errors in groups of 3", None, of, vec![])
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Scenario {
    fn signals(&self) -> &'static str {
        match self.traffic.counted[..] {
            [(Counted::Errors, _)] => "errors",
            [(Counted::Slow, _)] => "slow",
            _ => "both",
        }
    }
}

fn simulate(scenario: &Scenario, arguments: &Arguments) -> Findings {
    let traffic = &scenario.traffic;
    let signals = traffic.counted.iter().map(|(counted, _)| counted.signal()).collect();
    let settings = Settings { level: arguments.alpha, margin: arguments.margin, signals };
    let runs = if scenario.error.is_some() { arguments.canaries } else { arguments.power_canaries };
    let tick = scenario.tick.unwrap_or(arguments.tick);
    let mut findings = Findings { runs, ..Findings::default() };
    let mut samplers = Samplers::default();
    for number in 0..runs {
        let mut run = Run::new(traffic, &mut samplers, arguments.seed_of(number));
        one(&mut run, &settings, tick, arguments.minutes * 60.0, &mut findings);
    }
    findings
}

/// One canary. It goes on after NoWorse, because Worse has to be an error at any later tick as well.
fn one(run: &mut Run<'_>, settings: &Settings, tick: f64, seconds: f64, findings: &mut Findings) {
    let mut evidence = Evidence::default();
    let mut counts: BTreeMap<String, Comparison> =
        settings.signals.iter().map(|signal| (signal.name.clone(), Comparison::default())).collect();
    let (mut now, mut share, mut is_no_worse) = (0.0, run.share(), false);
    while now < seconds {
        if run.share() != share {
            share = run.share();
            evidence.begin_step();
        }
        let new = run.tick(tick, &mut counts);
        now += tick;
        evidence.observe(settings, &counts, new);
        match evidence.finding(settings) {
            Finding::Worse => return findings.worse.push(now),
            Finding::NoWorse | Finding::Better if !is_no_worse => {
                is_no_worse = true;
                findings.no_worse.push(now);
            }
            _ => {}
        }
    }
}
