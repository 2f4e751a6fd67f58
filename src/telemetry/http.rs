//! `/livez`, `/readyz` and `/metrics` on one port.

use std::{future::Future, io, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{Health, Liveness, Metrics};

/// Time that responses in progress have to finish after the stop.
const GRACE: Duration = Duration::from_secs(2);

/// The state of the routes.
#[derive(Clone)]
struct Shared {
    health: Health,
    metrics: Metrics,
}

/// The three routes:
///
/// | path       | 200                                          | otherwise                                  |
/// |------------|----------------------------------------------|--------------------------------------------|
/// | `/livez`   | the controller's loop sends heartbeats       | 500, with the time since the last one      |
/// | `/readyz`  | leading with complete caches, or standing by | 503, JSON with `role` and a list `missing` |
/// | `/metrics` | Prometheus text                              | 500 when a metric cannot be encoded        |
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(text))
        .with_state(Shared { health, metrics })
}

/// Serves until `stop` resolves. Responses in progress then have two seconds to finish.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopped, on_stop) = oneshot::channel();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        stop.await;
        // An error means that the server has already ended by itself.
        let _ = stopped.send(());
    });
    let too_late = async {
        let _ = on_stop.await;
        sleep(GRACE).await;
    };
    tokio::select! {
        served = server.into_future() => served,
        () = too_late => Ok(()),
    }
}

async fn livez(State(shared): State<Shared>) -> Response {
    match shared.health.liveness(Instant::now()) {
        Liveness::Alive => "alive\n".into_response(),
        Liveness::Stuck(silent) => {
            let text = format!("the controller's loop has not come round for {} s\n", silent.as_secs());
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let readiness = shared.health.readiness();
    let ready = readiness.missing.is_empty();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"ready": ready, "role": readiness.role, "missing": readiness.missing});
    (code, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn text(State(shared): State<Shared>) -> Response {
    match shared.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;

    /// Status, content type and body of one request.
    async fn get(health: &Health, path: &str) -> (u16, String, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router(health.clone(), Metrics::new()).oneshot(request).await.expect("infallible");
        let code = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE).map_or("", |value| value.to_str().expect("ASCII"));
        let content_type = content_type.to_owned();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a short body");
        (code, content_type, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    #[tokio::test]
    async fn readyz_lists_what_is_missing() {
        let health = Health::default();
        health.lead();
        let (code, content_type, body) = get(&health, "/readyz").await;
        assert_eq!((code, content_type.as_str()), (503, "application/json"));
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let missing = ["the first lists of RecommenderModels and their children"];
        assert_eq!(body, json!({"ready": false, "role": "leading", "missing": missing}));
        health.set_loaded(true);
        assert_eq!(get(&health, "/readyz").await.0, 200);
        health.stop();
        assert_eq!(get(&health, "/readyz").await.0, 503);
    }

    #[tokio::test]
    async fn a_replica_that_stands_by_is_ready() {
        let health = Health::default();
        assert_eq!(get(&health, "/readyz").await.0, 503);
        health.stand_by();
        let (code, _, body) = get(&health, "/readyz").await;
        assert_eq!((code, body.as_str()), (200, "{\"missing\":[],\"ready\":true,\"role\":\"standing by\"}\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn livez_fails_when_the_loop_is_stuck() {
        let health = Health::default();
        health.lead();
        assert_eq!(get(&health, "/livez").await.0, 200);
        tokio::time::advance(Duration::from_secs(90)).await;
        let (code, _, body) = get(&health, "/livez").await;
        assert_eq!((code, body.as_str()), (500, "the controller's loop has not come round for 90 s\n"));
        health.beat();
        assert_eq!(get(&health, "/livez").await.0, 200);
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let (code, content_type, body) = get(&Health::default(), "/metrics").await;
        assert_eq!((code, content_type.as_str()), (200, "text/plain; version=0.0.4"));
        assert!(body.contains("\n# TYPE recommender_operator_reconciles_total counter\n"), "{body}");
        assert_eq!(get(&Health::default(), "/elsewhere").await.0, 404);
    }

    /// A client that keeps its connection open, or sends half a request, does not keep the process running.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn serving_stops_although_clients_stay_connected() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, router(Health::default(), Metrics::new()), async {
            let _ = stopped.await;
        }));
        let mut client = TcpStream::connect(address).expect("listening");
        client.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        let mut answer = [0; 15];
        client.read_exact(&mut answer).expect("answered");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        client.write_all(b"GET /livez HT").expect("sent");
        stop.send(()).expect("the server runs");
        let ended = tokio::time::timeout(GRACE * 3, server).await.expect("in time");
        ended.expect("no panic").expect("no error");
    }
}
