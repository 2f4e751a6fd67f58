//! The images of the cluster, its add-ons, the operator and the example.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Recipe;
use super::archive::{Config, USER, layer_of_files};
use crate::progress::Progress;
use crate::{digest, paths, tools};

/// Holds a pod's namespaces and reaps what dies in them.
pub fn pause() -> Result<Recipe> {
    let program = Path::new("/usr/bin/catatonit");
    let content = std::fs::read(program).context("cannot read /usr/bin/catatonit (Debian package catatonit)")?;
    Ok(single("pause", "/catatonit", program.into(), digest::hex(&content), &["-P"]))
}

/// An image with one of the Go programs, where prometheus-operator expects its own: in `/bin`.
pub fn go_program(name: &'static str, family: &str) -> Result<Recipe> {
    let hash = tools::family(family)?.hash()?;
    Ok(single(name, &format!("/bin/{name}"), tools::program(name)?, hash, &[]))
}

/// The operator, built from this checkout: one static file on an empty root.
pub fn operator(progress: Option<&Progress>) -> Result<Recipe> {
    let program = build_operator(progress)?;
    let content = std::fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    Ok(single("recommender-operator", "/recommender-operator", program, digest::hex(&content), &[]))
}

/// The example recommender.
pub fn example(progress: Option<&Progress>) -> Result<Recipe> {
    super::python::example(progress)
}

/// A Kafka broker.
pub fn kafka(progress: Option<&Progress>) -> Result<Recipe> {
    super::kafka::recipe(progress)
}

/// Consumers, producers, exporters and Redis.
pub fn workers(progress: Option<&Progress>) -> Result<Recipe> {
    super::workers::recipe(progress)
}

/// One static program on an empty root.
fn single(repository: &'static str, path: &str, program: PathBuf, inputs: String, args: &[&str]) -> Recipe {
    let path = path.to_owned();
    let mut entrypoint = vec![path.clone()];
    entrypoint.extend(args.iter().map(|arg| (*arg).to_owned()));
    let config = Config { entrypoint, user: USER.into(), working_directory: "/".into(), env: vec![] };
    let layers = Box::new(move || Ok(vec![layer_of_files(&[(&path, &program)])?]));
    Recipe { repository, inputs, config, layers }
}

/// Cargo knows best whether there is anything to do; it also says where the program is.
fn build_operator(progress: Option<&Progress>) -> Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut child = Command::new(cargo)
        .args(["build", "--release", "--locked", "--package", "recommender-operator", "--bin", "recommender-operator"])
        .args(["--target", &target, "--message-format", "json-render-diagnostics"])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .current_dir(paths::repository())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let stderr = child.stderr.take().context("stderr is piped")?;
    let said = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    let mut executable = None;
    let stdout = child.stdout.take().context("stdout is piped")?;
    for (count, line) in BufReader::new(stdout).lines().map_while(Result::ok).enumerate() {
        if let Some(progress) = progress {
            progress.detail(format!("cargo build --release, {count} steps"));
        }
        let message: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(path) = message["executable"].as_str() {
            executable = Some(PathBuf::from(path));
        }
    }
    let status = child.wait()?;
    let said = said.join().unwrap_or_default();
    if !status.success() {
        bail!("the operator does not build ({status}):\n{}", crate::command::last_lines(&said, 40));
    }
    executable.context("cargo built no program recommender-operator")
}
