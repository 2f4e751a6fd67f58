//! Names that are valid for a RecommenderModel but not for a Service.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use recommender_operator::names;
use serde_json::json;

use crate::bed::{Bed, serving};

pub async fn names_of_any_length_with_dots_and_digits_serve() -> Result<()> {
    let bed = Bed::new("names").await?;
    let longest = format!("7.{}", "long-name.".repeat(26)).chars().take(252).collect::<String>() + "z";
    let names = ["x".to_owned(), "0".to_owned(), "9".to_owned() + &"a".repeat(62), longest];
    ensure!(names.iter().map(String::len).eq([1, 1, 63, 253]), "{names:?}");
    try_join_all(names.iter().map(|name| serves(&bed, name))).await?;
    Ok(())
}

async fn serves(bed: &Bed, name: &str) -> Result<()> {
    bed.create(name, json!({})).await?;
    let model = bed.served(name).await?;
    let base = names::base(name);
    let version = serving(&model).version;
    ensure!(version == Some(bed.answers(&base, "/version").await?), "{name}: another version answers");
    let events = bed.events(&model).await?;
    ensure!(!events.is_empty(), "there is no Event about {name}");
    Ok(())
}
