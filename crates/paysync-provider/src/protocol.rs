//! Requests, answers and positions: the data that the engine and a provider exchange.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::PageError;
use crate::model::Window;

/// The page to read: a stream's window and the position inside it.
#[derive(Debug, Clone, Copy)]
pub struct Position<'a> {
    /// Name of the stream.
    pub stream: &'a str,
    /// The window to read.
    pub window: Window,
    /// Where the page starts; none for the first page.
    pub checkpoint: Option<&'a Checkpoint>,
    /// Number of items to ask for.
    pub page_size: u32,
}

impl Position<'_> {
    /// Rows to skip, where the API pages by offset.
    pub fn offset(&self) -> Result<u64, PageError> {
        match self.checkpoint {
            None => Ok(0),
            Some(Checkpoint::Offset { offset, .. }) => Ok(*offset),
            Some(_) => Err(PageError::Position("not an offset")),
        }
    }
}

/// Where the next page of an open window starts. Stored as JSON; the field names alone identify the
/// variant, so they must stay distinct.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Checkpoint {
    /// After this object (beGateway report).
    Object {
        /// The provider's integer id, as text.
        last_object_id: String,
    },
    /// Before this object, paging backwards (beGateway report).
    ObjectBefore {
        /// The provider's integer id, as text.
        first_object_id: String,
        /// The highest id so far: rows above it are read last, forwards.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        highest_id: Option<String>,
    },
    /// At this row (beGateway DWH).
    Date {
        /// Time of the first row not yet sent, in the provider's exact text.
        next_date: String,
        /// Uid of that row; older installations send none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_uid: Option<String>,
    },
    /// After this many rows, in an order that may shift.
    Offset {
        /// Rows to skip.
        offset: u64,
        /// Id of the last row of the previous page, which this page must contain again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_id: Option<String>,
    },
    /// This page number, from 1.
    Page {
        /// The page number.
        page: u64,
        /// Page size that the number refers to: with another size, rows would be skipped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u32>,
    },
    /// At this stored row, which is requested by its id (repoll).
    Row {
        /// The provider's id.
        row_id: String,
        /// When the row was created.
        created_at: DateTime<Utc>,
    },
}

impl Checkpoint {
    /// The object id that a page starts from, in either direction.
    pub fn object_id(&self) -> Option<&str> {
        match self {
            Self::Object { last_object_id } => Some(last_object_id),
            Self::ObjectBefore {
                first_object_id, ..
            } => Some(first_object_id),
            _ => None,
        }
    }

    /// Rows to skip; 0 for other checkpoints.
    pub const fn offset(&self) -> u64 {
        match self {
            Self::Offset { offset, .. } => *offset,
            _ => 0,
        }
    }
}

/// HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
}

impl Method {
    /// The method's name in HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One request, relative to an account's `base_url`. Has no `Debug`: a body may hold a token.
#[derive(Clone)]
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// Path below `base_url`, with a leading slash.
    pub path: &'static str,
    /// Query parameters in order, not percent-encoded.
    pub query: Vec<(String, String)>,
    /// Headers besides `Authorization` and the client's own.
    pub headers: Vec<(&'static str, String)>,
    /// JSON body.
    pub body: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<SecretString>,
}

impl Request {
    /// A GET of `path`.
    pub const fn get(path: &'static str) -> Self {
        Self {
            method: Method::Get,
            path,
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            authorization: None,
        }
    }

    /// A POST of `body` as JSON to `path`.
    pub fn post(path: &'static str, body: &impl Serialize) -> Result<Self, PageError> {
        let body = serde_json::to_string(body)
            .map_err(|_| PageError::Position("the request cannot be written as JSON"))?;
        Ok(Self {
            method: Method::Post,
            body: Some(body),
            ..Self::get(path)
        })
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: &impl ToString) -> Self {
        self.query.push((name.into(), value.to_string()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// One answer. Has no `Debug`: a body holds customers' data.
#[derive(Clone)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// The `Content-Type`, empty if absent.
    pub content_type: String,
    /// The decompressed body; invalid UTF-8 is replaced by U+FFFD.
    pub body: String,
    /// Whether the body contained invalid UTF-8.
    pub lossy: bool,
}

impl Response {
    /// A JSON answer with status 200.
    #[cfg(test)]
    pub(crate) fn json(body: &impl ToString) -> Self {
        Self {
            status: 200,
            content_type: "application/json".to_owned(),
            body: body.to_string(),
            lossy: false,
        }
    }

    /// Whether the body is HTML, as from a proxy or a challenge page.
    pub fn is_html(&self) -> bool {
        let body = self.body.trim_start();
        // Some servers call their JSON a web page.
        let is_json = body.starts_with(['{', '[']);
        body.starts_with('<') || (self.content_type.starts_with("text/html") && !is_json)
    }
}

/// Result of checking an answer's signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Authenticity {
    /// The signature matches, or the provider does not sign.
    #[default]
    Accepted,
    /// The signature does not match, and the account's settings tolerate that.
    Mismatch,
}

/// The contents of one answer.
#[derive(Debug)]
pub struct Page<'r> {
    /// The items, in the provider's exact text.
    pub items: Vec<&'r RawValue>,
    /// Where reading continues.
    pub next: Next,
    /// The number of rows that the provider reports, if it does.
    pub count: Option<u64>,
}

impl<'r> Page<'r> {
    /// The page at an offset; `more` says whether another one follows.
    pub fn at_offset(
        at: &Position<'_>,
        items: Vec<&'r RawValue>,
        more: bool,
    ) -> Result<Self, PageError> {
        let rows = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let next = Checkpoint::Offset {
            offset: at.offset()?.saturating_add(rows),
            last_id: None,
        };
        Ok(Self {
            items,
            next: if more { Next::More(next) } else { Next::End },
            count: None,
        })
    }
}

/// Where reading continues after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nowhere: the window is complete.
    End,
    /// At the next page, which starts here.
    More(Checkpoint),
    /// In the other direction, from here, even if this page is empty.
    Reverse(Checkpoint),
}

/// An account's secrets, by the keys of the provider's spec.
#[derive(Debug, Clone, Default)]
pub struct Credential(BTreeMap<String, SecretString>);

/// Compares in variable time: for two versions of one operator's settings, not for received secrets.
impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.keys().eq(other.keys()) && self.keys().all(|key| self.expose(key) == other.expose(key))
    }
}

impl Credential {
    /// A credential of these secrets, by key.
    pub const fn new(parts: BTreeMap<String, SecretString>) -> Self {
        Self(parts)
    }

    /// The secret under a key, not exposed.
    pub fn get(&self, key: &str) -> Option<&SecretString> {
        self.0.get(key)
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The exposed secret under a key; empty if there is none.
    pub fn expose(&self, key: &str) -> &str {
        self.get(key).map_or("", |secret| secret.expose_secret())
    }
}
