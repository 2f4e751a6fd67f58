//! The examples of five designs, `examples/designs/`: accepted by the API server, reconciled, and their rules loaded by Prometheus.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use kube::{ResourceExt, api::PostParams};
use recommender_operator::{api::RecommenderModel, kinds::Kind};

use crate::bed::{Bed, condition, is};

/// Reasons of MonitoringReady for which the rules of an object are not evaluated.
const NOT_LOADED: [&str; 4] = ["Loading", "RulesNotLoaded", "RulesFailing", "SourceFailed"];

fn examples() -> Result<Vec<PathBuf>> {
    let directory = e2e::paths::repository().join("examples/designs");
    let files = fs::read_dir(directory)?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    Ok(files.into_iter().filter(|path| path.extension().is_some_and(|of| of == "yaml")).collect())
}

/// Their images do not exist, so nothing serves. Training is suspended, so that no pod asks for the 16 GiB of its trainers.
pub async fn every_example_is_accepted_and_its_rules_are_loaded() -> Result<()> {
    let bed = Bed::new("designs").await?;
    let files = examples()?;
    ensure!(files.len() == 5, "five examples were expected: {files:?}");
    for path in &files {
        let mut object: RecommenderModel = serde_saphyr::from_str(&fs::read_to_string(path)?)?;
        object.spec.training.suspend = true;
        let created = bed.models().create(&PostParams::default(), &object).await;
        created.with_context(|| format!("cannot create {}", path.display()))?;
    }
    for path in &files {
        let name = path.file_stem().and_then(|stem| stem.to_str()).context("a name")?;
        let model = bed
            .until(name, "has its rules loaded", |model| {
                let reason = condition(model, "MonitoringReady").map(|condition| condition.reason.clone());
                reason.is_some_and(|reason| !NOT_LOADED.contains(&reason.as_str()))
            })
            .await?;
        ensure!(!is(&model, "Stalled", "True"), "{name} is refused: {:?}", model.status);
        let rules = bed.children(Kind::PrometheusRule).get(name).await?;
        ensure!(rules.owner_references().len() == 1, "{name}: {rules:?}");
        let health = condition(&model, "DependenciesHealthy").context("it has dependencies")?;
        ensure!(health.status == "Unknown", "{name}: no data is no health: {health:?}");
    }
    Ok(())
}
