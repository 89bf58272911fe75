//! Limits of the HTTP port: a client that sends slowly, sends much or does not read its response costs
//! little, and not for long.

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

/// Limits of the HTTP port.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Concurrent connections; further ones wait until one ends.
    pub connections: usize,
    /// Size of a request's head in bytes.
    pub head: usize,
    /// Time until a request's head is complete, idle time included.
    pub head_time: Duration,
    /// Time for a response.
    pub response_time: Duration,
    /// Time after which a connection accepts no further request.
    pub connection_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: 16 << 10,
            head_time: Duration::from_secs(15),
            response_time: Duration::from_secs(30),
            connection_time: Duration::from_mins(2),
        }
    }
}

/// Delay after a failed `accept`, such as with too many open files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Serves until it is stopped, then finishes the requests that have begun.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &permits)).await {
        let Ok((client, permit)) = accepted else {
            // The client may be gone, or the error may persist: then the loop must not spin.
            sleep(ACCEPT_RETRY_DELAY).await;
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            serve_connection(client, router, limits, &stop).await;
            drop(permit);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await;
    let permit = permit.map_err(io::Error::other)?;
    let (client, _) = listener.accept().await?;
    Ok((client, permit))
}

async fn serve_connection(
    client: TcpStream,
    router: Router,
    limits: Limits,
    stop: &CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move { Ok::<_, Infallible>(respond(&router, request, limits.response_time).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head);
    let mut connection = pin!(http.serve_connection(TokioIo::new(client), service));
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(limits.connection_time) => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(timeout(limits.response_time, connection).await);
}

/// The response to a request, which must not have a body.
async fn respond(
    router: &TowerToHyperService<Router>,
    request: Request<Incoming>,
    time: Duration,
) -> Response {
    if !request.body().is_end_stream() {
        let close = [(header::CONNECTION, "close")];
        let text = "requests with a body are not accepted\n";
        return (StatusCode::PAYLOAD_TOO_LARGE, close, text).into_response();
    }
    match timeout(time, router.call(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "no response in time\n").into_response(),
    }
}
