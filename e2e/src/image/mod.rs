//! Container images without a container engine: built as docker-archives and loaded into the
//! cluster's containerd. A tag is derived from what goes into the image, so what has not changed is
//! neither built nor loaded again.

pub mod archive;
pub mod catalog;
pub mod double;
mod kafka;
mod kept;
mod python;
mod workers;

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::cluster::node;
use crate::{command, digest};
use archive::{Config, Layer};

/// How to make an image, if it is not there yet.
pub struct Recipe {
    /// The name before the colon.
    pub repository: &'static str,
    /// Identifies all that goes into the layers.
    pub inputs: String,
    /// How containers of it run.
    pub config: Config,
    /// Makes the layers, lowest first.
    pub layers: Box<dyn FnOnce() -> Result<Vec<Layer>>>,
}

impl Recipe {
    /// `repository:tag`; the tag changes when the image would.
    pub fn reference(&self) -> Result<String> {
        let config = serde_json::to_string(&self.config)?;
        let tag = &digest::hex(format!("{}\n{config}", self.inputs).as_bytes())[..12];
        Ok(format!("{}:{tag}", self.repository))
    }

    /// Makes the image and loads it into the cluster unless it is there. Returns its reference.
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
        let written = archive::write(&mut stdin, &reference, &config, &layers).and_then(|()| Ok(stdin.flush()?));
        drop(stdin);
        command::checked(&ctr, import.wait_with_output()?)?;
        written.with_context(|| format!("cannot write the image {reference}"))?;
        if !is_loaded(&reference)? {
            bail!("containerd took the image {reference} but does not list it");
        }
        Ok(reference)
    }
}

/// Gives a loaded image another name.
pub fn tag(reference: &str, name: &str) -> Result<()> {
    let mut ctr = node::ctr()?;
    ctr.args(["images", "tag", "--force", &canonical(reference), &canonical(name)]);
    command::output(&mut ctr).map(drop)
}

fn is_loaded(reference: &str) -> Result<bool> {
    let listed = command::output(node::ctr()?.args(["images", "list", "-q"]))?;
    Ok(listed.lines().any(|line| line == canonical(reference)))
}

/// The name under which the runtime looks for a short name.
pub fn canonical(reference: &str) -> String {
    format!("docker.io/library/{reference}")
}
