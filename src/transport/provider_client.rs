//! Requests of one account to its provider.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt as _;
use paysync_provider::{Authenticity, Credential, Method, Provider, Request, Response};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderName,
    HeaderValue, RETRY_AFTER,
};
use rustls::CertificateError;
use secrecy::ExposeSecret as _;
use tokio::time::Instant;
use url::Url;

use super::error::{MAX_BODY_BYTES, TransportError, innermost};
use super::http_client::{is_local, proxy_variable};
use super::limiter::Limiter;
use super::retry;
use crate::tls;

/// A request that would have to wait longer fails instead.
pub const MAX_WAIT_IN_READ: Duration = Duration::from_secs(30);

/// A response and what its headers say.
#[derive(Clone)]
pub struct ProviderResponse {
    /// The part that the provider's code reads.
    pub response: Response,
    /// Whether its signature matches, if the provider signs.
    pub authenticity: Authenticity,
    /// The delay that it asks for.
    pub retry_after: Option<Duration>,
    /// The server's clock.
    pub date: Option<DateTime<Utc>>,
}

/// Sends the requests of one account.
pub struct ProviderClient {
    client: reqwest::Client,
    base_url: Url,
    credential: Credential,
    timeout: Duration,
    limiter: Mutex<Limiter>,
    waited: Mutex<Duration>,
    /// Held by the one background request that waits for a slot.
    background: tokio::sync::Mutex<()>,
    started: Instant,
}

/// Whether a request may be overtaken while it waits for a slot of the request budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Waits behind at most one background request.
    Foreground,
    /// Background requests wait for their slots one after another.
    Background,
}

/// Shorter credentials, such as the number of a shop, are not secret and occur in many texts.
const SHORTEST_SECRET: usize = 6;

impl ProviderClient {
    /// A client for the API at `base_url`.
    pub fn new(
        client: reqwest::Client,
        base_url: Url,
        credential: Credential,
        timeout: Duration,
        per_minute: u32,
    ) -> Self {
        Self {
            client,
            base_url,
            credential,
            timeout,
            limiter: Mutex::new(Limiter::new(per_minute)),
            waited: Mutex::default(),
            background: tokio::sync::Mutex::default(),
            started: Instant::now(),
        }
    }

    /// Waits for a slot in the account's request budget. Returns the total time that requests have waited.
    ///
    /// # Errors
    /// The rest of a pause that the provider asked for, if it is longer than [`MAX_WAIT_IN_READ`].
    pub async fn acquire_slot(&self, priority: Priority) -> Result<Duration, Duration> {
        let now = self.started.elapsed();
        let _turn = match priority {
            Priority::Foreground => None,
            Priority::Background => Some(self.background.lock().await),
        };
        self.pause_left()?;
        let at = self.limiter().reserve(self.started.elapsed());
        tokio::time::sleep_until(self.started + at).await;
        loop {
            // A pause may have begun meanwhile.
            let left = self.pause_left()?;
            if left.is_zero() {
                let waited = self.started.elapsed().saturating_sub(now);
                let mut total = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
                *total += waited;
                return Ok(*total);
            }
            tokio::time::sleep(left).await;
        }
    }

    /// The rest of the account's pause; an error if it is too long to wait.
    fn pause_left(&self) -> Result<Duration, Duration> {
        let until = self.limiter().paused_until();
        let left = until.saturating_sub(self.started.elapsed());
        if left > MAX_WAIT_IN_READ {
            return Err(left);
        }
        Ok(left)
    }

