//! A Kafka broker: the Java runtime of Debian, and the jars of `e2e/images/kafka/pom.xml` from Maven.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Recipe;
use super::archive::{Config, USER};
use super::cache::{REVISION, cached, layer_of_directory, layered, root};
use crate::progress::Progress;
use crate::{command, debian, digest, paths};

/// The Debian packages of the root, in addition to the essential ones.
const PACKAGES: &str = "openjdk-17-jre-headless";
/// The directory of the jars in the image.
const JARS: &str = "opt/kafka";
/// The path of the broker's configuration in the image.
const CONFIGURATION: &str = "/etc/kafka/server.properties";

/// The image. All jars are on the class path. The pod names the main class: `kafka.tools.StorageTool`, which formats
/// the broker's directory, or `kafka.Kafka`, the broker.
pub fn recipe(progress: Option<&Progress>) -> Result<Recipe> {
    let show = |text: &str| {
        if let Some(progress) = progress {
            progress.detail(text);
        }
    };
    let context = paths::repository().join("e2e/images/kafka");
    let list = context.join("jars.sha256");
    let listed = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let expected = parse(&listed).with_context(|| format!("in {}", list.display()))?;
    show("a Debian root with Java");
    let root = root(PACKAGES)?;
    show("Kafka's jars");
    let jars = cached("kafka", &[&digest::hex(listed.as_bytes()), REVISION], "tar", |path| {
        debian::ensure_maven(progress.unwrap_or(&Progress::quiet()))?;
        make_jars(&context.join("pom.xml"), &expected, path)
    })?;
    let config = Config {
        entrypoint: vec!["java".into()],
        env: vec![format!("CLASSPATH=/{JARS}/*")],
        user: USER.into(),
        working_directory: "/".into(),
    };
    let configuration = (CONFIGURATION.to_owned(), context.join("server.properties"));
    layered("kafka", vec![root, jars], vec![configuration], config)
}

/// Downloads the jars and checks that they are exactly those of the list.
fn make_jars(pom: &Path, expected: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    let directory = path.with_extension("directory");
    let _ = fs::remove_dir_all(&directory);
    let mut maven = Command::new("mvn");
    maven
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", directory.display()));
    command::output(&mut maven)?;
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&directory).context("Maven fetched nothing")? {
        let entry = entry?;
        let digest = digest::hex_of_reader(File::open(entry.path())?)?;
        found.insert(entry.file_name().to_string_lossy().into_owned(), digest);
    }
    for name in found.keys().chain(expected.keys()) {
        let (got, listed) = (found.get(name), expected.get(name));
        ensure!(got == listed, "the jar {name} has the SHA-256 {got:?}, jars.sha256 has {listed:?}");
    }
    layer_of_directory(&directory, JARS, path)
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
    fn the_list_of_jars_has_the_version_of_the_pom() {
        let pom = include_str!("../../images/kafka/pom.xml");
        let jars = parse(include_str!("../../images/kafka/jars.sha256")).expect("is a list");
        let version = pom.split("<artifactId>kafka_2.13</artifactId>").nth(1).expect("depends on Kafka");
        let version = version.split(['<', '>']).nth(2).expect("has a version");
        assert!(jars.contains_key(&format!("kafka_2.13-{version}.jar")), "{version} is not in {jars:?}");
        assert!(jars.values().all(|digest| digest.len() == 64), "{jars:?}");
    }
}
