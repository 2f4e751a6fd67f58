//! A Kafka broker: Debian's Java runtime, and the jars that `e2e/images/kafka/pom.xml` asks Maven for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Recipe;
use super::archive::{Config, USER};
use super::kept::{REVISION, kept, layer_of_directory, layered, root};
use crate::progress::Progress;
use crate::{command, debian, digest, paths};

const PACKAGES: &str = "openjdk-17-jre-headless";
/// Where the jars and the broker's configuration are in the image.
const JARS: &str = "opt/kafka";
const CONFIGURATION: &str = "/etc/kafka/server.properties";

/// The image. Java finds all jars; which of their programs runs is said by the pod, as is customary with
/// `kafka.tools.StorageTool`, which prepares the broker's directory, and `kafka.Kafka`, the broker.
pub fn recipe(progress: Option<&Progress>) -> Result<Recipe> {
    let tell = |text: &str| {
        if let Some(progress) = progress {
            progress.detail(text);
        }
    };
    let context = paths::repository().join("e2e/images/kafka");
    let list = context.join("jars.sha256");
    let listed = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let expected = parse(&listed).with_context(|| format!("in {}", list.display()))?;
    tell("a Debian root with Java");
    let root = root(PACKAGES)?;
    tell("Kafka's jars");
    let jars = kept("kafka", &[&digest::hex(listed.as_bytes()), REVISION], "tar", |path| {
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

/// Fetches the jars and checks that they are those that are listed, all of them and no others.
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
        let (got, wanted) = (found.get(name), expected.get(name));
        ensure!(got == wanted, "the jar {name} has the SHA-256 {got:?}, jars.sha256 says {wanted:?}");
    }
    layer_of_directory(&directory, JARS, path)
}

/// The list as `sha256sum` writes it: the digest by the name.
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
    fn the_list_of_jars_has_the_version_that_the_pom_asks_for() {
        let pom = include_str!("../../images/kafka/pom.xml");
        let jars = parse(include_str!("../../images/kafka/jars.sha256")).expect("is a list");
        let version = pom.split("<artifactId>kafka_2.13</artifactId>").nth(1).expect("asks for Kafka");
        let version = version.split(['<', '>']).nth(2).expect("has a version");
        assert!(jars.contains_key(&format!("kafka_2.13-{version}.jar")), "{version} is not in {jars:?}");
        assert!(jars.values().all(|digest| digest.len() == 64), "{jars:?}");
    }
}
