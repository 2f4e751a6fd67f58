//! Builds the programs of components into the cache, under a hash of all inputs of the build.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context, Result, bail};

use super::components::{Component, DIRECTORIES, component};
use crate::lock::{self, Mode};
use crate::progress::Progress;
use crate::{command, digest, paths};

/// How the names of packages that are written here begin. Their directory in the repository follows.
const OWN: &str = "recommender.dev/";

/// Build tags. They leave out file systems and kernel features of containerd that the cluster does not use, and all
/// service discovery of Prometheus except for Kubernetes. One list for all programs, so that shared packages are
/// compiled once.
const TAGS: &str = "no_btrfs,no_devmapper,no_rdt,no_tracing,no_zfs,remove_all_sd,enable_kubernetes_sd";

/// Another build tag in the directory of programs for live tests: FerretDB without SQLite, which takes as long to compile as all the rest of it.
const LIVE_TAG: &str = "ferretdb_no_sqlite";

/// `-gcflags`: no debug information. These programs are not debugged, and [`LINKER`] would strip it anyway.
const COMPILER: &str = "all=-dwarf=false";

/// `GOGC` of the compilers unless it is set: the heap, in % of what is live, at which Go collects garbage. A compiler lives for
/// a second, so collecting is wasted: `k8s.io/api/core/v1` and all it imports take 56 s of CPU with 400, and 73 s with Go's
/// 100. Twice as much gains another 3 s and costs memory.
const GARBAGE: (&str, &str) = ("GOGC", "400");

/// `-ldflags`: no symbol table.
const LINKER: &str = "-s -w";

/// `-ldflags` for the version that Kubernetes' programs report. The other programs have it in their sources.
const KUBERNETES: &str = "k8s.io/kubernetes/cmd/...={linker} \
                          -X k8s.io/component-base/version.gitVersion={version} \
                          -X k8s.io/component-base/version.gitMajor={major} \
                          -X k8s.io/component-base/version.gitMinor={minor}";

/// Programs with another name than `go build` gives them, which is the last element of the package: (built name, common
/// name).
const RENAMED: &[(&str, &str)] = &[("server", "etcd"), ("operator", "prometheus-operator")];

/// The file that marks a component's build directory as complete.
const COMPLETE: &str = ".complete";

impl Component {
    /// Identifies the build: the hash of go.mod, go.sum, the programs that are written here, and the build flags.
    pub fn hash(&self) -> Result<String> {
        let own = self.packages.iter().filter_map(|package| package.strip_prefix(OWN));
        let own = own.map(|directory| paths::repository().join(directory).join("main.go"));
        let mut content = [flags(self.directory)?.join("\n"), self.packages.join("\n")].join("\n").into_bytes();
        for path in ["go.mod", "go.sum"].map(|file| self.sources().join(file)).into_iter().chain(own) {
            content.extend(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
        Ok(digest::hex(&content)[..16].to_owned())
    }

    /// The directory in the cache for its built programs.
    pub(super) fn build_directory(&self) -> Result<PathBuf> {
        Ok(paths::cache().join("tools").join(format!("{}-{}", self.name, self.hash()?)))
    }

    /// The names of its programs.
    pub(super) fn programs(&self) -> impl Iterator<Item = &'static str> {
        self.packages.iter().map(|package| program_name(package))
    }
}

/// The flags of `go build`. They are part of [`Component::hash`].
fn flags(directory: &str) -> Result<Vec<String>> {
    let tags = tags(directory);
    let mut flags = vec!["-trimpath", "-tags", &tags, "-gcflags", COMPILER, "-ldflags", LINKER, "-ldflags"];
    let kubernetes = component("kubernetes")?.version()?;
    let mut numbers = kubernetes.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
    let versions = [("{linker}", LINKER), ("{version}", &kubernetes), ("{major}", major), ("{minor}", minor)];
    let stamped = versions.iter().fold(KUBERNETES.to_owned(), |flags, (name, value)| flags.replace(name, value));
    flags.push(&stamped);
    Ok(flags.into_iter().map(str::to_owned).collect())
}

fn tags(directory: &str) -> String {
    if directory == DIRECTORIES[3] { format!("{TAGS},{LIVE_TAG}") } else { TAGS.to_owned() }
}

/// The name of a package's program in the build directory.
fn program_name(package: &str) -> &str {
    let built = built_name(package);
    RENAMED.iter().find(|(theirs, _)| *theirs == built).map_or(built, |(_, known)| known)
}

/// The name that `go build` gives to the program: the last element of the package that is not a major version.
fn built_name(package: &str) -> &str {
    let is_version = |part: &str| part.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok());
    package.rsplit('/').find(|part| !is_version(part)).unwrap_or(package)
}

