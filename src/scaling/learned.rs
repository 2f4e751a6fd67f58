//! The estimates of one replica: its capacity at the target, and its baseline capacity.
//!
//! What a sample teaches depends on the state of the replicas. The first row that applies counts:
//!
//! | state | what is learned |
//! |---|---|
//! | many requests failed, or some servers are not measured | nothing: the sample is not that of all requests, served |
//! | the load of the last interval was a fifth above the mean over the window | nothing: the latency is of another load than that mean, see [`RISES`] |
//! | steady, latency above twice the target (after a first sample) | the CPU per request if it rose: there is too much load |
//! | steady: all replicas warm, none added or removed for one window | latency over load, and the baseline capacity |
//! | no sample yet, requests wait, or latency above twice the target | nothing: the latency is not that of the load |
//! | many replicas were added, removed or warm up | nothing, for the same reason |
//! | all replicas warm, some were removed | latency over load, with less weight |
//! | a few replicas were added, removed or warm up | the CPU per request |

use serde::{Deserialize, Serialize};

use super::{
    capacity::{Capacity, Known, Sample, differs},
    observed::Replicas,
    target::Policy,
};

/// Requests that a sample counts for at most when replicas were removed within the window. It limits the weight of the
/// sample.
const UNSTEADY_REQUESTS: f64 = 20.0;
/// Largest share of replicas that were just added or removed, or are warming up, with which a sample still counts.
const UNREST: f64 = 0.2;
/// Time constant of the baseline capacity, in ticks: about an hour.
const BASELINE: f64 = 720.0;
/// The load of the last interval, as a factor of the mean over the window, from which on a sample teaches nothing. The latency is
/// that of the new load, the mean is still mostly that of the old one: replicas seem to serve much less than they do, most of
/// all when requests begin on idle servers, where the first ones are slow as well.
const RISES: f64 = 1.2;
/// A latency above this many times the target shows that the load is too high, but hardly by how much.
const OVERLOADED: f64 = 2.0;

/// The estimates of one replica: a few numbers that are kept over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Learned {
    /// The model of latency over load.
    pub capacity: Capacity,
    /// Mean capacity of one replica at the target over about an hour, requests per second.
    pub baseline: Option<f64>,
}

/// The measured state of one tick.
pub(super) struct Now {
    /// Seconds on the clock of decisions.
    pub at: f64,
    /// Requests per second over the window, all replicas.
    pub rate: f64,
    /// The latency quantile over the window, seconds.
    pub latency: Option<f64>,
    pub replicas: Replicas,
    /// All replicas were warm and none was added or removed for one window.
    pub steady: bool,
    /// All replicas were warm for one window, although some may have been removed.
    pub warm: bool,
    /// Replicas at full speed, see [`Replicas::at_full_speed`], averaged over about a window.
    pub speed: f64,
    /// How many times the mean over the window the load of the last interval was, at least 1.
    pub rise: f64,
}

impl Now {
    /// Share of the replicas that were added or removed lately, or are warming up.
    fn unrest(&self) -> f64 {
        let full = self.replicas.at_full_speed();
        let warming = f64::from(self.replicas.ready) - full;
        ((full - self.speed).abs() + warming.max(0.0)) / full.max(1.0)
    }

    /// Whether the load has just risen, so that latency and load of the window are of two loads, see [`RISES`].
    pub fn is_mixed(&self) -> bool {
        self.rise > RISES
    }

    /// Requests per second per replica.
    pub fn load(&self) -> f64 {
        self.rate / if self.steady { f64::from(self.replicas.ready) } else { self.speed }
    }
}

/// The circumstances of a sample.
pub(super) struct Circumstances {
    /// What was known before the sample.
    pub known: Known,
    /// Whether more replicas did not help.
    pub frozen: bool,
    /// Waiting requests.
    pub waiting: f64,
    /// Mean CPU use of the replicas, 0 to 1 of what each may use.
    pub cpu: Option<f64>,
    /// Whether many requests failed or some servers are not measured. Latency, load and CPU are then not those of all
    /// requests, or not of served ones.
    pub partial: bool,
}

impl Learned {
    /// Whether some number differs from `other` by more than a tenth. The estimates are worth writing only then.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        differs(self.baseline, other.baseline) || self.capacity.differs_from(&other.capacity)
    }

    /// Learns from a measured state.
    pub(super) fn learn(&mut self, policy: &Policy, state: &Now, around: &Circumstances) {
        let teaches = !around.partial && !state.is_mixed();
        let Some(latency) = state.latency.filter(|_| teaches) else { return };
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
            if let (Known::Capacity(capacity), false) = (around.known, around.frozen) {
                let baseline = self.baseline.get_or_insert(capacity);
                *baseline += (capacity - *baseline) / BASELINE;
            }
        } else if !knows || overloaded || around.waiting > 0.0 || state.unrest() > UNREST {
            // Nothing is learned: the latency is not that of the load.
        } else if state.warm {
            learn(&mut self.capacity, &Sample { requests: requests.min(UNSTEADY_REQUESTS), ..sample });
        } else {
            self.capacity.costs(sample.load, sample.cpu);
        }
    }
}
