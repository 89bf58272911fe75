//! The HTTP port against clients that send slowly, send too much, or never end.

use std::net::SocketAddr;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use paysync::app::App;
use paysync::http::{self, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{config_of, in_time};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_hours(1);

/// Limits of which none is reached.
const LOOSE: Limits = Limits {
    connections: 2,
    head: 16 << 10,
    head_time: LONG,
    response_time: LONG,
    connection_time: LONG,
};

/// A port of a process whose database takes connections and says nothing.
struct Port {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    _database: TcpListener,
}

impl Port {
    async fn new(limits: Limits) -> Self {
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (listener, database) = (bind().await.unwrap(), bind().await.unwrap());
        let at = database.local_addr().unwrap();
        let text = format!("[database]\nurl = \"postgres://paysync@{at}/nothing\"\n");
        let engine = App::new(&config_of(&text), &[]).unwrap().engine;
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let stop = CancellationToken::new();
        Self {
            address: listener.local_addr().unwrap(),
            serving: tokio::spawn(http::serve(
                listener,
                watch::channel(engine).1,
                metrics,
                limits,
                stop.clone(),
            )),
            stop,
            _database: database,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends something and reads until the other side ends it.
    async fn say(&self, words: &str) -> String {
        let mut client = self.connect().await;
        client.write_all(words.as_bytes()).await.unwrap();
        rest(&mut client).await
    }

    /// Stops it; an open connection must not prevent that.
    async fn end(self) {
        self.stop.cancel();
        in_time("the port", self.serving).await.unwrap();
    }
}

/// All that comes until the other side ends the connection, gently or not.
async fn rest(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = async {
        let mut part = vec![0; 4096];
        while let Ok(length @ 1..) = client.read(&mut part).await {
            answer.extend_from_slice(&part[..length]);
        }
    };
    in_time("the end of a connection", reading).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const ASK: &str = "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n";
const ASK_ONCE: &str = "GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_slow_client_is_disconnected() {
    let limits = Limits {
        head_time: SHORT,
        ..LOOSE
    };
    let port = Port::new(limits).await;
    // Nothing at all, half a head, and nothing more after an answer.
    assert_eq!(port.say("").await, "");
    let half = port.say("GET / HTTP/1.1\r\nHost:").await;
    assert!(!half.contains("200"), "{half}");
    assert!(port.say(ASK).await.starts_with("HTTP/1.1 200 OK\r\n"));
    // One byte now and then is no haste either.
    let mut client = port.connect().await;
    let dripping = async {
        while client.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 20).await;
        }
    };
    in_time("one that drips", dripping).await;

    // While all places are taken by those, others wait, and are served.
    let idle = (port.connect().await, port.connect().await);
    let answer = port.say(ASK_ONCE).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    drop(idle);
    port.end().await;
}

#[tokio::test]
async fn a_large_request_is_refused_before_it_takes_memory() {
    let port = Port::new(LOOSE).await;
    // A head without end.
    let mut client = port.connect().await;
    let line = format!("x: {}\r\n", "y".repeat(1000));
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut sent = 0_usize;
    let sending = async {
        while client.write_all(line.as_bytes()).await.is_ok() {
            sent += line.len();
        }
    };
    in_time("a head without end", sending).await;
    // The buffers of the sockets take some bytes that the server never reads.
    assert!((1..32 << 20).contains(&sent), "{sent} bytes were taken");

    // A body is not read, whatever is announced.
    for body in [
        "Content-Length: 1099511627776",
        "Transfer-Encoding: chunked",
    ] {
        let ask = format!("POST /healthz HTTP/1.1\r\nHost: here\r\n{body}\r\n\r\n");
        let answer = port.say(&ask).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    let answer = port.say(ASK_ONCE).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    port.end().await;
}

#[tokio::test]
async fn responses_and_connections_have_a_time_limit() {
    let limits = Limits {
        response_time: SHORT,
        connection_time: SHORT * 5,
        ..LOOSE
    };
    let port = Port::new(limits).await;
    // The database never answers, and this page needs it.
    let ask = "GET /status.json HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
    let answer = port.say(ask).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("no response in time\n"), "{answer}");

    // A client that keeps sending requests has to connect again.
    let mut client = port.connect().await;
    let mut answers = 0;
    let asking = async {
        let mut buffer = vec![0; 64 << 10];
        while client
            .write_all(b"GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n")
            .await
            .is_ok()
        {
            match client.read(&mut buffer).await {
                Ok(1..) => answers += 1,
                _ => break,
            }
        }
    };
    in_time("one that goes on asking", asking).await;
    assert!(answers > 0);
    // The port ends although a client is connected.
    let _idle = port.connect().await;
    port.end().await;
}
