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
    signals::{Asked, Inspector, SourceConfig},
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
        let context = self.context;
        let due = context.feedback.due(inspector.name(), now);
        if due.is_empty() {
            return;
        }
        let asked: Vec<Asked> = due.iter().map(|of| of.expected.asked()).collect();
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let loaded = inspector.loaded(&asked, &names, now).await;
        for (of, asked) in due.iter().zip(&asked) {
            if let Some(sentence) = loaded.failed.get(&asked.key()) {
                let changed = context.feedback.record(of, |state| state.failed(sentence, now));
                changed.into_iter().for_each(|object| context.enqueue(object));
                continue;
            }
            let changed = match judge(&of.expected, &of.ready, &loaded) {
                Ok(remarks) => context.feedback.record(of, |state| state.well(&remarks, now)),
                Err(problems) => {
                    let details = self.details(inspector, of, &problems, now).await;
                    let described = describe(&of.expected, &problems, &details);
                    context.feedback.record(of, |state| state.problem(described, now))
                }
            };
            changed.into_iter().for_each(|object| context.enqueue(object));
        }
    }

    /// What explains the problems of an object. Nothing before they are reported.
    async fn details(&mut self, inspector: &mut Inspector, of: &Due, problems: &[Problem], now: Timestamp) -> Details {
        let mut details = Details::default();
        if !of.is_overdue {
            return details;
        }
        // Where rules and targets are missing, the cause of both is most likely the same.
        let are_rules_missing = problems.iter().any(|problem| matches!(problem, Problem::RulesMissing(_)));
        for problem in problems {
            let (Problem::NoTarget(monitor) | Problem::Down(monitor)) = problem else { continue };
            if matches!(problem, Problem::Down(_)) || !are_rules_missing {
                let name = monitor.pool(&of.expected.namespace);
                let pool = inspector.pool(&name, now).await;
                details.pools.insert(name, pool);
            }
        }
        if problems.iter().any(|problem| matches!(problem, Problem::RulesMissing(_) | Problem::NoTarget(_))) {
            details.servers = self.servers().await;
        }
        details
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
