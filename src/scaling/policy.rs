//! The configuration that all workloads have in common.

use serde::{Deserialize, Serialize};

/// How much spare capacity to keep: what a second above the target may cost. The only setting of that kind.
///
/// | headroom | [`price`](Self::price) | [`utilisation`](Self::utilisation) | [`hold`](Self::hold) |
/// |---|---|---|---|
/// | Economy | 60 replica-seconds | 1.0 | 100 s |
/// | Balanced | 500 replica-seconds | 1.0 | 300 s |
/// | Reliable | 700 replica-seconds | 0.97 | 400 s |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Headroom {
    /// Fewest replicas. The latency may exceed its target when the load rises unexpectedly.
    Economy,
    /// The default.
    #[default]
    Balanced,
    /// Most spare capacity.
    Reliable,
}

impl Headroom {
    /// Price of one second above the target, replica-seconds.
    #[must_use]
    pub const fn price(self) -> f64 {
        match self {
            Self::Economy => 60.0,
            Self::Balanced => 500.0,
            Self::Reliable => 700.0,
        }
    }

    /// Seconds within which a plan falls at most to 1/e.
    #[must_use]
    pub const fn hold(self) -> f64 {
        match self {
            Self::Economy => 100.0,
            Self::Balanced => 300.0,
            Self::Reliable => 400.0,
        }
    }

    /// Share of the capacity of a replica at the target that is planned with, 0 to 1.
    #[must_use]
    pub const fn utilisation(self) -> f64 {
        match self {
            Self::Economy | Self::Balanced => 1.0,
            Self::Reliable => 0.97,
        }
    }
}

/// Minimum and maximum of the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Minimum.
    pub min: u32,
    /// Maximum; counts as `min` when it is less.
    pub max: u32,
}

impl Bounds {
    /// The nearest number within the bounds.
    #[must_use]
    pub fn clamp(self, replicas: u32) -> u32 {
        replicas.clamp(self.min, self.max.max(self.min))
    }
}

/// How fast the replicas may change, like `behavior` of the HPA (`autoscaling/v2`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Behavior {
    /// Scale-up. By default without limits.
    pub scale_up: Direction,
    /// Scale-down. By default without step limits, because the plan already falls slowly after a high load.
    pub scale_down: Direction,
}

/// How fast the replicas may change in one direction; see [`super::steps`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Direction {
    /// Stabilisation window, seconds: up only to the fewest, down only to the most replicas recommended within it. Default:
    /// 0 for a scale-up, and for a scale-down a window that depends on the workload.
    pub stabilization_seconds: Option<f64>,
    /// Step limits. Without any the steps are not limited.
    pub policies: Vec<StepPolicy>,
    /// Which of several policies applies.
    pub select: Select,
}

/// The largest change within a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepPolicy {
    /// The unit of `value`.
    pub kind: StepKind,
    /// The largest change, in replicas or per cent of the replicas at the start of the period.
    pub value: u32,
    /// The period, seconds.
    pub period_seconds: f64,
}

/// The unit of a [`StepPolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// Replicas.
    Pods,
    /// Per cent of the replicas at the start of the period.
    Percent,
}

/// Which of several policies applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Select {
    /// The policy that allows the largest change.
    #[default]
    Max,
    /// The policy that allows the smallest change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// The configuration that all workloads have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Common {
    /// Minimum and maximum of the replicas.
    pub bounds: Bounds,
    /// Window of the measured rates, seconds.
    pub window: f64,
    /// How fast the replicas may change.
    pub behavior: Behavior,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maximum_below_the_minimum_counts_as_the_minimum() {
        assert_eq!(Bounds { min: 5, max: 2 }.clamp(9), 5);
    }
}
