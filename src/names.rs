//! Names of children, of their components and of their containers. Those of children are deterministic, at most 63 characters, and
//! different for different objects.

use sha2::{Digest, Sha256};

/// Component label of the servers.
pub const SERVING_COMPONENT: &str = "serving";
/// Component label of the canary. It is one of its own, so that what is about the servers' Deployment does not count its pods.
pub const CANARY_COMPONENT: &str = "canary";
/// Component label of training pods.
pub const TRAINING_COMPONENT: &str = "training";
/// Component label of the pods that delete artifacts. They are no trainers: no training waits for them, and they are in no count and no log
/// of trainings.
pub const PRUNE_COMPONENT: &str = "prune";
/// Name of the container of the servers.
pub const SERVER_CONTAINER: &str = "server";
/// Name of the container of trainers, whose termination message is the report.
pub const TRAINER_CONTAINER: &str = "trainer";
/// Name of the container of workers.
pub const WORKER_CONTAINER: &str = "worker";

/// Longest base name, in characters. The longest suffix appended to it is a Job's `-partial-YYYYMMDD-HHMM` (22 characters).
/// A Job's name is a label value of its pods, which is limited to 63 characters.
const BASE_MAX: usize = 40;
/// Separator between the base name and the name of a worker; a dash follows.
const WORKER: &str = "-worker";
/// Separator between the base name and the number of a Job that deletes artifacts.
const PRUNE: &str = "-prune-";
/// Last part of the name of the Service of trainers.
const TRAINERS: &str = "-trainers";
/// Last part of the names of the Deployment and the Service of a canary.
const CANARY: &str = "-canary";
/// Names of objects that exist already: the ServiceAccount `default` in every namespace and the Service `kubernetes` in
/// the namespace `default`.
const TAKEN: [&str; 2] = ["default", "kubernetes"];
/// Length of the hash that distinguishes shortened names, in hex digits.
const HASH_LENGTH: usize = 8;

/// The base of the names of all children of an object: the object's own name if that is a plain DNS label, else a
/// readable part of it and a hash of the whole name.
///
/// | object's name | base name |
/// |---|---|
/// | `packages` | `packages` |
/// | `shop.packages` | `shop-packages-` + hash (no dots in a Service's name) |
/// | `7days` | `r-7days-` + hash (a Service's name starts with a letter) |
/// | 253 times `a` | 31 times `a` + `-` + hash |
/// | `a-0123abcd` | `a-0123abcd-` + hash (it has the form of a hashed name) |
/// | `a-trainers` | `a-trainers-` + hash (the Service of the trainers of `a`) |
/// | `a-canary` | `a-canary-` + hash (the Service of a canary of `a`) |
/// | `a-worker`, `a-worker-b` | `a-`, `a-b-` + hash (its workers could have the same names as those of `a`) |
/// | `default`, `kubernetes` | itself, `-` and hash (a ServiceAccount of each namespace, a Service in `default`) |
pub fn base(object_name: &str) -> String {
    if is_plain(object_name) {
        return object_name.to_owned();
    }
    let mut readable: String =
        object_name.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).collect();
    if !readable.starts_with(|c: char| c.is_ascii_lowercase()) {
        readable.insert_str(0, "r-");
    }
    readable.truncate(BASE_MAX - HASH_LENGTH - 1);
    while let Some(at) = workers_name(&readable) {
        readable.replace_range(at..at + WORKER.len(), "");
    }
    format!("{}-{}", readable.trim_end_matches('-'), short_hash(object_name.as_bytes()))
}

/// Name of the serving Deployment, its autoscaler and its disruption budget.
pub fn serving(base: &str) -> String {
    format!("{base}-serving")
}

/// Name of the Deployment of the canary, and of its Service.
pub fn canary(base: &str) -> String {
    format!("{base}{CANARY}")
}

/// Name of the ConfigMap with the version file of the pods of a template, by its hash.
pub fn version_file(base: &str, template: &str) -> String {
    format!("{base}-version-{template}")
}

/// Name of the Deployment of a worker and its autoscaler.
pub fn worker(base: &str, worker: &str) -> String {
    format!("{base}{WORKER}-{worker}")
}

/// Name of the PrometheusRule with PromQL of the spec. No base name has a dot, so it is that of no other object's PrometheusRule.
pub fn custom_rules(base: &str) -> String {
    format!("{base}-custom.rules")
}

/// Name of the PodMonitor of a dependency. No base name has a dot, so it is that of no other object's PodMonitor.
pub fn scraped(base: &str, dependency: &str) -> String {
    format!("{base}-dependency.{dependency}")
}

/// Name of the headless Service of the trainers of distributed runs.
pub fn trainers(base: &str) -> String {
    format!("{base}{TRAINERS}")
}

/// Whether a Deployment of servers or of a worker can have this name.
pub fn is_deployment(name: &str) -> bool {
    name.ends_with("-serving") || name.ends_with(CANARY) || name.contains("-worker-")
}

/// Position of `-worker` in a base name that could be confused with a worker's name, such as `a-worker` or `a-worker-b`.
fn workers_name(base: &str) -> Option<usize> {
    base.find("-worker-").or_else(|| base.strip_suffix(WORKER).map(str::len))
}

/// Candidates for the base name of a child or pod: its name up to each dash, and the whole name.
pub fn bases(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('-').map(|(dash, _)| &name[..dash]).chain([name])
}

