//! Runs the tests of the example recommender, so that `cargo test --workspace` includes them.

use std::process::Command;

use anyhow::{Context, Result, ensure};

#[tokio::test]
async fn the_example_recommender_passes_its_own_tests() -> Result<()> {
    // The tests do not use the cluster, but it installs the Debian packages that a new host lacks.
    let _cluster = e2e::cluster().await?;
    let script = e2e::paths::repository().join("examples/packages/test.sh");
    let run = tokio::task::spawn_blocking(move || {
        Command::new(&script).output().with_context(|| format!("cannot run {}", script.display()))
    });
    let output = run.await??;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    ensure!(output.status.success(), "test.sh failed ({}):\n{text}", output.status);
    ensure!(text.contains(" passed"), "no test ran:\n{text}");
    Ok(())
}
