//! HTTP to the providers: authenticates, sends, verifies, caps.
//!
//! One client for the process; a [`Wire`] for each account with its base, credential, budget and
//! timeout. Nothing secret gets into an error: messages name the failure, never a URL's query, a
//! header or a body.

mod client;
pub mod limiter;
pub mod retry;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use paysync_provider::{Authenticity, Credential, Method, PageError, Provider, Request, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER};
use rustls::CertificateError;
use secrecy::ExposeSecret as _;
use thiserror::Error;
use tokio::time::Instant;
use url::Url;

use crate::tls;
pub use client::{USER_AGENT, client, client_that_trusts, local_client};
use limiter::Limiter;

/// The largest answer taken, inflated. A page of 1000 wide rows has about 5 MB.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// A longer wait is not sat out by whoever wants to send a request.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why no answer came.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransportError {
    /// The host name is unknown, or nothing listens there.
    #[error("cannot connect to {host}: {cause}")]
    Connect {
        /// Host and port.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// The server's certificate comes from an unknown authority.
    #[error("cannot connect to {host}: {cause}")]
    UnknownAuthority {
        /// Host and port.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// No answer in time.
    #[error("no answer from {host} within {seconds} s")]
    Timeout {
        /// Host and port.
        host: String,
        /// The time allowed.
        seconds: u64,
    },
    /// The connection broke, or the body was cut short.
    #[error("the answer from {host} broke off: {cause}")]
    Broken {
        /// Host and port.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// More than [`MAX_BODY_BYTES`].
    #[error("the answer from {host} is larger than {} MiB", MAX_BODY_BYTES >> 20)]
    TooLarge {
        /// Host and port.
        host: String,
    },
    /// The request cannot be put into HTTP: a defect of the provider's code or a broken credential.
    #[error("the request cannot be sent: {0}")]
    Unsendable(&'static str),
    /// The answer's signature does not match, and the account requires it.
    #[error(transparent)]
    Unverified(#[from] PageError),
}

/// An answer with what its headers say besides.
#[derive(Clone)]
pub struct Answer {
    /// What the provider's code reads.
    pub response: Response,
    /// Whether its signature matches, where the provider signs.
    pub authenticity: Authenticity,
    /// The wait it asks for.
    pub retry_after: Option<Duration>,
    /// The server's clock.
    pub date: Option<DateTime<Utc>>,
}

/// The way to one account's provider.
pub struct Wire {
    client: reqwest::Client,
    base_url: Url,
    credential: Credential,
    timeout: Duration,
    limiter: Mutex<Limiter>,
    waited: Mutex<Duration>,
    /// Held by the one request that may wait for its place though others are more urgent.
    patient: tokio::sync::Mutex<()>,
    started: Instant,
}

/// Whether a request may be overtaken while it waits for its place in the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It waits behind one other request at most that is not urgent.
    Urgent,
    /// It takes its place one after another with its like.
    Patient,
}

/// What is shorter is no secret worth the name.
const SHORTEST_SECRET: usize = 6;

impl Wire {
    /// A way to `base_url`.
    pub fn new(
        client: reqwest::Client,
        base_url: Url,
        credential: Credential,
        timeout: Duration,
        per_minute: u32,
    ) -> Self {
        let limiter = Mutex::new(Limiter::new(per_minute));
        Self {
            client,
            base_url,
            credential,
            timeout,
            limiter,
            waited: Mutex::default(),
            patient: tokio::sync::Mutex::default(),
            started: Instant::now(),
        }
    }

    /// Waits for a place in the account's budget. Returns how long all requests have waited so far.
    ///
    /// # Errors
    /// What is left of a wait that the provider asked for, if it is longer than [`LONGEST_PAUSE`].
    pub async fn wait_for_place(&self, urgency: Urgency) -> Result<Duration, Duration> {
        let now = self.started.elapsed();
        let _turn = match urgency {
            Urgency::Urgent => None,
            Urgency::Patient => Some(self.patient.lock().await),
        };
        self.pause_left()?;
        let at = self
            .limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reserve(self.started.elapsed());
        tokio::time::sleep_until(self.started + at).await;
        loop {
            // A pause that began meanwhile holds this request back as well.
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

    /// How long the account's requests are still held back; an error if that is too long to wait.
    fn pause_left(&self) -> Result<Duration, Duration> {
        let until = self
            .limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .paused_until();
        let left = until.saturating_sub(self.started.elapsed());
        if left > LONGEST_PAUSE {
            Err(left)
        } else {
            Ok(left)
        }
    }

    /// Holds the account's requests back, after the provider asked for it.
    pub fn pause(&self, wait: Duration) {
        let until = self.started.elapsed() + wait;
        self.limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pause(until);
    }

    /// A text without the account's secrets.
    pub fn mask(&self, text: &str) -> String {
        let parts: Vec<&str> = self
            .credential
            .keys()
            .map(|key| self.credential.expose(key))
            .collect();
        // As HTTP Basic writes them.
        let pairs = parts.iter().flat_map(|user| {
            let pair = move |password| STANDARD.encode(format!("{user}:{password}"));
            parts.iter().map(pair)
        });
        let secrets = parts.iter().map(|part| (*part).to_owned()).chain(pairs);
        secrets
            // A short one, such as a shop's number, says nothing and stands everywhere.
            .filter(|secret| secret.len() >= SHORTEST_SECRET)
            .fold(text.to_owned(), |text, secret| text.replace(&secret, "***"))
    }

    /// Goes on with what a process left of the budget that gave the account back `idle` ago.
    pub fn take_over(&self, idle: Duration) {
        self.limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take_over(self.started.elapsed(), idle);
    }

    /// Seals and sends one request, without waiting and without retrying.
    pub async fn send(
        &self,
        provider: &dyn Provider,
        request: Request,
        now: DateTime<Utc>,
    ) -> Result<Answer, TransportError> {
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
    ) -> Result<Answer, TransportError> {
        let answer = self
            .http(request)?
            .send()
            .await
            .map_err(|error| self.error(&error))?;
        let header = |name| {
            answer
                .headers()
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let status = answer.status().as_u16();
        let content_type = header(CONTENT_TYPE)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let retry_after = header(RETRY_AFTER).and_then(|value| retry::retry_after(value, now));
        let date = header(DATE)
            .and_then(|value| httpdate::parse_http_date(value).ok())
            .map(DateTime::from);
        let (body, lossy) = match String::from_utf8(self.body(answer).await?) {
            Ok(body) => (body, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        };
        Ok(Answer {
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
        if !request
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("accept"))
        {
            http = http.header(ACCEPT, "application/json");
        }
        for (name, value) in request.headers {
            http = http.header(name, value);
        }
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

    async fn body(&self, answer: reqwest::Response) -> Result<Vec<u8>, TransportError> {
        let announced = answer
            .content_length()
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(0);
        if announced > MAX_BODY_BYTES {
            return Err(TransportError::TooLarge { host: self.host() });
        }
        let mut body = Vec::with_capacity(announced);
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.error(&error))?;
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(TransportError::TooLarge { host: self.host() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn host(&self) -> String {
        let host = self.base_url.host_str().unwrap_or_default();
        self.base_url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    fn error(&self, error: &reqwest::Error) -> TransportError {
        let host = self.host();
        if error.is_timeout() && !error.is_connect() {
            return TransportError::Timeout {
                host,
                seconds: self.timeout.as_secs(),
            };
        }
        let cause = innermost(error);
        if !error.is_connect() {
            TransportError::Broken { host, cause }
        } else if tls::certificate_error(error) == Some(&CertificateError::UnknownIssuer) {
            TransportError::UnknownAuthority { host, cause }
        } else {
            TransportError::Connect { host, cause }
        }
    }
}

/// The innermost cause: outer layers repeat the URL.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let mut text = cause.to_string();
    text.truncate(text.floor_char_boundary(200));
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const MEBIBYTE: usize = 1 << 20;

    /// Asks a server that answers once: with this head, and then with these parts until it is told off.
    async fn ask(
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
        let wire = Wire::new(
            client().unwrap(),
            base_url,
            Credential::default(),
            Duration::from_mins(1),
            60,
        );
        let answer = wire.exchange(Request::get("/"), DateTime::default()).await;
        drop(wire);
        serving.await.unwrap();
        answer.map(|answer| answer.response.body.len())
    }

    /// So many zeros as gzip makes them: a zero, and again and again "the 258 bytes before".
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
    async fn a_body_beyond_the_cap_is_refused_however_it_comes() {
        let mebibytes = |count: usize| (0..count).map(|_| vec![b' '; MEBIBYTE]);
        let most = MAX_BODY_BYTES / MEBIBYTE;
        let exact = ask(
            &format!("content-length: {MAX_BODY_BYTES}"),
            mebibytes(most),
        )
        .await;
        assert_eq!(exact, Ok(MAX_BODY_BYTES));
        let is_too_large = |answer| matches!(answer, Err(TransportError::TooLarge { .. }));
        // What is announced is not even awaited.
        let announced = format!("content-length: {}", MAX_BODY_BYTES + 1);
        assert!(is_too_large(ask(&announced, std::iter::empty()).await));
        // What is not announced might have no end.
        let chunked = (0..2 * most).map(|_| {
            let mut chunk = format!("{MEBIBYTE:x}\r\n").into_bytes();
            chunk.resize(chunk.len() + MEBIBYTE, b' ');
            chunk.extend(b"\r\n");
            chunk
        });
        assert!(is_too_large(
            ask("transfer-encoding: chunked", chunked).await
        ));
        // What is small only while it is packed.
        let packed = zeros(MAX_BODY_BYTES + 1000);
        assert!(packed.len() < MEBIBYTE);
        let head = format!("content-encoding: gzip\r\ncontent-length: {}", packed.len());
        assert!(is_too_large(ask(&head, std::iter::once(packed)).await));
    }

    fn wire(per_minute: u32) -> Wire {
        let base_url = Url::parse("http://localhost/").unwrap();
        Wire::new(
            client().unwrap(),
            base_url,
            Credential::default(),
            Duration::from_secs(1),
            per_minute,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_is_not_sat_out_not_even_by_who_waits_already() {
        let wire = wire(1);
        let hour = Duration::from_hours(1);
        let short = Duration::from_secs(20);
        wire.pause(short);
        let waits = wire.wait_for_place(Urgency::Urgent);
        let pauses = async { wire.pause(short + hour) };
        let (waited, ()) = tokio::join!(waits, pauses);
        assert_eq!(waited, Err(hour));
        assert!(wire.wait_for_place(Urgency::Patient).await.is_err());
        tokio::time::sleep(hour).await;
        assert!(wire.wait_for_place(Urgency::Urgent).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_urgent_waits_behind_one_patient_request_at_most() {
        let second = Duration::from_secs(1);
        let wire = Arc::new(wire(1));
        let started = Instant::now();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..5 {
            let wire = wire.clone();
            waiting.spawn(async move { wire.wait_for_place(Urgency::Patient).await });
        }
        // The first has its place at once, the second waits for the next minute, the rest for them.
        tokio::time::sleep(second).await;
        wire.wait_for_place(Urgency::Urgent).await.unwrap();
        let waited = started.elapsed();
        assert!(
            (Duration::from_secs(119)..Duration::from_secs(122)).contains(&waited),
            "{waited:?}"
        );
        waiting.join_all().await;
        assert!(started.elapsed() > Duration::from_secs(280));
    }
}
