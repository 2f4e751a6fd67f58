//! Waits for a condition instead of a fixed time. A timeout reports what was observed last.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::api::Api;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use crate::Cluster;

/// Pause between two attempts.
const INTERVAL: Duration = Duration::from_millis(250);

/// Calls `probe` until it returns a value. An error of `probe` states what was observed instead; a timeout reports the last
/// one.
///
/// ```no_run
/// # async fn example(cluster: &e2e::Cluster) -> anyhow::Result<()> {
/// let seconds = std::time::Duration::from_secs;
/// e2e::eventually("the recommender answers", seconds(30), async || {
///     match cluster.service_get("shop", "packages", 80, "/health").await? {
///         (200, body) => Ok(body),
///         (status, body) => anyhow::bail!("{status} {body}"),
///     }
/// }).await?;
/// # Ok(()) }
/// ```
pub async fn eventually<T>(what: &str, within: Duration, mut probe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + within;
    let mut last = "nothing".to_owned();
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) => {}
        }
        if Instant::now() + INTERVAL > deadline {
            bail!("waited {} s until {what}; last: {last}", within.as_secs());
        }
        sleep(INTERVAL).await;
    }
}

/// Waits until the object is as desired. The failure shows its status, or the whole object if it has no status.
pub async fn until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    within: Duration,
    is_desired: impl Fn(&K) -> bool,
) -> Result<K>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    eventually(&format!("{name} {what}"), within, async || match api.get_opt(name).await? {
        Some(object) if is_desired(&object) => Ok(object),
        Some(object) => bail!("{}", status_or_object(&object)),
        None => bail!("there is no {name}"),
    })
    .await
}

/// Waits until the object does not exist any more.
pub async fn until_gone<K>(api: &Api<K>, name: &str, within: Duration) -> Result<()>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    eventually(&format!("{name} is gone"), within, async || match api.get_opt(name).await? {
        None => Ok(()),
        Some(object) => bail!("{}", status_or_object(&object)),
    })
    .await
}

/// Waits until kubectl discovers a kind, `plural.group`. It is some time after the kind is served: the API server collects what it serves.
pub async fn until_discovered(cluster: &Cluster, name: &str, within: Duration) -> Result<()> {
    let (_, group) = name.split_once('.').with_context(|| format!("{name} has no group"))?;
    // kubectl asks again for this list, whatever it has cached.
    let list = ["api-resources", &format!("--api-group={group}"), "--output=name"];
    eventually(&format!("kubectl knows {name}"), within, async || {
        let listed = cluster.kubectl(&list).await?;
        ensure!(listed.lines().any(|line| line == name), "{listed}");
        Ok(())
    })
    .await
}

fn status_or_object(object: &impl Serialize) -> String {
    let all = serde_json::to_value(object).unwrap_or_default();
    let shown = if all["status"].is_object() { &all["status"] } else { &all };
    serde_json::to_string_pretty(shown).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timeout_reports_the_last_error() {
        let mut count = 0;
        let never = eventually("it is done", Duration::from_secs(1), async || -> Result<()> {
            count += 1;
            bail!("attempt {count}")
        });
        let message = never.await.expect_err("never happens").to_string();
        assert!(message.starts_with("waited 1 s until it is done; last: "), "{message}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_is_cancelled_at_the_deadline() {
        let hangs = eventually("it answers", Duration::from_secs(2), async || {
            std::future::pending::<()>().await;
            Ok(())
        });
        assert!(hangs.await.expect_err("never answers").to_string().contains("; last: nothing"));
    }
}
