//! A scaling decision, its reason and its inputs, displayed as one sentence.

use std::cmp::Ordering;
use std::fmt;

use super::overload::Silence;

/// The reason for the number of replicas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// The load needs this many.
    Load,
    /// The load was higher within the last 20 minutes and may come back.
    RecentPeak,
    /// The capacity of a replica is not known yet.
    Learning,
    /// The load began to rise within the last seconds and exceeds the plan, as at the start of a flash crowd.
    Rising,
    /// Requests or messages are waiting, because more arrive than the replicas serve.
    Backlog,
    /// Servers that use all of their CPU do not answer any more.
    Overloaded(Silence),
    /// Servers were overloaded until a moment ago.
    Recovering,
    /// Some servers do not answer, for any reason, so the load is not measured in full.
    Silent,
    /// The latency is above the target although the load alone does not need more replicas.
    Latency,
    /// The lag is above its maximum, so as many replicas run as bounds and partitions allow.
    LagAboveMaximum,
    /// Another number was recommended within the stabilisation window.
    Stabilising,
    /// The minimum of the replicas.
    Minimum,
    /// The maximum of the replicas.
    Maximum,
    /// A step limit of `behavior`.
    Step,
    /// The number of partitions: more replicas would be idle.
    Partitions(u32),
    /// Signals are missing or old. The text names them.
    NoData(&'static str),
    /// Signals are fresh again, but for less than a window.
    Outage,
    /// A version is being rolled out.
    RollingOut,
    /// The latency without load (seconds) is above the target.
    Impossible(f64),
    /// More replicas did not lower the latency.
    DoesNotHelp,
    /// Messages wait, and the replicas consume none.
    NotConsumed {
        /// At most one message per partition waits, as where the markers of transactions count as messages.
        few: bool,
    },
    /// A rebalance of the consumers is in progress.
    Rebalance,
    /// There are no messages, so no replicas are needed.
    Idle,
}

impl Limit {
    /// A short name for the reason of a condition or the label of a metric.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Load => "Load",
            Self::RecentPeak => "RecentPeak",
            Self::Learning => "Learning",
            Self::Rising => "Rising",
            Self::Backlog => "Backlog",
            Self::Overloaded(_) => "Overloaded",
            Self::Recovering => "Recovering",
            Self::Silent => "ServersSilent",
            Self::Latency => "LatencyAboveTarget",
            Self::LagAboveMaximum => "LagAboveMaximum",
            Self::Stabilising => "Stabilising",
            Self::Minimum => "MinReplicas",
            Self::Maximum => "MaxReplicas",
            Self::Step => "StepLimit",
            Self::Partitions(_) => "Partitions",
            Self::NoData(_) => "MetricsMissing",
            Self::Outage => "MetricsRecovering",
            Self::RollingOut => "RollingOut",
            Self::Impossible(_) => "TargetImpossible",
            Self::DoesNotHelp | Self::NotConsumed { .. } => "ScalingIneffective",
            Self::Rebalance => "Rebalancing",
            Self::Idle => "Idle",
        }
    }

    /// Whether the objective is at risk and only a person can help: with a higher maximum, more partitions, another target,
    /// or a check of the dependencies of the replicas.
    ///
    /// Limiting reasons:
    /// - `Maximum`, `Partitions`: more replicas are needed than are allowed.
    /// - `LagAboveMaximum`: more messages wait than allowed.
    /// - `Impossible`, `DoesNotHelp`, `NotConsumed`: more replicas do not help.
    ///
    /// No limiting reasons:
    /// - `Load`, `RecentPeak`, `Learning`, `Rising`, `Backlog`, `Overloaded`, `Recovering`, `Latency`: scaling handles them.
    /// - `Stabilising`, `Minimum`, `Step`, `Rebalance`, `RollingOut`, `Idle`: as configured.
    /// - `NoData`, `Outage`, `Silent`: problems of the metrics or the servers, which have conditions of their own.
    #[must_use]
    pub const fn is_limiting_reason(&self) -> bool {
        matches!(
            self,
            Self::Maximum
                | Self::Partitions(_)
                | Self::LagAboveMaximum
                | Self::Impossible(_)
                | Self::DoesNotHelp
                | Self::NotConsumed { .. }
        )
    }
}

