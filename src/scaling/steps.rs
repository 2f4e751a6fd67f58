//! Limits how fast the number of replicas changes, for every workload: the HPA's semantics of `behavior`.
//!
//! ```text
//! stabilised = up:   the fewest recommended within the window, if more than the current replicas
//!              down: the most recommended within the window, if fewer than the current replicas
//! start      = current replicas - added + removed                        within the period of a policy
//! most       = start + value    or  ceil(start * (1 + value / 100))      Pods or Percent; of several policies the selected
//! fewest     = start - value    or floor(start * (1 - value / 100))
//! ```
//! (`stabilizeRecommendationWithBehaviors`, `calculateScaleUpLimitWithScalingRules` and
//! `calculateScaleDownLimitWithBehaviors` in `pkg/controller/podautoscaler/horizontal.go` of Kubernetes.)
//!
//! `added` and `removed` are observed changes of the current replicas, not recommended ones. An HPA follows a recommendation
//! with a delay, and in advisory mode a recommendation may never be followed.
//!
//! Differences from the HPA:
//! - The first replica after none is always allowed, because a percentage of 0 is 0.
//! - Percentages are computed in integers, so that 10 % more than 100 is 110 and not 111.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::decision::Limit;
use super::policy::{Behavior, Common, Direction, Select, StepKind, StepPolicy};

/// Spare capacity, in replicas, that has to remain without a replica before it is removed. It keeps noise from removing and
/// adding a replica all the time.
pub(super) const SPARE: f64 = 0.4;
/// The same as a share of the needed replicas, 0 to 1. The larger of the two applies.
pub(super) const SPARE_SHARE: f64 = 0.12;

/// Rounds up to a whole number of replicas; saturates at `u32::MAX`.
pub(super) fn count(replicas: f64) -> u32 {
    // 1e-9 absorbs rounding errors, so that 6.0000000001 is 6.
    (replicas - 1e-9).ceil().clamp(0.0, f64::from(u32::MAX)) as u32
}

/// The replicas recommended for the load, latency or lag, before stabilisation, steps and bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recommendation {
    /// Current replicas.
    pub current: u32,
    /// Recommended replicas.
    pub replicas: u32,
    /// The reason.
    pub limit: Limit,
    /// Whether the replicas may be lowered; the error is why not.
    pub lowers: Result<(), Limit>,
    /// Stabilisation window of a scale-down unless one is configured, seconds.
    pub stabilization: f64,
}

/// The recommendations within the stabilisation windows, and the changes of the replicas within the periods.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    /// When the replicas were last observed, and how many they were.
    observed: Option<(f64, u32)>,
    /// When the replicas changed, and by how many.
    changes: VecDeque<(f64, i64)>,
    /// The fewest recommended within the window of a scale-up.
    fewest: Extreme,
    /// The most recommended within the window of a scale-down.
    most: Extreme,
}

impl Steps {
    /// Records the current replicas at `now`. Call it first in every tick.
    pub fn observe(&mut self, behavior: &Behavior, current: u32, now: f64) {
        let (then, before) = self.observed.replace((now, current)).unwrap_or((now, current));
        let policies = || behavior.scale_up.policies.iter().chain(&behavior.scale_down.policies);
        let longest = policies().map(|policy| policy.period_seconds).fold(0.0, f64::max);
        self.changes.retain(|(at, _)| *at <= now && now - at < longest);
        if current != before && longest > 0.0 {
            // A change that was ordered at the last tick is observed at this one.
            self.changes.push_back((then, i64::from(current) - i64::from(before)));
        }
    }

    /// Applies stabilisation, steps and bounds. Returns the replicas and the reason.
    pub fn apply_limits(&mut self, common: &Common, recommendation: &Recommendation, now: f64) -> (u32, Limit) {
        let (current, desired) = (recommendation.current, common.bounds.clamp(recommendation.replicas));
        let (mut replicas, mut limit) = (recommendation.replicas, recommendation.limit);
        let up = common.behavior.scale_up.stabilization_seconds.unwrap_or(0.0);
        let down = common.behavior.scale_down.stabilization_seconds.unwrap_or(recommendation.stabilization);
        let fewest = self.fewest.record(now, desired, up, |old, new| old < new);
        // Replicas that may not be lowered count as recommended, so the window starts again after an outage.
        let held = if recommendation.lowers.is_err() { desired.max(common.bounds.clamp(current)) } else { desired };
        let most = self.most.record(now, held, down, |old, new| old > new);
        let stable = current.max(fewest).min(most);
        match (recommendation.replicas.cmp(&current), recommendation.lowers) {
            (Ordering::Less, Err(why)) => (replicas, limit) = (current, why),
            _ if stable != desired => (replicas, limit) = (stable, Limit::Stabilising),
            _ => {}
        }
        let stepped = self.step(&common.behavior, current, replicas, now);
        if stepped != replicas {
            (replicas, limit) = (stepped, Limit::Step);
        }
        let bounded = common.bounds.clamp(replicas);
        if bounded != replicas {
            limit = if bounded < replicas { Limit::Maximum } else { Limit::Minimum };
        }
        (bounded, limit)
    }

