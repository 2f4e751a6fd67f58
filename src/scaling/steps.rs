//! How fast the number of replicas may move: what the HPA makes of its `behavior`, for every workload.
//!
//! ```text
//! stabilised = up:   the fewest that were wanted within the window, if they are more than there are
//!              down: the most that were wanted within the window, if they are fewer than there are
//! start      = replicas now - added + removed                            within a policy's period
//! most       = start + value    or  ceil(start * (1 + value / 100))      Pods or Percent, of several the selected one
//! fewest     = start - value    or floor(start * (1 - value / 100))
//! ```
//! (`stabilizeRecommendationWithBehaviors`, `calculateScaleUpLimitWithScalingRules` and
//! `calculateScaleDownLimitWithBehaviors` in `pkg/controller/podautoscaler/horizontal.go` of Kubernetes.) Changes are
//! those that were seen, not those that were wanted: an HPA follows after a while, and advice may never be followed.
//!
//! Two differences. The first replica after none is always allowed, because a percentage of nothing is nothing. And whole
//! per cent are counted in whole numbers, so that 10 % more than 100 is 110 and not 111.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::decision::Limit;
use super::policy::{Behavior, Common, Direction, Select, StepKind, StepPolicy};

/// Replicas, and share of the replicas, left over before one is given up: noise must not take and give it all the time.
pub(super) const SPARE: f64 = 0.4;
pub(super) const SPARE_SHARE: f64 = 0.12;

/// What load, latency or lag ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// There are now.
    pub current: u32,
    /// Wanted.
    pub replicas: u32,
    /// Why.
    pub limit: Limit,
    /// Whether it may go down, and why not.
    pub lowers: Result<(), Limit>,
    /// The stabilisation of the way down unless the user said something, seconds.
    pub stabilization: f64,
}

/// What was wanted lately, and how the number of replicas has changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    /// Replicas at the last tick, and when that was.
    seen: Option<(f64, u32)>,
    /// When, and how many more.
    changes: VecDeque<(f64, i64)>,
    fewest: Lately,
    most: Lately,
}

impl Steps {
    /// Notes how many replicas there are at `now`. Call it first in every tick.
    pub fn observe(&mut self, behavior: &Behavior, current: u32, now: f64) {
        let (then, before) = self.seen.replace((now, current)).unwrap_or((now, current));
        let policies = || behavior.scale_up.policies.iter().chain(&behavior.scale_down.policies);
        let longest = policies().map(|policy| policy.period_seconds).fold(0.0, f64::max);
        self.changes.retain(|(at, _)| *at <= now && now - at < longest);
        if current != before && longest > 0.0 {
            // What was ordered at the last tick is seen at this one.
            self.changes.push_back((then, i64::from(current) - i64::from(before)));
        }
    }

