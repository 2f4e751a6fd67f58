//! The components of the cluster, and what their Go modules say about them: versions and directories.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, paths};

/// A component of the cluster: programs that have one version and are cached together.
pub struct Component {
    /// Its common name.
    pub name: &'static str,
    /// The directory of its go.mod and go.sum: one of [`DIRECTORIES`].
    pub(super) directory: &'static str,
    /// The module whose version is the component's.
    module: &'static str,
    /// The main packages of its programs.
    pub(super) packages: &'static [&'static str],
    /// Whether every cluster needs it. The others are built when a test uses them.
    pub(super) always: bool,
}

/// The Go modules, relative to the repository: one for all components, one for prometheus-operator, which does not compile with
/// the versions of the others, one with the oldest Kubernetes that is supported, one of programs that only live tests need, and one
/// each for Kueue and Contour, which are compiled with the version of Kubernetes that they require.
pub(super) const DIRECTORIES: [&str; 6] = [
    "e2e/tools",
    "e2e/tools/prometheus-operator",
    "e2e/tools/validate-crd",
    "e2e/tools/live",
    "e2e/tools/kueue",
    "e2e/tools/gateway",
];

/// All components, in the order in which a cluster needs them.
pub(super) const COMPONENTS: &[Component] = &[
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
    Component {
        name: "kstatus",
        directory: DIRECTORIES[0],
        module: "github.com/fluxcd/cli-utils",
        packages: &["recommender.dev/e2e/tools/kstatus"],
        always: false,
    },
    Component {
        name: "ferretdb",
        directory: DIRECTORIES[3],
        module: "github.com/FerretDB/FerretDB",
        packages: &["recommender.dev/e2e/tools/live/ferretdb"],
        always: false,
    },
    Component {
        name: "statsd_exporter",
        directory: DIRECTORIES[3],
        module: "github.com/prometheus/statsd_exporter",
        packages: &["github.com/prometheus/statsd_exporter"],
        always: false,
    },
    Component {
        name: "validate-crd",
        directory: DIRECTORIES[2],
        module: "k8s.io/apiextensions-apiserver",
        packages: &["recommender.dev/e2e/tools/validate-crd"],
        always: false,
    },
    Component {
        name: "kueue",
        directory: DIRECTORIES[4],
        module: "sigs.k8s.io/kueue",
        packages: &["sigs.k8s.io/kueue/cmd/kueue"],
        always: false,
    },
    Component {
        name: "contour",
        directory: DIRECTORIES[5],
        module: "github.com/projectcontour/contour",
        packages: &["github.com/projectcontour/contour/cmd/contour"],
        always: false,
    },
];

/// The component with this name.
pub fn component(name: &str) -> Result<&'static Component> {
    COMPONENTS
        .iter()
        .find(|component| component.name == name)
        .with_context(|| format!("no component {name} in e2e/tools"))
}

impl Component {
    /// The directory of go.mod and go.sum.
    pub(super) fn sources(&self) -> PathBuf {
        paths::repository().join(self.directory)
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
    fn every_component_has_a_module_with_a_version_and_lists_its_programs_as_tools() {
        for component in COMPONENTS {
            assert!(component.version().expect("go.mod has the module").starts_with('v'));
            let go_mod = go_mod(component.directory);
            for package in component.packages {
                let listed = ["\t", "tool "].iter().any(|before| go_mod.contains(&format!("{before}{package}\n")));
                assert!(listed, "{package} is no tool of {}", component.directory);
            }
        }
    }

    #[test]
    fn shared_requirements_have_the_same_version() {
        let [all, own, _, live, ..] = DIRECTORIES.map(go_mod);
        let all: BTreeMap<&str, &str> = requirements(&all).collect();
        for (own, different) in [(&own, &DIFFERENT_VERSIONS[..]), (&live, &[])] {
            let other = requirements(own).filter(|(module, version)| all.get(module).is_some_and(|v| v != version));
            assert_eq!(other.map(|(module, _)| module).collect::<Vec<_>>(), different);
        }
    }

    #[test]
    fn prometheus_operator_has_the_same_replacements() {
        let [all, own, ..] = DIRECTORIES.map(|directory| {
            go_mod(directory).lines().filter(|line| line.contains(" => ")).map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!(all, own);
    }
}
