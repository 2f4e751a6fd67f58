//! What the user asked for, as far as all workloads have it in common.

use serde::{Deserialize, Serialize};

/// The one knob: what a second above the target may cost.
///
/// | knob | price of a second above the target | share of a replica's capacity planned with | seconds in which a plan falls to 1/e |
/// |---|---|---|---|
/// | Economy | 60 replica-seconds | 1.0 | 100 |
/// | Balanced | 500 replica-seconds | 1.0 | 300 |
/// | Reliable | 700 replica-seconds | 0.97 | 400 |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Headroom {
    /// Fewest replicas; what cannot be foreseen is felt.
    Economy,
    /// The default.
    #[default]
    Balanced,
    /// Most in hand.
    Reliable,
}

impl Headroom {
    /// Replica-seconds that are worth one second above the target.
    #[must_use]
    pub const fn price(self) -> f64 {
        match self {
            Self::Economy => 60.0,
            Self::Balanced => 500.0,
            Self::Reliable => 700.0,
        }
    }

    /// Seconds in which what is provided for falls to 1/e at most.
    #[must_use]
    pub const fn hold(self) -> f64 {
        match self {
            Self::Economy => 100.0,
            Self::Balanced => 300.0,
            Self::Reliable => 400.0,
        }
    }

    /// The share of what a replica carries at the target that is planned with, 0 to 1.
    #[must_use]
    pub const fn utilisation(self) -> f64 {
        match self {
            Self::Economy | Self::Balanced => 1.0,
            Self::Reliable => 0.97,
        }
    }
}

/// Fewest and most replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Fewest.
    pub min: u32,
    /// Most; taken as `min` when it is less.
    pub max: u32,
}

impl Bounds {
    /// The number within the bounds.
    #[must_use]
    pub fn clamp(self, replicas: u32) -> u32 {
        replicas.clamp(self.min, self.max.max(self.min))
    }
}

/// How the number of replicas may move, in the words of the HPA (`behavior` of `autoscaling/v2`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Behavior {
    /// On the way up. By default as fast as the signals are.
    pub scale_up: Direction,
    /// On the way down. By default without a limit of steps: the plan already remembers what was needed lately.
    pub scale_down: Direction,
}

/// How the number may move in one direction; [`super::steps`] follows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Direction {
    /// Up only to the fewest, down only to the most that was wanted within so many seconds. None: at once on the way up,
    /// what suits the workload on the way down.
    pub stabilization_seconds: Option<f64>,
    /// Limits of the steps; without any there is none.
    pub policies: Vec<StepPolicy>,
    /// Which of several policies counts.
    pub select: Select,
}

/// At most so much change in so much time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepPolicy {
    /// What `value` counts.
    pub kind: StepKind,
    /// Replicas, or per cent of the replicas at the start of the period.
    pub value: u32,
    /// The period, seconds.
    pub period_seconds: f64,
}

/// What a [`StepPolicy`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// Replicas.
    Pods,
    /// Per cent of the replicas at the start of the period.
    Percent,
}

/// Which of several policies counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Select {
    /// The one that allows most change.
    #[default]
    Max,
    /// The one that allows least change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// What all workloads have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Common {
    /// Fewest and most replicas.
    pub bounds: Bounds,
    /// Window of the measured rates, seconds.
    pub window: f64,
    /// How the number moves.
    pub behavior: Behavior,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_contradict_keep_the_minimum() {
        assert_eq!(Bounds { min: 5, max: 2 }.clamp(9), 5);
    }
}
