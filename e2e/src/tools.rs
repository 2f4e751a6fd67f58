//! The Go programs: Kubernetes, etcd, containerd and what else the cluster needs, built from their
//! published modules. Each family is a module of its own under `e2e/tools/` (go.mod and go.sum, no
//! Go code); the programs are cached by the hash of these two files, so a family is built once.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::lock::{self, Mode};
use crate::progress::Progress;
use crate::{command, digest, paths};

/// Programs that are built together, from one Go module.
pub struct Family {
    /// The directory under `e2e/tools/`.
    pub name: &'static str,
    /// The module whose version is the family's.
    module: &'static str,
    tags: &'static str,
    /// `{version}`, `{major}` and `{minor}` are those of `module`.
    ldflags: &'static str,
    packages: &'static [&'static str],
    /// Whether every cluster needs it; the others are built when a test asks for them.
    always: bool,
}

/// Marks a family's directory as whole.
const COMPLETE: &str = ".complete";

/// All families, in the order in which a cluster needs them.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "etcd",
        module: "go.etcd.io/etcd/server/v3",
        tags: "",
        ldflags: "",
        packages: &["go.etcd.io/etcd/server/v3"],
        always: true,
    },
    Family {
        name: "kubernetes",
        module: "k8s.io/kubernetes",
        tags: "",
        ldflags: "-X k8s.io/component-base/version.gitVersion={version} \
                  -X k8s.io/component-base/version.gitMajor={major} \
                  -X k8s.io/component-base/version.gitMinor={minor}",
        packages: &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-scheduler",
            "k8s.io/kubernetes/cmd/kubelet",
            "k8s.io/kubernetes/cmd/kube-proxy",
            "k8s.io/kubernetes/cmd/kubectl",
        ],
        always: true,
    },
    Family {
        name: "containerd",
        module: "github.com/containerd/containerd/v2",
        tags: "no_btrfs,no_devmapper",
        ldflags: "",
        packages: &[
            "github.com/containerd/containerd/v2/cmd/containerd",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/ctr",
        ],
        always: true,
    },
    Family {
        name: "coredns",
        module: "github.com/coredns/coredns",
        tags: "",
        ldflags: "",
        packages: &["github.com/coredns/coredns"],
        always: true,
    },
    Family {
        name: "prometheus-operator",
        module: "github.com/prometheus-operator/prometheus-operator",
        tags: "",
        ldflags: "",
        packages: &[
            "github.com/prometheus-operator/prometheus-operator/cmd/operator",
            "github.com/prometheus-operator/prometheus-operator/cmd/prometheus-config-reloader",
        ],
        always: true,
    },
    Family {
        name: "helm",
        module: "helm.sh/helm/v4",
        tags: "",
        ldflags: "",
        packages: &["helm.sh/helm/v4/cmd/helm"],
        always: true,
    },
    Family {
        name: "metrics-server",
        module: "sigs.k8s.io/metrics-server",
        tags: "",
        ldflags: "",
        packages: &["sigs.k8s.io/metrics-server/cmd/metrics-server"],
        always: true,
    },
    Family {
        name: "prometheus",
        module: "github.com/prometheus/prometheus",
        tags: "",
        ldflags: "",
        packages: &["github.com/prometheus/prometheus/cmd/prometheus", "github.com/prometheus/prometheus/cmd/promtool"],
        always: true,
    },
    Family {
        name: "versitygw",
        module: "github.com/versity/versitygw",
        tags: "",
        ldflags: "",
        packages: &["github.com/versity/versitygw/cmd/versitygw"],
        always: false,
    },
    Family { name: "k6", module: "go.k6.io/k6", tags: "", ldflags: "", packages: &["go.k6.io/k6"], always: false },
];

/// `go build` names a program after the last element of its package; these two are better known by another name.
const RENAMED: &[(&str, &str)] = &[("server", "etcd"), ("operator", "prometheus-operator")];

/// Where a program is, built if need be.
pub fn program(name: &str) -> Result<PathBuf> {
    let family = FAMILIES
        .iter()
        .find(|family| family.programs().any(|program| program == name))
        .with_context(|| format!("no family of e2e/tools builds a program {name}"))?;
    build(family, None)?;
    Ok(family.directory()?.join(name))
}

