//! Has workloads remember the load that was recorded before this process began to decide on them.

use super::Scaler;
use crate::{
    scaling::{
        past::{Memories, Past},
        serving,
    },
    signals::Subject,
};

/// A workload that was decided on before, by a process of which only the status is left.
#[derive(Debug)]
pub struct Forgetful {
    uid: String,
    /// What is to be asked for.
    pub subject: Subject,
    policy: serving::Policy,
    learned: serving::Learned,
}

impl Scaler {
    /// The next workload to remember its past at `clock`, of those whose source is `of`: one that was asked for least often.
    /// None when all do, or were asked for often enough or just now. A workload waits until it is known what its replicas
    /// carry.
    pub fn forgetful(&self, of: &dyn Fn(&str) -> bool, clock: f64) -> Option<Forgetful> {
        let mut objects = self.lock();
        let of_source = objects.iter_mut().filter(|(_, object)| of(&object.source));
        let workloads = of_source.flat_map(|(uid, object)| {
            let (namespace, name) = (&object.namespace, &object.name);
            object.workloads.iter_mut().map(move |(workload, scaled)| (uid, [namespace, name, workload], scaled))
        });
        let (uid, subject, scaled) = workloads.max_by_key(|(.., scaled)| scaled.tries_to_remember(clock))?;
        let (policy, learned) = scaled.try_to_remember(clock)?;
        let [namespace, recommender, workload] = subject.map(Clone::clone);
        let subject = Subject { namespace, recommender, workload };
        Some(Forgetful { uid: uid.clone(), subject, policy, learned })
    }

    /// Has it remember what was recorded, until `clock`. Returns whether there was something to remember.
    pub fn remember(&self, who: &Forgetful, past: &Past, clock: f64) -> bool {
        let memories = Memories::of(past, &who.policy, &who.learned, clock);
        let remembers = memories.is_some();
        let mut objects = self.lock();
        let object = objects.get_mut(&who.uid);
        if let Some(scaled) = object.and_then(|object| object.workloads.get_mut(&who.subject.workload)) {
            scaled.remember(memories);
        }
        remembers
    }
}
