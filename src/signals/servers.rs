//! Reads metrics from the servers directly. Used only while the metric source that scrapes them does not answer.

use std::{net::SocketAddr, time::Duration};

use axum::{body::Bytes, http::Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Longest time to wait for a server: there is a new round of queries every few seconds.
const DEADLINE: Duration = Duration::from_secs(2);
/// Longest answer that is read, bytes: a few thousand series. Reading ends with the metric that is asked for, which client
/// libraries write among the first.
const LONGEST: usize = 1 << 20;
/// The metric of CPU seconds that a process has used since its start. Prometheus' client libraries expose it by default.
const CPU_SECONDS: &str = "process_cpu_seconds_total";

/// Access to the servers' own metrics over plain HTTP, as for scrapes.
#[derive(Clone, Debug)]
pub struct Servers(Client<HttpConnector, Empty<Bytes>>);

impl Default for Servers {
    fn default() -> Self {
        Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http())
    }
}

impl Servers {
    /// CPU seconds that a server's process has used. None when the server does not answer in time, or does not expose them.
    pub async fn cpu_seconds(&self, server: SocketAddr, path: &str) -> Option<f64> {
        tokio::time::timeout(DEADLINE, self.read(server, path)).await.ok()?
    }

    async fn read(&self, server: SocketAddr, path: &str) -> Option<f64> {
        let request = Request::get(format!("http://{server}{path}")).header("accept", "text/plain;version=0.0.4");
        let response = self.0.request(request.body(Empty::new()).ok()?).await.ok()?;
        let (mut body, mut rest, mut length) = (response.into_body(), Vec::new(), 0);
        while length <= LONGEST
            && let Some(frame) = body.frame().await
        {
            let Ok(data) = frame.ok()?.into_data() else { continue };
            length += data.len();
            rest.extend_from_slice(&data);
            // The last line may not be complete: it could hold only the first digits of a number.
            let complete = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let lines: Vec<u8> = rest.drain(..complete).collect();
            if let Some(seconds) = cpu_seconds(&String::from_utf8_lossy(&lines)) {
                return Some(seconds);
            }
        }
        cpu_seconds(&String::from_utf8_lossy(&rest)).filter(|_| length <= LONGEST)
    }
}

/// Parses the text format of <https://prometheus.io/docs/instrumenting/exposition_formats/>. A series with labels is ignored:
/// it does not cover exactly the process.
fn cpu_seconds(text: &str) -> Option<f64> {
    let mut samples = text.lines().filter_map(|line| line.strip_prefix(CPU_SECONDS)?.strip_prefix(' '));
    samples.next()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing};
    use futures::StreamExt;

    use super::*;

    const TEXT: &str = "# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.\n\
                        # TYPE process_cpu_seconds_total counter\n\
                        process_cpu_seconds_total 12.5\n\
                        process_cpu_seconds_total_of_others 7\n";

    #[test]
    fn cpu_seconds_are_found_among_other_metrics() {
        assert_eq!(cpu_seconds(TEXT), Some(12.5));
        assert_eq!(cpu_seconds("process_cpu_seconds_total 1.25e+02 1795000000000\n"), Some(125.0));
        assert_eq!(cpu_seconds("process_cpu_seconds_total{mode=\"user\"} 1\n"), None);
        assert_eq!(cpu_seconds("up 1\n"), None);
    }

    /// A body that arrives in these parts, and never ends.
    async fn in_parts(parts: &'static [&'static str]) -> axum::body::Body {
        let parts = futures::stream::iter(parts.iter().map(|part| Ok::<_, std::io::Error>(*part)));
        axum::body::Body::from_stream(parts.chain(futures::stream::pending()))
    }

    #[tokio::test]
    async fn reading_ends_with_the_first_complete_line() {
        let app = Router::new()
            .route("/split", routing::get(|| in_parts(&["up 1\nprocess_cpu_seconds_total 1", "2.5\nup", " 1\n"])))
            .route("/incomplete", routing::get(|| in_parts(&["process_cpu_seconds_total 1"])));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serves = tokio::spawn(async move { axum::serve(listener, app).await });
        let servers = Servers::default();
        assert_eq!(servers.cpu_seconds(address, "/split").await, Some(12.5));
        assert_eq!(servers.cpu_seconds(address, "/incomplete").await, None, "more digits may follow");
        serves.abort();
    }

    #[tokio::test]
    async fn a_server_is_queried_at_its_address_and_one_that_does_not_answer_times_out() {
        let app = Router::new().route("/metrics", routing::get(|| async { TEXT }));
        let app = app.route("/slow", routing::get(std::future::pending::<&str>));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serves = tokio::spawn(async move { axum::serve(listener, app).await });
        let servers = Servers::default();
        assert_eq!(servers.cpu_seconds(address, "/metrics").await, Some(12.5));
        assert_eq!(servers.cpu_seconds(address, "/elsewhere").await, None);
        assert_eq!(servers.cpu_seconds(address, "/slow").await, None);
        serves.abort();
        let _ = serves.await;
        assert_eq!(servers.cpu_seconds(address, "/metrics").await, None);
    }
}
