//! The Debian packages the cluster and the images need, installed without starting any service.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::progress::Progress;

/// A package and the file that shows that it is there (some hosts have a program from elsewhere).
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

/// Fetches jars; a host may have it from elsewhere.
const MAVEN: (&str, &str) = ("maven", "/usr/bin/mvn");

/// While this file exists and exits 101, maintainer scripts start no services (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what the cluster needs and is missing.
pub fn ensure(progress: &Progress) -> Result<()> {
    install(&missing(PACKAGES), progress)
}

/// Installs Maven, which only the image with Kafka needs, unless there is one.
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
    // A package list that is out of date names versions the mirror has no more: once more with a fresh one.
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

/// Puts the policy file in place, unless the host has its own, and takes it away at the end.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            // Left behind it would keep other packages' services from starting, but there is nothing more to try.
            let _ = fs::remove_file(POLICY);
        }
    }
}