/// The components that are not in the cache.
pub(super) fn missing(components: &[&'static Component]) -> Result<Vec<&'static Component>> {
    let mut missing = vec![];
    for component in components {
        if !component.build_directory()?.join(COMPLETE).exists() {
            missing.push(*component);
        }
    }
    Ok(missing)
}

/// Builds the missing components: all of one module in one `go build`, so that cores do not idle while a program is
/// linked.
pub(super) fn build(components: &[&'static Component], progress: Option<&Progress>) -> Result<()> {
    if missing(components)?.is_empty() {
        return Ok(());
    }
    let _one_build_at_a_time = lock::lock(&paths::cache().join("build.lock"), Mode::Exclusive, |holder| {
        if let Some(progress) = progress {
            progress.detail(format!("waiting for a build by {holder}"));
        }
    })?;
    let missing = missing(components)?;
    for directory in DIRECTORIES {
        let together: Vec<_> = missing.iter().copied().filter(|component| component.directory == directory).collect();
        if !together.is_empty() {
            build_together(&together, progress)?;
        }
    }
    Ok(())
}

/// Builds into temporary directories and renames them, so that an interrupted build leaves nothing incomplete.
fn build_together(components: &[&Component], progress: Option<&Progress>) -> Result<()> {
    let built = paths::cache().join("tools/partial");
    fresh(&built)?;
    go_build(components, &built, progress)?;
    for component in components {
        let directory = component.build_directory()?;
        let partial = directory.with_extension("partial");
        fresh(&partial)?;
        for package in component.packages {
            fs::rename(built.join(built_name(package)), partial.join(program_name(package)))
                .with_context(|| format!("go build did not make {package}"))?;
        }
        fs::write(partial.join(COMPLETE), "")?;
        let _ = fs::remove_dir_all(&directory);
        fs::rename(&partial, &directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    fs::remove_dir_all(&built).with_context(|| format!("cannot remove {}", built.display()))
}

fn fresh(directory: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(directory); // of a build that was interrupted
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))
}

fn go_build(components: &[&Component], into: &Path, progress: Option<&Progress>) -> Result<()> {
    let packages: Vec<&str> = components.iter().flat_map(|component| component.packages).copied().collect();
    let first = components.first().context("nothing to build")?;
    let sources = first.sources();
    let mut child = Command::new("go")
        .args(["build", "-v", "-o", &format!("{}/", into.display())])
        .args(flags(first.directory)?)
        .args(&packages)
        .env("CGO_ENABLED", "0")
        .env(GARBAGE.0, env::var(GARBAGE.0).unwrap_or_else(|_| GARBAGE.1.to_owned()))
        .current_dir(&sources)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context(
            "cannot run go. The cluster's programs are built from source: install Go 1.26 or newer \
             (https://go.dev/dl) and have it in PATH",
        )?;
    let stderr = BufReader::new(child.stderr.take().context("stderr is piped")?);
    let output: std::io::Result<Vec<String>> = match progress {
        None => stderr.lines().collect(),
        Some(progress) => {
            let total = OnceLock::new();
            thread::scope(|scope| {
                // In a thread: on a new machine it takes as long as the downloads.
                scope.spawn(|| total.set(count_packages(&packages, first)));
                show_progress(stderr, &total, progress)
            })
        }
    };
    let output = output.context("cannot read the output of go build")?;
    let status = child.wait()?;
    if !status.success() {
        let lines = command::last_lines(&output.join("\n"), 20);
        bail!("go build in {} failed ({status}):\n{lines}", sources.display());
    }
    Ok(())
}

/// Shows the progress of `go build`, and collects its output. Lines with `go: ` report downloads; all other lines name
/// a package that is compiled.
fn show_progress(stderr: impl BufRead, total: &OnceLock<usize>, progress: &Progress) -> std::io::Result<Vec<String>> {
    let (mut output, mut compiled) = (vec![], 0);
    for line in stderr.lines() {
        let line = line?;
        compiled += usize::from(!line.starts_with("go: "));
        progress.detail(match total.get() {
            _ if compiled == 0 => line.trim_start_matches("go: ").to_owned(),
            Some(total) if *total > 0 => format!("{compiled} of at most {total} packages"),
            _ => format!("{compiled} packages"),
        });
        output.push(line);
    }
    Ok(output)
}

/// How many packages a build from nothing compiles. Only for the display: 0 when they cannot be counted.
fn count_packages(packages: &[&str], component: &Component) -> usize {
    let mut list = Command::new("go");
    list.args(["list", "-deps", "-tags", &tags(component.directory)]).args(packages);
    list.env("CGO_ENABLED", "0").current_dir(component.sources());
    command::output(&mut list).map_or(0, |text| text.lines().count())
}

#[cfg(test)]
mod tests {
    use super::super::components::COMPONENTS;
    use super::*;

    #[test]
    fn programs_have_their_common_names() {
        let all: Vec<&str> = COMPONENTS.iter().flat_map(Component::programs).collect();
        for name in ["etcd", "kube-apiserver", "kubelet", "ctr", "prometheus-operator", "coredns", "helm"] {
            assert!(all.contains(&name), "{name} is missing in {all:?}");
        }
        assert!(!all.contains(&"v3") && !all.contains(&"server") && !all.contains(&"operator"));
    }

    #[test]
    fn the_build_flags_contain_the_version_of_kubernetes() {
        let flags = flags(DIRECTORIES[0]).expect("has a version").join(" ");
        assert!(flags.contains("gitVersion=v1.") && flags.contains("gitMajor=1 "), "{flags}");
    }
}