/// Name of the Job that trains a version.
pub fn job(base: &str, version: &str) -> String {
    format!("{base}-{version}")
}

/// Name of a Job that deletes artifacts; Jobs are counted.
pub fn prune(base: &str, number: i64) -> String {
    format!("{base}{PRUNE}{number}")
}

/// Whether a Job deletes artifacts, by its name.
pub fn is_prune(base: &str, job: &str) -> bool {
    let number = job.strip_prefix(base).and_then(|rest| rest.strip_prefix(PRUNE));
    number.is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
}

/// The first eight hex digits of SHA-256.
pub fn short_hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(HASH_LENGTH / 2).map(|byte| format!("{byte:02x}")).collect()
}

fn is_plain(name: &str) -> bool {
    let label = name.len() <= BASE_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let of_another = workers_name(name).is_some() || name.ends_with(TRAINERS) || name.ends_with(CANARY);
    label && !looks_hashed(name) && !of_another && !TAKEN.contains(&name)
}

/// Whether a name has the form of a shortened one. Such names are hashed as well, so that they cannot collide.
fn looks_hashed(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(_, end)| {
        end.len() == HASH_LENGTH && end.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// A version name of the maximum length.
    const LONGEST_VERSION: &str = "partial-20261121-0300";
    /// A worker name of the maximum length.
    const LONGEST_WORKER: &str = "a-worker-of-all";

    fn object_name() -> impl Strategy<Value = String> {
        // RFC 1123 subdomains of 1 to 253 characters, as the API server accepts them for custom resources.
        prop_oneof![
            "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?){0,5}",
            "[a-z0-9]{1,63}",
            "[ab](-[0-9a-f]{8}){0,2}",
            "[ab][.-][ab][.-][ab]",
            worker_name(),
            Just("default".to_owned()),
            Just("kubernetes".to_owned()),
        ]
        .prop_filter("at most 253 characters", |name| name.len() <= 253)
    }

    /// Names composed of the parts of which names of children are composed.
    fn worker_name() -> impl Strategy<Value = String> {
        "[ab](-(a|b|worker|serving|full|trainers|canary)){0,4}"
    }

    fn is_service_name(name: &str) -> bool {
        name.len() <= 63
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    }

    proptest! {
        #[test]
        fn every_child_name_is_a_dns_label_of_at_most_63_characters(name in object_name()) {
            let base = base(&name);
            for child in [base.clone(), trainers(&base), canary(&base), serving(&base), worker(&base, LONGEST_WORKER), job(&base, LONGEST_VERSION), prune(&base, i64::MAX / 1000)] {
                prop_assert!(is_service_name(&child), "{name} gave {child}");
                prop_assert!(bases(&child).any(|candidate| candidate == base), "{base} is not found in {child}");
            }
            prop_assert!(is_deployment(&serving(&base)) && is_deployment(&worker(&base, "a")));
        }

        #[test]
        fn children_of_different_objects_never_share_a_name(
            objects in prop::collection::hash_map(prop_oneof![object_name(), worker_name()], prop::collection::hash_set(worker_name(), 0..4), 2..40),
        ) {
            let mut owners = HashMap::new();
            for (object, workers) in &objects {
                let base = base(object);
                let deployments = workers.iter().map(|name| worker(&base, name)).chain([serving(&base), canary(&base)]);
                let services = [base.clone(), trainers(&base), canary(&base)];
                for child in deployments.map(|name| ("Deployment", name)).chain(services.map(|name| ("Service", name))) {
                    if let Some(other) = owners.insert(child.clone(), object) {
                        prop_assert!(false, "{object} and {other} share {child:?}");
                    }
                }
                prop_assert!(!["default", "kubernetes"].contains(&base.as_str()));
            }
        }

        #[test]
        fn different_objects_never_share_a_base_name(names in prop::collection::hash_set(object_name(), 2..200)) {
            let mut owners = HashMap::new();
            for name in names {
                if let Some(other) = owners.insert(base(&name), name.clone()) {
                    prop_assert!(false, "{name} and {other} share {}", base(&name));
                }
            }
        }
    }

    #[test]
    fn plain_names_are_kept_unchanged() {
        assert_eq!(base("packages"), "packages");
        assert_eq!(base("a"), "a");
        assert_eq!(base(&"a".repeat(40)), "a".repeat(40));
    }

    #[test]
    fn names_that_are_invalid_for_a_service_or_ambiguous_are_shortened_and_hashed() {
        assert_eq!(base("shop.packages"), format!("shop-packages-{}", short_hash(b"shop.packages")));
        assert_eq!(base("7days"), format!("r-7days-{}", short_hash(b"7days")));
        assert_eq!(base("a-0123abcd"), format!("a-0123abcd-{}", short_hash(b"a-0123abcd")));
        assert_eq!(base(&"a".repeat(253)).len(), BASE_MAX);
        assert_eq!(base("a-worker-b"), format!("a-b-{}", short_hash(b"a-worker-b")));
        assert_eq!(base("a-trainers"), format!("a-trainers-{}", short_hash(b"a-trainers")));
        assert_eq!(base("a-canary"), format!("a-canary-{}", short_hash(b"a-canary")));
        assert_eq!(base("a-worker-worker"), format!("a-{}", short_hash(b"a-worker-worker")));
        assert_eq!(base("default"), format!("default-{}", short_hash(b"default")));
    }
}
