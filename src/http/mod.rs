//! The HTTP port: health, metrics and status. Shows numbers, names and errors; never payloads.

mod gauges;
mod limits;
mod page;
mod process;

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, inspect};
use gauges::Gauges;
pub use limits::Limits;

/// Time after which a database that does not answer counts as unhealthy.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

const NO_ANSWER: &str = "the database does not answer";

/// The state that the handlers share.
#[derive(Clone)]
struct Shared {
    engine: watch::Receiver<Engine>,
    metrics: PrometheusHandle,
    gauges: Arc<Gauges>,
}

impl Shared {
    /// The engine with the current accounts.
    fn engine(&self) -> Engine {
        self.engine.borrow().clone()
    }
}

/// Serves the HTTP port until it is stopped.
pub async fn serve(
    listener: TcpListener,
    engine: watch::Receiver<Engine>,
    metrics: PrometheusHandle,
    limits: Limits,
    stop: CancellationToken,
) {
    let shared = Shared {
        engine,
        metrics,
        gauges: Arc::default(),
    };
    let router = Router::new()
        .route("/", get(status_page))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render_metrics))
        .route("/status.json", get(status))
        .with_state(shared);
    limits::serve(listener, router, limits, stop).await;
}

/// Listens on the configured address.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        anyhow::anyhow!(
            "cannot listen on {address}: {error}; set http.listen to a free address, or \"off\""
        )
    })
}

fn unavailable(reason: impl Display) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

/// Liveness: the process and the database answer.
async fn healthz(State(shared): State<Shared>) -> Response {
    let store = shared.engine().store;
    match timeout(DATABASE_TIMEOUT, store.ping()).await {
        Ok(Ok(_)) => (StatusCode::OK, "ok\n").into_response(),
        Ok(Err(error)) => unavailable(error),
        Err(_) => unavailable(NO_ANSWER),
    }
}

/// Readiness: no stream is stalled.
async fn readyz(State(shared): State<Shared>) -> Response {
    let engine = shared.engine();
    match timeout(
        DATABASE_TIMEOUT,
        inspect::status::stalled_streams(&engine.store, &engine.accounts),
    )
    .await
    {
        Ok(Ok(stalled)) if stalled.is_empty() => (StatusCode::OK, "ok\n").into_response(),
        Ok(Ok(stalled)) => unavailable(stalled.join("\n")),
        Ok(Err(error)) => unavailable(error),
        Err(_) => unavailable(NO_ANSWER),
    }
}

async fn render_metrics(State(shared): State<Shared>) -> Response {
    // The database knows the state of every stream, whichever process reads it.
    let _timed_out = timeout(DATABASE_TIMEOUT, shared.gauges.set(&shared.engine())).await;
    process::measure();
    shared.metrics.run_upkeep();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        shared.metrics.render(),
    )
        .into_response()
}

async fn status_page(State(shared): State<Shared>) -> Response {
    let engine = shared.engine();
    match inspect::status::load(&engine.store, &engine.accounts).await {
        Ok(status) => Html(page::render(&status)).into_response(),
        Err(error) => unavailable(error),
    }
}

async fn status(State(shared): State<Shared>) -> Response {
    let engine = shared.engine();
    match inspect::status::load(&engine.store, &engine.accounts).await {
        Ok(status) => axum::Json(status).into_response(),
        Err(error) => unavailable(error),
    }
}
