//! Installs the Debian packages that the cluster and the images need, without starting any service.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::progress::Progress;

/// Packages, each with a file that shows that it is installed. On some hosts the program comes from elsewhere.
const PACKAGES: &[(&str, &str)] = &[
    ("runc", "/usr/sbin/runc"),
    ("containernetworking-plugins", "/usr/lib/cni/ptp"),
    ("nftables", "/usr/sbin/nft"),
    ("iproute2", "/usr/sbin/ip"),
    ("mount", "/usr/bin/mount"),
    ("catatonit", "/usr/bin/catatonit"),
    ("mmdebstrap", "/usr/bin/mmdebstrap"),
    ("python3-pip", "/usr/bin/pip3"),
    ("python3-venv", "/usr/lib/python3.11/ensurepip/__init__.py"), // for the tests of the example
];

/// Maven, which downloads the jars of Kafka and Flink: package and program.
const MAVEN: (&str, &str) = ("maven", "/usr/bin/mvn");

/// Maintainer scripts start no services while this file exists and exits with 101 (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs the packages that the cluster needs and that are missing.
pub fn ensure(progress: &Progress) -> Result<()> {
    install(&missing(PACKAGES), progress)
}

/// Installs Maven unless the host has it. Only the images of Kafka and Flink need it.
pub fn ensure_maven(progress: &Progress) -> Result<()> {
    if command::output(Command::new("mvn").arg("--version")).is_ok() {
        return Ok(());
    }
    install(&missing(&[MAVEN]), progress)
}

fn install(missing: &[&str], progress: &Progress) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("the packages {} are missing and only root can install them", missing.join(" "));
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("no apt-get on this host: install these yourself: {}", missing.join(" "));
    }
    progress.detail(missing.join(" "));
    if !all_have_candidates(missing) {
        progress.detail("apt-get update");
        command::output(apt_get().arg("update"))?;
        progress.detail(missing.join(" "));
    }
    let _no_services = NoServices::begin()?;
    let install = || command::output(apt_get().args(["install", "--no-install-recommends", "-y"]).args(missing));
    // An outdated package list names versions that the mirror has removed: retry with a fresh one.
    if install().is_err() {
        command::output(apt_get().arg("update"))?;
        install().context("Debian packages could not be installed")?;
    }
    Ok(())
}

fn missing(packages: &'static [(&str, &str)]) -> Vec<&'static str> {
    packages.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(name, _)| *name).collect()
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("-q");
    command
}

fn all_have_candidates(packages: &[&str]) -> bool {
    packages.iter().all(|package| {
        command::output(Command::new("apt-cache").args(["policy", package]))
            .is_ok_and(|text| text.contains("Candidate:") && !text.contains("Candidate: (none)"))
    })
}

/// Creates the policy file unless the host has one, and removes it when dropped.
struct NoServices {
    created: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { created: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { created: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.created {
            // A file that stays would keep services of other packages from starting, but nothing more can be done here.
            let _ = fs::remove_file(POLICY);
        }
    }
}
