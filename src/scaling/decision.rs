//! What is decided, and the one sentence that says why.

use std::cmp::Ordering;
use std::fmt;

use super::overload::Silence;

/// Why the number of replicas is what it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// The load, and nothing else.
    Load,
    /// A load that is over, and may come back.
    RecentPeak,
    /// Nothing is known yet of what a replica carries.
    Learning,
    /// A rise within the last seconds that the plan did not have: how a flash crowd begins.
    Rising,
    /// Requests or messages wait already, because more arrive than the replicas work off.
    Backlog,
    /// Servers that use all of their CPU do not answer any more.
    Overloaded(Silence),
    /// They did not until a moment ago.
    Recovering,
    /// Some servers do not answer, for whatever reason: what the others do is not all there is.
    Silent,
    /// Latency above the target although the load alone asks for no more.
    Latency,
    /// More messages wait than there may ever be: everything works that may.
    LagAboveMaximum,
    /// Something else was wanted lately.
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
    /// A version is being rolled out.
    RollingOut,
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
            Self::DoesNotHelp => "ScalingIneffective",
            Self::Rebalance => "Rebalancing",
            Self::Idle => "Idle",
        }
    }

    /// Whether the promise is in danger and only a person can help: by a higher maximum or more partitions, another
    /// target, or a look at what the replicas depend on.
    ///
    /// | trouble | none |
    /// |---|---|
    /// | `Maximum`, `Partitions`: more would be needed than there may be | `Load`, `RecentPeak`, `Learning`, `Rising`, `Backlog`, `Overloaded`, `Recovering`, `Latency`: being dealt with |
    /// | `LagAboveMaximum`: more waits than ever should | `Stabilising`, `Minimum`, `Step`, `Rebalance`, `RollingOut`, `Idle`: as asked for |
    /// | `Impossible`, `DoesNotHelp`: replicas are not the answer | `NoData`, `Outage`, `Silent`: a trouble of the metrics or the servers, which have conditions of their own |
    #[must_use]
    pub const fn is_trouble(&self) -> bool {
        matches!(
            self,
            Self::Maximum | Self::Partitions(_) | Self::LagAboveMaximum | Self::Impossible(_) | Self::DoesNotHelp
        )
    }
}

/// The second half of "5 replicas because ...".
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load => write!(f, "that is what the load needs"),
            Self::RecentPeak => write!(f, "the load was higher a while ago and may come back"),
            Self::Learning => write!(f, "what one replica carries is still being learned"),
            Self::Rising => write!(f, "the load has just begun to rise faster than was planned for"),
            Self::Backlog => write!(f, "more has arrived than could be worked off"),
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
            Self::DoesNotHelp => write!(f, "more replicas did not help: look at what they depend on"),
            Self::Rebalance => write!(f, "partitions are being reassigned"),
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
#[derive(Debug, Clone, PartialEq)]
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
    /// Decisions for other signals of the same replicas, which asked for no more.
    pub others: Vec<Decision>,
}

impl Decision {
    /// The trouble a person should know of, of whichever signal.
    #[must_use]
    pub fn trouble(&self) -> Option<Limit> {
        let limits = std::iter::once(self.limit).chain(self.others.iter().map(|other| other.limit));
        limits.into_iter().find(Limit::is_trouble)
    }
}

/// One decision for the replicas of several signals: the most replicas win. A signal that is missing holds the replicas
/// there are, so it keeps the others from lowering them and not from raising them. Among equals a trouble wins, then the
/// first. None without any decision.
#[must_use]
pub fn combine(mut decisions: Vec<Decision>) -> Option<Decision> {
    let rank = |decision: &Decision| (decision.replicas, decision.limit.is_trouble());
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
        if self.without != self.replicas {
            write!(f, " (otherwise {})", self.without)?;
        }
        write!(f, "; {}", self.inputs)?;
        if self.limit == Limit::Maximum {
            write!(f, "; raise maxReplicas, or what one replica can do")?;
        }
        for other in &self.others {
            write!(f, "; the {} alone asks for {}", other.inputs.name(), other.replicas)?;
        }
        Ok(())
    }
}

