//! What a recommender stands on, as real programs with their exporters: each is broken and mended.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{eventually, services};
use serde_json::json;

use crate::{bed::Bed, turn::Turn};

/// Name of the dependency, its exporter in the catalogue, the program that is scraped, and the one that is stopped.
const DEPENDENCIES: [(&str, &str, &str, &str); 4] = [
    ("users-db", "PostgresExporter", "postgres-exporter", "postgres"),
    ("cache", "RedisExporter", "cache-exporter", "cache"),
    ("front", "NginxExporter", "nginx-exporter", "nginx"),
    ("upstream", "BlackboxExporter", "upstream-exporter", "nginx"),
];

/// Timeout until an alert that holds for a minute fires: after a scrape, three evaluations 30 s apart, and on a busy machine.
const FIRES: Duration = Duration::from_secs(240);

pub async fn a_sick_dependency_is_named_and_alerted_on() -> Result<()> {
    let _turn = Turn::shared().await;
    let bed = Bed::new("dependencies").await?;
    let namespace = bed.namespace.name.clone();
    services::start(&bed.cluster, &namespace).await?;
    let dependency = |(name, exporter, job, _): (&str, &str, &str, &str)| {
        let labels = json!({"namespace": namespace, "job": job});
        json!({"name": name, "exporter": {"name": exporter}, "matchLabels": labels})
    };
    bed.create_dependencies(DEPENDENCIES.map(dependency).into()).await?;
    condition(&bed, "True", &[]).await?;

    let mut stopped = DEPENDENCIES.map(|(.., program)| program).to_vec();
    stopped.dedup();
    for program in &stopped {
        services::scale(&bed.cluster, &namespace, program, 0).await?;
    }
    condition(&bed, "False", &DEPENDENCIES.map(|(name, ..)| name)).await?;
    for (name, ..) in DEPENDENCIES {
        alert(&bed, name, Some(1.0)).await?;
    }
    for program in &stopped {
        services::scale(&bed.cluster, &namespace, program, 1).await?;
    }
    condition(&bed, "True", &[]).await?;
    for (name, ..) in DEPENDENCIES {
        alert(&bed, name, None).await?;
    }
    Ok(())
}

/// Waits until the condition has this status, and its message names these dependencies.
async fn condition(bed: &Bed, status: &str, named: &[&str]) -> Result<()> {
    eventually(&format!("DependenciesHealthy is {status} and names {named:?}"), FIRES, async || {
        let condition = bed.condition("DependenciesHealthy").await?;
        let missing: Vec<_> = named.iter().filter(|name| !condition.message.contains(**name)).collect();
        ensure!(condition.status == status && missing.is_empty(), "{}: {}", condition.status, condition.message);
        Ok(())
    })
    .await
}

/// Waits until the alert on a dependency fires, or no longer does.
async fn alert(bed: &Bed, dependency: &str, fires: Option<f64>) -> Result<()> {
    let query = format!(
        r#"ALERTS{{alertname="RecommenderDependencyDown",alertstate="firing",dependency="{dependency}",$labels}}"#
    );
    eventually(&format!("{query} is {fires:?}"), FIRES, async || {
        let found = bed.query(&query).await?;
        ensure!(found == fires, "it is {found:?}");
        Ok(())
    })
    .await
}
