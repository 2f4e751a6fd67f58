//! The image for what a recommender stands on, with the exporters: PostgreSQL, Redis, NGINX, RabbitMQ and a blackbox exporter,
//! all of them Debian packages, and programs of Go: FerretDB, the S3 server versitygw, and statsd_exporter.

use anyhow::Result;

use super::Recipe;
use super::archive::{Config, USER};
use super::cache::{layered, root};
use crate::progress::Progress;
use crate::{paths, tools};

/// The Debian packages of the root, in addition to the essential ones.
const PACKAGES: &str = "postgresql,prometheus-postgres-exporter,redis-server,prometheus-redis-exporter,nginx-light,\
                        prometheus-nginx-exporter,rabbitmq-server,prometheus-blackbox-exporter";

/// The programs of Go.
const PROGRAMS: [&str; 3] = ["ferretdb", "versitygw", "statsd_exporter"];

/// The image. Its entrypoint is a shell that takes a script.
pub fn recipe(progress: Option<&Progress>) -> Result<Recipe> {
    if let Some(progress) = progress {
        progress.detail("a Debian root with PostgreSQL, Redis, NGINX, RabbitMQ and exporters");
    }
    let root = root(PACKAGES)?;
    // initdb refuses a user that has no name.
    let mut files = vec![("/etc/passwd".to_owned(), paths::repository().join("e2e/images/services/passwd"))];
    for program in PROGRAMS {
        files.push((format!("/usr/local/bin/{program}"), tools::program(program)?));
    }
    let config = Config {
        entrypoint: ["/bin/sh", "-euc"].map(str::to_owned).into(),
        env: vec!["HOME=/tmp".into()],
        user: USER.into(),
        working_directory: "/tmp".into(),
    };
    layered("live-services", vec![root], files, config)
}
