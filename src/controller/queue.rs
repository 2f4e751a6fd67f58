//! The objects that wait to be reconciled.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{Stream, StreamExt, stream, stream::FuturesUnordered};
use kube::runtime::reflector::ObjectRef;

use crate::api::Guarded;

/// Objects that were enqueued and not reconciled since.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<HashSet<ObjectRef<Guarded>>>);

impl Waiting {
    /// Records that an object was enqueued. Returns how many wait.
    pub fn enter(&self, object: &ObjectRef<Guarded>) -> usize {
        self.with(|waiting| waiting.insert(object.clone()))
    }

    /// Records that an object is being reconciled, or is gone. Returns how many wait.
    pub fn leave(&self, object: &ObjectRef<Guarded>) -> usize {
        self.with(|waiting| waiting.remove(object))
    }

    fn with(&self, change: impl FnOnce(&mut HashSet<ObjectRef<Guarded>>) -> bool) -> usize {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut waiting);
        waiting.len()
    }
}

/// Delays an enqueued object by `delay` and merges further enqueues in that time: the watch events of our own writes, the
/// pods of one rollout. Unlike in kube's debounce, a further enqueue does not restart the delay, so that an object under
/// steady change is still reconciled.
pub fn gather(
    enqueued: impl Stream<Item = ObjectRef<Guarded>> + Send,
    delay: Duration,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send {
    let state = (Box::pin(enqueued), HashSet::new(), FuturesUnordered::new());
    stream::unfold(state, move |(mut enqueued, mut held, mut timers)| async move {
        loop {
            tokio::select! {
                Some(object) = timers.next() => {
                    held.remove(&object);
                    return Some((object, (enqueued, held, timers)));
                }
                object = enqueued.next() => {
                    let object = object?;
                    if held.insert(object.clone()) {
                        timers.push(async move {
                            tokio::time::sleep(delay).await;
                            object
                        });
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    /// The delay of [`gather`] in these tests.
    const DELAY: Duration = Duration::from_millis(250);

    fn object(name: &str) -> ObjectRef<Guarded> {
        ObjectRef::new(name).within("shop")
    }

    #[tokio::test(start_paused = true)]
    async fn enqueues_within_the_delay_are_one_reconcile_and_a_later_one_is_another() {
        let enqueued = stream::iter(["a", "b", "a", "a"]).map(object).chain(stream::once(async {
            sleep(DELAY * 2).await;
            object("a")
        }));
        let never_ends = enqueued.chain(stream::pending());
        let reconciled: Vec<_> = gather(never_ends, DELAY).take(3).map(|object| object.name).collect().await;
        assert_eq!(reconciled, ["a", "b", "a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_under_steady_change_is_still_reconciled() {
        let steady = stream::unfold((), |()| async {
            sleep(DELAY / 5).await;
            Some((object("a"), ()))
        });
        let start = Instant::now();
        let reconciled = gather(steady, DELAY).take(4).count().await;
        assert!(reconciled == 4 && start.elapsed() < DELAY * 6, "{:?}", start.elapsed());
    }

    #[test]
    fn an_object_waits_once_until_it_is_reconciled() {
        let waiting = Waiting::default();
        assert_eq!([waiting.enter(&object("a")), waiting.enter(&object("a")), waiting.enter(&object("b"))], [1, 1, 2]);
        assert_eq!([waiting.leave(&object("a")), waiting.leave(&object("a"))], [1, 1]);
    }
}
