//! The docker-archive format: a tar with the tars of the layers, a configuration and a manifest.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::digest;

/// The user of all our images. It has no name and owns no files.
pub const USER: &str = "65532:65532";

/// The configuration of the containers, unless their pod overrides it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Config {
    /// The program and its first arguments.
    #[serde(rename = "Entrypoint")]
    pub entrypoint: Vec<String>,
    /// `NAME=value`.
    #[serde(rename = "Env")]
    pub env: Vec<String>,
    /// `uid:gid`.
    #[serde(rename = "User")]
    pub user: String,
    /// The working directory of the program.
    #[serde(rename = "WorkingDir")]
    pub working_directory: String,
}

/// One layer: an uncompressed tar.
pub enum Layer {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file.
    File(PathBuf),
}

impl Layer {
    fn digest(&self) -> Result<String> {
        match self {
            Self::Bytes(bytes) => Ok(digest::hex(bytes)),
            Self::File(path) => {
                let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
                Ok(digest::hex_of_reader(file)?)
            }
        }
    }

    fn append(&self, to: &mut Builder<impl Write>, name: &str) -> Result<()> {
        match self {
            Self::Bytes(bytes) => append_file(to, name, 0o644, bytes.len() as u64, bytes.as_slice()),
            Self::File(path) => {
                let file = File::open(path)?;
                append_file(to, name, 0o644, file.metadata()?.len(), file)
            }
        }
    }
}

/// Writes the archive of an image to `out`. `name`: its canonical name with the tag.
pub fn write(out: impl Write, name: &str, config: &Config, layers: &[Layer]) -> Result<()> {
    let digests = layers.iter().map(Layer::digest).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = digests.iter().map(|digest| format!("{digest}.tar")).collect();
    let config = serde_json::to_vec(&json!({
        "architecture": go_architecture(),
        "os": "linux",
        "config": config,
        "rootfs": {
            "type": "layers",
            "diff_ids": digests.iter().map(|digest| format!("sha256:{digest}")).collect::<Vec<_>>(),
        },
    }))?;
    let config_name = format!("{}.json", digest::hex(&config));
    let manifest = json!([{
        "Config": config_name,
        "RepoTags": [name],
        "Layers": names,
    }]);
    let mut archive = Builder::new(out);
    for (layer, name) in layers.iter().zip(&names) {
        layer.append(&mut archive, name)?;
    }
    append_bytes(&mut archive, &config_name, &config)?;
    append_bytes(&mut archive, "manifest.json", &serde_json::to_vec(&manifest)?)?;
    archive.finish()?;
    Ok(())
}

/// A layer with these files, given as (absolute path in the image, path on the host). Everyone may read them.
pub fn layer_of_files(files: &[(&str, &Path)]) -> Result<Layer> {
    let mut layer = Builder::new(Vec::new());
    for (name, source) in files {
        use std::os::unix::fs::PermissionsExt;
        let file = File::open(source).with_context(|| format!("cannot open {}", source.display()))?;
        let meta = file.metadata()?;
        let mode = if meta.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
        append_file(&mut layer, name.trim_start_matches('/'), mode, meta.len(), file)?;
    }
    Ok(Layer::Bytes(layer.into_inner()?))
}

fn append_bytes(to: &mut Builder<impl Write>, name: &str, content: &[u8]) -> Result<()> {
    append_file(to, name, 0o644, content.len() as u64, content)
}

/// Appends a file. Times and owners are constant, so that the same content gives the same layer.
fn append_file(to: &mut Builder<impl Write>, name: &str, mode: u32, size: u64, content: impl Read) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    to.append_data(&mut header, name, content).with_context(|| format!("cannot write {name} into the archive"))
}

fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_reproducible_and_the_manifest_names_their_files() {
        let make = || {
            let mut out = Vec::new();
            let layer = Layer::Bytes(b"not really a tar".to_vec());
            write(&mut out, "docker.io/library/test:1", &Config::default(), &[layer]).expect("can write");
            out
        };
        let archive = make();
        assert_eq!(archive, make());
        let mut entries = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().expect("is a tar") {
            let mut entry = entry.expect("is whole");
            let name = entry.path().expect("has a name").display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("is whole");
            entries.insert(name, content);
        }
        let manifest: serde_json::Value = serde_json::from_slice(&entries["manifest.json"]).expect("is JSON");
        let named = |value: &serde_json::Value| entries.contains_key(value.as_str().expect("is a name"));
        assert!(named(&manifest[0]["Config"]) && named(&manifest[0]["Layers"][0]), "{manifest}");
        assert_eq!(manifest[0]["RepoTags"][0], "docker.io/library/test:1");
    }
}
