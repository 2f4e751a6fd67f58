//! The image for the consumers and producers of the live tests, rq-exporter and Redis: a Debian root with Python and
//! Redis, the clients and the exporter from PyPI, and the programs in `e2e/images/workers/`.

use anyhow::Result;

use super::Recipe;
use super::archive::{Config, USER};
use super::cache::{layered, libraries, root, sources};
use crate::paths;
use crate::progress::Progress;

/// The Debian packages of the root, in addition to the essential ones.
const PACKAGES: &str = "python3,redis-server";
/// The Python module of the programs.
const MODULE: &str = "live_workers";

/// The image. Its entrypoint is Python.
pub fn recipe(progress: Option<&Progress>) -> Result<Recipe> {
    let show = |text: &str| {
        if let Some(progress) = progress {
            progress.detail(text);
        }
    };
    let context = paths::repository().join("e2e/images/workers");
    let program = sources(&context.join(MODULE), &format!("/app/{MODULE}"))?;
    show("a Debian root with Python and Redis");
    let root = root(PACKAGES)?;
    show("Python libraries");
    let libraries = libraries(&context.join("requirements.txt"))?;
    let env = ["PYTHONPATH=/app", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"];
    let config = Config {
        entrypoint: vec!["python3".into()],
        env: env.map(str::to_owned).into(),
        user: USER.into(),
        working_directory: "/app".into(),
    };
    layered("live-workers", vec![root, libraries], program, config)
}
