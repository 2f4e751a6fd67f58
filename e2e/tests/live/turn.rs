//! Which parts of the tests run at the same time. Most of a test is waiting: for pods to start, and for windows of minutes.
//!
//! A test takes a shared turn, sets up its bed, and then either goes on beside the others or waits until it is alone. It must
//! not hold a turn while it takes another one.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held by everything that uses the machine: shared by tests that start pods, alone by one that measures a latency.
static MACHINE: RwLock<()> = RwLock::const_new(());
/// Shared by all tests, held alone by one that stops Prometheus.
static PROMETHEUS: RwLock<()> = RwLock::const_new(());

/// Held by a test that measures how soon the operator does something, alone by one that kills it.
static OPERATOR: RwLock<()> = RwLock::const_new(());

/// The turn of a test. Dropping it ends it.
pub struct Turn {
    machine: Option<Guard>,
    prometheus: Option<Guard>,
}

/// Held until it is dropped.
enum Guard {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { guard: RwLockWriteGuard<'static, ()> },
}

impl Turn {
    /// Waits until no other test is alone.
    pub async fn shared() -> Self {
        // In the same order everywhere, so that no two tests wait for each other.
        let prometheus = Some(shared(&PROMETHEUS).await);
        Self { machine: Some(shared(&MACHINE).await), prometheus }
    }

    /// Waits until no other test uses the machine. From here on, none does.
    pub async fn alone(&mut self) {
        self.machine = None;
        self.machine = Some(alone(&MACHINE).await);
    }

    /// After [`Self::alone`]: others may start pods again, but none is alone before this turn ends.
    pub fn share(&mut self) {
        if let Some(Guard::Alone { guard }) = self.machine.take() {
            self.machine = Some(Guard::Shared { _guard: guard.downgrade() });
        }
    }

    /// Others may do what they like with the machine from here on. They may not stop Prometheus.
    pub fn only_waits(&mut self) {
        self.machine = None;
    }

    /// Waits until all other tests have ended. From here on, none uses the machine or Prometheus.
    pub async fn without_prometheus(&mut self) {
        (self.machine, self.prometheus) = (None, None);
        self.prometheus = Some(alone(&PROMETHEUS).await);
        self.machine = Some(alone(&MACHINE).await);
    }
}

/// Waits until the operator is not being killed. It is not, until what this returns is dropped.
pub async fn operator_runs() -> RwLockReadGuard<'static, ()> {
    OPERATOR.read().await
}

/// Waits until the operator may be killed. Others wait until what this returns is dropped.
pub async fn operator_is_killed() -> RwLockWriteGuard<'static, ()> {
    OPERATOR.write().await
}

async fn shared(lock: &'static RwLock<()>) -> Guard {
    Guard::Shared { _guard: lock.read().await }
}

async fn alone(lock: &'static RwLock<()>) -> Guard {
    Guard::Alone { guard: lock.write().await }
}
