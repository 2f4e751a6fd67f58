//! The image of the example recommender: a Debian root with Python, its libraries, the program, and Debian's package
//! index as training data.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::Recipe;
use super::archive::{Config, USER};
use super::cache::{REVISION, cached, layered, libraries, root, sources};
use crate::progress::Progress;
use crate::{command, digest, paths};

/// The Debian packages of the root, in addition to the essential ones. NumPy needs libstdc++, and implicit uses GNU
/// OpenMP.
const PACKAGES: &str = "python3,libstdc++6,libgomp1";
/// The path of the training data in the image.
const DATA: &str = "/data/packages.jsonl.gz";
/// The Python module of the program.
const MODULE: &str = "packages_recommender";

/// The image of `examples/packages`.
pub fn example(progress: Option<&Progress>) -> Result<Recipe> {
    let show = |text: &str| {
        if let Some(progress) = progress {
            progress.detail(text);
        }
    };
    let context = paths::repository().join("examples/packages");
    let requirements = context.join("requirements.txt");
    let mut program = sources(&context.join(MODULE), &format!("/app/{MODULE}"))?;

    show("a Debian root with Python");
    let root = root(PACKAGES)?;
    show("Python libraries");
    let libraries = libraries(&requirements)?;
    let indexer = digest::hex(&fs::read(context.join(MODULE).join("index.py"))?);
    let data = cached("index", &[&indexer, &apt_lists()?, REVISION], "gz", |path| {
        show("Debian's package index");
        make_index(&context, path)
    })?;

    program.push((DATA.to_owned(), data));
    let env = ["PYTHONPATH=/app", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"];
    let config = Config {
        entrypoint: ["python3", "-m", MODULE].map(str::to_owned).into(),
        env: env.map(str::to_owned).into(),
        user: USER.into(),
        working_directory: "/app".into(),
    };
    layered("packages-recommender", vec![root, libraries], program, config)
}

fn make_index(context: &Path, path: &Path) -> Result<()> {
    let mut indexer = Command::new("python3");
    indexer.args(["-m", MODULE, "index", "--output"]).arg(path).current_dir(context);
    command::output(indexer.env("PYTHONDONTWRITEBYTECODE", "1")).map(drop)
}

/// Identifies the package lists of this host, from which the index is built. Downloads them if there are none.
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
