//! The HTTP port: health, metrics, status. Numbers, names and errors; never payloads.

mod gauges;
mod limits;
mod page;
mod process;

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
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, inspect};
use gauges::Gauges;
pub use limits::Limits;

/// How long the database may take to answer, before whoever asks for health gives up.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);

/// What the pages are made of.
#[derive(Clone)]
struct Pages {
    engine: watch::Receiver<Engine>,
    metrics: PrometheusHandle,
    gauges: Arc<Gauges>,
}

impl Pages {
    /// The engine with the accounts that there are now.
    fn engine(&self) -> Engine {
        self.engine.borrow().clone()
    }
}

/// Serves until it is stopped.
pub async fn serve(
    listener: TcpListener,
    engine: watch::Receiver<Engine>,
    metrics: PrometheusHandle,
    limits: Limits,
    stop: CancellationToken,
) {
    let pages = Pages {
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
        .with_state(pages);
    limits::serve(listener, router, limits, stop).await;
}

/// A listener on the configured address.
///
/// # Errors
/// If the address cannot be bound; says which.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        anyhow::anyhow!(
            "cannot listen on {address}: {error}; set http.listen to a free address, or \"off\""
        )
    })
}

/// The process answers and the database too.
async fn healthz(State(pages): State<Pages>) -> Response {
    let store = pages.engine().store;
    let answer = tokio::time::timeout(DATABASE_PATIENCE, store.ping());
    let Ok(answer) = answer.await else {
        let text = "the database does not answer\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    match answer {
        Ok(_) => (StatusCode::OK, "ok\n").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// What is read moves on. A process that only lives is not ready.
async fn readyz(State(pages): State<Pages>) -> Response {
    let engine = pages.engine();
    let stalled = inspect::status::stalled_streams(&engine.store, &engine.accounts);
    match tokio::time::timeout(DATABASE_PATIENCE, stalled).await {
        Ok(Ok(stalled)) if stalled.is_empty() => (StatusCode::OK, "ok\n").into_response(),
        Ok(Ok(stalled)) => {
            let text = stalled.join("\n") + "\n";
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        Err(_) => {
            let text = "the database does not answer\n";
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn render_metrics(State(pages): State<Pages>) -> Response {
    // The streams' gauges are the database's truth at this moment, whichever process reads them.
    let _late = tokio::time::timeout(DATABASE_PATIENCE, pages.gauges.set(&pages.engine())).await;
    process::measure();
    pages.metrics.run_upkeep();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        pages.metrics.render(),
    )
        .into_response()
}

async fn status_page(State(pages): State<Pages>) -> Response {
    let engine = pages.engine();
    match inspect::status::load(&engine.store, &engine.accounts).await {
        Ok(status) => Html(page::render(&status)).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn status(State(pages): State<Pages>) -> Response {
    let engine = pages.engine();
    match inspect::status::load(&engine.store, &engine.accounts).await {
        Ok(status) => axum::Json(status).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
