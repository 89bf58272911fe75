//! A proxy before the simulator that keeps what passes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, HOST};
use axum::http::{HeaderMap, Response};
use paysync_simulator::Handle;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it arrived, and its answer.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    /// As it was sent, encoded.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    pub(super) status: u16,
    pub(super) answer: String,
}

/// The proxy.
pub(super) struct Recorder {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Proxy {
    simulator: SocketAddr,
    client: reqwest::Client,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    pub(super) async fn before(simulator: &Handle) -> Self {
        let seen = Arc::default();
        let proxy = Proxy {
            simulator: simulator.addr(),
            client: paysync::transport::client().unwrap(),
            seen: Arc::clone(&seen),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(pass).with_state(proxy);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            seen,
            serving,
        }
    }

    /// What passed since the last time, in the order of the answers.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    pub(super) fn stop(self) {
        self.serving.abort();
    }
}

async fn pass(State(proxy): State<Proxy>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut headers = parts.headers.clone();
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    let url = format!("http://{}{}", proxy.simulator, parts.uri);
    let answer = proxy
        .client
        .request(parts.method.clone(), url)
        .headers(headers)
        .body(body.clone())
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let content_type = answer.headers()["content-type"].clone();
    let answer = answer.text().await.unwrap();
    proxy.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).expect("UTF-8"),
        status: status.as_u16(),
        answer: answer.clone(),
    });
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(Body::from(answer))
        .unwrap()
}
