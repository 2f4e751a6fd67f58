//! kubectl with the kubeconfig of our cluster.

use std::process::Command;

use anyhow::Result;

use crate::{command, paths, tools};

/// Runs kubectl with our cluster.
pub fn kubectl(arguments: &[&str]) -> Result<String> {
    command::output(kubectl_command()?.args(arguments))
}

/// Applies manifests with server-side apply.
pub fn kubectl_apply(manifests: &str) -> Result<()> {
    let mut apply = kubectl_command()?;
    apply.args(["apply", "--server-side", "--force-conflicts", "--field-manager=e2e", "-f", "-"]);
    command::output_with_input(&mut apply, manifests.as_bytes()).map(drop)
}

fn kubectl_command() -> Result<Command> {
    let mut kubectl = Command::new(tools::program("kubectl")?);
    kubectl.arg("--kubeconfig").arg(paths::kubeconfig());
    Ok(kubectl)
}
