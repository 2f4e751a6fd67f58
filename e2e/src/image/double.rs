//! The test double for trainers and servers: Debian's static busybox on an empty root. Tests state in a few lines of
//! shell what a trainer or server does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tar::{Builder, EntryType, Header};

use super::Recipe;
use super::archive::{Config, Layer, USER};
use crate::{command, digest, paths};

/// The Debian package with the static busybox.
const PACKAGE: &str = "busybox-static";

/// The commands of busybox that scripts may use.
const COMMANDS: &[&str] =
    &["cat", "echo", "env", "head", "httpd", "mkdir", "printf", "sh", "sha256sum", "sleep", "test", "tr", "wget"];

/// The image. Its entrypoint is a shell.
pub fn recipe() -> Result<Recipe> {
    let program = busybox()?;
    let content = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let inputs = format!("{} {}", digest::hex(&content), COMMANDS.join(" "));
    let config = Config {
        entrypoint: vec!["/bin/sh".into()],
        user: USER.into(),
        working_directory: "/".into(),
        env: vec!["PATH=/bin".into()],
    };
    Ok(Recipe { repository: "test-double", inputs, config, layers: Box::new(move || Ok(vec![layer(&content)?])) })
}

/// The program from Debian's package, which is only unpacked and not installed: the host may have another busybox.
fn busybox() -> Result<PathBuf> {
    let directory = paths::cache().join(PACKAGE);
    let program = directory.join("bin/busybox");
    if !program.exists() {
        let fresh = paths::cache().join(format!("{PACKAGE}.new"));
        unpack_package(&fresh).with_context(|| format!("cannot get Debian's package {PACKAGE}"))?;
        fs::rename(&fresh, &directory).with_context(|| format!("cannot create {}", directory.display()))?;
        ensure!(program.exists(), "Debian's package {PACKAGE} has no bin/busybox");
    }
    Ok(program)
}

fn unpack_package(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?; // left by an interrupted run
    }
    fs::create_dir_all(directory)?;
    let download = || command::output(Command::new("apt-get").args(["-q", "download", PACKAGE]).current_dir(directory));
    if download().is_err() {
        command::output(Command::new("apt-get").args(["-q", "update"]))?;
        download()?;
    }
    let files = fs::read_dir(directory)?.collect::<std::io::Result<Vec<_>>>()?;
    let [package] = &files[..] else { anyhow::bail!("apt-get downloaded {} files instead of one", files.len()) };
    command::output(Command::new("dpkg-deb").arg("--extract").arg(package.path()).arg(directory)).map(drop)
}

fn layer(busybox: &[u8]) -> Result<Layer> {
    let mut layer = Builder::new(Vec::new());
    layer.append_data(&mut header(EntryType::Regular, busybox.len() as u64), "bin/busybox", busybox)?;
    for name in COMMANDS {
        layer.append_link(&mut header(EntryType::Symlink, 0), format!("bin/{name}"), "busybox")?;
    }
    Ok(Layer::Bytes(layer.into_inner()?))
}

/// A tar header with constant times and owners, so that the same content gives the same layer.
fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
