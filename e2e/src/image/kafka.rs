//! A Kafka broker: the Java runtime of Debian, and the jars of `e2e/images/kafka/pom.xml` from Maven.

use anyhow::Result;

use super::Recipe;
use super::archive::{Config, USER};
use super::cache::{layered, root};
use super::jars::{Jars, ROOT};
use crate::paths;
use crate::progress::Progress;

/// The directory of the jars in the image.
const JARS: &str = "opt/kafka";
/// The path of the broker's configuration in the image.
const CONFIGURATION: &str = "/etc/kafka/server.properties";

/// The image. All jars are on the class path. The pod names the main class: `kafka.tools.StorageTool`, which formats
/// the broker's directory, or `kafka.Kafka`, the broker.
pub fn recipe(progress: Option<&Progress>) -> Result<Recipe> {
    let context = paths::repository().join("e2e/images/kafka");
    if let Some(progress) = progress {
        progress.detail("a Debian root with Java, and Kafka's jars");
    }
    let root = root(ROOT)?;
    let jars = Jars { name: "kafka", context: &context, place: JARS, source: None, complete: |_, _| Ok(()) };
    let jars = jars.layer(progress)?;
    let config = Config {
        entrypoint: vec!["java".into()],
        env: vec![format!("CLASSPATH=/{JARS}/*")],
        user: USER.into(),
        working_directory: "/".into(),
    };
    let configuration = (CONFIGURATION.to_owned(), context.join("server.properties"));
    layered("kafka", vec![root, jars], vec![configuration], config)
}