/// Builds what is not built yet of all that a cluster needs.
pub fn build_all(progress: &Progress) -> Result<()> {
    for family in FAMILIES.iter().filter(|family| family.always) {
        build(family, Some(progress))?;
    }
    Ok(())
}

/// CPU seconds that all of them took to compile from nothing, on a fast and on a slow machine of two cores.
const CPU_SECONDS: [f64; 2] = [2100.0, 4200.0];

/// How long it is going to take, and why; None when nothing has to be built.
pub fn forecast() -> Result<Option<String>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut missing = Vec::new();
    for family in FAMILIES.iter().filter(|family| family.always) {
        if !is_whole(&family.directory()?) {
            missing.push(family.name);
        }
    }
    Ok(describe(&missing, cores))
}

fn describe(missing: &[&str], cores: usize) -> Option<String> {
    let share = missing.len() as f64 / FAMILIES.iter().filter(|family| family.always).count() as f64;
    let [fast, slow] = CPU_SECONDS.map(|seconds| (share * seconds / cores as f64 / 60.0).ceil());
    (!missing.is_empty()).then(|| {
        format!(
            "{} are not in the build cache: they are compiled from source, as nothing is downloaded that is not verified by \
             go.sum. That takes some {fast} to {slow} min on {cores} cores, and is done once.",
            missing.join(", ")
        )
    })
}

/// The family with this name.
pub fn family(name: &str) -> Result<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name).with_context(|| format!("no family {name} in e2e/tools"))
}

impl Family {
    /// The directory with go.mod and go.sum.
    fn sources(&self) -> PathBuf {
        paths::repository().join("e2e/tools").join(self.name)
    }

    /// Identifies what is built: the hash of go.mod and go.sum.
    pub fn hash(&self) -> Result<String> {
        let mut content = Vec::new();
        for file in ["go.mod", "go.sum"] {
            let path = self.sources().join(file);
            content.extend(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
        Ok(digest::hex(&content)[..16].to_owned())
    }

    fn directory(&self) -> Result<PathBuf> {
        Ok(paths::cache().join("tools").join(format!("{}-{}", self.name, self.hash()?)))
    }

    fn programs(&self) -> impl Iterator<Item = &'static str> {
        self.packages.iter().map(|package| program_name(package))
    }

    /// The version that go.mod requires, `v1.36.3`.
    pub fn version(&self) -> Result<String> {
        let go_mod = fs::read_to_string(self.sources().join("go.mod"))?;
        required_version(&go_mod, self.module)
            .with_context(|| format!("e2e/tools/{}/go.mod does not require {}", self.name, self.module))
    }

    /// The directory of the module's sources, for the manifests it carries.
    pub fn module_directory(&self) -> Result<PathBuf> {
        let text = command::output(
            Command::new("go").args(["list", "-m", "-f", "{{.Dir}}", self.module]).current_dir(self.sources()),
        )?;
        match text.trim() {
            "" => bail!("{} is not in Go's module cache: go mod download in e2e/tools/{}", self.module, self.name),
            directory => Ok(directory.into()),
        }
    }

    fn expanded_ldflags(&self) -> Result<String> {
        let version = self.version()?;
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
        let versions = self.ldflags.replace("{version}", &version).replace("{major}", major).replace("{minor}", minor);
        Ok(format!("-s -w {versions}"))
    }
}

fn program_name(package: &str) -> &str {
    let is_version = |part: &str| part.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok());
    let last = package.rsplit('/').find(|part| !is_version(part)).unwrap_or(package);
    RENAMED.iter().find(|(built, _)| *built == last).map_or(last, |(_, known)| known)
}

fn required_version(go_mod: &str, module: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let mut fields = line.trim().trim_start_matches("require ").split_whitespace();
        (fields.next()? == module).then(|| fields.next().map(str::to_owned))?
    })
}

/// Whether everything of a family's directory was built.
fn is_whole(directory: &Path) -> bool {
    directory.join(COMPLETE).exists()
}

