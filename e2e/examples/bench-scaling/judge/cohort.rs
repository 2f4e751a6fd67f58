//! Pods that nothing tells apart: what waits in them, whether they pass their probes and answer their scrapes, and the CPU
//! that their kubelets measure.

use super::queue::SATURATED;
use super::telemetry::Unseen;
use super::world::{Queueing, World};

/// Seconds a request waits before its client gives up.
pub const GIVE_UP: usize = 5;

/// CPU of a pod without requests, in pods' worth.
pub const IDLE_CPU: f64 = 0.03;

/// Seconds between two scrapes, and their time-out: what the operator asks of Prometheus for objects that scale on latency.
pub const SCRAPE: u32 = 5;

/// Seconds between two readiness probes, their time-out, and how many have to fail in a row: what the operator renders.
const PROBE_PERIOD: u32 = 5;
const PROBE_TIMEOUT: f64 = 2.0;
const PROBE_FAILURES: u32 = 3;

/// Seconds between two measurements of a kubelet, and their length: metrics-server's resolution.
pub const KUBELET: u32 = 15;

/// Seconds for which the HPA takes a pod as initialising: `--horizontal-pod-autoscaler-cpu-initialization-period`.
const INITIALISING: u32 = 300;

/// Requests that wait, first come first served: the oldest are those whose clients have gone.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Backlog {
    /// Those that nobody waits for any more.
    gone: f64,
    /// Those that somebody waits for, by the seconds since they arrived.
    waiting: [f64; GIVE_UP],
}

impl Backlog {
    /// All of them.
    pub fn total(&self) -> f64 {
        self.gone + self.alive()
    }

    /// Those that somebody waits for.
    pub fn alive(&self) -> f64 {
        self.waiting.iter().sum()
    }

    /// Puts another one's in.
    pub fn add(&mut self, other: &Self) {
        self.gone += other.gone;
        self.waiting.iter_mut().zip(other.waiting).for_each(|(sum, more)| *sum += more);
    }

    /// So much of each.
    pub fn times(&self, share: f64) -> Self {
        Self { gone: self.gone * share, waiting: self.waiting.map(|requests| requests * share) }
    }

    /// A second passes: clients who waited for [`GIVE_UP`] go. How many did.
    fn age(&mut self, queueing: &Queueing) -> f64 {
        let given_up = self.waiting[GIVE_UP - 1];
        self.waiting.rotate_right(1);
        self.waiting[0] = 0.0;
        self.gone += if queueing.works_for_gone { given_up } else { 0.0 };
        given_up
    }