    /// Holds the account's requests back, because the provider asked for it.
    pub fn pause(&self, wait: Duration) {
        self.limiter().pause(self.started.elapsed() + wait);
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the account's secrets in a text.
    pub fn mask(&self, text: &str) -> String {
        let keys = self.credential.keys();
        let parts: Vec<&str> = keys.map(|key| self.credential.expose(key)).collect();
        // As HTTP Basic encodes them.
        let pairs = parts.iter().flat_map(|user| {
            let pair = move |password| STANDARD.encode(format!("{user}:{password}"));
            parts.iter().map(pair)
        });
        let secrets = parts.iter().map(|part| (*part).to_owned()).chain(pairs);
        secrets
            .filter(|secret| secret.len() >= SHORTEST_SECRET)
            .fold(text.to_owned(), |text, secret| text.replace(&secret, "***"))
    }

    /// Continues with the request budget of a process that released the account `idle` ago.
    pub fn take_over(&self, idle: Duration) {
        self.limiter().take_over(self.started.elapsed(), idle);
    }

    /// Authenticates and sends one request, without waiting for a slot and without retries.
    pub async fn send(
        &self,
        provider: &dyn Provider,
        request: Request,
        now: DateTime<Utc>,
    ) -> Result<ProviderResponse, TransportError> {
        let request = provider.authenticate(&self.credential, request);
        let mut answer = self.exchange(request, now).await?;
        if answer.response.status == 200 {
            answer.authenticity = provider.verify(&self.credential, &answer.response)?;
        }
        Ok(answer)
    }

    async fn exchange(
        &self,
        request: Request,
        now: DateTime<Utc>,
    ) -> Result<ProviderResponse, TransportError> {
        let answer = self.http(request)?.send().await;
        let answer = answer.map_err(|error| self.error(&error))?;
        let header = |name: HeaderName| answer.headers().get(name)?.to_str().ok();
        let status = answer.status().as_u16();
        let content_type = header(CONTENT_TYPE).unwrap_or_default();
        let content_type = content_type.to_ascii_lowercase();
        let date = header(DATE).and_then(|value| httpdate::parse_http_date(value).ok());
        let date = date.map(DateTime::from);
        // Dates of one server, whatever its clock says.
        let asked_at = date.unwrap_or(now);
        let retry_after = header(RETRY_AFTER).and_then(|value| retry::retry_after(value, asked_at));
        let encoding = header(CONTENT_ENCODING).unwrap_or_default();
        let encoding = encoding.to_ascii_lowercase();
        let is_gzip = match encoding.as_str() {
            "" | "identity" => false,
            "gzip" | "x-gzip" => true,
            _ => {
                return Err(TransportError::Encoding {
                    host: self.host(),
                    encoding: format!("{encoding:.20}"),
                });
            }
        };
        let (body, lossy) = match String::from_utf8(self.body(answer, is_gzip).await?) {
            Ok(body) => (body, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        };
        let body = match body.strip_prefix('\u{feff}') {
            Some(body) => body.to_owned(),
            None => body,
        };
        Ok(ProviderResponse {
            response: Response {
                status,
                content_type,
                body,
                lossy,
            },
            authenticity: Authenticity::default(),
            retry_after,
            date,
        })
    }

    fn http(&self, request: Request) -> Result<reqwest::RequestBuilder, TransportError> {
        let mut url = self.base_url.clone();
        let path = format!("{}{}", url.path().trim_end_matches('/'), request.path);
        url.set_path(&path);
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let mut http = match request.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url),
        };
        http = http.timeout(self.timeout);
        let mut names = request.headers.iter().map(|(name, _)| name);
        if !names.any(|name| name.eq_ignore_ascii_case("accept")) {
            http = http.header(ACCEPT, "application/json");
        }
        for (name, value) in request.headers {
            http = http.header(name, value);
        }
        http = http.header(ACCEPT_ENCODING, "gzip");
        if let Some(authorization) = request.authorization {
            let mut value = HeaderValue::from_str(authorization.expose_secret()).map_err(|_| {
                TransportError::Unsendable("a credential has characters that no header may have")
            })?;
            value.set_sensitive(true);
            http = http.header(AUTHORIZATION, value);
        }
        if let Some(body) = request.body {
            http = http.header(CONTENT_TYPE, "application/json").body(body);
        }
        Ok(http)
    }

    async fn body(
        &self,
        answer: reqwest::Response,
        is_gzip: bool,
    ) -> Result<Vec<u8>, TransportError> {
        let announced = answer.content_length().unwrap_or(0);
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        if announced > MAX_BODY_BYTES {
            return Err(TransportError::TooLarge { host: self.host() });
        }
        // All of its members, one after the other, as servers that compress chunks send them.
        let mut unpacked = MultiGzDecoder::new(CappedBody::default());
        let mut plain = CappedBody(Vec::with_capacity(announced));
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::FileTooLarge => TransportError::TooLarge { host: self.host() },
            _ => TransportError::Broken {
                host: self.host(),
                cause: format!("gzip: {error}"),
            },
        };
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.error(&error))?;
            let written = if is_gzip {
                unpacked.write_all(&chunk)
            } else {
                plain.write_all(&chunk)
            };
            written.map_err(broken)?;
        }
        let body = if is_gzip {
            unpacked.finish().map_err(broken)?
        } else {
            plain
        };
        Ok(body.0)
    }

    fn host(&self) -> String {
        let host = self.base_url.host_str().unwrap_or_default();
        let port = self.base_url.port();
        port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    fn error(&self, error: &reqwest::Error) -> TransportError {
        let host = self.host();
        if error.is_timeout() && !error.is_connect() {
            return TransportError::Timeout {
                host,
                seconds: self.timeout.as_secs(),
            };
        }
        let mut cause = innermost(error);
        let is_local = self.base_url.host().is_some_and(|host| is_local(&host));
        if error.is_connect()
            && !is_local
            && let Some(variable) = proxy_variable(self.base_url.scheme())
        {
            cause = format!("{cause} ({variable} names a proxy)");
        }
        if !error.is_connect() {
            TransportError::Broken { host, cause }
        } else if tls::certificate_error(error) == Some(&CertificateError::UnknownIssuer) {
            TransportError::UnknownAuthority { host, cause }
        } else {
            TransportError::Connect { host, cause }
        }
    }
}

/// A body of at most [`MAX_BODY_BYTES`].
#[derive(Default)]
struct CappedBody(Vec<u8>);

impl io::Write for CappedBody {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.0.len() + part.len() > MAX_BODY_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::http_client;
    use super::*;

    const MEBIBYTE: usize = 1 << 20;

    fn client(base_url: Url, per_minute: u32) -> ProviderClient {
        ProviderClient::new(
            http_client::client().unwrap(),
            base_url,
            Credential::default(),
            Duration::from_mins(1),
            per_minute,
        )
    }

