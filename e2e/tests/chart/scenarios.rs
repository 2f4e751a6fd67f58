//! The scenarios on the page about catalogues hold for its files. In this process, because others use all profiles that there are.

use std::{fs, path::Path};

use anyhow::{Context, Result, anyhow, ensure};
use e2e::{
    paths,
    promtool::{LINT, promtool},
};
use jiff::Timestamp;
use recommender_operator::{api::RecommenderModel, catalog, model::Model, render, validate};
use serde_json::{Value, json};

use crate::helm::yaml;

#[test]
fn the_scenarios_on_the_page_about_catalogues_hold_for_its_files() -> Result<()> {
    let page = fs::read_to_string(paths::repository().join("docs/catalog.md"))?;
    let blocks = |begin| page.split(begin).skip(1).filter_map(|rest| rest.split("```").next());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("catalogue-of-the-page");
    let files = directory.join("catalog");
    for text in blocks("```yaml\n") {
        let Some(path) = text.lines().next().and_then(|line| line.strip_prefix("# ")) else { continue };
        let file = files.join(path);
        fs::create_dir_all(file.parent().context("a file in a directory")?)?;
        fs::write(file, text)?;
    }
    let problems = catalog::extend(&files);
    ensure!(problems.is_empty(), "{problems:?}");

    let part = blocks("```yaml\n").find(|text| text.starts_with("spec:") && text.contains("RecommenderShopBusy"));
    let part: Value = yaml(part.context("an object with the alert")?)?.remove(0);
    let minimal = fs::read_to_string(paths::repository().join("examples/minimal.yaml"))?;
    let mut object = validate::documents(&minimal)?.remove(0).object;
    object["metadata"] = json!({"name": "shop", "namespace": "shop"});
    object["spec"]["monitoring"] = part["spec"]["monitoring"].clone();
    let object: RecommenderModel = serde_json::from_value(validate::stored(&object))?;
    let model = Model::new(&object, Timestamp::now()).map_err(|problems| anyhow!("{problems:?}"))?;

    let rules = directory.join("rules.yaml");
    fs::write(&rules, render::rule_file(&[model])?)?;
    promtool(&LINT, &rules)?;
    let scenarios = directory.join("scenarios.yaml");
    fs::write(&scenarios, blocks("```yml\n").next().context("scenarios")?)?;
    promtool(&["test", "rules"], &scenarios).map(drop)
}
