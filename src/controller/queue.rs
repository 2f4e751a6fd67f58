//! Which objects wait for a look.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{Stream, StreamExt, stream, stream::FuturesUnordered};
use kube::runtime::reflector::ObjectRef;

use super::Guarded;

/// Objects that were touched and not looked at since.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<HashSet<ObjectRef<Guarded>>>);

impl Waiting {
    /// An object was touched. Returns how many wait.
    pub fn enter(&self, object: &ObjectRef<Guarded>) -> usize {
        self.with(|waiting| waiting.insert(object.clone()))
    }

    /// An object is looked at, or gone. Returns how many wait.
    pub fn leave(&self, object: &ObjectRef<Guarded>) -> usize {
        self.with(|waiting| waiting.remove(object))
    }

    fn with(&self, change: impl FnOnce(&mut HashSet<ObjectRef<Guarded>>) -> bool) -> usize {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut waiting);
        waiting.len()
    }
}

/// Holds the first touch of an object back for `delay` and lets those that come meanwhile go with it: the echoes of our
/// own writes, the pods of one rollout. Unlike kube's debounce the delay does not start anew with every touch, so that an
/// object under steady change is still looked at.
pub fn gather(
    touched: impl Stream<Item = ObjectRef<Guarded>> + Send,
    delay: Duration,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send {
    let state = (Box::pin(touched), HashSet::new(), FuturesUnordered::new());
    stream::unfold(state, move |(mut touched, mut held, mut timers)| async move {
        loop {
            tokio::select! {
                Some(object) = timers.next() => {
                    held.remove(&object);
                    return Some((object, (touched, held, timers)));
                }
                object = touched.next() => {
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

    const DELAY: Duration = Duration::from_millis(250);

    fn object(name: &str) -> ObjectRef<Guarded> {
        ObjectRef::new(name).within("shop")
    }

    #[tokio::test(start_paused = true)]
    async fn touches_within_the_delay_are_one_look_and_the_next_one_is_another() {
        let touched = stream::iter(["a", "b", "a", "a"]).map(object).chain(stream::once(async {
            sleep(DELAY * 2).await;
            object("a")
        }));
        let never_ends = touched.chain(stream::pending());
        let looks: Vec<_> = gather(never_ends, DELAY).take(3).map(|look| look.name).collect().await;
        assert_eq!(looks, ["a", "b", "a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_under_steady_change_is_still_looked_at() {
        let steady = stream::unfold((), |()| async {
            sleep(DELAY / 5).await;
            Some((object("a"), ()))
        });
        let start = Instant::now();
        let looks = gather(steady, DELAY).take(4).count().await;
        assert!(looks == 4 && start.elapsed() < DELAY * 6, "{:?}", start.elapsed());
    }

    #[test]
    fn an_object_waits_once_until_it_is_looked_at() {
        let waiting = Waiting::default();
        assert_eq!([waiting.enter(&object("a")), waiting.enter(&object("a")), waiting.enter(&object("b"))], [1, 1, 2]);
        assert_eq!([waiting.leave(&object("a")), waiting.leave(&object("a"))], [1, 1]);
    }
}
