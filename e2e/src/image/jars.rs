//! Layers of jars from Maven, for programs of Java.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::cache::{REVISION, cached, layer_of_directory};
use crate::progress::Progress;
use crate::{command, debian, digest};

/// The Debian packages of the root of a program of Java, in addition to the essential ones.
pub const ROOT: &str = "openjdk-17-jre-headless";

/// Jars, and how to complete their layer.
pub struct Jars<'a> {
    /// Their name in the cache.
    pub name: &'static str,
    /// The directory with `pom.xml`, which names them, and `jars.sha256`, which lists them.
    pub context: &'a Path,
    /// Their directory in the image.
    pub place: &'static str,
    /// A file of the context from which something is added to them.
    pub source: Option<&'static str>,
    /// Adds it to the directory of the jars.
    pub complete: fn(&Path, &Path) -> Result<()>,
}

impl Jars<'_> {
    /// The cached layer.
    pub fn layer(&self, progress: Option<&Progress>) -> Result<PathBuf> {
        let list = self.context.join("jars.sha256");
        let listed = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        let expected = parse(&listed).with_context(|| format!("in {}", list.display()))?;
        let mut inputs = vec![digest::hex(listed.as_bytes()), REVISION.to_owned()];
        let source = self.source.map(|name| self.context.join(name));
        if let Some(source) = &source {
            let content = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
            inputs.push(digest::hex(&content));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        cached(self.name, &inputs, "tar", |path| {
            debian::ensure_maven(progress.unwrap_or(&Progress::quiet()))?;
            let directory = path.with_extension("directory");
            download(&self.context.join("pom.xml"), &expected, &directory)?;
            if let Some(source) = &source {
                (self.complete)(&directory, source)?;
            }
            layer_of_directory(&directory, self.place, path)
        })
    }
}

/// Downloads the jars and checks that they are exactly those of the list.
fn download(pom: &Path, expected: &BTreeMap<String, String>, directory: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(directory);
    let mut maven = Command::new("mvn");
    maven
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", directory.display()));
    command::output(&mut maven)?;
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).context("Maven fetched nothing")? {
        let entry = entry?;
        let digest = digest::hex_of_reader(File::open(entry.path())?)?;
        found.insert(entry.file_name().to_string_lossy().into_owned(), digest);
    }
    for name in found.keys().chain(expected.keys()) {
        let (got, listed) = (found.get(name), expected.get(name));
        ensure!(got == listed, "the jar {name} has the SHA-256 {got:?}, jars.sha256 has {listed:?}");
    }
    Ok(())
}

/// Parses the output of `sha256sum` into digests by name.
fn parse(list: &str) -> Result<BTreeMap<String, String>> {
    let entry = |line: &str| {
        let (digest, name) = line.split_once("  ").with_context(|| format!("no digest and name: {line:?}"))?;
        Ok((name.to_owned(), digest.to_owned()))
    };
    list.lines().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_jars_have_the_versions_of_their_poms() {
        let kafka = (include_str!("../../images/kafka/pom.xml"), include_str!("../../images/kafka/jars.sha256"));
        let flink = (include_str!("../../images/flink/pom.xml"), include_str!("../../images/flink/jars.sha256"));
        let artifacts =
            [(kafka, "kafka_2.13"), (flink, "flink-clients"), (flink, "flink-connector-kafka"), (flink, "ecj")];
        for ((pom, list), artifact) in artifacts {
            let jars = parse(list).expect("is a list");
            let version = pom.split(&format!("<artifactId>{artifact}</artifactId>")).nth(1).expect("is a dependency");
            let version = version.split(['<', '>']).nth(2).expect("has a version");
            assert!(jars.contains_key(&format!("{artifact}-{version}.jar")), "{artifact} {version} is not in {jars:?}");
            assert!(jars.values().all(|digest| digest.len() == 64), "{jars:?}");
        }
    }
}
