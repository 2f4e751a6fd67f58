//! The API server accepts what `recommender-operator render` prints.

use std::fs;

use anyhow::{Result, anyhow, ensure};
use jiff::Timestamp;
use recommender_operator::{api::RecommenderModel, model::Model, render, validate};

#[tokio::test]
async fn the_api_server_accepts_every_child_of_the_examples_without_a_warning() -> Result<()> {
    let cluster = e2e::cluster().await?;
    // Pod Security `restricted` is enforced here: it warns about a pod template that violates it.
    let namespace = cluster.namespace("render").await?;
    for (file, count) in [("packages.yaml", 9), ("minimal.yaml", 5), ("latency.yaml", 8), ("workers.yaml", 13)] {
        let text = fs::read_to_string(e2e::paths::repository().join("examples").join(file))?;
        let mut document = validate::documents(&text)?.remove(0);
        document.object["metadata"]["namespace"] = namespace.name.clone().into();
        let object: RecommenderModel = serde_json::from_value(validate::stored(&document.object))?;
        let now = Timestamp::now();
        let model = Model::new(&object, now).map_err(|problems| anyhow!("{file}: {problems:?}"))?;
        let yaml = render::as_yaml(&render::offline(&model, now))?;

        let apply = ["apply", "--dry-run=server", "--warnings-as-errors", "-f", "-"];
        let output = cluster.kubectl_with_input(&apply, &yaml).await?;
        let accepted = output.lines().filter(|line| line.ends_with("created (server dry run)")).count();
        ensure!(accepted == count, "{file}: {accepted} of {count} children were accepted:\n{output}");
    }
    Ok(())
}
