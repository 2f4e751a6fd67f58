//! The simulated application and cluster: service times, the start of pods, and the behaviour of overloaded servers.

use clap::ValueEnum;

use super::queue::Pod;

/// How requests are balanced over pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balancing {
    /// To the pod with the fewest requests: pods are equally utilised, a cold pod gets half of a warm one's requests.
    LeastRequest,
    /// The same number of requests to each ready pod, cold or warm.
    Equal,
}

/// What overloaded servers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Servers {
    /// Let everything wait in one queue without a bound, scrapes and probes too, as most servers do.
    Blind,
    /// Answer 503 to what would wait for more than a second, and scrapes and probes always.
    Visible,
}

/// How requests queue that no worker can serve at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Queueing {
    /// A request is served even if its client has gone, because the server is not notified.
    pub works_for_gone: bool,
    /// Waiting requests go to any pod with a free worker, not to the pod they were sent to.
    pub shared: bool,
    /// A request that would wait longer than this is refused at once, seconds.
    pub refused_beyond: f64,
    /// Scrapes and probes wait in the same queue and can time out.
    pub silences: bool,
}

/// The simulated application and cluster.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct World {
    /// Mean service time of a request in a warm pod, seconds.
    pub service: f64,
    /// Workers per pod.
    pub workers: u32,
    /// The latency target: p95, seconds.
    pub target: f64,
    /// From the order of a pod to ready, seconds.
    pub startup: u32,
    /// Seconds for which a ready pod works at half speed.
    pub warmup: u32,
    /// Minimum and maximum number of pods.
    pub bounds: (u32, u32),
    /// How requests are balanced.
    pub balancing: Balancing,
    /// What overloaded servers do.
    pub servers: Servers,
    /// Whether there is a proxy in each pod that holds back requests until a worker is free, answers scrapes and
    /// probes, and passes waiting requests to pods with free workers: the queue proxy and the activator of Knative.
    pub fronted: bool,
}

impl World {
    /// Four workers, 20 s at half speed, 2 to 50 pods, blind servers, and by default a target of 2.5 times the unloaded
    /// p95.
    #[must_use]
    pub fn new(service: f64, startup: u32, target: Option<f64>) -> Self {
        let target = target.unwrap_or_else(|| 2.5 * service * Pod::new(4).quantile(0.0, 0.95));
        let (balancing, servers) = (Balancing::LeastRequest, Servers::Blind);
        Self { service, workers: 4, target, startup, warmup: 20, bounds: (2, 50), balancing, servers, fronted: false }
    }

    /// Requests per second that a warm pod serves at the target, with service times multiplied by `slowdown`.
    #[must_use]
    pub fn capacity(&self, slowdown: f64) -> f64 {
        let (pod, service) = (Pod::new(self.workers), self.service * slowdown);
        pod.utilisation_at(self.target / service, 0.95) * pod.workers() / service
    }

    /// How requests queue. A proxy decides this regardless of the servers.
    #[must_use]
    pub fn queueing(&self) -> Queueing {
        let (works_for_gone, shared, refused_beyond, silences) = match (self.fronted, self.servers) {
            (true, _) => (false, true, f64::INFINITY, false),
            (false, Servers::Blind) => (true, false, f64::INFINITY, true),
            // Such servers let a request wait for at most a second; a user who waits longer is lost anyway.
            (false, Servers::Visible) => (false, false, 1.0, false),
        };
        Queueing { works_for_gone, shared, refused_beyond, silences }
    }
}
