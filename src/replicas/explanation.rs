//! What the status says of a decision: its state, its reason and its message.

use super::{evidence::Evidence, tick::Tick};
use crate::{
    api::conditions::reasons::{LIMITING_REASONS, METRICS_MISSING, OVERLOADED},
    scaling::{Decision, Limit, Signal, decision::Inputs},
    series::Series,
    signals::{Quality, is_not_recorded},
};

/// Series that a latency target needs: while one is missing, replicas are not lowered.
const LATENCY_NEEDS: [Series; 2] = [Series::RequestRate, Series::Latency];
/// Series that scaling on a lag needs: while one is missing, replicas are not lowered.
const LAG_NEEDS: [Series; 2] = [Series::Lag, Series::Arrivals];
/// The state of a decision without missing metrics, an overload or a limiting reason.
const NORMAL: &str = "";

/// A decision, and what explains it.
pub struct Explanation<'a> {
    /// The decision that won among those of all signals.
    pub decision: &'a Decision,
    /// The tick in which it was made.
    pub tick: &'a Tick<'a>,
    /// Name of the dependency with the lag. None without a lag target.
    pub dependency: Option<&'a str>,
    /// What is known of servers that do not answer. None for a workload that never had a latency target.
    pub evidence: Option<&'a Evidence>,
}