    /// A client for one request per minute.
    fn slow_client() -> ProviderClient {
        client(Url::parse("http://localhost/").unwrap(), 1)
    }

    /// Requests a page from a server that sends this head, then these parts until the client hangs up.
    async fn fetch(
        head: &str,
        parts: impl Iterator<Item = Vec<u8>> + Send + 'static,
    ) -> Result<usize, TransportError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(head.as_bytes()).await.unwrap();
            for part in parts {
                if stream.write_all(&part).await.is_err() {
                    break;
                }
            }
        });
        let client = client(base_url, 60);
        let answer = client
            .exchange(Request::get("/"), DateTime::default())
            .await;
        drop(client);
        serving.await.unwrap();
        answer.map(|answer| answer.response.body.len())
    }

    /// Gzip of that many zeros: a zero, then repeatedly "the 258 bytes before".
    fn zeros(length: usize) -> Vec<u8> {
        let mut bits: Vec<u8> = vec![1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0];
        for _ in 0..length / 258 {
            bits.extend([1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
        }
        let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        packed.extend(
            bits.chunks(8)
                .map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | bit)),
        );
        packed
    }

    #[tokio::test]
    async fn a_body_beyond_the_cap_is_refused_in_every_encoding() {
        let mebibytes = |count: usize| (0..count).map(|_| vec![b' '; MEBIBYTE]);
        let most = MAX_BODY_BYTES / MEBIBYTE;
        let exact = fetch(
            &format!("content-length: {MAX_BODY_BYTES}"),
            mebibytes(most),
        )
        .await;
        assert_eq!(exact, Ok(MAX_BODY_BYTES));
        let is_too_large = |answer| matches!(answer, Err(TransportError::TooLarge { .. }));
        // An announced length is refused before the body arrives.
        let announced = format!("content-length: {}", MAX_BODY_BYTES + 1);
        assert!(is_too_large(fetch(&announced, std::iter::empty()).await));
        // A chunked body has no announced length.
        let chunked = (0..2 * most).map(|_| {
            let mut chunk = format!("{MEBIBYTE:x}\r\n").into_bytes();
            chunk.resize(chunk.len() + MEBIBYTE, b' ');
            chunk.extend(b"\r\n");
            chunk
        });
        assert!(is_too_large(
            fetch("transfer-encoding: chunked", chunked).await
        ));
        // A body may be small only while it is compressed.
        let packed = zeros(MAX_BODY_BYTES + 1000);
        assert!(packed.len() < MEBIBYTE);
        let head = format!("content-encoding: gzip\r\ncontent-length: {}", packed.len());
        assert!(is_too_large(fetch(&head, std::iter::once(packed)).await));
    }

    #[tokio::test]
    async fn an_encoding_that_was_not_asked_for_is_an_error() {
        let answer = fetch(
            "content-encoding: br\r\ncontent-length: 2",
            std::iter::once(b"{}".to_vec()),
        );
        let error = answer.await.unwrap_err().to_string();
        assert!(
            error.contains("has the encoding br, which was not asked for"),
            "{error}"
        );
    }

    /// `[1,` and `2]`, each compressed by itself: together one body.
    #[tokio::test]
    async fn gzip_may_have_several_members() {
        let members: [&[u8]; 2] = [
            &[
                31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 139, 54, 212, 1, 0, 18, 115, 45, 107, 3, 0, 0, 0,
            ],
            &[
                31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 51, 138, 5, 0, 199, 107, 115, 185, 2, 0, 0, 0,
            ],
        ];
        let packed = members.concat();
        let head = format!("content-encoding: gzip\r\ncontent-length: {}", packed.len());
        assert_eq!(fetch(&head, std::iter::once(packed)).await, Ok(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_fails_requests_even_those_that_wait_already() {
        let client = slow_client();
        let hour = Duration::from_hours(1);
        let short = Duration::from_secs(20);
        client.pause(short);
        let waits = client.acquire_slot(Priority::Foreground);
        let pauses = async { client.pause(short + hour) };
        let (waited, ()) = tokio::join!(waits, pauses);
        assert_eq!(waited, Err(hour));
        assert!(client.acquire_slot(Priority::Background).await.is_err());
        tokio::time::sleep(hour).await;
        assert!(client.acquire_slot(Priority::Foreground).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn foreground_waits_behind_at_most_one_background_request() {
        let second = Duration::from_secs(1);
        let client = Arc::new(slow_client());
        let started = Instant::now();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..5 {
            let client = client.clone();
            waiting.spawn(async move { client.acquire_slot(Priority::Background).await });
        }
        // The first gets its slot at once, the second waits for the next minute, the rest wait for the second.
        tokio::time::sleep(second).await;
        client.acquire_slot(Priority::Foreground).await.unwrap();
        let waited = started.elapsed();
        assert!(
            (Duration::from_secs(119)..Duration::from_secs(122)).contains(&waited),
            "{waited:?}"
        );
        waiting.join_all().await;
        assert!(started.elapsed() > Duration::from_secs(280));
    }
}
