//! Asks a source what it has loaded of the objects that are due. Only what is not loaded for long is followed up: with the scrape pools
//! of the source, and the Prometheus objects of the cluster.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::{
    api::monitoring_coreos::Prometheus,
    controller::context::Context,
    feedback::{Details, Due, Problem, describe, judge, probed},
    signals::{Asked, Inspector, Pool, SourceConfig},
};

/// How long the Prometheus objects that were listed are used: 1 min.
const LISTED: Duration = Duration::from_secs(60);

/// Asks a source about the objects of all scopes whenever some are due. Never returns.
pub async fn run(source: &SourceConfig, contexts: &[Arc<Context>]) {
    let mut inspector = Inspector::new(source.clone());
    let mut scopes: Vec<Scope<'_>> = contexts.iter().map(|context| Scope::new(context)).collect();
    loop {
        sleep(inspector.pause()).await;
        for scope in scopes.iter_mut().filter(|scope| scope.context.may_write()) {
            scope.ask(&mut inspector, Timestamp::now()).await;
        }
    }
}

/// Most scrape pools that a source is asked about in a pass, with up to two requests each: 10. Objects with more problems wait for the
/// next pass.
const POOLS: usize = 10;

/// What a pass may still ask about scrape pools.
struct Pools {
    left: usize,
    /// A source that does not list pools, or does not answer, would not for the others either: they are unknown.
    has_failed: bool,
}

/// The scrape pools that explain problems. Where rules and targets are missing, the cause of both is most likely the same.
fn unexplained(of: &Due, problems: &[Problem]) -> Vec<String> {
    let are_rules_missing = problems.iter().any(|problem| matches!(problem, Problem::RulesMissing(_)));
    let monitors = problems.iter().filter_map(|problem| match problem {
        Problem::Down(monitor) => Some(monitor),
        Problem::NoTarget(monitor) if !are_rules_missing => Some(monitor),
        _ => None,
    });
    monitors.map(|monitor| monitor.pool(&of.expected.namespace)).collect()
}

/// A scope, and the Prometheus objects that were listed last in it.
pub struct Scope<'a> {
    context: &'a Context,
    names: Vec<String>,
    listed: Option<(Instant, Vec<Prometheus>)>,
}

impl<'a> Scope<'a> {
    /// Nothing is listed yet.
    pub fn new(context: &'a Context) -> Self {
        Self { context, names: probed(), listed: None }
    }

    /// Asks about the objects that are due, and enqueues those whose condition changes.
    pub async fn ask(&mut self, inspector: &mut Inspector, now: Timestamp) {
        let (context, began) = (self.context, Instant::now());
        let due = context.feedback.due(inspector.name(), now);
        if due.is_empty() {
            return;
        }
        let asked: Vec<Asked> = due.iter().map(|of| of.expected.asked()).collect();
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let loaded = inspector.loaded(&asked, &names, now).await;
        let mut pools = Pools { left: POOLS, has_failed: false };
        for (of, asked) in due.iter().zip(&asked) {
            let at = now + began.elapsed();
            let changed = match (loaded.failed.get(&asked.key()), judge(&of.expected, &of.ready, &loaded)) {
                (Some(sentence), _) => context.feedback.record(of, at, |state| state.failed(sentence, at)),
                (None, Ok(remarks)) => context.feedback.record(of, at, |state| state.well(&remarks, at)),
                (None, Err(problems)) => {
                    let found = problems.iter().map(Problem::reason).collect();
                    let described = match self.describe(inspector, of, problems, at, &mut pools).await {
                        Some(described) => described,
                        None => continue,
                    };
                    let at = now + began.elapsed();
                    context.feedback.record(of, at, |state| state.problem(&found, described, at))
                }
            };
            changed.into_iter().for_each(|object| context.enqueue(object));
        }
    }

    /// The reason and message of the problems that are reported now, or of all before that. None where the object has to wait for the
    /// next pass, because as many `pools` were asked about as one may have.
    async fn describe(
        &mut self,
        inspector: &mut Inspector,
        of: &Due,
        problems: Vec<Problem>,
        at: Timestamp,
        pools: &mut Pools,
    ) -> Option<(&'static str, String)> {
        let is_reported = |problem: &Problem| of.overdue.contains(problem.reason());
        let (reported, others): (Vec<_>, Vec<_>) = problems.into_iter().partition(is_reported);
        if reported.is_empty() {
            return Some(describe(&of.expected, &others, &Details::default()));
        }
        let names = unexplained(of, &reported);
        if pools.left == 0 && !pools.has_failed && !names.is_empty() {
            return None;
        }
        let mut details = Details::default();
        for name in names {
            if pools.left == 0 || pools.has_failed {
                break;
            }
            let pool = inspector.pool(&name, at).await;
            pools.left -= 1;
            pools.has_failed = pool == Pool::Unknown;
            details.pools.insert(name, pool);
        }
        if reported.iter().any(|problem| matches!(problem, Problem::RulesMissing(_) | Problem::NoTarget(_))) {
            details.servers = self.servers().await;
        }
        Some(describe(&of.expected, &reported, &details))
    }

    /// The Prometheus objects of the scope; none where they cannot be read.
    async fn servers(&mut self) -> Vec<Prometheus> {
        if let Some((_, servers)) = self.listed.as_ref().filter(|(at, _)| at.elapsed() < LISTED) {
            return servers.clone();
        }
        let servers = self.context.cluster.prometheuses(&self.context.scope).await.unwrap_or_else(|error| {
            debug!(%error, "cannot list Prometheus objects");
            Vec::new()
        });
        self.listed = Some((Instant::now(), servers.clone()));
        servers
    }
}
