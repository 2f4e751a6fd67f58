//! The operator binary: command line, lease, controller and HTTP endpoints.

use std::{collections::BTreeSet, io::Read, path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use futures::FutureExt;
use jiff::Timestamp;
use recommender_operator::{
    api::{RecommenderModel, crd},
    catalog,
    cli::{CatalogDirectory, Cli, Command, Run},
    controller::{self, Settings},
    leader::{Held, Lease, Timings},
    model::Model,
    monitoring::inhibition,
    observe::{Scope, WATCH_SECONDS},
    render,
    signals::{self, SourceConfig},
    telemetry::{self, Health, Metrics},
    text,
    training::TrainingLimits,
    validate,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::Instant,
};

/// Each reconcile builds and drops trees of JSON, which cost a third of the operator's CPU with the allocator of glibc
/// (`cargo bench-objects`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(run) => operate(*run),
        Command::Crd => {
            print!("{}", crd::yaml());
            Ok(ExitCode::SUCCESS)
        }
        Command::Render { rules, stats, later_jobs, runbooks, catalog, files } => with_catalog(&catalog, || {
            let print = match (rules, stats, later_jobs) {
                (true, ..) => |models: &[Model], _| render::rule_file(models),
                (_, true, _) => |models: &[Model], _| Ok(render::stats_table(models)),
                (.., true) => children_and_later_jobs,
                _ => children,
            };
            render_files(&files, print, &runbooks.base_url.as_str().into())
        }),
        Command::InhibitRules(catalog) => with_catalog(&catalog, || {
            print!("{}", inhibition::yaml()?);
            Ok(ExitCode::SUCCESS)
        }),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Does something with the catalogue of a directory, unless a file of it is refused.
fn with_catalog(
    catalog: &CatalogDirectory,
    act: impl FnOnce() -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let Some(directory) = &catalog.directory else { return act() };
    let problems = catalog::extend(directory);
    for problem in &problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() { act() } else { Ok(ExitCode::FAILURE) }
}

/// Reads the administrator's catalogue. Its problems stop nothing: objects that need what is refused report that themselves.
fn extend_catalog(directory: &Path, metrics: &Metrics) {
    let problems = catalog::extend(directory);
    metrics.set_catalog_problems(problems.len());
    for catalog::Problem { file, line, reason } in &problems {
        tracing::error!(%file, line, %reason, "a file of the catalogue is refused");
    }
    tracing::info!(directory = %directory.display(), problems = problems.len(), "the catalogue is extended");
}

/// Runs until SIGTERM or SIGINT, or until the lease is lost.
fn operate(run: Run) -> anyhow::Result<ExitCode> {
    telemetry::init_logs(run.log_format, &run.log_filter)?;
    // Two worker threads: the work consists of waiting for the API server.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(run))
}

async fn serve(run: Run) -> anyhow::Result<ExitCode> {
    let sources = metric_sources(&run)?;
    let mut config = kube::Config::infer().await.context("no cluster: neither KUBECONFIG nor a pod's account")?;
    // kube's own retries are silent and last for minutes; the controller has its own back-off, per object.
    config.default_retry = false;
    // List requests have no deadline of their own. This one counts from sending a request, so it is longer than a watch
    // may be silent.
    config.read_timeout = Some(Duration::from_secs(u64::from(WATCH_SECONDS) + 15));
    config.reset_reader_on_write = true;
    let (metrics, health) = (Metrics::new(), Health::new(Instant::now()));
    telemetry::log_panics(metrics.clone());
    if let Some(directory) = &run.catalog.directory {
        extend_catalog(directory, &metrics);
    }
    let stop = stop_signal(health.clone())?.boxed().shared();
    let listener = TcpListener::bind(run.listen).await.with_context(|| format!("cannot listen on {}", run.listen))?;
    let router = telemetry::router(health.clone(), metrics.clone());
    let http = tokio::spawn(telemetry::serve(listener, router, stop.clone()));

    let Some(held) = take_lease(&run, &config, &metrics, &health, stop.clone()).await? else {
        http.await??;
        return Ok(ExitCode::SUCCESS); // stopped while standing by
    };
    let settings = Settings {
        scopes: scopes(&run.watch_namespaces),
        concurrency: run.concurrency,
        trainings: TrainingLimits {
            total: run.max_trainings.map(|most| most.get().into()),
            per_namespace: run.max_trainings_per_namespace.map(|most| most.get().into()),
        },
        fence: held.as_ref().map(Held::fence),
        sources,
        runbooks: run.runbooks.base_url.as_str().into(),
        hot_reload: run.hot_reload,
    };
    let client = kube::Client::try_from(config)?;
    let lost = async {
        match &held {
            Some(held) => held.lost().await.to_string(),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = controller::run(client, settings, metrics, health, stop) => result?,
        // Exit at once: none of our writes may overlap with those of the new holder.
        why = lost => anyhow::bail!("the lease is lost: {why}"),
    }
    if let Some(held) = held {
        held.release().await.unwrap_or_else(|error| tracing::warn!(%error, "the lease could not be released"));
    }
    http.await??;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Acquires the lease. Returns `Some(None)` without leader election, and `None` when `stop` resolved before the lease was
/// ours.
async fn take_lease(
    run: &Run,
    config: &kube::Config,
    metrics: &Metrics,
    health: &Health,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Option<Option<Held>>> {
    if !run.leader_election {
        metrics.set_leader(true);
        health.lead();
        return Ok(Some(None));
    }
    let namespace = run.lease_namespace.as_ref().unwrap_or(&config.default_namespace);
    let identity = run.identity.clone().unwrap_or_else(host_name);
    let lease = Lease::new(config, namespace, &run.lease_name, &identity, Timings::default())?;
    health.stand_by();
    tokio::select! {
        held = lease.acquire() => {
            health.lead();
            metrics.set_leader(true);
            Ok(Some(Some(held)))
        }
        () = stop => Ok(None),
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".into(), |name| name.trim().into())
}

fn scopes(namespaces: &[String]) -> Vec<Scope> {
    if namespaces.is_empty() {
        return vec![Scope::All];
    }
    // Each namespace once: two control loops over the same namespace would work against each other.
    BTreeSet::from_iter(namespaces).into_iter().cloned().map(Scope::Namespace).collect()
}

/// The metric sources that scaling signals are read from. None are needed as long as nothing scales on latency or lag.
fn metric_sources(run: &Run) -> anyhow::Result<Vec<SourceConfig>> {
    if let Some(url) = run.prometheus_url.as_ref().filter(|url| !url.is_empty()) {
        return Ok(vec![SourceConfig::plain(url).context("--prometheus-url")?]);
    }
    let Some(file) = run.metric_sources.as_deref() else { return Ok(Vec::new()) };
    signals::config::parse(&read(file)?).with_context(|| format!("--metric-sources {}", file.display()))
}

fn stop_signal(health: Health) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
        health.stop();
    })
}

/// The children of all objects.
fn children(models: &[Model], now: Timestamp) -> anyhow::Result<String> {
    models.iter().map(|model| render::as_yaml(&render::offline(model, now))).collect()
}

/// The children of all objects, and the Jobs that follow their first one.
fn children_and_later_jobs(models: &[Model], now: Timestamp) -> anyhow::Result<String> {
    let all = |model| [render::offline(model, now), render::later_jobs(model, now)].concat();
    models.iter().map(|model| render::as_yaml(&all(model))).collect()
}

/// Prints something of all objects of all files. Nothing is printed on standard output when one of the
/// objects is invalid.
fn render_files(
    files: &[impl AsRef<Path>],
    print: fn(&[Model], Timestamp) -> anyhow::Result<String>,
    runbooks: &Arc<str>,
) -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    let (mut models, mut wrong) = (Vec::new(), 0);
    for file in files {
        let (name, text) = (file.as_ref().display(), read(file.as_ref())?);
        for document in validate::documents(&text).with_context(|| name.to_string())? {
            match model(&document, now) {
                Ok(model) => {
                    let of = &model.identity.name;
                    let ineffective = render::alerts_without_effect(&model);
                    let problems = model.warnings().into_iter().map(|warning| warning.problem.to_string());
                    for warning in problems.chain(ineffective) {
                        eprintln!("{name}:{}: warning: RecommenderModel {of:?}: {warning}", document.line);
                    }
                    models.push(model.with_runbooks(runbooks));
                }
                Err(messages) => {
                    wrong += 1;
                    messages.iter().for_each(|message| eprintln!("{name}:{}: {message}", document.line));
                }
            }
        }
    }
    if wrong > 0 {
        return Ok(ExitCode::FAILURE);
    }
    anyhow::ensure!(!models.is_empty(), "no RecommenderModel in these files");
    print!("{}", print(&models, now)?);
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let (name, bytes) = if file == Path::new("-") {
        let mut bytes = Vec::new();
        ("standard input".to_owned(), std::io::stdin().read_to_end(&mut bytes).map(|_| bytes))
    } else {
        (file.display().to_string(), std::fs::read(file))
    };
    let bytes = bytes.with_context(|| name.clone())?;
    text::utf8(bytes).map_err(|(line, reason)| anyhow::anyhow!("{name}:{line}: {reason}"))
}

/// The validated model of an object, or the messages with which the API server and the operator refuse it.
fn model(document: &validate::Document, now: Timestamp) -> Result<Model, Vec<String>> {
    let name = document.object["metadata"]["name"].as_str().unwrap_or_default();
    let problems = validate::validate(&document.object);
    if !problems.is_empty() {
        return Err(vec![validate::report(name, &problems)]);
    }
    let object: RecommenderModel =
        serde_json::from_value(validate::stored(&document.object)).map_err(|error| vec![error.to_string()])?;
    Model::new(&object, now)
        .map_err(|problems| problems.iter().map(|p| format!("RecommenderModel {name:?}: {p}")).collect())
}