    /// The replicas closest to `desired` that the policies allow from `current`.
    pub fn step(&self, behavior: &Behavior, current: u32, desired: u32, now: f64) -> u32 {
        match desired.cmp(&current) {
            Ordering::Equal => desired,
            Ordering::Greater if current == 0 && behavior.scale_up.select != Select::Disabled => {
                desired.min(self.most_allowed(&behavior.scale_up, current, now).max(1))
            }
            Ordering::Greater => desired.min(self.most_allowed(&behavior.scale_up, current, now).max(current)),
            Ordering::Less => desired.max(self.fewest_allowed(&behavior.scale_down, current, now).min(current)),
        }
    }

    /// The most replicas that the policies of a scale-up allow.
    fn most_allowed(&self, direction: &Direction, current: u32, now: f64) -> u32 {
        let limits = direction.policies.iter().map(|policy| {
            let (start, value) = (self.start(policy, current, now), i64::from(policy.value));
            whole(match policy.kind {
                StepKind::Pods => start + value,
                StepKind::Percent => start.saturating_mul(100 + value).saturating_add(99) / 100,
            })
        });
        match direction.select {
            Select::Max => limits.max().unwrap_or(u32::MAX),
            Select::Min => limits.min().unwrap_or(u32::MAX),
            Select::Disabled => current,
        }
    }

    /// The fewest replicas that the policies of a scale-down allow.
    fn fewest_allowed(&self, direction: &Direction, current: u32, now: f64) -> u32 {
        let limits = direction.policies.iter().map(|policy| {
            let (start, value) = (self.start(policy, current, now), i64::from(policy.value));
            whole(match policy.kind {
                StepKind::Pods => start - value,
                StepKind::Percent => start.saturating_mul(100 - value) / 100,
            })
        });
        match direction.select {
            Select::Max => limits.min().unwrap_or(0),
            Select::Min => limits.max().unwrap_or(0),
            Select::Disabled => current,
        }
    }

    /// The replicas at the start of a policy's period.
    fn start(&self, policy: &StepPolicy, current: u32, now: f64) -> i64 {
        let within = self.changes.iter().filter(|(at, _)| now - at < policy.period_seconds);
        (i64::from(current) - within.map(|(_, more)| more).sum::<i64>()).max(0)
    }
}

fn whole(replicas: i64) -> u32 {
    u32::try_from(replicas.max(0)).unwrap_or(u32::MAX)
}

/// The fewest or the most recommended replicas within a window. The candidates are in order of time, and no later one beats
/// an earlier one.
#[derive(Debug, Clone, Default)]
struct Extreme(VecDeque<(f64, u32)>);

