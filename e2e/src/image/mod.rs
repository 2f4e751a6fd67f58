//! Container images without a container engine. They are built as docker-archives and loaded into the containerd of the
//! cluster. A tag is derived from the inputs of the image, so an unchanged image is neither built nor loaded again.

pub mod archive;
mod cache;
pub mod catalog;
pub mod double;
mod flink;
mod jars;
mod kafka;
mod python;
mod services;
mod workers;

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::cluster::node;
use crate::{command, digest};
use archive::{Config, Layer};
pub use cache::host_libraries;

/// How to build an image that is not loaded yet.
pub struct Recipe {
    /// The repository, which is the name before the colon.
    pub repository: &'static str,
    /// Identifies the content of the layers.
    pub inputs: String,
    /// The configuration of its containers.
    pub config: Config,
    /// Builds the layers, lowest first.
    pub layers: Box<dyn FnOnce() -> Result<Vec<Layer>>>,
}

impl Recipe {
    /// `repository:tag`. The tag depends on the inputs and the configuration.
    pub fn reference(&self) -> Result<String> {
        let config = serde_json::to_string(&self.config)?;
        let tag = &digest::hex(format!("{}\n{config}", self.inputs).as_bytes())[..12];
        Ok(format!("{}:{tag}", self.repository))
    }

    /// Builds the image and loads it into the cluster unless it is there. Returns its reference.
    pub fn load(self) -> Result<String> {
        let reference = self.reference()?;
        if is_loaded(&reference)? {
            return Ok(reference);
        }
        let config = self.config;
        let layers = (self.layers)().with_context(|| format!("cannot build the image {reference}"))?;
        let mut ctr = node::ctr()?;
        let mut import = ctr
            .args(["images", "import", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run ctr")?;
        let mut stdin = std::io::BufWriter::with_capacity(1 << 20, import.stdin.take().context("stdin is piped")?);
        let written =
            archive::write(&mut stdin, &canonical(&reference), &config, &layers).and_then(|()| Ok(stdin.flush()?));
        drop(stdin);
        command::checked(&ctr, import.wait_with_output()?)?;
        written.with_context(|| format!("cannot write the image {reference}"))?;
        if !is_loaded(&reference)? {
            bail!("containerd took the image {reference} but does not list it");
        }
        Ok(reference)
    }
}

/// Tags a loaded image with another name.
pub fn tag(reference: &str, name: &str) -> Result<()> {
    let mut ctr = node::ctr()?;
    ctr.args(["images", "tag", "--force", &canonical(reference), &canonical(name)]);
    command::output(&mut ctr).map(drop)
}

fn is_loaded(reference: &str) -> Result<bool> {
    let listed = command::output(node::ctr()?.args(["images", "list", "-q"]))?;
    Ok(listed.lines().any(|line| line == canonical(reference)))
}

/// The canonical name of a short name, as the runtime resolves it.
pub fn canonical(reference: &str) -> String {
    format!("docker.io/library/{reference}")
}
