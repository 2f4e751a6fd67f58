//! The scaling decision of this project with the delays of a cluster: scrapes and rules every 5 s at independent
//! phases, and about a second to read a new sample, decide, and write the decision.
//!
//! While no server answers, the rules record nothing, and the last samples age. Observations without the servers are as
//! in the operator: readiness from the API server, unanswered scrapes from `up`, and, while something is wrong, the CPU
//! of the kubelets from metrics-server.

use recommender_operator::scaling::overload::{MeasuredCpu, Outside, ProbeFailure};
use recommender_operator::scaling::serving::{self, History, Replicas, Signals};
use recommender_operator::scaling::{Behavior, Bounds, Common, Decision, Headroom, Signal};

use super::rng::Rng;
use super::run::Policy;
use super::telemetry::{KUBELET, Measured, Pods, SCRAPE as PERIOD, Telemetry};
use super::world::{Servers, World};

/// Seconds from a new sample to the decision. In the live tests it is the value of
/// `recommender_operator_scaling_sample_age_seconds`.
const READ: f64 = 0.3;
/// Seconds from a new sample to the changed Deployment, in whole seconds. In the live tests it was 0.6 s by the audit
/// log of the API server.
const ORDER: u32 = 1;
/// Window of the rates and latencies, seconds.
const WINDOW: u32 = 15;

/// Maximum age of a fresh sample, seconds: the value of the operator.
const FRESH: f64 = 20.0;
/// Maximum age of a sample that is used at all, seconds: the value of the operator.
const STALE: f64 = 300.0;

/// The newest sample of a series.
#[derive(Debug, Clone, Copy)]
struct Sample {
    value: f64,
    at: u32,
}

/// The newest samples that the rules recorded.
#[derive(Debug, Clone, Copy, Default)]
struct Recorded {
    rate: Option<Sample>,
    latest: Option<Sample>,
    latency: Option<Sample>,
    in_flight: Option<Sample>,
    cpu: Option<Sample>,
    failed: Option<Sample>,
}

impl Recorded {
    /// Evaluates the rules at `now` on the scrapes up to `at`. Records nothing while no server answers.
    fn record(&mut self, now: u32, at: u32, telemetry: &Telemetry, servers: Servers) {
        if telemetry.answering(at) == 0 {
            return;
        }
        let new = |value: f64| Some(Sample { value, at: now });
        self.rate = new(telemetry.rate(at, WINDOW));
        self.latest = new(telemetry.rate(at, PERIOD));
        self.latency = telemetry.latency(at, WINDOW, 0.95).map_or(self.latency, new);
        self.in_flight = new(telemetry.concurrency(at, 1));
        self.cpu = new(telemetry.cpu(at, WINDOW));
        // Blind servers do not refuse requests.
        self.failed = if servers == Servers::Visible { new(telemetry.refused(at, WINDOW)) } else { None };
    }
}

/// The signal that the operator derives from a sample at `now`.
fn signal(sample: Option<Sample>, now: u32) -> Signal {
    let Some(Sample { value, at }) = sample else { return Signal::Missing("there is none") };
    match f64::from(now - at) + READ {
        age if age <= FRESH => Signal::Fresh { value, age },
        age if age <= STALE => Signal::Stale { value, age },
        _ => Signal::Missing("the newest sample is minutes old"),
    }
}

/// Our scaler in a simulated cluster.
#[derive(Debug)]
pub struct Ours {
    policy: serving::Policy,
    servers: Servers,
    history: History,
    /// Seconds from a scrape to the evaluation of the rules.
    phase: u32,
    /// Second of the last scrape.
    scraped: u32,
    recorded: Recorded,
    /// The last decision.
    decided: Option<Decision>,
}

impl Ours {
    /// A scaler without history. The phase of its rules depends on the seed.
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
        Self {
            policy,
            servers: world.servers,
            history: History::default(),
            phase: rng.below(PERIOD),
            scraped: 0,
            recorded: Recorded::default(),
            decided: None,
        }
    }

    fn signals(&self, now: u32, telemetry: &Telemetry, pods: Pods) -> Signals {
        let signal = |sample| signal(sample, now);
        let rate = signal(self.recorded.rate);
        Signals {
            rate,
            latest: signal(self.recorded.latest),
            latency: signal(self.recorded.latency),
            in_flight: signal(self.recorded.in_flight),
            cpu: signal(self.recorded.cpu),
            failed: signal(self.recorded.failed),
            outside: self.outside(now, telemetry, pods, rate),
            replicas: Replicas { current: pods.replicas, ready: pods.ready, warm: pods.warm },
            rolling_out: false,
        }
    }

    /// Observations without any answer of the servers. metrics-server is queried only while something is wrong.
    fn outside(&self, now: u32, telemetry: &Telemetry, pods: Pods, rate: Signal) -> Outside {
        // An unanswered scrape is known at its time-out, which is the time of the next scrape.
        let unscraped = telemetry.silent(self.scraped.saturating_sub(PERIOD));
        let wrong = pods.unready > 0 || unscraped > 0 || rate.value().is_none();
        let cpu = pods.measured;
        let measured = MeasuredCpu {
            share: cpu.cpu / f64::from(cpu.pods.max(1)),
            age: f64::from(Measured::age(now)),
            window: f64::from(KUBELET),
        };
        Outside {
            unready: pods.unready,
            probe: (pods.unready > 0).then_some(ProbeFailure::TimedOut),
            unscraped,
            cpu: (wrong && cpu.pods > 0).then_some(measured),
            ..Outside::default()
        }
    }
}

impl Policy for Ours {
    fn decide(&mut self, now: u32, telemetry: &Telemetry, pods: Pods) -> Option<u32> {
        if now.is_multiple_of(PERIOD) && !telemetry.scrape_lost() {
            self.scraped = now;
        }
        if now % PERIOD == self.phase && self.scraped >= WINDOW {
            self.recorded.record(now, self.scraped, telemetry, self.servers);
            let signals = self.signals(now, telemetry, pods);
            self.decided = Some(serving::decide(&self.policy, &signals, &mut self.history, f64::from(now)));
        }
        let ordered = now % PERIOD == (self.phase + ORDER) % PERIOD;
        let desired = self.decided.as_ref().map(|decision| decision.replicas);
        desired.filter(|desired| ordered && *desired != pods.replicas)
    }

    fn reads_latency(&self) -> bool {
        true
    }

    fn explain(&self) -> Option<String> {
        self.decided.as_ref().map(ToString::to_string)
    }
}
