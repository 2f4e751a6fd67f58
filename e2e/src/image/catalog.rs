//! The images of the cluster, its add-ons, the operator and the example.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Recipe;
use super::archive::{Config, USER, layer_of_files};
use crate::progress::Progress;
use crate::{command, digest, paths, tools};

/// The pause image, which keeps the namespaces of a pod and reaps its processes.
pub fn pause() -> Result<Recipe> {
    let program = Path::new("/usr/bin/catatonit");
    let content = std::fs::read(program).context("cannot read /usr/bin/catatonit (Debian package catatonit)")?;
    Ok(single("pause", "/catatonit", program.into(), digest::hex(&content), &["-P"]))
}

/// The image of a Go program, with the program in `/bin`, where prometheus-operator expects its own.
pub fn go_program(name: &'static str, component: &str) -> Result<Recipe> {
    let hash = tools::component(component)?.hash()?;
    Ok(single(name, &format!("/bin/{name}"), tools::program(name)?, hash, &[]))
}

/// Kueue, at the path that its chart runs. The program is built on first use.
pub fn kueue() -> Result<Recipe> {
    Ok(single("kueue", "/manager", tools::program("kueue")?, tools::component("kueue")?.hash()?, &[]))
}

/// Contour and Envoy, each in `/bin`. Contour is built on first use; Envoy is the program of its wheel, with the shared libraries of this
/// host that it is linked with.
pub fn gateway() -> Result<Recipe> {
    let envoy = super::host_libraries(&paths::repository().join("e2e/images/gateway/requirements.txt"))?
        .join("envoy/_bin/envoy");
    let mut files =
        vec![("/bin/contour".to_owned(), tools::program("contour")?), ("/bin/envoy".to_owned(), envoy.clone())];
    files.extend(libraries(&envoy)?.into_iter().map(|library| (library.display().to_string(), library)));
    let config = Config { entrypoint: vec![], user: USER.into(), working_directory: "/".into(), env: vec![] };
    super::cache::layered("gateway", vec![], files, config)
}

/// The operator, built from this checkout, on an empty root with the host's shared libraries that it is linked with. It
/// is the debug build of `cargo build`: the release build takes several times as long to compile. The image for users
/// is built by the Dockerfile.
pub fn operator(progress: Option<&Progress>) -> Result<Recipe> {
    let program = build_operator(progress)?;
    let content = std::fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let mut files = vec![("/recommender-operator".to_owned(), program.clone())];
    files.extend(libraries(&program)?.into_iter().map(|library| (library.display().to_string(), library)));
    let config = Config {
        entrypoint: vec!["/recommender-operator".into()],
        user: USER.into(),
        working_directory: "/".into(),
        env: vec![],
    };
    let layers = Box::new(move || {
        let files: Vec<(&str, &Path)> = files.iter().map(|(name, path)| (name.as_str(), path.as_path())).collect();
        Ok(vec![layer_of_files(&files)?])
    });
    Ok(Recipe { repository: "recommender-operator", inputs: digest::hex(&content), config, layers })
}

/// The shared libraries of a program and its dynamic loader, with the paths at which the program looks for them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = command::output(Command::new("ldd").arg(program))?;
    // `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x...)`, `/lib64/ld-linux-x86-64.so.2 (0x...)`
    let paths = listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
}

/// The example recommender.
pub fn example(progress: Option<&Progress>) -> Result<Recipe> {
    super::python::example(progress)
}

/// Flink with a job.
pub fn flink(progress: Option<&Progress>) -> Result<Recipe> {
    super::flink::recipe(progress)
}

/// A Kafka broker.
pub fn kafka(progress: Option<&Progress>) -> Result<Recipe> {
    super::kafka::recipe(progress)
}

/// Consumers, producers, exporters and Redis.
pub fn workers(progress: Option<&Progress>) -> Result<Recipe> {
    super::workers::recipe(progress)
}

/// PostgreSQL, FerretDB, Redis, NGINX, RabbitMQ, an S3 server and exporters.
pub fn services(progress: Option<&Progress>) -> Result<Recipe> {
    super::services::recipe(progress)
}

/// An image with one static program on an empty root.
fn single(repository: &'static str, path: &str, program: PathBuf, inputs: String, args: &[&str]) -> Recipe {
    let path = path.to_owned();
    let mut entrypoint = vec![path.clone()];
    entrypoint.extend(args.iter().map(|arg| (*arg).to_owned()));
    let config = Config { entrypoint, user: USER.into(), working_directory: "/".into(), env: vec![] };
    let layers = Box::new(move || Ok(vec![layer_of_files(&[(&path, &program)])?]));
    Recipe { repository, inputs, config, layers }
}

/// Builds the operator and returns the path of the program. Cargo decides whether anything has to be built.
fn build_operator(progress: Option<&Progress>) -> Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut child = Command::new(cargo)
        // With e2e selected too, its features are those that the demo and the tests were compiled with.
        .args(["build", "--locked", "--package", "recommender-operator", "--package", "e2e"])
        .args(["--bin", "recommender-operator"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(paths::repository())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let stderr = child.stderr.take().context("stderr is piped")?;
    let output = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    let mut executable = None;
    let stdout = child.stdout.take().context("stdout is piped")?;
    for (count, line) in BufReader::new(stdout).lines().map_while(Result::ok).enumerate() {
        if let Some(progress) = progress {
            progress.detail(format!("cargo build, {count} steps"));
        }
        let message: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(path) = message["executable"].as_str() {
            executable = Some(PathBuf::from(path));
        }
    }
    let status = child.wait()?;
    let output = output.join().unwrap_or_default();
    if !status.success() {
        bail!("the operator does not build ({status}):\n{}", command::last_lines(&output, 40));
    }
    executable.context("cargo built no program recommender-operator")
}
