//! What the API server of the oldest supported Kubernetes reports about a CustomResourceDefinition.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, tools};

/// The errors for which it refuses the CRD, which is YAML. Its program is built from source on first use.
pub fn problems(crd: &str) -> Result<Vec<String>> {
    let output = command::output_with_input(&mut Command::new(tools::program("validate-crd")?), crd.as_bytes())?;
    serde_json::from_str(&output).with_context(|| format!("validate-crd printed {output}"))
}
