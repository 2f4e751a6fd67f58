//! What consumes and produces in the live tests, and Redis: a Debian root with Python and Redis, the clients and the
//! exporter from PyPI, and the programs in `e2e/images/workers/`.

use anyhow::Result;

use super::Recipe;
use super::archive::{Config, USER};
use super::kept::{layered, libraries, root, sources};
use crate::paths;
use crate::progress::Progress;

const PACKAGES: &str = "python3,redis-server";
const MODULE: &str = "live_workers";

/// The image; its entrypoint is Python.
pub fn recipe(progress: Option<&Progress>) -> Result<Recipe> {
    let tell = |text: &str| {
        if let Some(progress) = progress {
            progress.detail(text);
        }
    };
    let context = paths::repository().join("e2e/images/workers");
    let program = sources(&context.join(MODULE), &format!("/app/{MODULE}"))?;
    tell("a Debian root with Python and Redis");
    let root = root(PACKAGES)?;
    tell("Python libraries");
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
