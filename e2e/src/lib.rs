//! A real Kubernetes on one host, for the tests and the demo: etcd, the control plane, a node with containerd, DNS,
//! storage, metrics-server and Prometheus. All of it is built from published source and runs without Docker.
//!
//! A test starts like this; [`Cluster`] has all other methods:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let cluster = e2e::cluster().await?;
//! let namespace = cluster.namespace("mytest").await?;
//! cluster.kubectl(&["-n", &namespace.name, "get", "pods"]).await?;
//! # Ok(()) }
//! ```
//!
//! With `KUBECONFIG` set, the tests use that cluster instead (kind, k3d, a cloud). It must be a conformant Kubernetes
//! 1.33 or newer with a default StorageClass, metrics-server, the HTTPRoutes of the Gateway API, Kueue, and prometheus-operator with
//! a Prometheus in the namespace `monitoring` behind the Service `prometheus`. The images must be pullable from there. Their names are read
//! from `E2E_OPERATOR_IMAGE`, `E2E_EXAMPLE_IMAGE`, `E2E_DOUBLE_IMAGE`, `E2E_S3_IMAGE`, `E2E_KAFKA_IMAGE`,
//! `E2E_FLINK_IMAGE`, `E2E_SERVICES_IMAGE` and `E2E_WORKERS_IMAGE`.

mod addons;
mod bare;
mod client;
pub mod cluster;
pub mod command;
pub mod contour;
mod debian;
pub mod demo;
mod digest;
mod gateway;
pub mod image;
pub mod kstatus;
mod kubectl;
mod kueue;
pub mod load;
pub mod lock;
mod namespace;
pub mod operator;
pub mod parts;
pub mod paths;
mod pki;
pub mod process;
pub mod progress;
pub mod prometheus;
pub mod promtool;
mod restarts;
pub mod services;
pub mod tools;
pub mod validate_crd;
mod volumes;
mod wait;

pub use bare::{Bare, define, definition, free_port, monitoring_definition, until_served};
pub use client::{
    Cluster, DOUBLE_IMAGE_VARIABLE, EXAMPLE_IMAGE_VARIABLE, FLINK_IMAGE_VARIABLE, KAFKA_IMAGE_VARIABLE,
    OPERATOR_IMAGE_VARIABLE, S3_IMAGE_VARIABLE, SERVICES_IMAGE_VARIABLE, WORKERS_IMAGE_VARIABLE, cluster, http_get,
    query_path, query_result,
};
pub use namespace::TestNamespace;
pub use restarts::restarts;
pub use wait::{eventually, until, until_discovered, until_gone};
