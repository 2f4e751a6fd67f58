//! The example recommender's image: a Debian root with Python, its libraries, and the program with Debian's package index
//! as data.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::Recipe;
use super::archive::{Config, USER};
use super::kept::{REVISION, kept, layered, libraries, root, sources};
use crate::progress::Progress;
use crate::{command, digest, paths};

/// What the root has beside the essential packages. NumPy is C++, and implicit computes with GNU OpenMP.
const PACKAGES: &str = "python3,libstdc++6,libgomp1";
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
    let mut program = sources(&context.join(MODULE), &format!("/app/{MODULE}"))?;

    tell("a Debian root with Python");
    let root = root(PACKAGES)?;
    tell("Python libraries");
    let libraries = libraries(&requirements)?;
    let indexer = digest::hex(&fs::read(context.join(MODULE).join("index.py"))?);
    let data = kept("index", &[&indexer, &apt_lists()?, REVISION], "gz", |path| {
        tell("Debian's package index");
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
