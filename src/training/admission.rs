//! Which of the trainings that are due may start, where their number is limited. Pure.
//!
//! Those that have waited longest come first. One whose namespace is at its limit lets the others pass.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

/// How many trainings may run at the same time; none: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrainingLimits {
    /// In the whole operator.
    pub total: Option<usize>,
    /// In each namespace.
    pub per_namespace: Option<usize>,
}

/// A training that is due and waits. Ordered by how long.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// Since when.
    pub since: Timestamp,
    /// UID of its object.
    pub uid: String,
    /// Namespace of its object.
    pub namespace: String,
}

impl TrainingLimits {
    /// Whether there is a limit.
    pub fn is_limited(self) -> bool {
        self != Self::default()
    }

    /// The UIDs of those that may start now. `active`: the namespaces of the trainings that run.
    pub fn admitted<'a>(self, active: &[&str], waiting: impl IntoIterator<Item = &'a Waiting>) -> BTreeSet<&'a str> {
        let mut total = active.len();
        let mut by_namespace = BTreeMap::<&str, usize>::new();
        active.iter().for_each(|namespace| *by_namespace.entry(namespace).or_default() += 1);
        let waiting: BTreeSet<&Waiting> = waiting.into_iter().collect();
        let mut admitted = BTreeSet::new();
        for next in waiting {
            if self.total.is_some_and(|most| total >= most) {
                break;
            }
            let of_namespace = by_namespace.get(next.namespace.as_str()).copied().unwrap_or_default();
            if self.per_namespace.is_some_and(|most| of_namespace >= most) {
                continue;
            }
            total += 1;
            *by_namespace.entry(&next.namespace).or_default() += 1;
            admitted.insert(next.uid.as_str());
        }
        admitted
    }

    /// Why a training of a namespace waits, to follow "because".
    pub fn reason(self, active: &[&str], namespace: &str) -> String {
        let of_namespace = active.iter().filter(|of| **of == namespace).count();
        match (self.per_namespace, self.total) {
            (Some(most), _) if of_namespace >= most => {
                format!(
                    "at most {most} trainings run at the same time in the namespace {namespace} (--max-trainings-per-namespace)"
                )
            }
            (_, Some(most)) => format!("at most {most} trainings run at the same time (--max-trainings)"),
            // The namespace was full when it was decided, and is not any more.
            (_, None) => format!("others in the namespace {namespace} have waited longer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waiting(second: i64, uid: &str, namespace: &str) -> Waiting {
        let since = Timestamp::from_second(second).expect("a time");
        Waiting { since, uid: uid.into(), namespace: namespace.into() }
    }

    fn limits(total: Option<usize>, per_namespace: Option<usize>) -> TrainingLimits {
        TrainingLimits { total, per_namespace }
    }

    #[test]
    fn those_that_have_waited_longest_start_first_and_a_full_namespace_lets_others_pass() {
        let all = [waiting(3, "c", "lab"), waiting(1, "a", "shop"), waiting(2, "b", "shop")];
        let admitted = |limits: TrainingLimits, active: &[&str]| {
            limits.admitted(active, &all).into_iter().collect::<Vec<_>>().join("")
        };
        assert_eq!(admitted(limits(None, None), &["shop"]), "abc");
        assert_eq!(admitted(limits(Some(2), None), &[]), "ab");
        assert_eq!(admitted(limits(Some(2), None), &["lab"]), "a");
        assert_eq!(admitted(limits(Some(2), None), &["lab", "x", "x"]), "");
        assert_eq!(admitted(limits(None, Some(1)), &[]), "ac");
        assert_eq!(admitted(limits(None, Some(1)), &["shop"]), "c");
        assert_eq!(admitted(limits(Some(1), Some(1)), &["shop"]), "");
    }

    proptest! {
        /// A thousand objects due in the same second, as trainings end one after another.
        #[test]
        fn never_more_than_the_limit_run_and_all_start(
            total in proptest::option::of(1_usize..9),
            per_namespace in proptest::option::of(1_usize..4),
            namespaces in proptest::collection::vec(0_u8..5, 1..60),
            ends in proptest::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let name = |number: u8| format!("n{number}");
            let limits = limits(total, per_namespace);
            let mut queue: Vec<Waiting> =
                namespaces.iter().enumerate().map(|(index, of)| waiting(0, &format!("{index:03}"), &name(*of))).collect();
            let mut active: Vec<String> = Vec::new();
            for end in ends {
                let running: Vec<&str> = active.iter().map(String::as_str).collect();
                let started: BTreeSet<String> = limits.admitted(&running, &queue).into_iter().map(str::to_owned).collect();
                let (begun, rest): (Vec<_>, Vec<_>) = queue.into_iter().partition(|of| started.contains(&of.uid));
                queue = rest;
                active.extend(begun.into_iter().map(|of| of.namespace));
                prop_assert!(total.is_none_or(|most| active.len() <= most));
                for number in 0..5 {
                    let of = active.iter().filter(|of| **of == name(number)).count();
                    prop_assert!(per_namespace.is_none_or(|most| of <= most));
                }
                if active.is_empty() {
                    break;
                }
                active.remove(end.index(active.len()));
            }
            prop_assert!(queue.is_empty(), "{} never started", queue.len());
        }
    }
}
