//! A request to a simulated API, and its answer.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

/// A request; its path is without the provider's prefix.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Percent-encoded, as sent.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) now: DateTime<Utc>,
    /// The number of the provider's request; seeds the order of rows with equal times.
    pub(crate) number: u64,
}

impl Call {
    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The token of `Authorization: Bearer`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header(header::AUTHORIZATION)?.strip_prefix("Bearer ")
    }

    /// User and password of `Authorization: Basic`.
    pub(crate) fn basic(&self) -> Option<(String, String)> {
        basic(self.header(header::AUTHORIZATION)?)
    }

    /// Whether `Content-Type` is JSON.
    pub(crate) fn sends_json(&self) -> bool {
        self.header(header::CONTENT_TYPE)
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    }

    /// Whether `Accept` names JSON explicitly.
    pub(crate) fn accepts_json(&self) -> bool {
        self.accepted()
            .is_some_and(|kinds| kinds.contains(&"application/json"))
    }

    /// Whether `Accept` allows JSON: explicitly, by a wildcard, or by its absence.
    pub(crate) fn admits_json(&self) -> bool {
        self.accepted().is_none_or(|kinds| {
            kinds
                .iter()
                .any(|kind| matches!(*kind, "application/json" | "application/*" | "*/*"))
        })
    }

    fn accepted(&self) -> Option<Vec<&str>> {
        let accept = self.header(header::ACCEPT)?;
        Some(
            accept
                .split(',')
                .filter_map(|kind| kind.split(';').next())
                .map(str::trim)
                .collect(),
        )
    }

    /// The decoded parameters of the query, in order.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .into_owned()
            .collect()
    }
}

/// User and password of a header `Basic …`.
pub(crate) fn basic(header: &str) -> Option<(String, String)> {
    let encoded = header.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Whether `given` is `expected` or one of its numbered variants `expected-1`, `expected-2`, …
pub(crate) fn is_credential(given: &str, expected: &str) -> bool {
    given.strip_prefix(expected).is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('-').is_some_and(|digits| {
                !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            })
    })
}

/// An answer before a fault is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
    /// Positions of the rows, if the answer is a page.
    pub(crate) page: Option<Vec<usize>>,
    /// The reason of a refusal, for the request counts.
    pub(crate) refused: Option<&'static str>,
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const HTML: &str = "text/html; charset=UTF-8";

impl Answer {
    pub(crate) fn page(body: String, positions: Vec<usize>) -> Self {
        Self {
            page: Some(positions),
            ..Self::json(body)
        }
    }

    pub(crate) fn json(body: String) -> Self {
        Self {
            status: 200,
            content_type: JSON,
            body,
            page: None,
            refused: None,
        }
    }

    pub(crate) fn refusal(status: u16, why: &'static str, body: String) -> Self {
        Self {
            status,
            refused: Some(why),
            ..Self::json(body)
        }
    }
}

#[cfg(test)]
impl Call {
    /// A valid request without credentials.
    pub(crate) fn test(method: Method, target: &str, body: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut call = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            number: 1,
        };
        call.set(header::USER_AGENT, "test");
        call.set(header::ACCEPT, JSON);
        if !body.is_empty() {
            call.set(header::CONTENT_TYPE, JSON);
        }
        call
    }

    pub(crate) fn set(&mut self, name: header::HeaderName, value: &str) {
        self.headers.insert(name, value.parse().unwrap());
    }

    pub(crate) fn set_basic(&mut self, user: &str, password: &str) {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        self.set(header::AUTHORIZATION, &format!("Basic {encoded}"));
    }
}

#[cfg(test)]
impl Answer {
    pub(crate) fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}