/// Builds into a directory beside the final one and renames it, so a build that was interrupted leaves nothing half.
fn build(family: &Family, progress: Option<&Progress>) -> Result<()> {
    let directory = family.directory()?;
    if is_whole(&directory) {
        return Ok(());
    }
    let _one_build_at_a_time = lock::lock(&paths::cache().join("build.lock"), Mode::Exclusive, |holder| {
        if let Some(progress) = progress {
            progress.detail(format!("waiting for a build by {holder}"));
        }
    })?;
    if is_whole(&directory) {
        return Ok(());
    }
    let partial = directory.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    go_build(family, &partial, progress)?;
    for (built, known) in RENAMED {
        if partial.join(built).exists() {
            fs::rename(partial.join(built), partial.join(known))?;
        }
    }
    fs::write(partial.join(COMPLETE), "")?;
    let _ = fs::remove_dir_all(&directory);
    fs::rename(&partial, &directory).with_context(|| format!("cannot create {}", directory.display()))
}

fn go_build(family: &Family, into: &Path, progress: Option<&Progress>) -> Result<()> {
    let mut build = Command::new("go");
    build
        .args(["build", "-v", "-trimpath", "-tags", family.tags, "-ldflags", &family.expanded_ldflags()?])
        .arg("-o")
        .arg(format!("{}/", into.display()))
        .args(family.packages)
        .env("CGO_ENABLED", "0")
        .current_dir(family.sources())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = build.spawn().context(
        "cannot run go. The cluster's programs are built from source: install Go 1.26 or newer \
         (https://go.dev/dl) and have it in PATH",
    )?;
    let total = progress.map_or(0, |_| count_packages(family));
    let stderr = child.stderr.take().context("stderr is piped")?;
    let position = position(family);
    let mut said: Vec<String> = Vec::new();
    for line in BufReader::new(stderr).lines().map_while(std::result::Result::ok) {
        said.push(line);
        if let Some(progress) = progress {
            progress.detail(format!("{position} {}, {} of at most {total} packages", family.name, said.len()));
        }
    }
    let status = child.wait()?;
    if !status.success() {
        let lines = command::last_lines(&said.join("\n"), 20);
        bail!("building e2e/tools/{} failed ({status}):\n{lines}", family.name);
    }
    Ok(())
}

/// `2 of 8:`, among the families that every cluster needs.
fn position(family: &Family) -> String {
    let needed: Vec<&str> = FAMILIES.iter().filter(|family| family.always).map(|family| family.name).collect();
    let index = needed.iter().position(|name| *name == family.name);
    index.map_or(String::new(), |index| format!("{} of {}:", index + 1, needed.len()))
}

/// How many packages a build from nothing compiles; only for the display, so failing to count is no error.
fn count_packages(family: &Family) -> usize {
    let listed = command::output(
        Command::new("go")
            .args(["list", "-deps", "-tags", family.tags])
            .args(family.packages)
            .env("CGO_ENABLED", "0")
            .current_dir(family.sources()),
    );
    listed.map_or(0, |text| text.lines().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_have_the_names_they_are_known_by() {
        let all: Vec<&str> = FAMILIES.iter().flat_map(Family::programs).collect();
        for name in ["etcd", "kube-apiserver", "kubelet", "ctr", "prometheus-operator", "coredns", "helm"] {
            assert!(all.contains(&name), "{name} is missing in {all:?}");
        }
        assert!(!all.contains(&"v3") && !all.contains(&"server") && !all.contains(&"operator"));
    }

    #[test]
    fn every_family_has_a_module_with_a_version_and_lists_its_programs_as_tools() {
        for family in FAMILIES {
            assert!(family.version().expect("go.mod has the module").starts_with('v'));
            let go_mod = fs::read_to_string(family.sources().join("go.mod")).expect("readable");
            for package in family.packages {
                assert!(go_mod.contains(package), "{package} is no tool of {}", family.name);
            }
        }
    }

    #[test]
    fn what_takes_long_is_said_before_it_begins_and_only_then() {
        assert_eq!(describe(&[], 2), None);
        let needed: Vec<&str> = FAMILIES.iter().filter(|family| family.always).map(|family| family.name).collect();
        let all = describe(&needed, 2).expect("takes long");
        assert!(all.starts_with("etcd, kubernetes, ") && all.contains(" 18 to 35 min on 2 cores"), "{all}");
        assert!(describe(&["kubernetes"], 8).expect("takes a while").contains(" 1 to 2 min on 8 cores"));
    }

    #[test]
    fn the_servers_version_is_stamped_in() {
        let flags = family("kubernetes").and_then(Family::expanded_ldflags).expect("has a version");
        assert!(flags.contains("gitVersion=v1.") && flags.contains("gitMajor=1 "), "{flags}");
    }
}
