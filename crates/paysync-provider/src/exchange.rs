//! The words of the trait: where a page is, what is asked, what came back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::Window;

/// Where a page is: a stream's window and the place inside it.
#[derive(Debug, Clone, Copy)]
pub struct Position<'a> {
    /// Name of the stream.
    pub stream: &'a str,
    /// The window being read.
    pub window: Window,
    /// Where the page starts; none for the first one.
    pub checkpoint: Option<&'a Checkpoint>,
    /// Items asked for.
    pub page_size: u32,
}

/// Where the next page of an open window starts; stored as JSON under these names, by which alone the
/// variants are told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Checkpoint {
    /// After this object (beGateway report).
    Object {
        /// The provider's integer id, as text.
        last_object_id: String,
    },
    /// Before this object, walking backwards (beGateway report).
    ObjectBefore {
        /// The provider's integer id, as text.
        first_object_id: String,
        /// The highest id of the walk so far: what lies above it is asked for at its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        highest_id: Option<String>,
    },
    /// At this row (beGateway DWH); the date is kept as the exact text that was sent.
    Date {
        /// Time of the first row not yet sent.
        next_date: String,
        /// Its uid; older installations send none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_uid: Option<String>,
    },
    /// After this many rows of an order that may move.
    Offset {
        /// Rows to skip.
        offset: u64,
        /// Id of the last row of the page before, which this page must show again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_id: Option<String>,
    },
    /// This page number, from 1.
    Page {
        /// The number.
        page: u64,
        /// Items per page that the number counts: another size would skip rows.
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
    /// The object that a page starts from, in either direction.
    pub fn object_id(&self) -> Option<&str> {
        match self {
            Self::Object { last_object_id: id }
            | Self::ObjectBefore {
                first_object_id: id,
                ..
            } => Some(id),
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
    /// GET
    Get,
    /// POST
    Post,
}

impl Method {
    /// The method's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One request, below an account's `base_url`. Not printable: a body may hold a token.
#[derive(Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path below the base, with a leading slash.
    pub path: &'static str,
    /// Query parameters in order, not yet encoded.
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

    /// A POST of a JSON `body` to `path`.
    pub const fn post(path: &'static str, body: String) -> Self {
        Self {
            method: Method::Post,
            path,
            query: Vec::new(),
            headers: Vec::new(),
            body: Some(body),
            authorization: None,
        }
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

/// One answer. Not printable: a body holds customers' data.
#[derive(Clone)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// The `Content-Type`, empty if absent.
    pub content_type: String,
    /// The body, inflated; bytes that are no UTF-8 became U+FFFD.
    pub body: String,
    /// Whether there were such bytes.
    pub lossy: bool,
}

impl Response {
    /// Whether the body is a web page, as proxies and challenge pages send.
    pub fn is_html(&self) -> bool {
        self.content_type.starts_with("text/html") || self.body.trim_start().starts_with('<')
    }
}

/// What the check of an answer's signature found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Authenticity {
    /// It matches, or there is nothing to check.
    #[default]
    Accepted,
    /// It does not match, which the account tolerates.
    Doubtful,
}

/// What one answer holds.
#[derive(Debug)]
pub struct Page<'r> {
    /// The items, as they were sent.
    pub items: Vec<&'r RawValue>,
    /// What comes after it.
    pub next: Next,
    /// The provider's own count, if it gives one.
    pub count: Option<u64>,
}

/// What comes after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the window has been read to its end.
    End,
    /// Another page, starting there.
    More(Checkpoint),
    /// Nothing in this direction; the window goes on there, even if this page is empty.
    Turn(Checkpoint),
}

/// An account's secrets, by the names the provider's spec gives them.
#[derive(Debug, Clone, Default)]
pub struct Credential(BTreeMap<String, SecretString>);

/// Whether they are the same secrets: for settings of one operator, not for what strangers send.
impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.keys().eq(other.keys()) && self.keys().all(|key| self.expose(key) == other.expose(key))
    }
}

impl Credential {
    /// A credential of these parts.
    pub const fn new(parts: BTreeMap<String, SecretString>) -> Self {
        Self(parts)
    }

    /// One part.
    pub fn get(&self, key: &str) -> Option<&SecretString> {
        self.0.get(key)
    }

    /// The parts' names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
