//! What is learned of one replica: what it carries at the target, and what is usual.
//!
//! | state | what a sample teaches |
//! |---|---|
//! | steady: all warm, none came or went for a window | latency over load; the usual capacity |
//! | steady, latency over twice the target | that so much load is too much |
//! | all warm, some went | a little |
//! | a few come, go or warm up | what a request costs in CPU |
//! | many of them, or requests wait, or fail | nothing: the latency is not that of the load |

use serde::{Deserialize, Serialize};

use super::{
    capacity::{Capacity, Known, Sample, differs},
    serving::{Policy, Replicas},
};

/// A sample from replicas of which some went lately teaches as much as one with so many requests.
const UNSTEADY_REQUESTS: f64 = 20.0;
/// The CPU that a request costs is followed as long as at most this share of the replicas came, went or is warming up.
const UNREST: f64 = 0.2;
/// Ticks over which the usual capacity is averaged: about an hour.
const USUAL: f64 = 720.0;
/// A latency of so many times the target says that there is too much load, and hardly how much too much.
const OVERLOADED: f64 = 2.0;

/// What was learned of one replica; a few numbers that are kept over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Learned {
    /// Latency over load.
    pub capacity: Capacity,
    /// What a replica has usually carried at the target, requests per second.
    pub usual: Option<f64>,
}

/// A measured state that decisions are made from.
pub(super) struct Now {
    pub at: f64,
    pub rate: f64,
    pub latency: Option<f64>,
    pub replicas: Replicas,
    /// All replicas warm, and none came or went for a window.
    pub steady: bool,
    /// All replicas warm for a window, although some may have gone.
    pub warm: bool,
    /// Replicas as if at full speed, on average over about a window.
    pub speed: f64,
}

impl Now {
    /// Which share of the replicas came or went lately, or is warming up.
    fn unrest(&self) -> f64 {
        let full = self.replicas.at_full_speed();
        let warming = f64::from(self.replicas.ready) - full;
        ((full - self.speed).abs() + warming.max(0.0)) / full.max(1.0)
    }

    /// Requests per second per replica.
    pub fn load(&self) -> f64 {
        self.rate / if self.steady { f64::from(self.replicas.ready) } else { self.speed }
    }
}

/// What a sample is taken in.
pub(super) struct Circumstances {
    /// What was known before it.
    pub known: Known,
    /// Whether more replicas were seen not to help.
    pub frozen: bool,
    /// Requests that wait.
    pub waiting: f64,
    /// CPU of the replicas, 0 to 1 of what each may use.
    pub cpu: Option<f64>,
    /// Whether latency, load and CPU are not those of all requests, each of them served: many failed, or some servers are not
    /// measured.
    pub partial: bool,
}

impl Learned {
    /// Whether it is worth keeping instead of `other`: some number differs by more than a tenth.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        differs(self.usual, other.usual) || self.capacity.differs_from(&other.capacity)
    }

    /// Takes over what a measured state says of a replica.
    pub(super) fn learn(&mut self, policy: &Policy, state: &Now, around: &Circumstances) {
        let Some(latency) = state.latency.filter(|_| !around.partial) else { return };
        let requests = state.rate * policy.common.window;
        let sample = Sample { load: state.load(), requests, latency, cpu: around.cpu };
        let knows = self.capacity != Capacity::default();
        let overloaded = knows && latency > OVERLOADED * policy.target;
        let learn = |capacity: &mut Capacity, sample: &Sample| {
            capacity.learn(sample, policy.requests_per_replica, policy.target);
        };
        if state.steady && overloaded {
            self.capacity.overloaded(sample.load, sample.cpu);
        } else if state.steady {
            learn(&mut self.capacity, &sample);
            if let (Known::Carries(carries), false) = (around.known, around.frozen) {
                let usual = self.usual.get_or_insert(carries);
                *usual += (carries - *usual) / USUAL;
            }
        } else if !knows || overloaded || around.waiting > 0.0 || state.unrest() > UNREST {
            // Nothing: how slow they are is not the load's doing.
        } else if state.warm {
            learn(&mut self.capacity, &Sample { requests: requests.min(UNSTEADY_REQUESTS), ..sample });
        } else {
            self.capacity.costs(sample.load, sample.cpu);
        }
    }
}
