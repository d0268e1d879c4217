//! Serves the endpoints for operators: `/metrics`, `/healthz`, `/readyz`.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Health;
use crate::http::listener::{self, ListenError};
use crate::http::server::Endpoint;

/// The recorder keeps every sample of a histogram until upkeep drains it, even if nobody scrapes.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);
/// Shorter than the pause by which a stopped process is recognised.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Monitoring needs a handful.
const MOST_CONNECTIONS: usize = 64;
/// At the end, requests in progress may take this long.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Ops {
    metrics: PrometheusHandle,
    health: Health,
}

/// Binds the address of `service.listen`.
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    listener::bind("service.listen", address).await
}

/// Answers until `shutdown` is cancelled, then lets running requests end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    metrics: PrometheusHandle,
    health: Health,
    shutdown: CancellationToken,
) {
    let endpoint = Endpoint {
        listener,
        tls,
        router: router(Ops { metrics: metrics.clone(), health: health.clone() }),
        most_connections: MOST_CONNECTIONS,
        grace: GRACE,
    };
    tokio::select! {
        () = endpoint.serve(shutdown) => {}
        () = upkeep(&metrics) => {}
        () = looks(&health) => {}
    }
}

async fn upkeep(metrics: &PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_PERIOD);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

async fn looks(health: &Health) {
    let mut ticks = tokio::time::interval(LOOK_PERIOD);
    loop {
        ticks.tick().await;
        health.look();
    }
}

fn router(ops: Ops) -> Router {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    listener::with_refusals(
        routes,
        "This server offers /metrics, /healthz and /readyz.",
        "This server answers only GET and HEAD.",
    )
    .with_state(ops)
}

/// Prometheus text exposition format 0.0.4.
async fn metrics(State(ops): State<Ops>) -> impl IntoResponse {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], ops.metrics.render())
}

async fn healthz(State(ops): State<Ops>) -> impl IntoResponse {
    let liveness = ops.health.liveness();
    (ok_or_unavailable(liveness.alive), Json(liveness))
}

async fn readyz(State(ops): State<Ops>) -> impl IntoResponse {
    let readiness = ops.health.readiness();
    (ok_or_unavailable(readiness.ready), Json(readiness))
}

fn ok_or_unavailable(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::telemetry::Part;
    use crate::telemetry::metrics::recorder;

    /// Serves on a free port, sends one request, shuts down; returns head and body of the response.
    async fn answer(request_line: &str, health: Health) -> (String, String) {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let recorder = recorder();
        ::metrics::with_local_recorder(&recorder, || {
            ::metrics::counter!("keywatch_test_events_total").increment(7);
        });
        let server = tokio::spawn(serve(listener, None, recorder.handle(), health, stop.clone()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request_line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        stop.cancel();
        server.await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    fn parsed(body: &str) -> Value {
        serde_json::from_str(body).unwrap()
    }

    #[tokio::test]
    async fn metrics_are_rendered() {
        let (head, body) = answer("GET /metrics", Health::default()).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("keywatch_test_events_total 7"), "{body}");
    }

    #[tokio::test]
    async fn a_beating_pipeline_is_healthy() {
        let (head, body) = answer("GET /healthz", Health::default()).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(parsed(&body)["alive"], true);
    }

    #[tokio::test]
    async fn clients_that_send_half_a_head_do_not_keep_others_out() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (recorder, stop) = (recorder(), CancellationToken::new());
        let (handle, health) = (recorder.handle(), Health::default());
        tokio::spawn(serve(listener, None, handle, health, stop.clone()));
        let mut unfinished = Vec::new();
        for _ in 0..2 * MOST_CONNECTIONS {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
            unfinished.push(client);
        }
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        stop.cancel();
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing() {
        let health = Health::default();
        health.ready(Part::Source);
        health.waiting(Part::ClickHouse, "connection refused");
        let (head, body) = answer("GET /readyz", health.clone()).await;
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
        assert_eq!(
            parsed(&body),
            json!({"ready": false, "waiting": {"clickhouse": "connection refused"}})
        );
        health.ready(Part::ClickHouse);
        let (head, body) = answer("GET /readyz", health).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(parsed(&body), json!({"ready": true, "waiting": {}}));
    }

    #[tokio::test]
    async fn unknown_paths_and_methods_get_problem_details() {
        let (head, body) = answer("GET /nothing", Health::default()).await;
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
        assert!(head.contains("content-type: application/problem+json"), "{head}");
        assert_eq!(parsed(&body)["title"], "Not Found");

        let (head, body) = answer("DELETE /metrics", Health::default()).await;
        assert!(head.starts_with("HTTP/1.1 405"), "{head}");
        assert!(head.contains("allow: GET,HEAD"), "{head}");
        assert_eq!(parsed(&body)["status"], 405);
    }
}
