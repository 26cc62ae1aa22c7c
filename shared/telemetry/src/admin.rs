//! The admin port: `/metrics`, `/livez`, `/readyz`.

use std::{net::SocketAddr, pin::pin, time::Duration};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use fleet_lifecycle::Stop;
use serde::Serialize;
use tokio::{net::TcpListener, sync::oneshot};
use tracing::info;

use crate::{Failing, Metrics, Readiness};

/// The text format of Prometheus.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long open requests are waited for at the end.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Serves the admin port until all other tasks of the service have ended after a soft stop, or until a hard stop.
/// Fails if the address cannot be listened on. Start it with `Tasks::spawn`.
pub async fn serve_admin(
    listen: SocketAddr,
    metrics: Metrics,
    readiness: Readiness,
    stop: Stop,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("telemetry.listen {listen}"))?;
    info!(listen = %listener.local_addr()?, "admin port is open");
    serve(listener, Admin { metrics, readiness, stop }).await
}

#[derive(Clone)]
struct Admin {
    metrics: Metrics,
    readiness: Readiness,
    stop: Stop,
}

async fn serve(listener: TcpListener, admin: Admin) -> anyhow::Result<()> {
    let stop = admin.stop.clone();
    let app = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/livez", get(show_liveness))
        .route("/readyz", get(show_readiness))
        .with_state(admin);
    let (close, closing) = oneshot::channel::<()>();
    let closed = async move {
        // Either way: a dropped sender closes the port too.
        let _ = closing.await;
    };
    let server = axum::serve(listener, app).with_graceful_shutdown(closed).into_future();
    let mut server = pin!(server);
    tokio::select! {
        end = &mut server => return end.context("the admin port failed"),
        () = stop.others_done() => drop(close),
    }
    // Too slow a reader loses its answer; the end of the service does not wait for it.
    let _ = tokio::time::timeout(LAST_REQUESTS, server).await;
    Ok(())
}

async fn show_metrics(State(admin): State<Admin>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_TYPE)], admin.metrics.render())
}

async fn show_liveness() -> &'static str {
    "alive\n"
}

/// The answer of `/readyz`.
#[derive(Serialize)]
struct Report {
    ready: bool,
    failing: Vec<Failing>,
}

async fn show_readiness(State(admin): State<Admin>) -> impl IntoResponse {
    let mut failing = admin.readiness.failing();
    if admin.stop.is_soft() {
        failing.push(Failing { check: "stop", reason: "stopping".to_owned() });
    }
    let ready = failing.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Report { ready, failing }))
}

#[cfg(test)]
mod tests {
    use fleet_lifecycle::Tasks;
    use serde_json::{Value, json};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    struct Service {
        address: SocketAddr,
        admin: Admin,
        tasks: Tasks,
    }

    async fn start() -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        let admin = Admin { metrics: Metrics::new(), readiness: Readiness::new(), stop };
        tasks.spawn("admin", serve(listener, admin.clone()));
        Service { address, admin, tasks }
    }

    impl Service {
        /// The status and the body.
        async fn get(&self, path: &str) -> (u16, String) {
            let mut connection = TcpStream::connect(self.address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
        }

        async fn ready(&self) -> (u16, Value) {
            let (status, body) = self.get("/readyz").await;
            (status, serde_json::from_str(&body).unwrap())
        }
    }

    #[tokio::test]
    async fn metrics_and_liveness_are_served() {
        let service = start().await;
        service
            .admin
            .metrics
            .counter("mfa_calls_total", "Calls placed.", &[])
            .with_label_values(&[] as &[&str])
            .inc();
        let (status, body) = service.get("/metrics").await;
        assert_eq!(status, 200);
        assert!(body.contains("mfa_calls_total 1\n") && body.contains("mfa_process_threads "), "{body}");
        assert_eq!(service.get("/livez").await, (200, "alive\n".to_owned()));
        assert_eq!(service.get("/").await.0, 404);
    }

    #[tokio::test]
    async fn readiness_lists_the_failing_checks() {
        let service = start().await;
        let broker = service.admin.readiness.check("broker");
        broker.set_failing("no connection");
        let failing = json!({"ready": false, "failing": [{"check": "broker", "reason": "no connection"}]});
        assert_eq!(service.ready().await, (503, failing));
        broker.set_ready(true);
        assert_eq!(service.ready().await, (200, json!({"ready": true, "failing": []})));
    }

    #[tokio::test]
    async fn port_tells_that_the_service_stops_until_the_other_tasks_have_ended() {
        let service = start().await;
        let (finish, finished) = oneshot::channel::<()>();
        service.tasks.spawn("worker", async move { Ok(finished.await?) });
        service.admin.stop.request_soft();
        let stopping = json!({"ready": false, "failing": [{"check": "stop", "reason": "stopping"}]});
        assert_eq!(service.ready().await, (503, stopping));
        assert_eq!(service.get("/livez").await.0, 200);
        finish.send(()).unwrap();
        assert!(service.tasks.wait(LAST_REQUESTS * 5).await);
        assert!(!service.tasks.any_failed());
        assert!(TcpStream::connect(service.address).await.is_err());
    }

    #[tokio::test]
    async fn idle_connection_does_not_keep_the_port_open() {
        let service = start().await;
        let _idle = TcpStream::connect(service.address).await.unwrap();
        service.admin.stop.request_soft();
        assert!(service.tasks.wait(LAST_REQUESTS * 5).await);
    }

    #[tokio::test]
    async fn address_in_use_is_named_in_the_error() {
        let service = start().await;
        let Admin { metrics, readiness, stop } = service.admin.clone();
        let error = serve_admin(service.address, metrics, readiness, stop).await.unwrap_err();
        assert_eq!(error.to_string(), format!("telemetry.listen {}", service.address));
    }
}
