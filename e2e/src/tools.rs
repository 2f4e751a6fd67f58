//! The Go programs of the cluster: Kubernetes, etcd, containerd and others, built from their published modules.
//! `e2e/tools/` pins one version of each dependency for all of them, so that shared packages are compiled once (its
//! README.md has the numbers). Built programs are cached under a hash of their inputs.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::progress::Progress;
use components::COMPONENTS;

mod build;
mod components;

pub use components::{Component, component};

/// The path of a program, which is built if necessary.
pub fn program(name: &str) -> Result<PathBuf> {
    let component = COMPONENTS
        .iter()
        .find(|component| component.programs().any(|program| program == name))
        .with_context(|| format!("no component of e2e/tools builds a program {name}"))?;
    build::build(&[component], None)?;
    Ok(component.build_directory()?.join(name))
}

/// Builds the components that every cluster needs and that are not in the cache.
pub fn build_all(progress: &Progress) -> Result<()> {
    build::build(&needed(), Some(progress))
}

/// The components that every cluster needs.
fn needed() -> Vec<&'static Component> {
    COMPONENTS.iter().filter(|component| component.always).collect()
}

/// CPU seconds to compile all needed components from nothing: as measured on two cores, and on a machine half as fast.
const CPU_SECONDS: [f64; 2] = [1500.0, 3000.0];

/// A message about the build and how long it takes; None when nothing has to be built.
pub fn forecast() -> Result<Option<String>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let missing: Vec<&str> = build::missing(&needed())?.iter().map(|component| component.name).collect();
    Ok(describe(&missing, cores))
}

fn describe(missing: &[&str], cores: usize) -> Option<String> {
    let share = missing.len() as f64 / needed().len() as f64;
    let [fast, slow] = CPU_SECONDS.map(|seconds| (share * seconds / cores as f64 / 60.0).ceil());
    (!missing.is_empty()).then(|| {
        format!(
            "{} are not in the build cache: they are compiled from source, as nothing is downloaded that is not verified by \
             go.sum. That takes some {fast} to {slow} min on {cores} cores, and is done once.",
            missing.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forecast_names_missing_components_and_the_time_and_is_none_without_any() {
        assert_eq!(describe(&[], 2), None);
        let names: Vec<&str> = needed().iter().map(|component| component.name).collect();
        let all = describe(&names, 2).expect("takes long");
        assert!(all.starts_with("etcd, kubernetes, ") && all.contains(" 13 to 25 min on 2 cores"), "{all}");
        assert!(describe(&["kubernetes"], 2).expect("takes a while").contains(" 2 to 4 min on 2 cores"));
    }
}
