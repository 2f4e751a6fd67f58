//! The command line.

use std::{net::SocketAddr, num::NonZeroU16, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{catalog::is_url, monitoring::alerts::RUNBOOKS, telemetry::LogFormat};

/// Trains, serves and monitors recommenders, each described by one RecommenderModel.
#[derive(Parser, Debug)]
#[command(name = "recommender-operator", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the operator against the cluster of KUBECONFIG or of the pod it runs in.
    Run(Box<Run>),
    /// Print the CustomResourceDefinition as YAML.
    Crd,
    /// Print the children of RecommenderModels in files as YAML, their rules for Prometheus or what these cost, without a cluster.
    ///
    /// The children are what the operator will apply once the first training has succeeded, and after them the Jobs of a later partial
    /// training and of a deletion of artifacts, if the spec has them. The rules are what to give to a
    /// Prometheus that is not run by prometheus-operator: one rule file for all objects, which begins with the scrape
    /// configuration that goes with it. Objects that the API server would refuse are refused with the same messages, and the
    /// exit code is 1.
    ///
    /// With --stats the rules are counted instead, by the time between their evaluations, as a table: SERIES is how many series
    /// the RECORDING rules record at most, and SAMPLES/S how many samples per second that writes. PER VALUE lists labels with
    /// values that a dependency chooses, such as the collections of a database, with the number of rules that record one series
    /// for each of them; SERIES counts one value of each. An alert writes two series more while it is pending or fires.
    Render {
        /// Print one rule file for Prometheus instead of the children.
        #[arg(long)]
        rules: bool,
        /// Print how many rules and series each object has instead of the children.
        #[arg(long, conflicts_with = "rules")]
        stats: bool,
        /// Where the pages of alerts are.
        #[command(flatten)]
        runbooks: Runbooks,
        /// What the catalogue has beside what is built in.
        #[command(flatten)]
        catalog: CatalogDirectory,
        /// YAML files; - is standard input. Objects of other kinds are passed over.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the inhibit_rules for the configuration of Alertmanager: which alerts of an object silence which others of it.
    InhibitRules(CatalogDirectory),
}

/// What the catalogue has beside what is built in.
#[derive(Args, Debug)]
pub struct CatalogDirectory {
    /// Directory with metric profiles, exporters and alerts of your own, which are added to the built-in ones: profiles/NAME.yaml,
    /// dependencies/KIND/NAME.yaml and alerts/GROUP.yaml, as in docs/catalog.md. It is read at the start. A file that is wrong is
    /// reported with its line, and changes nothing else.
    #[arg(long = "catalog", env = "CATALOG", value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Where the pages of alerts are.
#[derive(Args, Debug)]
pub struct Runbooks {
    /// URL of the directory with the runbooks, put in front of ALERT.md in the annotation runbook_url of all alerts. Default: their
    /// path in the repository.
    #[arg(
        long = "runbook-base-url",
        env = "RUNBOOK_BASE_URL",
        value_name = "URL",
        default_value = RUNBOOKS,
        hide_default_value = true,
        value_parser = runbook_base_url
    )]
    pub base_url: String,
}

/// A URL without a slash at its end. Annotations are templates, so it has no braces.
fn runbook_base_url(text: &str) -> Result<String, &'static str> {
    if text != RUNBOOKS && !is_url(text) {
        return Err("write a URL, as in https://git.example.org/recommender-operator/docs/runbooks");
    }
    Ok(text.trim_end_matches('/').into())
}

/// Settings of the operator.
#[derive(Args, Debug)]
pub struct Run {
    /// Namespace to work in; may be given several times. Default: all namespaces.
    #[arg(
        long = "watch-namespace",
        env = "WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE",
        value_parser = clap::builder::NonEmptyStringValueParser::new()
    )]
    pub watch_namespaces: Vec<String>,
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Whether to take a lease before working, so that of several replicas only one writes.
    #[arg(long, env = "LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_election: bool,
    /// Name of the lease.
    #[arg(long, env = "LEASE_NAME", default_value = "recommender-operator")]
    pub lease_name: String,
    /// Namespace of the lease. Default: the client's default namespace, in a pod its own.
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Who takes the lease. Default: the host's name.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,
    /// Objects worked on at the same time, at most.
    #[arg(long, env = "CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Trainings that run at the same time, at most. Others that are due wait, those that have waited longest start first. Default:
    /// any number.
    #[arg(long, env = "MAX_TRAININGS", value_name = "N")]
    pub max_trainings: Option<NonZeroU16>,
    /// The same for the trainings of each namespace.
    #[arg(long, env = "MAX_TRAININGS_PER_NAMESPACE", value_name = "N")]
    pub max_trainings_per_namespace: Option<NonZeroU16>,
    /// Change servers to versions of partial trainings without a restart, where spec.promotion.hotReload asks for it: the operator then
    /// writes the version to a ConfigMap, and needs the right to do so. Without it such versions are rolled out by restarts.
    #[arg(long, env = "HOT_RELOAD")]
    pub hot_reload: bool,
    /// URL of the Prometheus that recorded series are read from to scale on latency and lag, for example
    /// http://prometheus.monitoring:9090. It is the metric source named default.
    #[arg(long, env = "PROMETHEUS_URL", value_name = "URL", conflicts_with = "metric_sources")]
    pub prometheus_url: Option<String>,
    /// YAML file that names several metric sources, or one with a token, a CA or a tenant:
    /// sources: [{name: default, url: https://..., bearerTokenFile: ..., caFile: ..., headers: {X-Scope-OrgID: shop}}]
    #[arg(long, env = "METRIC_SOURCES", value_name = "FILE")]
    pub metric_sources: Option<PathBuf>,
    /// Where the pages of alerts are.
    #[command(flatten)]
    pub runbooks: Runbooks,
    /// What the catalogue has beside what is built in.
    #[command(flatten)]
    pub catalog: CatalogDirectory,
    /// Format of the log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// Which log lines are written, in the words of tracing's EnvFilter, for example info,recommender_operator=debug.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub log_filter: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn runbooks_are_below_a_url_or_in_the_repository() {
        let base = |url: &[&str]| {
            let cli = Cli::try_parse_from([&["recommender-operator", "render", "x.yaml"], url].concat()).ok()?;
            let Command::Render { runbooks, .. } = cli.command else { panic!("not render") };
            Some(runbooks.base_url)
        };
        assert_eq!(base(&[]).as_deref(), Some("docs/runbooks"));
        assert_eq!(base(&["--runbook-base-url", "https://git/x/"]).as_deref(), Some("https://git/x"));
        for refused in ["", "runbooks", "ftp://git", "https://git/{{ .x }}", "https://git/ x"] {
            assert_eq!(base(&["--runbook-base-url", refused]), None, "{refused}");
        }
    }

    #[test]
    fn namespaces_may_come_from_one_variable() {
        let cli =
            Cli::parse_from(["recommender-operator", "run", "--watch-namespace", "a,b", "--watch-namespace", "c"]);
        let Command::Run(run) = cli.command else { panic!("not run") };
        assert_eq!(run.watch_namespaces, ["a", "b", "c"]);
        // An empty namespace would list all namespaces, which a Role does not allow.
        assert!(Cli::try_parse_from(["recommender-operator", "run", "--watch-namespace", "a,"]).is_err());
    }
}
