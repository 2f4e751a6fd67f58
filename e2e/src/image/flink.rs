//! Flink: the Java runtime of Debian, the jars of `e2e/images/flink/pom.xml` from Maven, and a job.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::Recipe;
use super::archive::{Config, USER};
use super::cache::{layered, root};
use super::jars::{Jars, ROOT};
use crate::progress::Progress;
use crate::{command, paths};

/// The directory of the jars in the image, with the job beside them.
const JARS: &str = "opt/flink";
/// The path of the configuration in the image.
const CONFIGURATION: &str = "/etc/flink/config.yaml";
/// What Flink's own scripts give to a Java 17.
const OPENS: &str = "--add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.util=ALL-UNNAMED";

/// The image. Its entrypoint is a shell that takes a script, which starts the JobManager or the TaskManager.
pub fn recipe(progress: Option<&Progress>) -> Result<Recipe> {
    let context = paths::repository().join("e2e/images/flink");
    if let Some(progress) = progress {
        progress.detail("a Debian root with Java, and Flink's jars");
    }
    let root = root(ROOT)?;
    let jars = Jars { name: "flink", context: &context, place: JARS, source: Some("Features.java"), complete: compile };
    let jars = jars.layer(progress)?;
    let config = Config {
        entrypoint: ["/bin/sh", "-euc"].map(str::to_owned).into(),
        env: vec![format!("CLASSPATH=/{JARS}:/{JARS}/*"), format!("JDK_JAVA_OPTIONS={OPENS}")],
        user: USER.into(),
        working_directory: "/tmp".into(),
    };
    let configuration = (CONFIGURATION.to_owned(), context.join("config.yaml"));
    layered("flink", vec![root, jars], vec![configuration], config)
}

/// Compiles the job with the compiler among the jars, so that no JDK is needed.
fn compile(jars: &Path, source: &Path) -> Result<()> {
    let jars_of = |directory: &Path| -> Result<Vec<PathBuf>> {
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut java = Command::new("java");
    java.args(["-cp"])
        .arg(jars.join("*"))
        .args(["org.eclipse.jdt.internal.compiler.batch.Main", "-17", "-cp"])
        .arg(env::join_paths(jars_of(jars)?)?)
        .arg("-d")
        .arg(jars)
        .arg(source);
    command::output(&mut java).map(drop)
}
