//! What the user asked for, as far as all workloads have it in common.

use serde::{Deserialize, Serialize};

/// The one knob: what a second above the target may cost.
///
/// | knob | price of a second above the target | share of a replica's capacity planned with |
/// |---|---|---|
/// | Economy | 50 replica-seconds | 1.0 |
/// | Balanced | 200 replica-seconds | 1.0 |
/// | Reliable | 700 replica-seconds | 0.97 |
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
            Self::Economy => 50.0,
            Self::Balanced => 200.0,
            Self::Reliable => 700.0,
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

/// Limits on how the number of replicas moves, in the HPA's words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Behavior {
    /// Down only to the most that was wanted within so many seconds; None: 45 s and half the start-up.
    pub scale_down_stabilization_seconds: Option<f64>,
    /// Most replicas added per decision.
    pub scale_up_replicas: u32,
    /// Most replicas removed per decision.
    pub scale_down_replicas: u32,
}

impl Default for Behavior {
    /// As fast as the signals are, and no limit on steps: the plan already remembers what was needed lately.
    fn default() -> Self {
        Self { scale_down_stabilization_seconds: None, scale_up_replicas: u32::MAX, scale_down_replicas: u32::MAX }
    }
}

impl Behavior {
    /// Moves from `current` towards `wanted` by the steps allowed.
    #[must_use]
    pub fn step(&self, current: u32, wanted: u32) -> u32 {
        wanted
            .min(current.saturating_add(self.scale_up_replicas.max(1)))
            .max(current.saturating_sub(self.scale_down_replicas.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_limited_and_never_zero() {
        let behavior = Behavior { scale_up_replicas: 4, scale_down_replicas: 0, ..Behavior::default() };
        assert_eq!((behavior.step(10, 20), behavior.step(10, 2), behavior.step(10, 12)), (14, 9, 12));
        assert_eq!(Behavior::default().step(2, 50), 50);
    }

    #[test]
    fn bounds_that_contradict_keep_the_minimum() {
        assert_eq!(Bounds { min: 5, max: 2 }.clamp(9), 5);
    }
}
