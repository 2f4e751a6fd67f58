//! Groups of identical pods: their backlog, their readiness probes and scrapes, and the CPU that their kubelets
//! measure.

use super::queue::SATURATED;
use super::telemetry::{KUBELET, SCRAPE, Unscraped};
use super::world::{Queueing, World};

/// Seconds a request waits before its client gives up.
pub const GIVE_UP: usize = 5;

/// CPU of a pod without requests, as a share of a fully used pod.
pub const IDLE_CPU: f64 = 0.03;

/// Seconds between two readiness probes, as the operator renders them.
const PROBE_PERIOD: u32 = 5;
/// Time-out of a readiness probe, seconds, as the operator renders it.
const PROBE_TIMEOUT: f64 = 2.0;
/// Consecutive failed probes after which a pod is unready, as the operator renders it.
const PROBE_FAILURES: u32 = 3;

/// Seconds after the start of a pod in which the HPA treats it as initialising:
/// `--horizontal-pod-autoscaler-cpu-initialization-period`.
const INITIALISING: u32 = 300;

/// Waiting requests, first come first served. The oldest are those whose clients have gone.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Backlog {
    /// Requests whose clients have gone.
    gone: f64,
    /// Requests whose clients still wait, by seconds since they arrived.
    waiting: [f64; GIVE_UP],
}

impl Backlog {
    /// All waiting requests.
    pub fn total(&self) -> f64 {
        self.gone + self.alive()
    }

    /// Requests whose clients still wait.
    pub fn alive(&self) -> f64 {
        self.waiting.iter().sum()
    }

    /// Adds another backlog.
    pub fn add(&mut self, other: &Self) {
        self.gone += other.gone;
        self.waiting.iter_mut().zip(other.waiting).for_each(|(sum, more)| *sum += more);
    }

    /// This share of each entry.
    pub fn times(&self, share: f64) -> Self {
        Self { gone: self.gone * share, waiting: self.waiting.map(|requests| requests * share) }
    }

    /// Ages the backlog by a second. Returns the requests whose clients give up after [`GIVE_UP`].
    fn age(&mut self, queueing: &Queueing) -> f64 {
        let given_up = self.waiting[GIVE_UP - 1];
        self.waiting.rotate_right(1);
        self.waiting[0] = 0.0;
        self.gone += if queueing.works_for_gone { given_up } else { 0.0 };
        given_up
    }

    /// Serves up to `capacity` requests, oldest first. Returns all served requests, and those whose clients still
    /// waited.
    fn work_off(&mut self, capacity: f64) -> (f64, f64) {
        let of_gone = self.gone.min(capacity);
        self.gone -= of_gone;
        let mut alive = 0.0;
        for requests in self.waiting.iter_mut().rev() {
            let served = requests.min(capacity - of_gone - alive);
            *requests -= served;
            alive += served;
        }
        (of_gone + alive, alive)
    }
}

/// The results of a second for a cohort.
#[derive(Debug, Clone, Copy, Default)]
pub struct Served {
    /// Served requests, as the servers count them.
    pub all: f64,
    /// Served requests whose clients still waited.
    pub alive: f64,
    /// Requests whose clients gave up.
    pub given_up: f64,
    /// Requests that were refused with 503.
    pub refused: f64,
    /// Utilisation, 0 to [`SATURATED`].
    pub utilisation: f64,
    /// Waiting time of a request beyond the steady state, seconds.
    pub wait: f64,
}

/// Pods that became ready together, or that have become identical since.
#[derive(Debug, Clone, Copy)]
pub struct Cohort {
    /// Number of pods.
    pub pods: u32,
    /// Their backlog.
    pub backlog: Backlog,
    /// Requests that they get in this second.
    pub arriving: f64,
    /// The results of this second.
    pub served: Served,
    /// Whether they are ready and get requests.
    pub ready: bool,
    /// Whether they did not answer their last scrape.
    pub silent: bool,
    /// What they have counted since the last answered scrape.
    pub unscraped: Unscraped,
    /// Second of their creation.
    created: u32,
    /// Second from which they work at full speed.
    warm_at: u32,
    /// Second of the last change of their readiness.
    changed: u32,
    /// Consecutive failed probes.
    failed_probes: u32,
    /// Whether they are at full speed.
    pub warm: bool,
    /// CPU used since the last measurement, in fully used pods times seconds.
    used: f64,
    /// The last measurement of CPU, in fully used pods.
    measured: Option<f64>,
}

