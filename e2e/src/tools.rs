//! The Go programs of the cluster: Kubernetes, etcd, containerd and others, built from their published modules.
//! `e2e/tools/` pins one version of each dependency for all of them, so that shared packages are compiled once (its
//! README.md has the numbers). Built programs are cached under a hash of their inputs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress::Progress;
use crate::{command, digest, paths};

mod build;

/// A component of the cluster: programs that have one version and are cached together.
pub struct Component {
    /// Its common name.
    pub name: &'static str,
    /// The directory of its go.mod and go.sum: one of [`DIRECTORIES`].
    directory: &'static str,
    /// The module whose version is the component's.
    module: &'static str,
    /// The main packages of its programs.
    packages: &'static [&'static str],
    /// Whether every cluster needs it. The others are built when a test uses them.
    always: bool,
}

/// The Go modules, relative to the repository: one for all components, and one for prometheus-operator, which does not
/// compile with the versions of the others.
const DIRECTORIES: [&str; 2] = ["e2e/tools", "e2e/tools/prometheus-operator"];

/// The name of the first module in its go.mod: the prefix of the programs that are written here.
const OWN_MODULE: &str = "recommender.dev/e2e/tools";

/// All components, in the order in which a cluster needs them.
pub const COMPONENTS: &[Component] = &[
    Component {
        name: "etcd",
        directory: DIRECTORIES[0],
        module: "go.etcd.io/etcd/server/v3",
        packages: &["go.etcd.io/etcd/server/v3"],
        always: true,
    },
    Component {
        name: "kubernetes",
        directory: DIRECTORIES[0],
        module: "k8s.io/kubernetes",
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
    Component {
        name: "containerd",
        directory: DIRECTORIES[0],
        module: "github.com/containerd/containerd/v2",
        packages: &[
            "github.com/containerd/containerd/v2/cmd/containerd",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/ctr",
        ],
        always: true,
    },
    Component {
        name: "coredns",
        directory: DIRECTORIES[0],
        module: "github.com/coredns/coredns",
        packages: &["recommender.dev/e2e/tools/coredns"],
        always: true,
    },
    Component {
        name: "prometheus-operator",
        directory: DIRECTORIES[1],
        module: "github.com/prometheus-operator/prometheus-operator",
        packages: &[
            "github.com/prometheus-operator/prometheus-operator/cmd/operator",
            "github.com/prometheus-operator/prometheus-operator/cmd/prometheus-config-reloader",
        ],
        always: true,
    },
    Component {
        name: "helm",
        directory: DIRECTORIES[0],
        module: "helm.sh/helm/v4",
        packages: &["helm.sh/helm/v4/cmd/helm"],
        always: true,
    },
    Component {
        name: "metrics-server",
        directory: DIRECTORIES[0],
        module: "sigs.k8s.io/metrics-server",
        packages: &["sigs.k8s.io/metrics-server/cmd/metrics-server"],
        always: true,
    },
    Component {
        name: "prometheus",
        directory: DIRECTORIES[0],
        module: "github.com/prometheus/prometheus",
        packages: &["github.com/prometheus/prometheus/cmd/prometheus", "github.com/prometheus/prometheus/cmd/promtool"],
        always: true,
    },
    Component {
        name: "versitygw",
        directory: DIRECTORIES[0],
        module: "github.com/versity/versitygw",
        packages: &["github.com/versity/versitygw/cmd/versitygw"],
        always: false,
    },
    Component {
        name: "k6",
        directory: DIRECTORIES[0],
        module: "go.k6.io/k6",
        packages: &["go.k6.io/k6"],
        always: false,
    },
];

/// The path of a program, which is built if necessary.
pub fn program(name: &str) -> Result<PathBuf> {
    let component = COMPONENTS
        .iter()
        .find(|component| component.programs().any(|program| program == name))
        .with_context(|| format!("no component of e2e/tools builds a program {name}"))?;
    build::build(&[component], None)?;
    Ok(component.build_directory()?.join(name))
}

/// Builds the components that every cluster needs and that are not in the cache.
pub fn build_all(progress: &Progress) -> Result<()> {
    build::build(&needed(), Some(progress))
}

/// The components that every cluster needs.
fn needed() -> Vec<&'static Component> {
    COMPONENTS.iter().filter(|component| component.always).collect()
}

/// CPU seconds to compile all needed components from nothing: as measured on two cores, and on a machine half as fast.
const CPU_SECONDS: [f64; 2] = [1500.0, 3000.0];

/// A message about the build and how long it takes; None when nothing has to be built.
pub fn forecast() -> Result<Option<String>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let missing: Vec<&str> = build::missing(&needed())?.iter().map(|component| component.name).collect();
    Ok(describe(&missing, cores))
}

fn describe(missing: &[&str], cores: usize) -> Option<String> {
    let share = missing.len() as f64 / needed().len() as f64;
    let [fast, slow] = CPU_SECONDS.map(|seconds| (share * seconds / cores as f64 / 60.0).ceil());
    (!missing.is_empty()).then(|| {
        format!(
            "{} are not in the build cache: they are compiled from source, as nothing is downloaded that is not verified by \
             go.sum. That takes some {fast} to {slow} min on {cores} cores, and is done once.",
            missing.join(", ")
        )
    })
}

