//! Connections to the HTTP port, each with an end: of its head, of its answer, and of itself. Whoever
//! asks slowly, asks much or does not take the answer costs little, and not for long.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What one who asks may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; those beyond wait until one ends.
    pub connections: usize,
    /// Bytes of a request's head.
    pub head: usize,
    /// Time for a request's head, the wait for it included.
    pub head_time: Duration,
    /// Time for an answer.
    pub answer_time: Duration,
    /// Time after which a connection takes no further request.
    pub connection_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: 16 << 10,
            head_time: Duration::from_secs(15),
            answer_time: Duration::from_secs(30),
            connection_time: Duration::from_mins(2),
        }
    }
}

/// The wait after the system could not give a connection, as when too many files are open.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until it is stopped, and then to the end of what was asked.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &places)).await {
        let Ok((client, place)) = accepted else {
            // One that broke off while it was taken is none; what lasts does not keep the machine busy.
            sleep(PAUSE).await;
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            converse(client, router, limits, &stop).await;
            drop(place);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (client, _) = listener.accept().await?;
    Ok((client, place))
}

async fn converse(client: TcpStream, router: Router, limits: Limits, stop: &CancellationToken) {
    let pages = TowerToHyperService::new(router);
    let answers = service_fn(move |request: Request<Incoming>| {
        let pages = pages.clone();
        async move { Ok::<_, Infallible>(answer(&pages, request, limits.answer_time).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head);
    let mut connection = pin!(http.serve_connection(TokioIo::new(client), answers));
    // How it ends is the client's business.
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(limits.connection_time) => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(timeout(limits.answer_time, connection).await);
}

/// The answer to a request; nothing here takes a body.
async fn answer(
    pages: &TowerToHyperService<Router>,
    request: Request<Incoming>,
    time: Duration,
) -> Response {
    if !request.body().is_end_stream() {
        let close = [(header::CONNECTION, "close")];
        let text = "no request has a body here\n";
        return (StatusCode::PAYLOAD_TOO_LARGE, close, text).into_response();
    }
    match timeout(time, pages.call(request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(never)) => match never {},
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "no answer in time\n").into_response(),
    }
}