impl Cohort {
    /// Pods that become ready at `now`.
    pub fn new(pods: u32, now: u32, created: u32, warm_at: u32) -> Self {
        Self {
            pods,
            backlog: Backlog::default(),
            arriving: 0.0,
            served: Served::default(),
            ready: true,
            silent: false,
            unscraped: Unscraped::default(),
            created,
            warm_at,
            changed: now,
            failed_probes: 0,
            warm: warm_at <= now,
            used: 0.0,
            measured: None,
        }
    }

    /// Requests per second that they can serve, if a warm pod serves `rate`.
    pub fn capacity(&self, rate: f64) -> f64 {
        f64::from(self.pods) * rate * if self.warm { 1.0 } else { 0.5 }
    }

    /// Starts second `now`: updates warm-up, readiness and CPU measurement.
    pub fn begin(&mut self, now: u32, rate: f64, queueing: &Queueing) {
        self.warm = self.warm_at <= now;
        if (now + self.created).is_multiple_of(PROBE_PERIOD) {
            let passes = !queueing.silences || self.backlog.total() <= PROBE_TIMEOUT * self.capacity(rate);
            self.failed_probes = if passes { 0 } else { self.failed_probes + 1 };
            let ready = passes || self.ready && self.failed_probes < PROBE_FAILURES;
            self.changed = if ready == self.ready { self.changed } else { now };
            self.ready = ready;
        }
        if now.is_multiple_of(KUBELET) {
            // A pod that is younger than the measurement window has no measurement.
            self.measured = (now >= self.created + KUBELET).then(|| self.used / f64::from(KUBELET));
            self.used = 0.0;
        }
    }

    /// Serves requests in this second.
    pub fn serve(&mut self, rate: f64, queueing: &Queueing) {
        let capacity = self.capacity(rate);
        let before = self.backlog.total();
        let given_up = self.backlog.age(queueing);
        let room = (capacity * (1.0 + queueing.refused_beyond) - self.backlog.total()).max(0.0);
        let accepted = self.arriving.min(room);
        self.backlog.waiting[0] = accepted;
        let (all, alive) = self.backlog.work_off(capacity);
        let after = self.backlog.total();
        self.served = Served {
            all,
            alive,
            given_up,
            refused: self.arriving - accepted,
            utilisation: if after > 0.0 { SATURATED } else { (all / capacity).min(SATURATED) },
            wait: f64::midpoint(before, after) / capacity,
        };
        let cpu = self.cpu(capacity);
        self.used += cpu;
        if self.silent {
            self.unscraped.seconds += 1;
            self.unscraped.requests += all;
            self.unscraped.busy += cpu;
        }
    }

    /// CPU used in this second, in fully used pods.
    pub fn cpu(&self, capacity: f64) -> f64 {
        let pods = f64::from(self.pods);
        (pods * (self.served.all / capacity + IDLE_CPU)).min(pods)
    }

    /// Scrapes them at the end of a second. A backlog beyond the time-out leaves the scrape unanswered. Returns the
    /// metrics since the last answer when they answer again.
    pub fn scrape(&mut self, rate: f64, queueing: &Queueing) -> Option<Unscraped> {
        let was_silent = self.silent;
        self.silent = queueing.silences && self.backlog.total() > f64::from(SCRAPE) * self.capacity(rate);
        let pods = self.pods;
        (was_silent && !self.silent).then(|| Unscraped { pods, ..std::mem::take(&mut self.unscraped) })
    }

    /// Whether they are identical to other warm pods without backlog. For the HPA, merged pods have the age of the
    /// oldest, which favours the HPA.
    pub fn is_ordinary(&self) -> bool {
        self.warm && self.ready && !self.silent && self.failed_probes == 0 && self.backlog.total() <= 0.0
    }

    /// Merges other pods into this cohort.
    pub fn merge(&mut self, other: &Self) {
        self.pods += other.pods;
        self.used += other.used;
        self.measured = self.measured.zip(other.measured).map(|(ours, theirs)| ours + theirs).or(self.measured);
    }

