//! `cargo demo` and `cargo demo down`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Starts a real Kubernetes on this host, installs the operator from its Helm chart, and follows
/// examples/packages.yaml until its recommender has been trained and serves. Run again, it brings the same up to date.
///
/// Needs root, Debian's apt-get, Rust, Go and Python 3; installs the Debian packages it lacks. What it builds is kept
/// in ${XDG_CACHE_HOME:-~/.cache}/recommender-operator/e2e: the first run takes about half an hour on two cores, later
/// ones a minute or two.
#[derive(Parser)]
#[command(name = "cargo demo", bin_name = "cargo demo", verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Stops the cluster and removes every trace of it: processes, containers, mounts, network devices, rules and
    /// addresses, files. Debian packages and the build cache stay.
    Down {
        /// Even while somebody else, such as a test, uses the cluster.
        #[arg(long)]
        force: bool,
        /// Remove the build cache as well; the next run takes half an hour again.
        #[arg(long)]
        cache: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        None => e2e::demo::up().await,
        Some(Command::Down { force, cache }) => e2e::demo::down(force, cache),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nError: {error:#}");
            ExitCode::FAILURE
        }
    }
}
