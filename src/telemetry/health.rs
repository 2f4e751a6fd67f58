//! The state behind the liveness and readiness probes. The controller's loop writes it with single atomic stores; nothing here
//! blocks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Time without a heartbeat after which the controller's loop counts as stuck. It sends one about every second.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(60);

/// What `/readyz` reports as missing before the leader election.
const STARTING: &str = "the decision whether this replica leads or stands by";
/// What `/readyz` reports as missing while the leader's caches are not complete.
const LISTS: &str = "the first lists of RecommenderModels and their children";
/// What `/readyz` reports as missing during shutdown.
const STOPPING: &str = "a running process: this one is stopping";

/// The role of this replica of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Role {
    Starting,
    StandingBy,
    Leading,
    Stopping,
}

impl Role {
    const ALL: [Self; 4] = [Self::Starting, Self::StandingBy, Self::Leading, Self::Stopping];

    fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::StandingBy => "standing by",
            Self::Leading => "leading",
            Self::Stopping => "stopping",
        }
    }
}

/// The answer to `/livez`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// The process answers, and the controller's loop sends heartbeats if it runs.
    Alive,
    /// The last heartbeat of the loop was so long ago. Only a restart helps.
    Stuck(Duration),
}

/// The answer to `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// `starting`, `standing by`, `leading` or `stopping`.
    pub role: &'static str,
    /// What is still missing. The replica is ready when this is empty.
    pub missing: Vec<&'static str>,
}

/// The state of this replica. Clones share it. Initially the replica neither leads nor stands by.
#[derive(Clone, Debug)]
pub struct Health(Arc<State>);

#[derive(Debug)]
struct State {
    start: Instant,
    role: AtomicU8,
    loaded: AtomicBool,
    /// Milliseconds after `start`.
    last_beat: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl Health {
    /// A replica that started at `now`.
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(State {
            start: now,
            role: AtomicU8::new(Role::Starting as u8),
            loaded: AtomicBool::new(false),
            last_beat: AtomicU64::new(0),
        }))
    }

    /// Another replica holds the lease: this one is ready, and alive as long as it answers.
    pub fn stand_by(&self) {
        self.set_role(Role::StandingBy);
    }

    /// The loop starts: from now on it has to send heartbeats, and readiness waits for the caches.
    pub fn lead(&self) {
        self.beat();
        self.set_role(Role::Leading);
    }

    /// The process is stopping: it is not ready any more.
    pub fn stop(&self) {
        self.set_role(Role::Stopping);
    }

    /// A heartbeat of the controller's loop.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    /// Whether every watch has completed its first list.
    pub fn set_loaded(&self, loaded: bool) {
        self.0.loaded.store(loaded, Ordering::Relaxed);
    }

    /// Whether the process works at `now`, or has to be restarted.
    pub fn liveness(&self, now: Instant) -> Liveness {
        let last = self.0.start + Duration::from_millis(self.0.last_beat.load(Ordering::Relaxed));
        let silent = now.saturating_duration_since(last);
        match self.role() {
            Role::Leading if silent > HEARTBEAT_LIMIT => Liveness::Stuck(silent),
            _ => Liveness::Alive,
        }
    }

    /// Whether the replica is ready: it leads with complete caches, or stands by.
    pub fn readiness(&self) -> Readiness {
        let role = self.role();
        let missing = match role {
            Role::Starting => Some(STARTING),
            Role::Leading if !self.0.loaded.load(Ordering::Relaxed) => Some(LISTS),
            Role::Stopping => Some(STOPPING),
            Role::StandingBy | Role::Leading => None,
        };
        Readiness { role: role.name(), missing: missing.into_iter().collect() }
    }

    fn beat_at(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.0.start).as_millis();
        self.0.last_beat.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn set_role(&self, role: Role) {
        self.0.role.store(role as u8, Ordering::Relaxed);
    }

    fn role(&self) -> Role {
        Role::ALL[usize::from(self.0.role.load(Ordering::Relaxed))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_converts_to_its_index_and_back() {
        for (number, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(role as u8), number);
        }
    }

    #[test]
    fn readiness_names_what_is_missing() {
        let health = Health::default();
        let missing = || health.readiness().missing;
        assert_eq!(missing(), [STARTING]);
        health.stand_by();
        assert_eq!(missing(), [""; 0]);
        health.lead();
        assert_eq!(missing(), [LISTS]);
        health.set_loaded(true);
        assert_eq!(missing(), [""; 0]);
        health.set_loaded(false);
        assert_eq!(missing(), [LISTS], "a list that has to be repeated counts as missing again");
        health.stop();
        assert_eq!(missing(), [STOPPING]);
    }

    #[test]
    fn only_a_leader_has_to_send_heartbeats() {
        let start = Instant::now();
        let health = Health::new(start);
        let after = |seconds| health.liveness(start + Duration::from_secs(seconds));
        assert_eq!(after(3_600), Liveness::Alive);
        health.stand_by();
        assert_eq!(after(3_600), Liveness::Alive);
        health.lead();
        health.beat_at(start + Duration::from_secs(100));
        assert_eq!(after(160), Liveness::Alive);
        assert_eq!(after(161), Liveness::Stuck(Duration::from_secs(61)));
        health.beat_at(start + Duration::from_secs(161));
        assert_eq!(after(161), Liveness::Alive);
    }

    #[test]
    fn the_start_of_the_loop_counts_as_its_first_heartbeat() {
        let health = Health::new(Instant::now().checked_sub(Duration::from_secs(600)).expect("up for ten minutes"));
        health.lead();
        assert_eq!(health.liveness(Instant::now()), Liveness::Alive);
    }
}
