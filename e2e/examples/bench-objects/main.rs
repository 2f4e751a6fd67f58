//! Measures how fast the operator converges many objects: `cargo bench-objects --help`.

mod contenders;
mod due;
mod requests;
mod stand_in;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use contenders::{Bench, CONVERGED, Converged, Phase};
use requests::Counts;

/// The allocator of the operator's binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Text after the options in `--help`.
const EXPLANATION: &str = "\
On an API server and its etcd without any other component, once that is warm, in this order and in one run:
  1. a bare client creates the children of half of the objects, with the operator's own requests, and as many at a time
  2. the operator converges all objects, each from its creation to Ready, with one training run; a stand-in for the Job
     controller, the Deployment controller and the kubelet lets trainers take no time and servers start in 1 s
  3. a client that makes the operator's requests without deciding anything: it has the same watches, creates as many objects,
     their children and two Events each, and writes their status three times; the stand-in is the same
  4. the bare client creates the children of the other half of its objects
The objects are those of examples/packages.yaml: autoscaling on CPU use, and monitoring. What is printed:
  objects/s             per second from the first request to the last child, or to the last object that is Ready
  CPU, ms per object    of the API server, of etcd, and of this command. The columns with all objects contain the requests of
                        the stand-in, the creation of the objects and the watch for when they are Ready
  requests per object   those of the operator until everything has converged, and those of the stand-in; no watches";

/// Most requests of the operator per object, with one training run.
const MOST_REQUESTS: f64 = 13.0;
/// Least rate of the operator, as a share of that of a client that makes the same requests.
const LEAST_SHARE: f64 = 0.8;

/// Measures how fast the operator converges many objects, beside a client that only creates the same children.
#[derive(Debug, Parser)]
#[command(name = "bench-objects", after_help = EXPLANATION)]
struct Arguments {
    /// Objects of the operator, and of the bare client
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    objects: u32,
    /// Objects worked on at the same time, as the option of the operator
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// End with exit code 1 for more than 13 requests per object, less than 80 % of the rate of the same requests alone, or
    /// any request after everything has converged
    #[arg(long)]
    check: bool,
    /// Instead of all this: the trainings of all objects are due in the same minute, and at most so many may run at a time
    #[arg(long, value_name = "TRAININGS", value_parser = clap::value_parser!(u16).range(1..=1000))]
    due: Option<u16>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Arguments { objects, concurrency, check, due } = Arguments::parse();
    let bench = Bench::start(concurrency).await?;
    if let Some(limit) = due {
        let due = due::measure(&bench, objects, limit.into()).await?;
        println!("{due}");
        return Ok(exit_code(check, &due.failures()));
    }
    bench.bare_client(objects..objects + u32::from(concurrency)).await?; // a server that has just started is slow
    let before = bench.bare_client(0..objects / 2).await?;
    let operator = bench.operator(objects).await?;
    let same = bench.same_requests(objects).await?;
    let after = bench.bare_client(objects / 2..objects).await?;

    let bare = "bare client";
    show([(bare, &before), ("operator", &operator.phase), ("same requests", &same), (bare, &after)]);
    let share = rate(&[&operator.phase]) / rate(&[&same]);
    let of_bare_client = rate(&[&operator.phase]) / rate(&[&before, &after]);
    let idle = operator.idle.values().sum();
    show_operator(&operator, share, of_bare_client, idle);
    let failures = failures(operator.phase.requests_per_object(), share, idle);
    Ok(exit_code(check, &failures))
}

/// Of the command. What is worse than promised is printed if that is checked.
fn exit_code(check: bool, failures: &[String]) -> ExitCode {
    if !check {
        return ExitCode::SUCCESS;
    }
    failures.iter().for_each(|failure| eprintln!("{failure}"));
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Objects per second of phases together.
fn rate(phases: &[&Phase]) -> f64 {
    let sum = |value: fn(&Phase) -> f64| phases.iter().map(|phase| value(phase)).sum::<f64>();
    sum(|phase| phase.objects.into()) / sum(|phase| phase.seconds)
}

/// A row of the table: what it shows, and of which phase.
type Row = (&'static str, fn(&Phase) -> f64);

fn show(columns: [(&str, &Phase); 4]) {
    const ROWS: [Row; 8] = [
        ("objects", |phase| phase.objects.into()),
        ("seconds", |phase| phase.seconds),
        ("objects/s", |phase| rate(&[phase])),
        ("requests per object", Phase::requests_per_object),
        ("requests/s", |phase| phase.requests_per_object() * rate(&[phase])),
        ("CPU of the API server, ms per object", |phase| cpu_milliseconds(phase, 0)),
        ("CPU of etcd, ms per object", |phase| cpu_milliseconds(phase, 1)),
        ("CPU of this command, ms per object", |phase| cpu_milliseconds(phase, 2)),
    ];
    let row = |name: &str, cells: [String; 4]| println!("{name:38} {}", cells.join(" "));
    row("", columns.map(|(name, _)| format!("{name:>14}")));
    for (name, value) in ROWS {
        row(name, columns.map(|(_, phase)| format!("{:14.2}", value(phase))));
    }
}

fn cpu_milliseconds(phase: &Phase, of: usize) -> f64 {
    1e3 * phase.cpu[of] / f64::from(phase.objects)
}

fn show_operator(operator: &Converged, share: f64, of_bare_client: f64, idle: u64) {
    let Converged { phase, stand_in, .. } = operator;
    for (name, counts) in [("operator", &phase.requests), ("stand-in", stand_in)] {
        println!("\nrequests per object of the {name}");
        show_counts(counts, phase.objects);
    }
    let seconds = CONVERGED.as_secs();
    println!("\n{:.1} s from the first object until all {} are Ready", phase.seconds, phase.objects);
    println!("{:.2} requests per object of the operator", phase.requests_per_object());
    println!("{:.0} % of the objects/s of the same requests alone", 100.0 * share);
    println!("{:.0} % of the bare client's objects/s", 100.0 * of_bare_client);
    println!("{idle} requests of the operator in the {seconds} s after everything has converged");
    show_counts(&operator.idle, 1);
}

fn show_counts(counts: &Counts, objects: u32) {
    for ((verb, resource), count) in counts {
        println!("  {:36} {:12.2}", format!("{verb} {resource}"), *count as f64 / f64::from(objects));
    }
}

/// What is worse than promised.
fn failures(requests: f64, share: f64, idle: u64) -> Vec<String> {
    let all = [
        (requests > MOST_REQUESTS, format!("{requests:.2} requests per object are more than {MOST_REQUESTS}")),
        (
            share < LEAST_SHARE,
            format!(
                "{:.0} % of the rate of the same requests alone is less than {:.0} %",
                100.0 * share,
                100.0 * LEAST_SHARE
            ),
        ),
        (idle > 0, format!("{idle} requests after everything has converged, where there should be none")),
    ];
    all.into_iter().filter(|(failed, _)| *failed).map(|(_, message)| message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_promise_is_a_sentence() {
        assert_eq!(failures(13.0, 0.8, 0), [""; 0]);
        for (requests, share, idle, part) in
            [(13.001, 0.8, 0, "requests per object"), (13.0, 0.799, 0, "rate"), (13.0, 0.8, 1, "converged")]
        {
            let failures = failures(requests, share, idle);
            assert!(failures.len() == 1 && failures[0].contains(part), "{failures:?}");
        }
    }
}
