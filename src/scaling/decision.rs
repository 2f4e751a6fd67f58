//! What is decided, and the one sentence that says why.

use std::fmt;

/// Why the number of replicas is what it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// The load, and nothing else.
    Load,
    /// Nothing is known yet of what a replica carries.
    Learning,
    /// A burst in the fast window, which nothing may lower for a minute.
    Burst,
    /// Requests or messages that already wait.
    Backlog,
    /// Latency above the target although the load alone asks for no more.
    Latency,
    /// It was wanted lately.
    Stabilising,
    /// The fewest allowed.
    Minimum,
    /// The most allowed.
    Maximum,
    /// Steps are limited.
    Step,
    /// A replica beyond the partitions would be idle.
    Partitions(u32),
    /// Signals are missing or old.
    NoData(&'static str),
    /// Signals are back, but for less than a window.
    Outage,
    /// Without any load the latency is above the target (seconds).
    Impossible(f64),
    /// More replicas did not lower the latency, or consumed nothing.
    DoesNotHelp,
    /// Consumers are being rebalanced.
    Rebalance,
    /// Nothing to do: no replicas.
    Idle,
}

impl Limit {
    /// A short name for a condition's reason or a metric's label.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Load => "Load",
            Self::Learning => "Learning",
            Self::Burst => "Burst",
            Self::Backlog => "Backlog",
            Self::Latency => "LatencyAboveTarget",
            Self::Stabilising => "Stabilising",
            Self::Minimum => "MinReplicas",
            Self::Maximum => "MaxReplicas",
            Self::Step => "StepLimit",
            Self::Partitions(_) => "Partitions",
            Self::NoData(_) => "MetricsMissing",
            Self::Outage => "MetricsRecovering",
            Self::Impossible(_) => "TargetImpossible",
            Self::DoesNotHelp => "ScalingIneffective",
            Self::Rebalance => "Rebalancing",
            Self::Idle => "Idle",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load => write!(f, "the load asks for it"),
            Self::Learning => write!(f, "what a replica carries is still being learned"),
            Self::Burst => write!(f, "a burst began less than a minute ago"),
            Self::Backlog => write!(f, "requests are waiting"),
            Self::Latency => write!(f, "the latency is above the target at this load"),
            Self::Stabilising => write!(f, "more was wanted a short while ago"),
            Self::Minimum => write!(f, "fewer than the minimum are not allowed"),
            Self::Maximum => write!(f, "more than the maximum are not allowed"),
            Self::Step => write!(f, "the steps are limited"),
            Self::Partitions(count) => write!(f, "there are {count} partitions, one replica more would be idle"),
            Self::NoData(why) => write!(f, "held because {why}"),
            Self::Outage => write!(f, "held until the metrics are back for a whole window"),
            Self::Impossible(unloaded) => {
                write!(f, "the target cannot be kept: even without load it takes {:.0} ms", unloaded * 1e3)
            }
            Self::DoesNotHelp => write!(f, "frozen because more replicas did not help; look at what they depend on"),
            Self::Rebalance => write!(f, "held while partitions are being reassigned"),
            Self::Idle => write!(f, "there is nothing to do"),
        }
    }
}

/// The numbers a decision came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Inputs {
    /// For a latency target.
    Serving {
        /// Requests per second now, None when unknown.
        rate: Option<f64>,
        /// Requests per second that are provided for.
        safe: f64,
        /// Requests per second one replica is believed to carry at the target.
        capacity: f64,
        /// The latency quantile, seconds.
        latency: Option<f64>,
        /// Its target, seconds.
        target: f64,
    },
    /// For a lag.
    Lag {
        /// Messages waiting, None when unknown.
        lag: Option<f64>,
        /// Messages arriving per second.
        arrivals: f64,
        /// Messages one replica consumes per second.
        capacity: f64,
        /// Seconds in which the lag is to be gone.
        catch_up: f64,
    },
}

/// How many replicas, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Wanted from now on.
    pub replicas: u32,
    /// There are now.
    pub current: u32,
    /// What it would have been without the limit.
    pub without: u32,
    /// What limited it.
    pub limit: Limit,
    /// What it came from.
    pub inputs: Inputs,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.replicas == self.current { "kept at" } else { "from" };
        match verb {
            "from" => write!(f, "from {} to {} replicas: ", self.current, self.replicas)?,
            _ => write!(f, "kept at {} replicas: ", self.replicas)?,
        }
        match &self.inputs {
            Inputs::Serving { rate, safe, capacity, latency, target } => {
                match rate {
                    Some(rate) => write!(f, "{rate:.1} requests/s")?,
                    None => write!(f, "unknown requests/s")?,
                }
                if let Some(latency) = latency {
                    write!(f, " at {:.0} ms", latency * 1e3)?;
                }
                write!(f, " (target {:.0} ms), {safe:.1}/s provided for, ", target * 1e3)?;
                write!(f, "{capacity:.1}/s per replica; ")?;
            }
            Inputs::Lag { lag, arrivals, capacity, catch_up } => {
                match lag {
                    Some(lag) => write!(f, "{lag:.0} messages behind")?,
                    None => write!(f, "unknown lag")?,
                }
                write!(f, ", {arrivals:.1}/s arriving, {capacity:.1}/s per replica, to be gone in {catch_up:.0} s; ")?;
            }
        }
        write!(f, "{}", self.limit)?;
        if self.without != self.replicas {
            write!(f, " (otherwise {})", self.without)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_one_sentence_with_inputs_limit_and_what_it_would_have_been() {
        let inputs =
            Inputs::Serving { rate: Some(120.0), safe: 150.0, capacity: 18.0, latency: Some(0.064), target: 0.075 };
        let decision = Decision { replicas: 6, current: 4, without: 9, limit: Limit::Maximum, inputs };
        assert_eq!(
            decision.to_string(),
            "from 4 to 6 replicas: 120.0 requests/s at 64 ms (target 75 ms), 150.0/s provided for, 18.0/s per replica; \
             more than the maximum are not allowed (otherwise 9)"
        );
    }

    #[test]
    fn what_is_unknown_is_said_to_be() {
        let inputs = Inputs::Lag { lag: None, arrivals: 3.0, capacity: 10.0, catch_up: 120.0 };
        let limit = Limit::NoData("the lag is missing");
        let decision = Decision { replicas: 2, current: 2, without: 2, limit, inputs };
        assert_eq!(
            decision.to_string(),
            "kept at 2 replicas: unknown lag, 3.0/s arriving, 10.0/s per replica, to be gone in 120 s; held because the \
             lag is missing"
        );
    }
}
