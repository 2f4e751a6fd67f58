//! The rules over the metrics of an object.

use std::collections::BTreeSet;

use super::monitoring::meta;
use crate::{
    api::{
        self, Histograms, Monitoring,
        monitoring_coreos::{PrometheusRule, PrometheusRuleSpec, Rule, RuleGroup},
    },
    catalog,
    child::Child,
    kinds::Kind,
    model::{self, Identity, Model, schedule::Schedule, scrapes},
    monitoring::{self, Alerting, Metrics, Monitored, Object, Servers, Training, Versions, Worker, canary::Canary},
    names::{self, SERVING_COMPONENT},
    series::{Series, Subject},
};

/// The PrometheusRule, and another one for PromQL of the spec; none without `spec.monitoring`.
pub fn prometheus_rules(model: &Model) -> Vec<Child> {
    let (Some(monitoring), Some(groups)) = (&model.monitoring, rule_groups(model)) else { return Vec::new() };
    let identity = &model.identity;
    let (custom, own): (Vec<_>, Vec<_>) = groups.into_iter().partition(monitoring::is_custom);
    [(identity.base.clone(), own), (names::custom_rules(&identity.base), custom)]
        .into_iter()
        .filter(|(_, groups)| !groups.is_empty())
        .map(|(name, groups)| {
            let metadata = meta(identity, monitoring, name, SERVING_COMPONENT);
            Child::new(Kind::PrometheusRule, PrometheusRule { metadata, spec: PrometheusRuleSpec { groups } })
        })
        .collect()
}

/// The recording and alerting rules of an object; `None` without `spec.monitoring`.
pub fn rule_groups(model: &Model) -> Option<Vec<RuleGroup>> {
    let monitoring = model.monitoring.as_ref()?;
    let Identity { namespace, name, base, .. } = &model.identity;
    let probed = model.serving.pod.probes.iter().filter_map(|probe| probe.path.as_deref());
    let paths = [monitoring.metrics.path.as_str(), &model.serving.probes.path];
    let unmeasured_paths: Vec<&str> = paths.into_iter().chain(probed).collect();
    let minimums = model.promotion.minimums();
    let canary = |of: &model::Canary| Canary { compared: of.compared, is_routed: of.http_route.is_some() };
    Some(monitoring::rule_groups(&Monitored {
        object: Object { namespace, name, base },
        metrics: Metrics {
            profile: &monitoring.metrics.profile,
            signals: model.signals.as_ref(),
            reads_native: monitoring.metrics.histograms == Some(Histograms::Native),
            interval_seconds: scrapes::of_servers(model),
            workers_interval_seconds: scrapes::of_workers(model),
            unmeasured_paths: &unmeasured_paths,
        },
        servers: servers(model, monitoring),
        canary: model.canary.as_ref().map(canary),
        workers: &model.workers.iter().map(worker).collect::<Vec<_>>(),
        training: training(model),
        versions: Versions {
            claim: model.artifacts.claim(),
            prunes: model.training.prune.is_some(),
            wait_for_inputs: !model.promotion_readiness.inputs.is_empty(),
            gates: model.promotion.has_gates().then_some(&minimums),
        },
        dependencies: &model.dependencies,
        application: &model.application,
        objectives: &model.objectives,
        alerting: Alerting { changes: &model.alerts, runbooks: &model.runbooks },
        query_offset_seconds: monitoring.query_offset_seconds,
    }))
}

fn servers<'a>(model: &'a Model, monitoring: &'a Monitoring) -> Servers<'a> {
    Servers {
        resources: model.serving.resources.as_ref(),
        latency_target: model.serving.autoscaling.as_ref().and_then(|autoscaling| autoscaling.latency.as_ref()),
        front: monitoring.front.as_ref(),
        is_probed: monitoring.probe.is_some(),
        reloads: model.hot_reload.is_some(),
    }
}

fn worker(worker: &api::Worker) -> Worker<'_> {
    let lag = worker.autoscaling.as_ref().and_then(|autoscaling| autoscaling.lag.as_ref());
    Worker {
        name: &worker.name,
        resources: worker.resources.as_ref(),
        lag: lag.map(|lag| (lag.dependency.as_str(), lag.catch_up_seconds)),
    }
}

fn training(model: &Model) -> Training<'_> {
    // Nothing is overdue while training is suspended.
    let schedule = model.schedule.as_ref().filter(|_| !model.training.suspend);
    Training {
        resources: model.training.resources.as_ref(),
        period_seconds: schedule.and_then(Schedule::longest_pause_seconds),
        waits_for_inputs: !model.readiness.inputs.is_empty(),
        reports_progress: model.training.metrics.is_some(),
    }
}

/// Changes of alerts that an object does not have, each with the reason.
pub fn alerts_without_effect(model: &Model) -> Vec<String> {
    let rules: Vec<Rule> = rule_groups(model).into_iter().flatten().flat_map(|group| group.rules).collect();
    let is_recorded = |series: &Series| rules.iter().any(|rule| rule.record.as_deref() == Some(series.name()));
    let changed = model.alerts.iter().filter(|(_, change)| !change.is_disabled).map(|(name, _)| name);
    let left_out = changed.filter(|name| !rules.iter().any(|rule| rule.alert.as_ref() == Some(name)));
    let alerts = left_out.filter_map(|name| catalog::current().alert(name));
    alerts
        .map(|alert| {
            let why = match alert.series.iter().find(|series| !is_recorded(series)) {
                Some(series) if series.subject() == Subject::Dependency => {
                    format!("no dependency of the spec reports {}", series.name())
                }
                Some(series) => format!("nothing in the spec makes {} recorded", series.name()),
                None if matches!(
                    alert.applies_to,
                    catalog::AppliesTo::Dependencies | catalog::AppliesTo::EachDependency
                ) =>
                {
                    let names: BTreeSet<_> = alert.series.iter().map(|series| series.name()).collect();
                    format!("no single dependency of the spec reports {}", Vec::from_iter(names).join(" and "))
                }
                None => "no series that it compares can exceed its threshold".into(),
            };
            let name = &alert.name;
            let page = if alert.is_embedded { format!(", or see docs/runbooks/{name}.md") } else { String::new() };
            format!("spec.monitoring.alerts: {name}: {why}, so the object does not have this alert: remove it{page}")
        })
        .collect()
}
