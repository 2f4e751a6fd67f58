//! Evaluates the scaling decision on load traces: `cargo bench-scaling --help`.

mod judge;

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use judge::plot;
use judge::suite::{self, LagRow, Options, Timelines, VariantReport};
use judge::trace::{Trace, Variant};
use judge::world::{Balancing, Servers};

/// Text after the options in `--help`.
const COLUMNS: &str = "\
What is printed, for each variant:
  s above    seconds in which more than 5 % of the requests took longer than the target
  net        of those, the ones that somebody who knows the future would have avoided (clairvoyant)
  hours      replica-hours, paid for from the order on; ratio: over the clairvoyant's
  changes    changes of the number of replicas
  req above  requests that took longer than the target or failed
  failed     requests that were given up after 5 s, or refused; tried again once by half of their clients
  s failing  seconds in which more than 5 % of the requests failed
  at the hours of ...   our setting against the best setting of all peers at the same replica-hours
  workers    a log of 12 partitions, to be caught up with in 120 s: seconds behind, and the worst lag in seconds

Examples:
  cargo bench-scaling traces/*.csv                                   everything, minutes
  cargo bench-scaling --short --variant noise day.csv                the peers' defaults alone, seconds
  cargo bench-scaling --json out.json --plots plots --seeds 3 day.csv";

/// Runs this project's scaling decision on load traces, in a simulator, beside HPA, KEDA, Knative, Flink (each with its
/// defaults and a grid of its settings) and somebody who knows the future.
#[derive(Debug, Parser)]
#[command(name = "bench-scaling", after_help = COLUMNS)]
struct Arguments {
    /// CSV files `seconds,requests_per_second` with a header; of each the busiest two days are used, scaled so that the
    /// 99th percentile needs 20 replicas
    #[arg(required = true)]
    traces: Vec<PathBuf>,
    /// Write everything to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write plots (SVG) into this directory: load, replicas and latency of each trace, and the fronts
    #[arg(long)]
    plots: Option<PathBuf>,
    /// Target of the p95 [default: 2.5 times the unloaded p95]
    #[arg(long, value_name = "MILLISECONDS")]
    target_ms: Option<f64>,
    /// Mean service times of a request, one world each
    #[arg(long, value_delimiter = ',', default_value = "20,200", value_name = "MILLISECONDS")]
    service_ms: Vec<f64>,
    /// From the order of a replica to ready, one world each
    #[arg(long, value_delimiter = ',', default_value = "10,60", value_name = "SECONDS")]
    startup_seconds: Vec<u32>,
    /// How the load between the points is made, and what changes meanwhile [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    variant: Vec<Variant>,
    /// Workers per replica
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// How requests are spread over replicas
    #[arg(long, value_enum, default_value = "least-request")]
    balancing: Balancing,
    /// What servers do when they have too much to do; Knative's queue proxy saves its own from that
    #[arg(long, value_enum, default_value = "blind")]
    servers: Servers,
    /// How many seeds of noise and of the phases of all periods, one world each
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Days of each trace
    #[arg(long, default_value_t = 2.0)]
    days: f64,
    /// Only defaults of the peers, no grid of their settings: fast
    #[arg(long)]
    short: bool,
    /// Tell what our default sees and decides in these seconds of the first world of each trace, and nothing else
    #[arg(long, value_name = "FROM..TO", value_parser = seconds)]
    tell: Option<Range<usize>>,
}

fn seconds(text: &str) -> Result<Range<usize>> {
    let (from, to) = text.split_once("..").context("write FROM..TO, for example 3600..3720")?;
    Ok(from.parse().context("FROM")?..to.parse().context("TO")?)
}

#[derive(serde::Serialize)]
struct Report {
    options: Options,
    serving: Vec<VariantReport>,
    workers: Vec<(Variant, Vec<LagRow>)>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let traces = arguments
        .traces
        .iter()
        .map(|path| Ok(Trace::read(path)?.busiest(arguments.days * 86_400.0)))
        .collect::<Result<Vec<Trace>>>()?;
    let variants = if arguments.variant.is_empty() { Variant::ALL.to_vec() } else { arguments.variant.clone() };
    let options = Options {
        services: arguments.service_ms.iter().map(|milliseconds| milliseconds / 1e3).collect(),
        startups: arguments.startup_seconds.clone(),
        target: arguments.target_ms.map(|milliseconds| milliseconds / 1e3),
        variants: variants.clone(),
        workers: arguments.workers,
        balancing: arguments.balancing,
        servers: arguments.servers,
        seeds: arguments.seeds,
        grid: !arguments.short,
    };
    if let Some(range) = &arguments.tell {
        for (trace, variant) in traces.iter().flat_map(|trace| variants.iter().map(move |variant| (trace, *variant))) {
            print_timeline(&options, trace, variant, range);
        }
        return Ok(());
    }
    let mut report = Report { options: options.clone(), serving: vec![], workers: vec![] };
    for variant in variants {
        let serving = suite::variant(&options, &traces, variant);
        show(&serving);
        let workers = suite::workers(&options, &traces, variant);
        show_workers(&workers);
        if let Some(directory) = &arguments.plots {
            draw(directory, &options, &traces, &serving)?;
        }
        report.serving.push(serving);
        report.workers.push((variant, workers));
    }
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn show(report: &VariantReport) {
    println!("\n{:?}: all traces, defaults of the peers", report.variant);
    println!(
        "{:12} {:38} {:>9} {:>9} {:>9} {:>6} {:>8} {:>9} {:>8} {:>9}",
        "", "", "s above", "net", "hours", "ratio", "changes", "req above", "failed", "s failing"
    );
    let least = report.rows[0].total.replica_hours;
    for row in report.rows.iter().filter(|row| row.default || row.family == "ours") {
        let total = &row.total;
        println!(
            "{:12} {:38} {:9.0} {:9.0} {:9.0} {:6.2} {:8} {:8.3}% {:7.3}% {:9.0}",
            row.family,
            row.setting,
            total.seconds_above,
            row.net_seconds_above,
            total.replica_hours,
            total.replica_hours / least,
            total.changes,
            100.0 * total.requests_above / total.requests.max(1.0),
            100.0 * total.failed / total.requests.max(1.0),
            total.seconds_failing
        );
    }
    for versus in &report.versus {
        let best = versus.best_peer.map_or_else(
            || "no peer is as cheap".into(),
            |best| format!("best peer {best:.0}, ours is {:.2} of it", versus.net_seconds_above / best.max(1.0)),
        );
        println!(
            "at the hours of {:9} ({:.2}): net {:.0}; {best}",
            versus.setting, versus.hours_ratio, versus.net_seconds_above
        );
    }
    if !report.beaten_on.is_empty() {
        println!("better than our default on both axes: {}", report.beaten_on.join(", "));
    }
    for (trace, our) in report.rows.iter().filter(|row| row.family == "ours" && row.default).flat_map(|row| &row.traces)
    {
        let others: Vec<String> = report
            .rows
            .iter()
            .filter(|row| row.default && row.family != "ours")
            .map(|row| (row.family, &row.traces[trace]))
            .map(|(family, other)| format!("{family} {:.0}/{:.0}", other.seconds_above, other.replica_hours))
            .collect();
        println!("  {trace}: ours {:.0} s/{:.0} h; {}", our.seconds_above, our.replica_hours, others.join("; "));
    }
}

fn show_workers(rows: &[LagRow]) {
    println!("workers of a log:{:28} {:>9} {:>9} {:>9} {:>8}", "", "s behind", "worst s", "hours", "changes");
    for row in rows {
        let total = &row.total;
        println!(
            "  {:42} {:9.0} {:9.0} {:9.0} {:8}",
            row.name, total.seconds_behind, total.worst_lag_seconds, total.replica_hours, total.changes
        );
    }
}

/// Prints our run second by second: the load in replicas, the replicas, failures, and each changed decision.
fn print_timeline(options: &Options, trace: &Trace, variant: Variant, range: &Range<usize>) {
    let Some(Timelines { load, capacity, runs }) = suite::timelines(options, trace, variant) else { return };
    println!(
        "\n{}, {variant:?}: seconds, load over what one replica carries, replicas, ready, unready, slow, failed",
        trace.name
    );
    let (mut printed_line, mut printed_decision) = (String::new(), None::<String>);
    for (_, points) in runs.iter().filter(|(family, _)| *family == "ours") {
        let range = range.start.min(points.len())..range.end.min(points.len());
        for (second, point) in range.clone().zip(&points[range]) {
            let (slow, failed) = (100.0 * point.above, 100.0 * point.failed);
            let (needs, replicas, ready, unready) =
                (load[second] / capacity, point.replicas, point.ready, point.unready);
            let line = format!("{needs:5.1} {replicas:3} {ready:3} {unready:3} {slow:4.0}% {failed:4.0}%");
            if line != printed_line {
                println!("{second:7} {line}");
            }
            // The numbers after the semicolon change every second.
            let sentence = point.explanation.as_deref().unwrap_or_default();
            let decision = sentence.split(';').next().map(str::to_owned);
            if decision != printed_decision {
                println!("{second:7} {:25} {sentence}", "");
            }
            (printed_line, printed_decision) = (line, decision);
        }
    }
}

/// Colour of each family in plots.
const COLOURS: [(&str, &str); 6] = [
    ("clairvoyant", "#888888"),
    ("ours", "#0066cc"),
    ("kpa", "#cc3300"),
    ("hpa-cpu", "#339933"),
    ("hpa-latency", "#cc9900"),
    ("hpa-rate", "#9933cc"),
];

fn draw(directory: &std::path::Path, options: &Options, traces: &[Trace], report: &VariantReport) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let name = format!("{:?}", report.variant).to_lowercase();
    let fronts = COLOURS
        .iter()
        .map(|(family, colour)| {
            let of_family = report.rows.iter().filter(|row| row.family == *family);
            let points = of_family.map(|row| (row.total.replica_hours, row.net_seconds_above.max(1.0).log10()));
            (*family, *colour, points.collect())
        })
        .collect();
    let svg = plot::panels(&[("log10 of net seconds above the target over replica-hours", fronts)], true);
    fs::write(directory.join(format!("front-{name}.svg")), svg)?;
    for trace in traces {
        let Some(Timelines { load, capacity, runs }) = suite::timelines(options, trace, report.variant) else {
            continue;
        };
        // One point a minute is enough for two days.
        let minutes = |value: &dyn Fn(usize) -> f64| -> Vec<(f64, f64)> {
            (0..load.len() / 60).map(|minute| (minute as f64 / 60.0, value(minute * 60))).collect()
        };
        let colour = |family: &str| COLOURS.iter().find(|(name, _)| *name == family).map_or("#000000", |pair| pair.1);
        let mut replicas = vec![("load", "#000000", minutes(&|second| load[second] / capacity))];
        let mut above = Vec::new();
        for (family, points) in &runs {
            replicas.push((*family, colour(family), minutes(&|second| f64::from(points[second].replicas))));
            let worst = |second: usize| points[second..second + 60].iter().map(|point| point.above).fold(0.0, f64::max);
            above.push((*family, colour(family), minutes(&|second| 100.0 * worst(second))));
        }
        let panels = [
            ("Replicas over hours, and what the load needs", replicas),
            ("Most % of requests above the target within a second", above),
        ];
        fs::write(directory.join(format!("{}-{name}.svg", trace.name)), plot::panels(&panels, false))?;
    }
    Ok(())
}