/// The second half of "5 replicas because ...".
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load => write!(f, "that is what the load needs"),
            Self::RecentPeak => write!(f, "the load was higher a while ago and may come back"),
            Self::Learning => write!(f, "the capacity of one replica is still being learned"),
            Self::Rising => write!(f, "the load rises faster than planned"),
            Self::Backlog => write!(f, "more arrives than the replicas serve"),
            Self::Overloaded(silence) => write!(f, "{silence}"),
            Self::Recovering => write!(f, "the servers were overloaded only a moment ago"),
            Self::Silent => write!(f, "some servers do not answer their scrapes or readiness probes"),
            Self::Latency => write!(f, "the latency is above its target"),
            Self::LagAboveMaximum => write!(f, "the lag is above its maximum"),
            Self::Stabilising => write!(f, "the need has changed only a short while ago"),
            Self::Minimum => write!(f, "that is the minimum"),
            Self::Maximum => write!(f, "that is the maximum"),
            Self::Step => write!(f, "steps are limited"),
            Self::Partitions(count) => write!(f, "there are only {count} partitions to share"),
            Self::NoData(why) => write!(f, "{why}"),
            Self::Outage => write!(f, "the metrics came back only a moment ago"),
            Self::RollingOut => write!(f, "a version is being rolled out"),
            Self::Impossible(unloaded) => {
                write!(f, "the target cannot be kept: a request takes {} ms even without load", short(unloaded * 1e3))
            }
            Self::DoesNotHelp => write!(f, "more replicas did not help: check what they depend on"),
            Self::NotConsumed { few } => {
                write!(
                    f,
                    "the replicas consume nothing although messages wait: check their logs and what they depend on"
                )?;
                if *few {
                    write!(f, ", and set transactional on a Kafka dependency whose producers use transactions")?;
                }
                Ok(())
            }
            Self::Rebalance => write!(f, "partitions are being reassigned"),
            Self::Idle => write!(f, "there is nothing to do"),
        }
    }
}

/// The numbers that a decision is based on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Inputs {
    /// For a latency target.
    Serving {
        /// Requests per second now; None when unknown.
        rate: Option<f64>,
        /// The provisioned rate, requests per second.
        provisioned: f64,
        /// Estimated capacity of one replica at the target, requests per second; 0 when unknown.
        capacity: f64,
        /// The latency quantile, seconds; None when unknown.
        latency: Option<f64>,
        /// The target of the latency, seconds.
        target: f64,
    },
    /// For a lag.
    Lag {
        /// Messages waiting; None when unknown.
        lag: Option<f64>,
        /// Messages arriving per second.
        arrivals: f64,
        /// Messages one replica consumes per second; 0 when unknown.
        capacity: f64,
        /// Seconds within which the lag is to be worked off.
        catch_up: f64,
    },
}

/// The number of replicas, and the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Desired replicas.
    pub replicas: u32,
    /// Current replicas.
    pub current: u32,
    /// Replicas before stabilisation, steps and bounds.
    pub unclamped: u32,
    /// The reason for `replicas`.
    pub limit: Limit,
    /// The numbers that the decision is based on.
    pub inputs: Inputs,
    /// Decisions for other signals of the same replicas, none of which needs more replicas.
    pub others: Vec<Decision>,
}

impl Decision {
    /// The first limiting reason among this decision and the others.
    #[must_use]
    pub fn limiting_reason(&self) -> Option<Limit> {
        let limits = std::iter::once(self.limit).chain(self.others.iter().map(|other| other.limit));
        limits.into_iter().find(Limit::is_limiting_reason)
    }
}

/// Combines the decisions for several signals into one: the decision with the most replicas.
///
/// Among decisions with the same number, one with a limiting reason wins, then the first. A missing signal keeps the
/// current replicas, so the other signals may raise them but not lower them. None without any decision.
#[must_use]
pub fn combine(mut decisions: Vec<Decision>) -> Option<Decision> {
    let rank = |decision: &Decision| (decision.replicas, decision.limit.is_limiting_reason());
    let best = (0..decisions.len()).rev().max_by_key(|index| rank(&decisions[*index]))?;
    let mut winner = decisions.remove(best);
    winner.others.append(&mut decisions);
    Some(winner)
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.replicas.cmp(&self.current) {
            Ordering::Equal => write!(f, "kept at ")?,
            Ordering::Greater => write!(f, "up from {} to ", self.current)?,
            Ordering::Less => write!(f, "down from {} to ", self.current)?,
        }
        let replicas = if self.replicas == 1 { "replica" } else { "replicas" };
        write!(f, "{} {replicas} because {}", self.replicas, self.limit)?;
        if self.unclamped != self.replicas {
            write!(f, " (otherwise {})", self.unclamped)?;
        }
        write!(f, "; {}", self.inputs)?;
        if self.limit == Limit::Maximum {
            write!(f, "; raise maxReplicas, or the capacity of one replica")?;
        }
        for other in &self.others {
            write!(f, "; the {} alone asks for {}", other.inputs.name(), other.replicas)?;
        }
        Ok(())
    }
}