impl Inputs {
    /// What is scaled on, in a word.
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
            Self::Serving { rate, safe, capacity, latency, target } => {
                match rate {
                    Some(rate) => write!(f, "{} requests/s", short(*rate))?,
                    None => write!(f, "unknown requests/s")?,
                }
                match latency {
                    Some(latency) => write!(f, " at {} ms", short(latency * 1e3))?,
                    None => write!(f, " at an unknown latency")?,
                }
                write!(f, " (target {} ms)", short(target * 1e3))?;
                if rate.is_some() || *safe > 0.0 {
                    write!(f, ", ready for {}/s", short(*safe))?;
                }
                match *capacity > 0.0 {
                    true => write!(f, " with {}/s per replica", short(*capacity)),
                    false => write!(f, ", and nothing is known of what one replica carries"),
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
                    false => write!(f, ", and nothing is known of what one replica consumes"),
                }
            }
        }
    }
}

/// A number as people want to read it: two digits at least, and no more behind the point than tell anything.
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
        let inputs =
            Inputs::Serving { rate: Some(120.0), safe: 150.0, capacity: 18.0, latency: Some(0.064), target: 0.075 };
        Decision { replicas, current: 4, without: replicas, limit, inputs, others: vec![] }
    }

    fn lag(replicas: u32, limit: Limit) -> Decision {
        let inputs = Inputs::Lag { lag: Some(600.0), arrivals: 3.25, capacity: 10.0, catch_up: 120.0 };
        Decision { inputs, ..serving(replicas, limit) }
    }

    #[test]
    fn a_decision_is_one_sentence_with_inputs_limit_and_what_it_would_have_been() {
        let decision = Decision { without: 9, ..serving(6, Limit::Maximum) };
        assert_eq!(
            decision.to_string(),
            "up from 4 to 6 replicas because that is the maximum (otherwise 9); 120 requests/s at 64 ms (target 75 ms), \
             ready for 150/s with 18/s per replica; raise maxReplicas, or what one replica can do"
        );
    }

    #[test]
    fn what_is_unknown_is_said_to_be() {
        let inputs = Inputs::Lag { lag: None, arrivals: 3.25, capacity: 10.0, catch_up: 120.0 };
        let decision = Decision { inputs, ..lag(4, Limit::NoData("the lag is missing")) };
        assert_eq!(
            decision.to_string(),
            "kept at 4 replicas because the lag is missing; unknown lag (to be gone in 120 s), 3.2/s arriving with 10/s \
             per replica"
        );
    }

    #[test]
    fn of_several_signals_the_most_replicas_win_and_the_others_are_told() {
        let both = combine(vec![serving(3, Limit::Load), lag(5, Limit::Backlog)]).unwrap();
        assert_eq!((both.replicas, both.limit, both.others.len()), (5, Limit::Backlog, 1));
        assert!(both.to_string().ends_with("with 10/s per replica; the latency alone asks for 3"), "{both}");
        assert_eq!(combine(vec![]), None);
        assert_eq!(combine(vec![lag(2, Limit::Load)]), Some(lag(2, Limit::Load)));
    }

    #[test]
    fn a_missing_signal_keeps_the_others_from_lowering_and_not_from_raising() {
        let missing = || serving(4, Limit::NoData("the requests per second are missing"));
        assert_eq!(combine(vec![missing(), lag(2, Limit::Load)]).unwrap().replicas, 4);
        assert_eq!(combine(vec![missing(), lag(7, Limit::Load)]).unwrap().replicas, 7);
    }

    #[test]
    fn among_equals_a_trouble_wins_and_no_trouble_is_lost() {
        let equal = combine(vec![serving(5, Limit::Load), lag(5, Limit::DoesNotHelp)]).unwrap();
        assert_eq!(equal.limit, Limit::DoesNotHelp);
        let first = combine(vec![serving(5, Limit::Load), lag(5, Limit::Backlog)]).unwrap();
        assert_eq!(first.limit, Limit::Load);
        let hidden = combine(vec![serving(3, Limit::Impossible(0.1)), lag(5, Limit::Load)]).unwrap();
        assert_eq!(hidden.trouble(), Some(Limit::Impossible(0.1)));
        assert_eq!(first.trouble(), None);
    }
}
