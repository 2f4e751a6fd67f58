//! What kstatus makes of objects: the library by which Helm and Flux wait, in the version that the cluster's Helm has.

use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{command, tools};

/// What kstatus makes of an object.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Computed {
    /// `InProgress`, `Failed`, `Current` or `Terminating`.
    pub status: String,
    /// Why.
    pub message: String,
}

/// What kstatus makes of each object in a stream of JSON. Its program is built from source on first use.
pub fn compute(objects: &str) -> Result<Vec<Computed>> {
    let output = command::output_with_input(&mut Command::new(tools::program("kstatus")?), objects.as_bytes())?;
    serde_json::from_str(&output).with_context(|| format!("kstatus printed {output}"))
}
