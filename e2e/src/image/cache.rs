//! Layers that are slow to build: a Debian root, Python libraries, jars. Each is cached in a file that is
//! named after a hash of its inputs, so that a change of a program costs seconds.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Recipe;
use super::archive::{Config, Layer, layer_of_files};
use crate::lock::{self, Mode};
use crate::{command, digest, paths};

/// The Debian release of the roots.
const SUITE: &str = "bookworm";
/// The Python version of [`SUITE`].
const PYTHON: &str = "3.11";
/// Revision of the layers' recipes. Raise it when one of them changes: it is part of the inputs of every cached layer.
pub const REVISION: &str = "1";

/// A file: its absolute path in the image, and its path on the host.
pub type Placed = (String, PathBuf);

/// An image of these cached layers, lowest first, and a last layer with these files.
pub fn layered(repository: &'static str, layers: Vec<PathBuf>, files: Vec<Placed>, config: Config) -> Result<Recipe> {
    let mut inputs = String::new();
    for layer in &layers {
        inputs += &format!("{}\n", layer.display());
    }
    for (name, path) in &files {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        inputs += &format!("{name} {}\n", digest::hex(&content));
    }
    let layers = Box::new(move || {
        let files: Vec<(&str, &Path)> = files.iter().map(|(name, path)| (name.as_str(), path.as_path())).collect();
        let last = layer_of_files(&files)?;
        Ok(layers.into_iter().map(Layer::File).chain([last]).collect())
    });
    Ok(Recipe { repository, inputs, config, layers })
}

/// The file in the cache for these inputs. Builds it with `make` if it does not exist.
pub fn cached(name: &str, inputs: &[&str], suffix: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let hash = &digest::hex(inputs.join("\n").as_bytes())[..16];
    let path = paths::cache().join("images").join(format!("{name}-{hash}.{suffix}"));
    let _one_at_a_time = lock::lock(&paths::cache().join("images.lock"), Mode::Exclusive, |_| ())?;
    if !path.exists() {
        fs::create_dir_all(paths::cache().join("images"))?;
        let partial = path.with_extension(format!("partial.{suffix}"));
        make(&partial)?;
        fs::rename(&partial, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}

/// A Debian root file system with the essential packages and these (comma separated).
pub fn root(packages: &str) -> Result<PathBuf> {
    cached("root", &[SUITE, packages, std::env::consts::ARCH, REVISION], "tar", |path| make_root(packages, path))
}

fn make_root(packages: &str, path: &Path) -> Result<()> {
    let excluded = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap
        .args(["--variant=essential", "--skip=output/dev", &format!("--include={packages}")])
        .args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\""])
        .args(excluded.map(|pattern| format!("--dpkgopt=path-exclude={pattern}")))
        // The package of Java links its manual pages and fails without the directory for them.
        .arg("--essential-hook=mkdir -p \"$1/usr/share/man/man1\"")
        .arg(SUITE)
        .arg(path);
    command::output(&mut mmdebstrap).map(drop)
}

/// The Python libraries of a file of pinned requirements, in the directory where the root's Python finds them.
pub fn libraries(requirements: &Path) -> Result<PathBuf> {
    let listed = fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let inputs = [&digest::hex(&listed), PYTHON, std::env::consts::ARCH, REVISION];
    cached("libraries", &inputs, "tar", |path| make_libraries(requirements, path))
}

/// The directory with the Python libraries of a file of pinned requirements, for a program that the Python of this host runs.
///
/// # Errors
/// When pip cannot install them.
pub fn host_libraries(requirements: &Path) -> Result<PathBuf> {
    let listed = fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let python = host_python()?;
    let inputs = [&digest::hex(&listed), python.as_str(), std::env::consts::ARCH, REVISION];
    cached("host-libraries", &inputs, "directory", |path| {
        let _ = fs::remove_dir_all(path); // of a run that was interrupted
        command::output(&mut install(requirements, path)).map(drop)
    })
}

/// The command that installs libraries into a directory.
fn install(requirements: &Path, directory: &Path) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"])
        .args(["--only-binary=:all:", "--target"])
        .arg(directory)
        .arg("--requirement")
        .arg(requirements);
    pip
}

fn make_libraries(requirements: &Path, path: &Path) -> Result<()> {
    let directory = path.with_extension("directory");
    let _ = fs::remove_dir_all(&directory);
    let mut pip = install(requirements, &directory);
    if host_python()? != PYTHON {
        // Wheels for the Python of the root, not of the host. Bytecode that the host compiles would have the wrong
        // version.
        pip.args(["--no-compile", "--implementation", "cp", "--python-version", PYTHON]);
        for platform in ["manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34"] {
            pip.args(["--platform", &format!("{platform}_{}", std::env::consts::ARCH)]);
        }
    }
    command::output(&mut pip)?;
    for library in ["numpy", "scipy"].map(|name| directory.join(name)) {
        if library.exists() {
            remove_tests(&library)?; // saves 48 MB
        }
    }
    layer_of_directory(&directory, &format!("usr/local/lib/python{PYTHON}/dist-packages"), path)
}

/// Writes a layer with the content of `directory` at `place`, and removes the directory.
pub fn layer_of_directory(directory: &Path, place: &str, path: &Path) -> Result<()> {
    let mut layer = tar::Builder::new(BufWriter::new(File::create(path)?));
    layer.follow_symlinks(false);
    layer.append_dir_all(place, directory)?;
    layer.into_inner()?.into_inner().context("cannot write the layer")?;
    fs::remove_dir_all(directory)?;
    Ok(())
}

/// The version of the host's Python, `3.11`.
fn host_python() -> Result<String> {
    let mut python = Command::new("python3");
    let version = command::output(python.args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]))?;
    Ok(version.trim().to_owned())
}

/// Removes every directory `tests` below this one.
fn remove_tests(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if entry.file_name() == "tests" {
            fs::remove_dir_all(entry.path())?;
        } else {
            remove_tests(&entry.path())?;
        }
    }
    Ok(())
}

/// The Python files below a directory with their path in the image below `name`, sorted.
pub fn sources(directory: &Path, name: &str) -> Result<Vec<Placed>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let inside = format!("{name}/{file}");
        if entry.file_type()?.is_dir() && file != "__pycache__" {
            found.extend(sources(&entry.path(), &inside)?);
        } else if file.ends_with(".py") {
            found.push((inside, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}