    /// Removes a pod and returns its backlog.
    pub fn lose_pod(&mut self) -> Backlog {
        let share = 1.0 / f64::from(self.pods);
        let lost = self.backlog.times(share);
        self.backlog = self.backlog.times(1.0 - share);
        self.used *= 1.0 - share;
        self.measured = self.measured.map(|cpu| cpu * (1.0 - share));
        self.pods -= 1;
        lost
    }

    /// The last CPU measurement of the kubelets, in fully used pods. None for pods that are too young.
    pub fn measured(&self) -> Option<f64> {
        self.measured
    }

    /// Whether the HPA counts their CPU at `now`, from `groupPods` in
    /// `pkg/controller/podautoscaler/replica_calculator.go`. In the first five minutes it counts only if they are ready
    /// and were for the whole measurement. Later it always counts, because they were ready once.
    pub fn is_counted(&self, now: u32) -> bool {
        let measured_at = (now - 1) - (now - 1) % KUBELET;
        self.created + INITIALISING <= now || self.ready && self.changed + KUBELET <= measured_at
    }

    /// Service time of a request in these pods, seconds.
    pub fn service(&self, world: &World, slowdown: f64) -> f64 {
        world.service * slowdown * if self.warm { 1.0 } else { 2.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::Servers;
    use super::*;

    /// Simulates two warm pods that serve 10 requests per second each, for these seconds with a load.
    fn simulate(servers: Servers, seconds: std::ops::Range<u32>, load: f64, cohort: &mut Cohort) -> Served {
        let queueing = World { servers, ..World::new(0.4, 10, None) }.queueing();
        for now in seconds {
            cohort.begin(now, 10.0, &queueing);
            cohort.arriving = if cohort.ready { load } else { 0.0 };
            cohort.serve(10.0, &queueing);
            if (now + 1).is_multiple_of(SCRAPE) {
                cohort.scrape(10.0, &queueing);
            }
        }
        cohort.served
    }

    #[test]
    fn a_blind_server_serves_clients_that_have_gone() {
        let mut cohort = Cohort::new(2, 0, 0, 0);
        assert_eq!(simulate(Servers::Blind, 0..4, 40.0, &mut cohort).alive, 20.0);
        let overloaded = simulate(Servers::Blind, 4..14, 40.0, &mut cohort);
        assert_eq!((overloaded.all, overloaded.alive), (20.0, 0.0), "it serves only clients that have gone");
        assert_eq!(overloaded.given_up, 40.0);
    }

    #[test]
    fn an_overloaded_blind_server_misses_scrapes_then_probes_and_recovers_with_its_backlog_served() {
        let mut cohort = Cohort::new(2, 0, 0, 0);
        simulate(Servers::Blind, 0..5, 40.0, &mut cohort);
        assert!(cohort.ready && !cohort.silent && cohort.backlog.total() == 100.0, "five seconds of work");
        simulate(Servers::Blind, 5..15, 40.0, &mut cohort);
        assert!(cohort.ready && cohort.silent);
        simulate(Servers::Blind, 15..16, 40.0, &mut cohort);
        assert!(!cohort.ready && cohort.silent, "the probes of 5, 10 and 15 failed");
        simulate(Servers::Blind, 16..30, 40.0, &mut cohort);
        assert!(
            !cohort.ready && !cohort.silent && cohort.unscraped == Unscraped::default(),
            "it gets no requests and serves its backlog"
        );
        simulate(Servers::Blind, 30..31, 40.0, &mut cohort);
        assert!(cohort.ready, "one probe that passes is enough");
    }

    #[test]
    fn a_visible_server_refuses_excess_requests_and_answers_its_probes() {
        let mut cohort = Cohort::new(2, 0, 0, 0);
        let served = simulate(Servers::Visible, 0..60, 80.0, &mut cohort);
        assert!(cohort.ready && !cohort.silent);
        assert_eq!((served.alive, served.refused, served.given_up), (20.0, 60.0, 0.0));
        assert!(served.wait <= 1.0);
    }

    #[test]
    fn the_hpa_ignores_the_cpu_of_unready_pods_while_they_are_young() {
        let mut cohort = Cohort::new(2, 0, 0, 0);
        simulate(Servers::Blind, 0..61, 10.0, &mut cohort);
        assert!(cohort.is_counted(61) && (cohort.measured().unwrap() - 2.0 * 0.53).abs() < 1e-9);
        cohort.ready = false;
        assert!(!cohort.is_counted(61) && cohort.is_counted(INITIALISING));
    }
}
