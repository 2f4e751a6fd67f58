//! The kinds of the Gateway API, as its Go module has them. No Gateway implements them in the cluster: tests report what one would, but for
//! the one that runs [`crate::contour`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{command, paths};

/// The directory of the go.mod that pins the module, relative to the repository.
const DIRECTORY: &str = "e2e/tools/gateway-api";
/// The module.
const MODULE: &str = "sigs.k8s.io/gateway-api";
/// The definitions in the module; the plural of the kind and `.yaml` follow.
const DEFINITIONS: &str = "config/crd/standard/gateway.networking.k8s.io_";

/// The definition of HTTPRoutes, as YAML.
pub fn http_routes() -> Result<String> {
    definition("httproutes")
}

/// The definition of the kind with this plural, as YAML.
pub fn definition(plural: &str) -> Result<String> {
    let directory = match cached()? {
        Some(directory) => directory,
        None => {
            download()?;
            cached()?.with_context(|| format!("{MODULE} cannot be downloaded: go mod download in {DIRECTORY}"))?
        }
    };
    let path = directory.join(format!("{DEFINITIONS}{plural}.yaml"));
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The directory of the module in Go's module cache.
fn cached() -> Result<Option<PathBuf>> {
    let listed = list("{{.Dir}}")?;
    Ok(Some(listed).filter(|directory| !directory.is_empty() && Path::new(directory).is_dir()).map(PathBuf::from))
}

/// Downloads the module into Go's cache. Its go.mod asks for a newer Go than the programs of the cluster are built with, so that the
/// command fails after it has extracted the module: whether it is there decides.
fn download() -> Result<()> {
    let version = list("{{.Version}}")?;
    if version.is_empty() {
        bail!("{DIRECTORY}/go.mod does not require {MODULE}");
    }
    let mut download = Command::new("go");
    download.args(["mod", "download", "-json", &format!("{MODULE}@{version}")]).current_dir(sources());
    download
        .stdin(Stdio::null())
        .output()
        .map(drop)
        .with_context(|| format!("cannot run {}", command::describe(&download)))
}

fn list(format: &str) -> Result<String> {
    let mut list = Command::new("go");
    list.args(["list", "-m", "-f", format, MODULE]).current_dir(sources());
    Ok(command::output(&mut list)?.trim().to_owned())
}

fn sources() -> PathBuf {
    paths::repository().join(DIRECTORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_http_routes_has_the_fields_that_the_operator_writes() {
        let definition = http_routes().expect("the module has it");
        for field in ["name: httproutes.gateway.networking.k8s.io", "requestMirror:", "percent:", "sectionName:"] {
            assert!(definition.contains(field), "{field}");
        }
    }
}
