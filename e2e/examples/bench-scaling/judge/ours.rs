//! This project's own decision, behind what it takes in a cluster: scrapes and rules every 5 s at moments of their own, and
//! a second until a new sample is read, decided with and what was decided is written.

use recommender_operator::scaling::serving::{self, History, Replicas, Signals};
use recommender_operator::scaling::{Behavior, Bounds, Common, Headroom, Signal};

use super::fleet::World;
use super::rng::Rng;
use super::run::Policy;
use super::telemetry::{Pods, Telemetry};

/// Seconds between two scrapes, and two evaluations of the rules.
const PERIOD: u32 = 5;
/// Seconds from a new sample to the decision, and to the changed Deployment in whole seconds. In the live tests the first
/// is what `recommender_operator_scaling_sample_age_seconds` tells, and the second 0.6 by the API server's audit log.
const READ: f64 = 0.3;
const ORDER: u32 = 1;
/// Window of the rates and latencies, seconds.
const WINDOW: u32 = 15;

/// Our scaler in a simulated cluster.
#[derive(Debug)]
pub struct Ours {
    policy: serving::Policy,
    history: History,
    /// Seconds from a scrape to the rules.
    phase: u32,
    scraped: u32,
    /// Decided at the last tick, and not ordered yet.
    wanted: Option<u32>,
}

impl Ours {
    /// A scaler that has seen nothing; when its rules are evaluated depends on the seed.
    #[must_use]
    pub fn new(world: &World, headroom: Headroom, seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x0065);
        let policy = serving::Policy {
            common: Common {
                bounds: Bounds { min: world.bounds.0, max: world.bounds.1 },
                window: f64::from(WINDOW),
                behavior: Behavior::default(),
            },
            target: world.target,
            requests_per_replica: None,
            headroom,
            startup: f64::from(world.startup),
            warmup: f64::from(world.warmup),
            delay: f64::from(PERIOD + ORDER),
        };
        let phase = rng.below(PERIOD);
        let history = History::default();
        Self { policy, history, phase, scraped: 0, wanted: None }
    }

    fn signals(&self, telemetry: &Telemetry, pods: Pods) -> Signals {
        let at = self.scraped;
        // Rules go on when a scrape is lost: what they record then is new, of what is there.
        let signal = |value: f64| Signal::Fresh { value, age: READ };
        Signals {
            rate: signal(telemetry.rate(at, WINDOW)),
            latest: signal(telemetry.rate(at, PERIOD)),
            latency: telemetry.latency(at, WINDOW, 0.95).map_or(Signal::Missing("no requests"), signal),
            in_flight: signal(telemetry.concurrency(at, 1)),
            cpu: signal(telemetry.cpu(at, WINDOW) / f64::from(pods.ready.max(1))),
            replicas: Replicas { current: pods.replicas, ready: pods.ready, warm: pods.warm },
            rolling_out: false,
        }
    }
}

impl Policy for Ours {
    fn decide(&mut self, now: u32, telemetry: &Telemetry, pods: Pods) -> Option<u32> {
        if now.is_multiple_of(PERIOD) && !telemetry.scrape_lost() {
            self.scraped = now;
        }
        if now % PERIOD == self.phase && self.scraped >= WINDOW {
            let signals = self.signals(telemetry, pods);
            let decision = serving::decide(&self.policy, &signals, &mut self.history, f64::from(now));
            self.wanted = Some(decision.replicas);
        }
        let ordered = now % PERIOD == (self.phase + ORDER) % PERIOD;
        self.wanted.filter(|wanted| ordered && *wanted != pods.replicas)
    }

    fn reads_latency(&self) -> bool {
        true
    }
}
