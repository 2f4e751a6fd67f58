//! The example recommender's image: a Debian root with Python, its libraries, Debian's package index as data, and
//! the program. Each is a layer of its own, and all but the last are kept: an edit of the program costs seconds.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Recipe;
use super::archive::{Config, Layer, USER, layer_of_files};
use crate::lock::{self, Mode};
use crate::progress::Progress;
use crate::{command, digest, paths};

/// The root's release and the Python it has.
const SUITE: &str = "bookworm";
const PYTHON: &str = "3.11";
/// What the root has beside the essential packages. NumPy is C++, and implicit computes with GNU OpenMP.
const PACKAGES: &str = "python3,libstdc++6,libgomp1";
/// To be raised when the recipe of a kept layer changes.
const REVISION: &str = "1";

const DATA: &str = "/data/packages.jsonl.gz";
const MODULE: &str = "packages_recommender";

/// The image of `examples/packages`.
pub fn example(progress: Option<&Progress>) -> Result<Recipe> {
    let tell = |text: &str| {
        if let Some(progress) = progress {
            progress.detail(text);
        }
    };
    let context = paths::repository().join("examples/packages");
    let requirements = context.join("requirements.txt");
    let listed = fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let program = sources(&context.join(MODULE), &format!("/app/{MODULE}"))?;

    let architecture = std::env::consts::ARCH;
    let root = kept("root", &[SUITE, PACKAGES, architecture, REVISION], "tar", |path| {
        tell("a Debian root with Python");
        make_root(path)
    })?;
    let libraries = digest::hex(&listed);
    let libraries = kept("libraries", &[&libraries, PYTHON, architecture, REVISION], "tar", |path| {
        tell("Python libraries");
        make_libraries(&requirements, path)
    })?;
    let indexer = digest::hex(&fs::read(context.join(MODULE).join("index.py"))?);
    let data = kept("index", &[&indexer, &apt_lists()?, REVISION], "gz", |path| {
        tell("Debian's package index");
        make_index(&context, path)
    })?;

    let mut inputs = String::new();
    for layer in [&root, &libraries, &data] {
        inputs += &format!("{}\n", layer.display());
    }
    for (name, path) in &program {
        inputs += &format!("{name} {}\n", digest::hex(&fs::read(path)?));
    }
    let env = ["PYTHONPATH=/app", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"];
    let config = Config {
        entrypoint: ["python3", "-m", MODULE].map(str::to_owned).into(),
        env: env.map(str::to_owned).into(),
        user: USER.into(),
        working_directory: "/app".into(),
    };
    let layers = Box::new(move || {
        let files: Vec<(&str, &Path)> = program.iter().map(|(name, path)| (name.as_str(), path.as_path())).collect();
        let data = layer_of_files(&[(DATA, &data)])?;
        Ok(vec![Layer::File(root), Layer::File(libraries), data, layer_of_files(&files)?])
    });
    Ok(Recipe { repository: "packages-recommender", inputs, config, layers })
}

/// The Python files below a directory with their place in the image, sorted.
fn sources(directory: &Path, name: &str) -> Result<Vec<(String, PathBuf)>> {
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

/// A file in the cache that is named after what goes into it; made if it is not there.
fn kept(name: &str, inputs: &[&str], suffix: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
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

fn make_root(path: &Path) -> Result<()> {
    let excluded = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap
        .args(["--variant=essential", "--skip=output/dev", &format!("--include={PACKAGES}")])
        .args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\""])
        .args(excluded.map(|pattern| format!("--dpkgopt=path-exclude={pattern}")))
        .arg(SUITE)
        .arg(path);
    command::output(&mut mmdebstrap).map(drop)
}

fn make_libraries(requirements: &Path, path: &Path) -> Result<()> {
    let directory = path.with_extension("directory");
    let _ = fs::remove_dir_all(&directory);
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"])
        .args(["--only-binary=:all:", "--target"])
        .arg(&directory)
        .arg("--requirement")
        .arg(requirements);
    if host_python()? != PYTHON {
        // Wheels for the root's Python, not for the host's; compiled files would be of the wrong version.
        pip.args(["--no-compile", "--implementation", "cp", "--python-version", PYTHON]);
        for platform in ["manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34"] {
            pip.args(["--platform", &format!("{platform}_{}", std::env::consts::ARCH)]);
        }
    }
    command::output(&mut pip)?;
    for library in ["numpy", "scipy"] {
        remove_tests(&directory.join(library))?; // 48 MB that nobody runs here
    }
    let mut layer = tar::Builder::new(BufWriter::new(File::create(path)?));
    layer.follow_symlinks(false);
    layer.append_dir_all(format!("usr/local/lib/python{PYTHON}/dist-packages"), &directory)?;
    layer.into_inner()?.into_inner().context("cannot write the layer")?;
    fs::remove_dir_all(&directory)?;
    Ok(())
}

/// `3.11`.
fn host_python() -> Result<String> {
    let mut python = Command::new("python3");
    let version = command::output(python.args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]))?;
    Ok(version.trim().to_owned())
}

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

fn make_index(context: &Path, path: &Path) -> Result<()> {
    let mut indexer = Command::new("python3");
    indexer.args(["-m", MODULE, "index", "--output"]).arg(path).current_dir(context);
    command::output(indexer.env("PYTHONDONTWRITEBYTECODE", "1")).map(drop)
}

/// Identifies the package lists of this host, from which the index is made. Fetches them if there are none.
fn apt_lists() -> Result<String> {
    let lists = list_package_files()?;
    if !lists.is_empty() {
        return Ok(lists);
    }
    command::output(Command::new("apt-get").args(["-q", "update"]))?;
    let lists = list_package_files()?;
    if lists.is_empty() {
        bail!("apt-get update left no package lists in /var/lib/apt/lists, from which the example learns");
    }
    Ok(lists)
}

fn list_package_files() -> Result<String> {
    let mut lists = Vec::new();
    for entry in fs::read_dir("/var/lib/apt/lists").into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains("_Packages") {
            lists.push(format!("{name} {}", entry.metadata()?.len()));
        }
    }
    lists.sort();
    Ok(lists.join("\n"))
}