impl Explanation<'_> {
    /// The state of the decision: missing metrics, an overload, its limiting reason, or [`NORMAL`]. Metrics that have been
    /// back for less than a window still count as missing.
    pub fn state(&self) -> &'static str {
        if self.signals().any(|of| self.lacks(of)) {
            return METRICS_MISSING;
        }
        if matches!(self.decision.limit, Limit::Overloaded(_)) {
            return OVERLOADED;
        }
        self.decision.limiting_reason().map_or(NORMAL, |limit| limit.reason())
    }

    /// What is missing in the state of missing metrics: the source, or the first series; empty in other states. It does not change with each
    /// tick as the message does, which has numbers.
    pub fn lacking(&self) -> &'static str {
        if self.state() != METRICS_MISSING {
            return "";
        }
        if self.tick.readings.is_none() || self.tick.source_failed() {
            return "source";
        }
        self.signals()
            .filter(|of| self.lacks(of))
            .find_map(|of| self.missing_series(&of.inputs))
            .map_or("", Series::name)
    }

    /// The reason in the status: the state, or in the normal state what limited the decision.
    pub fn reason(&self) -> &'static str {
        match self.state() {
            NORMAL => self.decision.limit.reason(),
            state => state,
        }
    }

    /// The message of the status: the decision's sentence. While signals are missing, also which, and the source's error.
    pub fn message(&self) -> String {
        let mut parts = vec![self.decision.to_string()];
        if self.state() == METRICS_MISSING {
            match self.tick.readings {
                None => parts.push(unknown_source(self.tick.source)),
                Some(readings) => {
                    let of_signals = self.signals().filter(|of| !self.tick.source_failed() && self.lacks(of));
                    parts.extend(of_signals.filter_map(|of| self.missing(&of.inputs)));
                    parts.extend(readings.source_error().map(str::to_owned));
                }
            }
            parts.extend(self.evidence.and_then(Evidence::why_no_backstop));
        }
        parts.join("; ")
    }

    /// The decisions of all signals.
    fn signals(&self) -> impl Iterator<Item = &Decision> {
        std::iter::once(self.decision).chain(&self.decision.others)
    }

    /// Whether the decision of one signal holds the replicas, or would, because the signal is missing or stale. A stale lag
    /// can still raise replicas, so the decision itself may not show that it is stale.
    fn lacks(&self, of_signal: &Decision) -> bool {
        let lag_is_old = || {
            let lag = self.dependency.map(|dependency| self.tick.signal(Series::Lag, dependency));
            matches!(of_signal.inputs, Inputs::Lag { .. }) && lag.is_some_and(|lag| lag.value().is_none())
        };
        matches!(of_signal.limit, Limit::NoData(_) | Limit::Outage) || lag_is_old()
    }

    /// The series that a signal needs, and what they are about.
    fn needs(&self, inputs: &Inputs) -> Option<([Series; 2], &str)> {
        match inputs {
            Inputs::Serving { .. } => Some((LATENCY_NEEDS, self.tick.workload)),
            Inputs::Lag { .. } => Some((LAG_NEEDS, self.dependency?)),
        }
    }

    /// The first series that is not fresh of those that a signal needs.
    fn missing_series(&self, inputs: &Inputs) -> Option<Series> {
        let (needs, about) = self.needs(inputs)?;
        needs.into_iter().find(|series| !matches!(self.tick.signal(*series, about), Signal::Fresh { .. }))
    }

    /// Why a signal is missing: a known cause, else the first series that is not fresh of those it needs, and why it is not.
    fn missing(&self, inputs: &Inputs) -> Option<String> {
        let (needs, about) = self.needs(inputs)?;
        let cause = match inputs {
            Inputs::Serving { .. } => self.why_not_measured(),
            Inputs::Lag { .. } => self.why_no_lag(),
        };
        if cause.is_some() {
            return cause;
        }
        needs.into_iter().find_map(|series| {
            let name = series.name();
            match self.tick.signal(series, about) {
                Signal::Fresh { .. } => None,
                // Recent, but from a partial answer: the source's error covers it.
                Signal::Stale { age, .. } if age <= Quality::default().fresh_seconds => None,
                Signal::Stale { age, .. } => {
                    Some(format!("{name} is {age:.0} s old: is it scraped, are its recording rules loaded?"))
                }
                Signal::Missing(why) => Some(format!("{name}: {why}")),
            }
        })
    }

    /// What Prometheus itself records of scrapes that yield no rates.
    fn why_not_measured(&self) -> Option<String> {
        let count = |series| self.tick.signal(series, self.tick.workload).value().filter(|count| *count > 0.0);
        if let Some(targets) = count(Series::SeveralProcesses) {
            return Some(format!(
                "several processes answer the scrapes of {targets:.0} servers in turn, each with its own counters, so neither load \
                 nor latency is known: run one process per pod (uvicorn without --workers) and more replicas, or let all \
                 processes share their counters with PROMETHEUS_MULTIPROC_DIR (docs/profiles.md)"
            ));
        }
        let unmeasured = self.tick.signal(Series::RequestRate, self.tick.workload).value().is_none();
        let targets = count(Series::Unanswered).filter(|_| unmeasured)?;
        Some(format!(
            "{targets:.0} servers are known to Prometheus, and none of their scrapes succeeds (up is 0). If their pods are ready, \
             something refuses the scrapes, such as a NetworkPolicy or a mesh with strict mTLS: let Prometheus through to the \
             metrics port; its page Status > Targets shows the error"
        ))
    }

    /// Arrivals are recorded of the same exporter, so its rules are loaded and it is scraped.
    fn why_no_lag(&self) -> Option<String> {
        let signal = |series| self.dependency.map(|dependency| self.tick.signal(series, dependency));
        let is_recorded = !matches!(signal(Series::Lag)?, Signal::Missing(why) if is_not_recorded(why));
        let is_alone = !is_recorded && signal(Series::Arrivals)?.value().is_some();
        is_alone.then(|| {
            format!(
                "{} is unknown although arrivals are recorded: custom.lag has no series, or the Kafka consumer group has no \
                 committed offset on some partition with messages, because it is new, or because the broker has forgotten the \
                 offsets of an idle group",
                Series::Lag.name()
            )
        })
    }
}

/// The state that a reported reason stands for.
pub fn reported_state(reason: &str) -> &'static str {
    let states = [METRICS_MISSING, OVERLOADED].into_iter().chain(LIMITING_REASONS);
    states.into_iter().find(|state| *state == reason).unwrap_or(NORMAL)
}

fn unknown_source(name: &str) -> String {
    format!(
        "the operator has no metric source {name:?}: set the value metricSources of its chart, or its flag --prometheus-url or --metric-sources"
    )
}