impl Inputs {
    /// The kind of signal, as one word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Serving { .. } => "latency",
            Self::Lag { .. } => "lag",
        }
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving { rate, provisioned, capacity, latency, target } => {
                match rate {
                    Some(rate) => write!(f, "{} requests/s", short(*rate))?,
                    None => write!(f, "unknown requests/s")?,
                }
                match latency {
                    Some(latency) => write!(f, " at {} ms", short(latency * 1e3))?,
                    None => write!(f, " at an unknown latency")?,
                }
                write!(f, " (target {} ms)", short(target * 1e3))?;
                if rate.is_some() || *provisioned > 0.0 {
                    write!(f, ", provisioned for {}/s", short(*provisioned))?;
                }
                match *capacity > 0.0 {
                    true => write!(f, " with {}/s per replica", short(*capacity)),
                    false => write!(f, ", and the capacity of one replica is unknown"),
                }
            }
            Self::Lag { lag, arrivals, capacity, catch_up } => {
                match lag {
                    Some(lag) => write!(f, "{lag:.0} messages behind")?,
                    None => write!(f, "unknown lag")?,
                }
                write!(f, " (to be gone in {} s), {}/s arriving", short(*catch_up), short(*arrivals))?;
                match *capacity > 0.0 {
                    true => write!(f, " with {}/s per replica", short(*capacity)),
                    false => write!(f, ", and the capacity of one replica is unknown"),
                }
            }
        }
    }
}

/// Formats a number with two significant digits or all digits before the point, and at most two decimals.
fn short(number: f64) -> String {
    let digits = match number {
        _ if number >= 10.0 || number == 0.0 => 0,
        _ if number >= 1.0 => 1,
        _ => 2,
    };
    format!("{number:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(replicas: u32, limit: Limit) -> Decision {
        let inputs = Inputs::Serving {
            rate: Some(120.0),
            provisioned: 150.0,
            capacity: 18.0,
            latency: Some(0.064),
            target: 0.075,
        };
        Decision { replicas, current: 4, unclamped: replicas, limit, inputs, others: vec![] }
    }

    fn lag(replicas: u32, limit: Limit) -> Decision {
        let inputs = Inputs::Lag { lag: Some(600.0), arrivals: 3.25, capacity: 10.0, catch_up: 120.0 };
        Decision { inputs, ..serving(replicas, limit) }
    }

    #[test]
    fn a_decision_displays_its_reason_the_unclamped_replicas_and_the_inputs_as_one_sentence() {
        let decision = Decision { unclamped: 9, ..serving(6, Limit::Maximum) };
        assert_eq!(
            decision.to_string(),
            "up from 4 to 6 replicas because that is the maximum (otherwise 9); 120 requests/s at 64 ms (target 75 ms), \
             provisioned for 150/s with 18/s per replica; raise maxReplicas, or the capacity of one replica"
        );
    }

    #[test]
    fn an_unknown_input_is_displayed_as_unknown() {
        let inputs = Inputs::Lag { lag: None, arrivals: 3.25, capacity: 10.0, catch_up: 120.0 };
        let decision = Decision { inputs, ..lag(4, Limit::NoData("the lag is missing")) };
        assert_eq!(
            decision.to_string(),
            "kept at 4 replicas because the lag is missing; unknown lag (to be gone in 120 s), 3.2/s arriving with 10/s \
             per replica"
        );
    }

    #[test]
    fn the_signal_with_the_most_replicas_wins_and_the_others_are_displayed() {
        let both = combine(vec![serving(3, Limit::Load), lag(5, Limit::Backlog)]).unwrap();
        assert_eq!((both.replicas, both.limit, both.others.len()), (5, Limit::Backlog, 1));
        assert!(both.to_string().ends_with("with 10/s per replica; the latency alone asks for 3"), "{both}");
        assert_eq!(combine(vec![]), None);
        assert_eq!(combine(vec![lag(2, Limit::Load)]), Some(lag(2, Limit::Load)));
    }

    #[test]
    fn a_missing_signal_prevents_a_scale_down_and_allows_a_scale_up() {
        let missing = || serving(4, Limit::NoData("the requests per second are missing"));
        assert_eq!(combine(vec![missing(), lag(2, Limit::Load)]).unwrap().replicas, 4);
        assert_eq!(combine(vec![missing(), lag(7, Limit::Load)]).unwrap().replicas, 7);
    }

    #[test]
    fn among_equal_numbers_a_limiting_reason_wins_and_none_is_lost() {
        let equal = combine(vec![serving(5, Limit::Load), lag(5, Limit::DoesNotHelp)]).unwrap();
        assert_eq!(equal.limit, Limit::DoesNotHelp);
        let first = combine(vec![serving(5, Limit::Load), lag(5, Limit::Backlog)]).unwrap();
        assert_eq!(first.limit, Limit::Load);
        let hidden = combine(vec![serving(3, Limit::Impossible(0.1)), lag(5, Limit::Load)]).unwrap();
        assert_eq!(hidden.limiting_reason(), Some(Limit::Impossible(0.1)));
        assert_eq!(first.limiting_reason(), None);
    }
}
