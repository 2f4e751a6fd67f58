//! Backfill: workloads replay the load that was recorded before this process started to make decisions for them.

use super::Scaler;
use crate::{
    scaling::{
        past::{Past, Replayed},
        serving,
    },
    signals::Subject,
};

/// A workload to backfill. An earlier process made decisions for it; only the status of that process is left.
#[derive(Debug)]
pub struct Backfill {
    uid: String,
    /// The workload to query.
    pub subject: Subject,
    policy: serving::Policy,
    learned: serving::Learned,
}

impl Scaler {
    /// The next workload of the source `of` to backfill at `clock`: one with the most attempts left, of which it uses one.
    /// None when no attempt is due. A workload waits until the capacity of one replica is known.
    pub fn next_backfill(&self, of: &dyn Fn(&str) -> bool, clock: f64) -> Option<Backfill> {
        let mut objects = self.lock();
        let of_source = objects.iter_mut().filter(|(_, object)| of(&object.source));
        let workloads = of_source.flat_map(|(uid, object)| {
            let (namespace, name) = (&object.namespace, &object.name);
            object.workloads.iter_mut().map(move |(workload, scaled)| (uid, [namespace, name, workload], scaled))
        });
        let (uid, subject, scaled) = workloads.max_by_key(|(.., scaled)| scaled.backfill_tries(clock))?;
        let (policy, learned) = scaled.begin_backfill(clock)?;
        let [namespace, recommender, workload] = subject.map(Clone::clone);
        let subject = Subject { namespace, recommender, workload };
        Some(Backfill { uid: uid.clone(), subject, policy, learned })
    }

    /// Replays the recorded load up to `clock`. Returns whether there was any.
    pub fn replay(&self, backfill: &Backfill, past: &Past, clock: f64) -> bool {
        let replayed = Replayed::of(past, &backfill.policy, &backfill.learned, clock);
        let has_replayed = replayed.is_some();
        let mut objects = self.lock();
        let object = objects.get_mut(&backfill.uid);
        if let Some(scaled) = object.and_then(|object| object.workloads.get_mut(&backfill.subject.workload)) {
            scaled.replay(replayed);
        }
        has_replayed
    }
}