/// The component with this name.
pub fn component(name: &str) -> Result<&'static Component> {
    COMPONENTS
        .iter()
        .find(|component| component.name == name)
        .with_context(|| format!("no component {name} in e2e/tools"))
}

impl Component {
    /// The directory of go.mod and go.sum.
    fn sources(&self) -> PathBuf {
        paths::repository().join(self.directory)
    }

    /// Identifies the build: the hash of go.mod, go.sum, the programs that are written here, and the build flags.
    pub fn hash(&self) -> Result<String> {
        let own = self.packages.iter().filter_map(|package| package.strip_prefix(OWN_MODULE));
        let own = own.map(|package| format!("{}/main.go", package.trim_start_matches('/')));
        let mut content = [build::flags()?.join("\n"), self.packages.join("\n")].join("\n").into_bytes();
        for file in ["go.mod", "go.sum"].map(str::to_owned).into_iter().chain(own) {
            let path = self.sources().join(file);
            content.extend(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
        Ok(digest::hex(&content)[..16].to_owned())
    }

    /// The directory in the cache for its built programs.
    fn build_directory(&self) -> Result<PathBuf> {
        Ok(paths::cache().join("tools").join(format!("{}-{}", self.name, self.hash()?)))
    }

    fn programs(&self) -> impl Iterator<Item = &'static str> {
        self.packages.iter().map(|package| build::program_name(package))
    }

    /// The version that go.mod requires, `v1.36.3`.
    pub fn version(&self) -> Result<String> {
        let go_mod = fs::read_to_string(self.sources().join("go.mod"))?;
        let found = requirements(&go_mod).find(|(module, _)| *module == self.module);
        let (_, version) =
            found.with_context(|| format!("{}/go.mod does not require {}", self.directory, self.module))?;
        Ok(version.to_owned())
    }

    /// The directory of the module's sources in Go's module cache, for the manifests in it.
    pub fn module_directory(&self) -> Result<PathBuf> {
        let text = command::output(
            Command::new("go").args(["list", "-m", "-f", "{{.Dir}}", self.module]).current_dir(self.sources()),
        )?;
        match text.trim() {
            "" => bail!("{} is not in Go's module cache: go mod download in {}", self.module, self.directory),
            directory => Ok(directory.into()),
        }
    }
}

/// The required modules and their versions. Lines of `replace` are skipped: they have an arrow in place of the version.
fn requirements(go_mod: &str) -> impl Iterator<Item = (&str, &str)> {
    go_mod.lines().filter_map(|line| {
        let mut fields = line.trim().trim_start_matches("require ").split_whitespace();
        let (module, version) = (fields.next()?, fields.next()?);
        version.starts_with('v').then_some((module, version))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Modules that prometheus-operator requires in another version, which is why it has a module of its own.
    const DIFFERENT_VERSIONS: [&str; 3] =
        ["github.com/prometheus/alertmanager", "github.com/prometheus/prometheus", "sigs.k8s.io/controller-runtime"];

    fn go_mod(directory: &str) -> String {
        fs::read_to_string(paths::repository().join(directory).join("go.mod")).expect("readable")
    }

    #[test]
    fn programs_have_their_common_names() {
        let all: Vec<&str> = COMPONENTS.iter().flat_map(Component::programs).collect();
        for name in ["etcd", "kube-apiserver", "kubelet", "ctr", "prometheus-operator", "coredns", "helm"] {
            assert!(all.contains(&name), "{name} is missing in {all:?}");
        }
        assert!(!all.contains(&"v3") && !all.contains(&"server") && !all.contains(&"operator"));
    }

    #[test]
    fn every_component_has_a_module_with_a_version_and_lists_its_programs_as_tools() {
        for component in COMPONENTS {
            assert!(component.version().expect("go.mod has the module").starts_with('v'));
            let go_mod = go_mod(component.directory);
            for package in component.packages {
                assert!(go_mod.contains(&format!("\t{package}\n")), "{package} is no tool of {}", component.directory);
            }
        }
    }

    #[test]
    fn the_forecast_names_missing_components_and_the_time_and_is_none_without_any() {
        assert_eq!(describe(&[], 2), None);
        let names: Vec<&str> = needed().iter().map(|component| component.name).collect();
        let all = describe(&names, 2).expect("takes long");
        assert!(all.starts_with("etcd, kubernetes, ") && all.contains(" 13 to 25 min on 2 cores"), "{all}");
        assert!(describe(&["kubernetes"], 2).expect("takes a while").contains(" 2 to 4 min on 2 cores"));
    }

    #[test]
    fn shared_requirements_of_both_modules_have_the_same_version() {
        let [all, own] = DIRECTORIES.map(go_mod);
        let all: BTreeMap<&str, &str> = requirements(&all).collect();
        let other = requirements(&own).filter(|(module, version)| all.get(module).is_some_and(|v| v != version));
        assert_eq!(other.map(|(module, _)| module).collect::<Vec<_>>(), DIFFERENT_VERSIONS);
    }

    #[test]
    fn both_modules_have_the_same_replacements() {
        let [all, own] = DIRECTORIES.map(|directory| {
            go_mod(directory).lines().filter(|line| line.contains(" => ")).map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!(all, own);
    }
}
