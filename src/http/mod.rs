//! The HTTP port: health, metrics and status. Shows numbers, names and errors; never payloads.

mod gauges;
mod limits;
mod page;
mod process;

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::engine::inspect::status::{self, Status, stalled_streams};
use crate::store::StoreError;
use gauges::Gauges;
pub use limits::Limits;

/// Time after which a database that does not answer counts as unhealthy.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

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

/// Why there is no answer.
type Unavailable = (StatusCode, String);

fn unavailable(reason: impl Display) -> Unavailable {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"))
}

/// What the database answers, if it does so in time.
async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, Unavailable> {
    let answer = timeout(DATABASE_TIMEOUT, answer).await;
    let answer = answer.map_err(|_| unavailable("the database does not answer"))?;
    answer.map_err(unavailable)
}

/// Liveness: the process and the database answer.
async fn healthz(State(shared): State<Shared>) -> Result<&'static str, Unavailable> {
    in_time(shared.engine().store.ping()).await?;
    Ok("ok\n")
}

/// Readiness: no stream is stalled.
async fn readyz(State(shared): State<Shared>) -> Result<&'static str, Unavailable> {
    let engine = shared.engine();
    let stalled = in_time(stalled_streams(&engine.store, &engine.accounts)).await?;
    if stalled.is_empty() {
        return Ok("ok\n");
    }
    Err(unavailable(stalled.join("\n")))
}

async fn render_metrics(State(shared): State<Shared>) -> impl IntoResponse {
    // The database knows the state of every stream, whichever process reads it.
    let _timed_out = timeout(DATABASE_TIMEOUT, shared.gauges.set(&shared.engine())).await;
    process::measure();
    shared.metrics.run_upkeep();
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    let headers = [(header::CONTENT_TYPE, content_type)];
    (headers, shared.metrics.render())
}

async fn status_page(shared: State<Shared>) -> Result<Html<String>, Unavailable> {
    let Json(status) = status(shared).await?;
    Ok(Html(page::render(&status)))
}

async fn status(State(shared): State<Shared>) -> Result<Json<Status>, Unavailable> {
    let engine = shared.engine();
    let status = status::load(&engine.store, &engine.accounts).await;
    status.map(Json).map_err(unavailable)
}
