//! Small servers that do what no provider's API does: canned responses, an untrusted certificate,
//! bodies without end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// A certificate for 127.0.0.1 that has signed itself, good for a hundred years, and its key:
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 36500 -addext subjectAltName=IP:127.0.0.1`.
const CERTIFICATE: &str = "MIIBlDCCATqgAwIBAgIUYKn4Xfz63hSYqPESGsobNL6ceZMwCgYIKoZIzj0EAwIwFjEUMBIGA1UEAwwLc2VsZi1zaWduZWQwIBcNMjYxMTIxMTIzMDU1WhgPMjEyNjEwMjgxMjMwNTVaMBYxFDASBgNVBAMMC3NlbGYtc2lnbmVkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+ipByPVaG2eaU7gh/Zph9SpLdI+tAXtnL5rNUpC6hTZ4oZXNpJc9elADQ7cWCaSG0DYoD2k2t3DvInBJEqF0s6NkMGIwHQYDVR0OBBYEFFYf7sCA2K32q3UkxXp+6Px5HVP+MB8GA1UdIwQYMBaAFFYf7sCA2K32q3UkxXp+6Px5HVP+MA8GA1UdEwEB/wQFMAMBAf8wDwYDVR0RBAgwBocEfwAAATAKBggqhkjOPQQDAgNIADBFAiA4gBBusrdFhKvW+H3Nbwk2ysQHuQem8ccp8pN0jmWztgIhAPHC2y3Nn2lEsnVweow7Ns9RYhcLejNFkeihjiorvWhD";
const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/1qx1b8g2sLXicjfhAIc6MA5UaqPjsVpLJodlyfVgGGhRANCAAT6KkHI9VobZ5pTuCH9mmH1Kkt0j60Be2cvms1SkLqFNnihlc2klz16UANDtxYJpIbQNigPaTa3cO8icEkSoXSz";

/// An address without a listener.
pub(crate) async fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// A server that gives everybody this status line and these headers, and no body.
pub(crate) async fn answering(head: &'static str) -> SocketAddr {
    serve(move |mut client: TcpStream| async move {
        hear(&mut client).await;
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        drop(client.write_all(answer.as_bytes()).await);
    })
    .await
}

/// A server that gives everybody this status line and this JSON.
pub(crate) async fn refusing(status: &'static str, body: String) -> SocketAddr {
    serve(move |mut client: TcpStream| {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
        async move {
            hear(&mut client).await;
            drop(client.write_all(answer.as_bytes()).await);
        }
    })
    .await
}

/// A server with an untrusted certificate.
pub(crate) async fn untrusted() -> SocketAddr {
    let decode = |text: &str| STANDARD.decode(text).unwrap();
    let chain = vec![CertificateDer::from(decode(CERTIFICATE))];
    let key = PrivatePkcs8KeyDer::from(decode(KEY));
    let acceptor = acceptor(chain, key);
    serve(move |client: TcpStream| {
        let greeting = acceptor.accept(client);
        async move { assert!(greeting.await.is_err(), "the certificate was trusted") }
    })
    .await
}

/// A server that redirects all requests to another one; the connections to that other one, and the
/// requests to the first.
pub(crate) async fn redirecting() -> (SocketAddr, Arc<AtomicUsize>, Arc<Mutex<String>>) {
    let visitors = Arc::new(AtomicUsize::new(0));
    let counter = visitors.clone();
    let elsewhere = serve(move |client: TcpStream| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move { drop(client) }
    })
    .await;
    let requests = Arc::new(Mutex::new(String::new()));
    let log = requests.clone();
    let address = serve(move |mut client: TcpStream| {
        let log = log.clone();
        async move {
            let mut request = vec![0; 16 << 10];
            let length = client.read(&mut request).await.unwrap_or(0);
            *log.lock().unwrap() += &String::from_utf8_lossy(&request[..length]);
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{elsewhere}/\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            drop(client.write_all(answer.as_bytes()).await);
        }
    })
    .await;
    (address, visitors, requests)
}

/// A server that speaks TLS with this certificate, in front of another one.
pub(crate) async fn tls_before(
    server: SocketAddr,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
) -> SocketAddr {
    let acceptor = acceptor(vec![certificate], key);
    serve(move |client: TcpStream| {
        let greeting = acceptor.accept(client);
        async move {
            let Ok(mut client) = greeting.await else {
                return;
            };
            let mut server = TcpStream::connect(server).await.unwrap();
            drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
        }
    })
    .await
}

fn acceptor(chain: Vec<CertificateDer<'static>>, key: PrivatePkcs8KeyDer<'static>) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A server that sends these headers and the start of a body, and then a piece of it again and again
/// for as long as anybody takes it; and the bytes that were taken.
pub(crate) async fn endless(
    headers: &'static str,
    start: &'static [u8],
    piece: Vec<u8>,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    let piece = Arc::new(piece);
    let address = serve(move |mut client: TcpStream| {
        let (piece, counter) = (piece.clone(), counter.clone());
        async move {
            hear(&mut client).await;
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n\r\n");
            drop(client.write_all(head.as_bytes()).await);
            drop(client.write_all(start).await);
            while client.write_all(&piece).await.is_ok() {
                counter.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    })
    .await;
    (address, taken)
}

/// Serves every connection in a task of its own, for as long as the test goes on.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    session: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(session(client));
        }
    });
    address
}

/// Reads a request; all are shorter than the buffer.
async fn hear(client: &mut TcpStream) {
    let mut request = vec![0; 16 << 10];
    drop(client.read(&mut request).await);
}
