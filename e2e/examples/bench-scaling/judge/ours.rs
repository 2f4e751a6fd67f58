//! This project's own decision, behind what it takes in a cluster: scrapes and rules every 5 s, a tick of 5 s, and a
//! second until what was decided is written.

use recommender_operator::scaling::serving::{self, History, Replicas, Signals};
use recommender_operator::scaling::{Behavior, Bounds, Common, Headroom, Signal};

use super::fleet::World;
use super::rng::Rng;
use super::run::Policy;
use super::telemetry::{Pods, Telemetry};

/// Seconds between two scrapes, two evaluations of the rules, and two ticks.
const PERIOD: u32 = 5;
/// Seconds from a decision to the changed Deployment.
const ORDER: u32 = 1;
/// Window of the rates and latencies, seconds.
const WINDOW: u32 = 15;

/// Our scaler in a simulated cluster.
#[derive(Debug)]
pub struct Ours {
    policy: serving::Policy,
    history: History,
    /// Of the rules and of the ticks, seconds after the scrape.
    phases: [u32; 2],
    scraped: u32,
    /// The newest scrape that the rules have seen.
    visible: u32,
    /// Decided at the last tick, and not ordered yet.
    wanted: Option<u32>,
}

impl Ours {
    /// A scaler that has seen nothing; its phases depend on the seed.
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
        let phases = [rng.below(PERIOD), rng.below(PERIOD)];
        let history = History::default();
        Self { policy, history, phases, scraped: 0, visible: 0, wanted: None }
    }

    fn signals(&self, now: u32, telemetry: &Telemetry, pods: Pods) -> Signals {
        let at = self.visible;
        // Rules go on when a scrape is lost: what they record then is new, of what is there.
        let age = f64::from((now + PERIOD - self.phases[0]) % PERIOD);
        let signal = |value: f64| Signal::Fresh { value, age };
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
        if now % PERIOD == self.phases[0] {
            self.visible = self.scraped;
        }
        if now % PERIOD == self.phases[1] && self.visible >= WINDOW {
            let signals = self.signals(now, telemetry, pods);
            let decision = serving::decide(&self.policy, &signals, &mut self.history, f64::from(now));
            self.wanted = Some(decision.replicas);
        }
        let ordered = now % PERIOD == (self.phases[1] + ORDER) % PERIOD;
        self.wanted.filter(|wanted| ordered && *wanted != pods.replicas)
    }

    fn reads_latency(&self) -> bool {
        true
    }
}
