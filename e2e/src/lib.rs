//! A real Kubernetes on one host, for the tests and the demo: etcd, the control plane, a node with containerd,
//! DNS, storage, metrics and Prometheus, from published source, without Docker.
//!
//! A test begins like this; the rest of what it may do is on [`Cluster`]:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let cluster = e2e::cluster().await?;
//! let namespace = cluster.namespace("mytest").await?;
//! cluster.kubectl(&["-n", &namespace.name, "get", "pods"]).await?;
//! # Ok(()) }
//! ```
//!
//! With `KUBECONFIG` set the same tests use that cluster (kind, k3d, a cloud). It is expected to be a conformant
//! Kubernetes 1.33 or newer with a default StorageClass, metrics-server, and prometheus-operator with a Prometheus
//! in the namespace `monitoring` behind the Service `prometheus`; images that it can pull are named by
//! `E2E_OPERATOR_IMAGE`, `E2E_EXAMPLE_IMAGE`, `E2E_DOUBLE_IMAGE`, `E2E_S3_IMAGE`, `E2E_KAFKA_IMAGE` and
//! `E2E_WORKERS_IMAGE`.

mod addons;
mod bare;
mod client;
pub mod cluster;
pub mod command;
mod debian;
pub mod demo;
mod digest;
pub mod image;
pub mod load;
pub mod lock;
mod namespace;
pub mod operator;
pub mod parts;
pub mod paths;
mod pki;
pub mod process;
pub mod progress;
pub mod tools;
mod volumes;
mod wait;

pub use bare::Bare;
pub use client::{
    Cluster, DOUBLE_IMAGE_VARIABLE, EXAMPLE_IMAGE_VARIABLE, KAFKA_IMAGE_VARIABLE, OPERATOR_IMAGE_VARIABLE,
    S3_IMAGE_VARIABLE, WORKERS_IMAGE_VARIABLE, cluster, http_get,
};
pub use namespace::TestNamespace;
pub use wait::{eventually, until, until_gone};