    /// Stabilisation, steps and bounds. Returns the replicas, and what limited them.
    pub fn settle(&mut self, common: &Common, wish: &Wish, now: f64) -> (u32, Limit) {
        let (current, wanted) = (wish.current, common.bounds.clamp(wish.replicas));
        let (mut replicas, mut limit) = (wish.replicas, wish.limit);
        let up = common.behavior.scale_up.stabilization_seconds.unwrap_or(0.0);
        let down = common.behavior.scale_down.stabilization_seconds.unwrap_or(wish.stabilization);
        let fewest = self.fewest.note(now, wanted, up, |old, new| old < new);
        // What is held counts as wanted: after an outage as much time has to pass as after a need.
        let held = if wish.lowers.is_err() { wanted.max(common.bounds.clamp(current)) } else { wanted };
        let most = self.most.note(now, held, down, |old, new| old > new);
        let stable = current.max(fewest).min(most);
        match (wish.replicas.cmp(&current), wish.lowers) {
            (Ordering::Less, Err(why)) => (replicas, limit) = (current, why),
            _ if stable != wanted => (replicas, limit) = (stable, Limit::Stabilising),
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

    /// From `current` towards `wanted`, as far as the policies allow.
    pub fn step(&self, behavior: &Behavior, current: u32, wanted: u32, now: f64) -> u32 {
        match wanted.cmp(&current) {
            Ordering::Equal => wanted,
            Ordering::Greater if current == 0 && behavior.scale_up.select != Select::Disabled => {
                wanted.min(self.most_allowed(&behavior.scale_up, current, now).max(1))
            }
            Ordering::Greater => wanted.min(self.most_allowed(&behavior.scale_up, current, now).max(current)),
            Ordering::Less => wanted.max(self.fewest_allowed(&behavior.scale_down, current, now).min(current)),
        }
    }

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

/// The fewest or the most of the last while: candidates in the order of time, each beaten by none after it.
#[derive(Debug, Clone, Default)]
struct Lately(VecDeque<(f64, u32)>);

impl Lately {
    /// Notes what is wanted at `now`; returns what beats all others of the last `seconds`. `beats(old, new)` says whether
    /// the older of two stays.
    fn note(&mut self, now: f64, wanted: u32, seconds: f64, beats: impl Fn(u32, u32) -> bool) -> u32 {
        // A clock that goes back begins anew.
        self.0.retain(|(at, _)| *at < now && now - at < seconds);
        while self.0.back().is_some_and(|(_, old)| !beats(*old, wanted)) {
            self.0.pop_back();
        }
        self.0.push_back((now, wanted));
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

    /// The replicas at each step of 15 s when the wish is always followed.
    fn follow(behavior: &Behavior, from: u32, wanted: u32, steps: u32) -> Vec<u32> {
        let (mut moved, mut current) = (Steps::default(), from);
        (0..steps)
            .map(|step| {
                let now = f64::from(step) * 15.0;
                moved.observe(behavior, current, now);
                current = moved.step(behavior, current, wanted, now);
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
    fn the_documented_example_goes_from_80_down_by_ten_per_cent_and_at_the_end_by_four_pods() {
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
    fn what_went_down_within_the_period_may_come_back_up_beside_the_step() {
        // 10 at the start of the minute, 6 now: 10 + 2 may be reached, and 10 - 2 is no reason to go up.
        let behavior = both(Select::Max, &[policy(StepKind::Pods, 2, 60.0)]);
        let mut steps = Steps::default();
        steps.observe(&behavior, 10, 0.0);
        steps.observe(&behavior, 6, 5.0);
        assert_eq!((steps.step(&behavior, 6, 50, 5.0), steps.step(&behavior, 6, 1, 5.0)), (12, 6));
        steps.observe(&behavior, 6, 65.0);
        assert_eq!((steps.step(&behavior, 6, 50, 65.0), steps.step(&behavior, 6, 1, 65.0)), (8, 4));
    }

    #[test]
    fn of_several_policies_the_selected_one_counts() {
        let policies = [policy(StepKind::Pods, 2, 60.0), policy(StepKind::Percent, 50, 60.0)];
        let at = |select, wanted| follow(&both(select, &policies), 20, wanted, 1)[0];
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
    fn up_to_the_fewest_and_down_to_the_most_of_the_window() {
        let mut behavior = Behavior::default();
        behavior.scale_up.stabilization_seconds = Some(30.0);
        behavior.scale_down.stabilization_seconds = Some(60.0);
        let common = Common { bounds: Bounds { min: 1, max: 20 }, window: 15.0, behavior };
        let (mut steps, mut current) = (Steps::default(), 5);
        let wishes = [(0, 5), (15, 9), (30, 12), (45, 12), (60, 3), (75, 3), (90, 3), (105, 3)];
        let seen: Vec<u32> = wishes
            .iter()
            .map(|(now, replicas)| {
                let (lowers, limit, stabilization) = (Ok(()), Limit::Load, 300.0);
                let wish = Wish { current, replicas: *replicas, limit, lowers, stabilization };
                current = steps.settle(&common, &wish, f64::from(*now)).0;
                current
            })
            .collect();
        // At 15 s the five of second 0 still count; at 30 s they are 30 s old and no longer do.
        assert_eq!(seen, [5, 5, 9, 12, 12, 12, 12, 3]);
    }

    #[test]
    fn a_clock_that_goes_back_forgets_what_was_wanted() {
        let mut most = Lately::default();
        most.note(1000.0, 9, 100.0, |old, new| old > new);
        assert_eq!(most.note(0.0, 2, 100.0, |old, new| old > new), 2);
    }
}