impl Extreme {
    /// Records the desired replicas at `now` and returns the extreme of the last `seconds`. `beats(old, new)` returns whether
    /// the older of two is kept.
    fn record(&mut self, now: f64, desired: u32, seconds: f64, beats: impl Fn(u32, u32) -> bool) -> u32 {
        // A clock that goes back clears the record.
        self.0.retain(|(at, _)| *at < now && now - at < seconds);
        while self.0.back().is_some_and(|(_, old)| !beats(*old, desired)) {
            self.0.pop_back();
        }
        self.0.push_back((now, desired));
        self.0[0].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::policy::Bounds;

    fn policy(kind: StepKind, value: u32, period_seconds: f64) -> StepPolicy {
        StepPolicy { kind, value, period_seconds }
    }

    fn both(select: Select, policies: &[StepPolicy]) -> Behavior {
        let direction = Direction { stabilization_seconds: None, policies: policies.to_vec(), select };
        Behavior { scale_up: direction.clone(), scale_down: direction }
    }

    /// The replicas at each step of 15 s, when each recommendation is followed at once.
    fn follow(behavior: &Behavior, from: u32, desired: u32, steps: u32) -> Vec<u32> {
        let (mut moved, mut current) = (Steps::default(), from);
        (0..steps)
            .map(|step| {
                let now = f64::from(step) * 15.0;
                moved.observe(behavior, current, now);
                current = moved.step(behavior, current, desired, now);
                current
            })
            .collect()
    }

    #[test]
    fn without_policies_there_is_no_limit() {
        assert_eq!(follow(&Behavior::default(), 2, 50, 1), [50]);
        assert_eq!(follow(&Behavior::default(), 50, 2, 1), [2]);
    }

    #[test]
    fn the_defaults_of_the_hpa_double_or_add_four_every_15_seconds() {
        let behavior = both(Select::Max, &[policy(StepKind::Percent, 100, 15.0), policy(StepKind::Pods, 4, 15.0)]);
        assert_eq!(follow(&behavior, 2, 50, 5), [6, 12, 24, 48, 50]);
    }

    #[test]
    fn the_documented_example_scales_down_from_80_by_ten_per_cent_and_at_the_end_by_four_pods() {
        // "Configurable scaling behavior" of the Kubernetes documentation: 80 pods, 10 % or 4 pods a minute, the larger.
        let minute = [policy(StepKind::Pods, 4, 15.0), policy(StepKind::Percent, 10, 15.0)];
        let down = follow(&both(Select::Max, &minute), 80, 10, 9);
        assert_eq!(down, [72, 64, 57, 51, 45, 40, 36, 32, 28]);
    }

    #[test]
    fn a_period_counts_from_the_replicas_at_its_start() {
        let behavior = both(Select::Max, &[policy(StepKind::Pods, 4, 60.0)]);
        assert_eq!(follow(&behavior, 2, 50, 7), [6, 6, 6, 6, 10, 10, 10]);
        let behavior = both(Select::Max, &[policy(StepKind::Percent, 10, 60.0)]);
        assert_eq!(follow(&behavior, 100, 200, 2), [110, 110]);
        assert_eq!(follow(&behavior, 5, 1, 2), [4, 4]);
    }

    #[test]
    fn replicas_removed_within_the_period_may_come_back_in_addition_to_the_step() {
        // 10 at the start of the minute, 6 now: up to 10 + 2 is allowed, and the limit of 10 - 2 does not scale up.
        let behavior = both(Select::Max, &[policy(StepKind::Pods, 2, 60.0)]);
        let mut steps = Steps::default();
        steps.observe(&behavior, 10, 0.0);
        steps.observe(&behavior, 6, 5.0);
        assert_eq!((steps.step(&behavior, 6, 50, 5.0), steps.step(&behavior, 6, 1, 5.0)), (12, 6));
        steps.observe(&behavior, 6, 65.0);
        assert_eq!((steps.step(&behavior, 6, 50, 65.0), steps.step(&behavior, 6, 1, 65.0)), (8, 4));
    }

    #[test]
    fn of_several_policies_the_selected_one_applies() {
        let policies = [policy(StepKind::Pods, 2, 60.0), policy(StepKind::Percent, 50, 60.0)];
        let at = |select, desired| follow(&both(select, &policies), 20, desired, 1)[0];
        assert_eq!((at(Select::Max, 99), at(Select::Min, 99), at(Select::Disabled, 99)), (30, 22, 20));
        assert_eq!((at(Select::Max, 0), at(Select::Min, 0), at(Select::Disabled, 0)), (10, 18, 20));
    }

    #[test]
    fn the_first_replica_is_always_allowed_unless_disabled() {
        let half = [policy(StepKind::Percent, 50, 60.0)];
        assert_eq!(follow(&both(Select::Max, &half), 0, 9, 1), [1]);
        assert_eq!(follow(&both(Select::Disabled, &half), 0, 9, 1), [0]);
    }

    #[test]
    fn stabilisation_scales_up_to_the_fewest_and_down_to_the_most_of_the_window() {
        let mut behavior = Behavior::default();
        behavior.scale_up.stabilization_seconds = Some(30.0);
        behavior.scale_down.stabilization_seconds = Some(60.0);
        let common = Common { bounds: Bounds { min: 1, max: 20 }, window: 15.0, behavior };
        let (mut steps, mut current) = (Steps::default(), 5);
        let recommended = [(0, 5), (15, 9), (30, 12), (45, 12), (60, 3), (75, 3), (90, 3), (105, 3)];
        let observed: Vec<u32> = recommended
            .iter()
            .map(|(now, replicas)| {
                let (lowers, limit, stabilization) = (Ok(()), Limit::Load, 300.0);
                let recommendation = Recommendation { current, replicas: *replicas, limit, lowers, stabilization };
                current = steps.apply_limits(&common, &recommendation, f64::from(*now)).0;
                current
            })
            .collect();
        // At 15 s the five of second 0 still count; at 30 s they are 30 s old and do not count any more.
        assert_eq!(observed, [5, 5, 9, 12, 12, 12, 12, 3]);
    }

    #[test]
    fn a_clock_that_goes_back_clears_the_recommendations() {
        let mut most = Extreme::default();
        most.record(1000.0, 9, 100.0, |old, new| old > new);
        assert_eq!(most.record(0.0, 2, 100.0, |old, new| old > new), 2);
    }
}