    /// Works off up to so many, the oldest first: how many in all, and how many of those somebody waited for.
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

/// What a second was like in a cohort.
#[derive(Debug, Clone, Copy, Default)]
pub struct Served {
    /// Requests that were worked on, as the servers count them,
    pub all: f64,
    /// and those that a client waited for.
    pub alive: f64,
    /// Clients that gave up.
    pub given_up: f64,
    /// Requests that were answered with 503.
    pub refused: f64,
    /// Utilisation, 0 to [`SATURATED`].
    pub utilisation: f64,
    /// What a request waited beyond the steady state, seconds.
    pub wait: f64,
}

/// Pods that became ready together, or that nothing tells apart any more.
#[derive(Debug, Clone, Copy)]
pub struct Cohort {
    /// How many.
    pub pods: u32,
    /// What waits in them.
    pub backlog: Backlog,
    /// Requests that are sent to them in this second.
    pub arriving: f64,
    /// What this second was like.
    pub served: Served,
    /// Whether they get requests.
    pub ready: bool,
    /// Whether they did not answer their last scrape, and what they counted since.
    pub silent: bool,
    pub unseen: Unseen,
    /// When they were created, and when they work at full speed.
    created: u32,
    warm_at: u32,
    /// When they became ready, or unready, and the probes that failed since the last that did not.
    changed: u32,
    failed_probes: u32,
    /// Whether they are at full speed.
    pub warm: bool,
    /// CPU since the last measurement, and the last measurement: pods' worth.
    used: f64,
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
            unseen: Unseen::default(),
            created,
            warm_at,
            changed: now,
            failed_probes: 0,
            warm: warm_at <= now,
            used: 0.0,
            measured: None,
        }
    }

    /// Requests per second they can work off, when a warm pod works off `rate`.
    pub fn capacity(&self, rate: f64) -> f64 {
        f64::from(self.pods) * rate * if self.warm { 1.0 } else { 0.5 }
    }

    /// Begins second `now`: warms up, is probed and measured.
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
            // Of a pod that is younger than a window there is no measurement.
            self.measured = (now >= self.created + KUBELET).then(|| self.used / f64::from(KUBELET));
            self.used = 0.0;
        }
    }

    /// Serves what arrives in this second.
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
            self.unseen.seconds += 1;
            self.unseen.requests += all;
            self.unseen.busy += cpu;
        }
    }

    /// CPU used in this second, pods' worth.
    pub fn cpu(&self, capacity: f64) -> f64 {
        let pods = f64::from(self.pods);
        (pods * (self.served.all / capacity + IDLE_CPU)).min(pods)
    }

    /// Is scraped at the end of a second: no answer within the time-out is none. Some when they answer again.
    pub fn scrape(&mut self, rate: f64, queueing: &Queueing) -> Option<Unseen> {
        let was_silent = self.silent;
        self.silent = queueing.silences && self.backlog.total() > f64::from(SCRAPE) * self.capacity(rate);
        let pods = self.pods;
        (was_silent && !self.silent).then(|| Unseen { pods, ..std::mem::take(&mut self.unseen) })
    }

    /// Whether nothing tells them from other warm pods without a backlog. The HPA takes pods that were merged as old as the
    /// oldest of them, to its advantage.
    pub fn is_ordinary(&self) -> bool {
        self.warm && self.ready && !self.silent && self.failed_probes == 0 && self.backlog.total() <= 0.0
    }

    /// Takes in other pods.
    pub fn merge(&mut self, other: &Self) {
        self.pods += other.pods;
        self.used += other.used;
        self.measured = self.measured.zip(other.measured).map(|(ours, theirs)| ours + theirs).or(self.measured);
    }

    /// Loses a pod with what waits in it.
    pub fn lose_pod(&mut self) -> Backlog {
        let share = 1.0 / f64::from(self.pods);
        let lost = self.backlog.times(share);
        self.backlog = self.backlog.times(1.0 - share);
        self.used *= 1.0 - share;
        self.measured = self.measured.map(|cpu| cpu * (1.0 - share));
        self.pods -= 1;
        lost
    }

    /// The CPU that the kubelets measured last; None for pods that are too young.
    pub fn measured(&self) -> Option<f64> {
        self.measured
    }

    /// Whether the HPA counts their CPU at `now`, from `groupPods` in `pkg/controller/podautoscaler/replica_calculator.go`:
    /// within the first five minutes only when they are ready, and have been for the whole of the measurement; later always,
    /// because they were ready once.
    pub fn is_counted(&self, now: u32) -> bool {
        let measured_at = (now - 1) - (now - 1) % KUBELET;
        self.created + INITIALISING <= now || self.ready && self.changed + KUBELET <= measured_at
    }

    /// What a request takes in them without waiting, seconds.
    pub fn service(&self, world: &World, slowdown: f64) -> f64 {
        world.service * slowdown * if self.warm { 1.0 } else { 2.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::Servers;
    use super::*;

    /// Two warm pods that carry 10 requests per second each, for some seconds at a load.
    fn live(servers: Servers, seconds: std::ops::Range<u32>, load: f64, cohort: &mut Cohort) -> Served {
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
    fn a_blind_server_works_for_clients_that_have_gone() {
        let mut cohort = Cohort::new(2, 0, 0, 0);
        assert_eq!(live(Servers::Blind, 0..4, 40.0, &mut cohort).alive, 20.0);
        let drowned = live(Servers::Blind, 4..14, 40.0, &mut cohort);
        assert_eq!((drowned.all, drowned.alive), (20.0, 0.0), "everything it does is for nobody");
        assert_eq!(drowned.given_up, 40.0);
    }

    #[test]
    fn a_blind_server_with_too_much_to_do_is_silent_then_unready_and_comes_back_when_it_has_worked_it_off() {
        let mut cohort = Cohort::new(2, 0, 0, 0);
        live(Servers::Blind, 0..5, 40.0, &mut cohort);
        assert!(cohort.ready && !cohort.silent && cohort.backlog.total() == 100.0, "five seconds of work");
        live(Servers::Blind, 5..15, 40.0, &mut cohort);
        assert!(cohort.ready && cohort.silent);
        live(Servers::Blind, 15..16, 40.0, &mut cohort);
        assert!(!cohort.ready && cohort.silent, "the probes of 5, 10 and 15 failed");
        live(Servers::Blind, 16..30, 40.0, &mut cohort);
        assert!(
            !cohort.ready && !cohort.silent && cohort.unseen == Unseen::default(),
            "nothing new comes: it works it off"
        );
        live(Servers::Blind, 30..31, 40.0, &mut cohort);
        assert!(cohort.ready, "one probe that passes is enough");
    }

    #[test]
    fn a_visible_server_refuses_what_would_wait_and_answers_its_probes() {
        let mut cohort = Cohort::new(2, 0, 0, 0);
        let served = live(Servers::Visible, 0..60, 80.0, &mut cohort);
        assert!(cohort.ready && !cohort.silent);
        assert_eq!((served.alive, served.refused, served.given_up), (20.0, 60.0, 0.0));
        assert!(served.wait <= 1.0);
    }

    #[test]
    fn the_hpa_leaves_out_the_cpu_of_unready_pods_while_they_are_young() {
        let mut cohort = Cohort::new(2, 0, 0, 0);
        live(Servers::Blind, 0..61, 10.0, &mut cohort);
        assert!(cohort.is_counted(61) && (cohort.measured().unwrap() - 2.0 * 0.53).abs() < 1e-9);
        cohort.ready = false;
        assert!(!cohort.is_counted(61) && cohort.is_counted(INITIALISING));
    }
}
