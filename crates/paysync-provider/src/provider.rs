//! The trait of a provider, and the settings of an account that it is built from.

use chrono_tz::Tz;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::auth;
use crate::error::{PageError, RecordError, Refusal, SettingsError};
use crate::model::Transaction;
use crate::protocol::{Authenticity, Checkpoint, Credential, Page, Position, Request, Response};
use crate::spec::Spec;
use crate::wire::{self, Object};

/// One provider in the table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The `provider` of an account.
    pub code: &'static str,
    /// Reads an account's settings.
    pub build: fn(&Settings) -> Result<Box<dyn Provider>, SettingsError>,
}

/// The part of an account's configuration that its provider reads.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The zone of times without an offset, and of the provider's calendar days.
    pub time_zone: Tz,
    /// The provider's own options, a JSON object.
    pub options: Value,
}

impl Settings {
    /// Reads the options into the provider's own type; an error names the key, an unknown one too.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        serde_path_to_error::deserialize(self.options.clone()).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            if path == "." {
                SettingsError(format!("options: {inner}"))
            } else {
                SettingsError::option(&path, inner)
            }
        })
    }
}

/// An option's text, from a string or an integer: ids are often written without quotes.
pub(crate) fn text_or_integer(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// A list API, as pure functions.
pub trait Provider: Send + Sync {
    /// The API's streams, limits, credentials and redaction keys.
    fn spec(&self) -> Spec;

    /// The request for one page: a path, never a host.
    fn request(&self, at: &Position<'_>) -> Result<Request, PageError>;

    /// Reads an answer with status 200: its items, and where the next page starts.
    fn page<'r>(&self, at: &Position<'_>, response: &'r Response) -> Result<Page<'r>, PageError>;

    /// Where the first page of a backfill window starts, unless at the provider's own first page.
    fn backfill_start(&self) -> Option<Checkpoint> {
        None
    }

    /// The request for rows by id; only called if [`Spec::by_id`] is set.
    fn request_by_id(&self, _ids: &[String]) -> Result<Request, PageError> {
        Err(PageError::Position("rows cannot be requested by id"))
    }

    /// The items of an answer to [`Provider::request_by_id`]; some may be missing.
    fn items_by_id<'r>(&self, _response: &'r Response) -> Result<Vec<&'r RawValue>, PageError> {
        Err(PageError::Position("rows cannot be requested by id"))
    }

    /// The request for the number of rows in exactly this window; only called if the stream has an
    /// `audit`.
    fn request_count(&self, _at: &Position<'_>) -> Result<Request, PageError> {
        Err(PageError::Position("rows cannot be counted"))
    }

    /// The number of rows in an answer to [`Provider::request_count`].
    fn count(&self, _response: &Response) -> Result<u64, PageError> {
        Err(PageError::Position("rows cannot be counted"))
    }

    /// Reads one item, JSON as the provider wrote it, redacted or not. Deterministic: a replay of the
    /// stored payload years later gives the same transaction.
    fn normalize(&self, item: &str) -> Result<Transaction, RecordError>;

    /// Adds the credentials or the signature to a request; by default the scheme of [`Spec::auth`].
    fn authenticate(&self, credential: &Credential, request: Request) -> Request {
        auth::authorize(self.spec().auth, credential, request)
    }

    /// Checks the signature of an answer; providers that do not sign accept every answer.
    fn verify(
        &self,
        _credential: &Credential,
        _response: &Response,
    ) -> Result<Authenticity, PageError> {
        Ok(Authenticity::Accepted)
    }

    /// What the provider's own error fields say in the body of an answer.
    fn error_message(&self, body: &Object<'_>) -> Option<String>;

    /// The meaning of an answer with another status than 200, with the provider's message. The message shows
    /// nothing else of the body, which may hold payments.
    fn refusal(&self, response: &Response) -> Refusal {
        let said = wire::said(response, |body| self.error_message(body));
        wire::refusal(response, said)
    }
}
