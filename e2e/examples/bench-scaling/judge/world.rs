//! The simulated application and cluster: how long requests take, how pods start, and what servers do when they have too
//! much to do.

use clap::ValueEnum;

use super::queue::Pod;

/// How requests are spread over pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balancing {
    /// To the pod with the fewest requests: pods are equally utilised, a cold pod gets half of a warm one's requests.
    LeastRequest,
    /// The same number of requests to each ready pod, cold or warm.
    Equal,
}

/// What servers do when more arrives than they carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Servers {
    /// Let everything wait in one queue without a bound, scrapes and probes too, as most servers do.
    Blind,
    /// Answer 503 to what would wait for more than a second, and scrapes and probes always.
    Visible,
}

/// What becomes of requests that cannot be worked on at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Queueing {
    /// A request is worked on although its client has gone: nobody told the server.
    pub works_for_gone: bool,
    /// What waits goes to any pod with room, and not to the one that it was sent to.
    pub shared: bool,
    /// A request that would wait for longer is refused at once, seconds.
    pub refused_beyond: f64,
    /// Scrapes and probes wait in the same queue.
    pub silences: bool,
}

/// The simulated application and cluster.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct World {
    /// Mean service time of a request in a warm pod, seconds.
    pub service: f64,
    /// Workers per pod.
    pub workers: u32,
    /// The p95 that is promised, seconds.
    pub target: f64,
    /// From the order to ready, seconds.
    pub startup: u32,
    /// A ready pod works at half speed for that long, seconds.
    pub warmup: u32,
    /// Fewest and most pods.
    pub bounds: (u32, u32),
    /// How requests are spread.
    pub balancing: Balancing,
    /// What the servers do when they have too much to do.
    pub servers: Servers,
    /// Whether a proxy in each pod holds back what the server has no worker for, answers scrapes and probes for it, and
    /// hands what waits to the pods that have room: Knative's queue proxy and activator.
    pub fronted: bool,
}

impl World {
    /// Four workers, 20 s at half speed, 2 to 50 pods, blind servers, a target of 2.5 times the unloaded p95 unless one is
    /// given.
    #[must_use]
    pub fn new(service: f64, startup: u32, target: Option<f64>) -> Self {
        let target = target.unwrap_or_else(|| 2.5 * service * Pod::new(4).quantile(0.0, 0.95));
        let (balancing, servers) = (Balancing::LeastRequest, Servers::Blind);
        Self { service, workers: 4, target, startup, warmup: 20, bounds: (2, 50), balancing, servers, fronted: false }
    }

    /// Requests per second a warm pod carries at the target, when the service time is `slowdown` times the usual.
    #[must_use]
    pub fn capacity(&self, slowdown: f64) -> f64 {
        let (pod, service) = (Pod::new(self.workers), self.service * slowdown);
        pod.utilisation_at(self.target / service, 0.95) * pod.workers() / service
    }

    /// What becomes of requests that have to wait. A proxy in front decides it whatever the servers would do.
    #[must_use]
    pub fn queueing(&self) -> Queueing {
        let (works_for_gone, shared, refused_beyond, silences) = match (self.fronted, self.servers) {
            (true, _) => (false, true, f64::INFINITY, false),
            (false, Servers::Blind) => (true, false, f64::INFINITY, true),
            // A second is the longest that such servers let anybody wait; a user who waits that long is lost anyway.
            (false, Servers::Visible) => (false, false, 1.0, false),
        };
        Queueing { works_for_gone, shared, refused_beyond, silences }
    }
}
