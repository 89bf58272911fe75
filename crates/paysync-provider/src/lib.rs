//! The payment providers: values that say what to ask and what an answer means.
//!
//! No async, no clock, no client, no SQL: the engine drives them.
//!
//! # A further provider
//!
//! One file here, one folder of fixtures, one line of registration. Say it is called `acme`:
//!
//! 1. `src/acme.rs`: a struct of the account's settings that implements [`Provider`], and
//!    its line of the table. [`wire`] reads what JSON APIs write in many ways.
//!
//!    ```ignore
//!    pub const ENTRY: Entry = Entry {
//!        code: "acme",
//!        build: |settings| Ok(Box::new(Acme::new(settings)?)),
//!    };
//!    ```
//!
//!    It can be made without options: what an account must say is a credential, even if it is no
//!    secret. What goes into a header of its own is put there by [`Provider::seal`], as `firekassa.rs`
//!    does. A cursor that no [`Checkpoint`] holds as it came, such as an opaque token, is a further
//!    variant of it, here and in `fuzz/src/lib.rs`.
//! 2. `tests/fixtures/acme/`: `first.json`, `middle.json` and `last.json` of one window (1 and 2
//!    January 2024, three items on a full page), `bad-item.json` (good items beside bad ones),
//!    `card-like-ids.json`, `refusal-<status>.json`, the page's own example as `published.json`, and
//!    `documented.json`, a list of the parameters the page names. The head of `tests/it/providers.rs`
//!    says more. Without them it fails; with them it checks requests, pages, rows, redaction and hostile
//!    input. The snapshots it writes are to be read by eye.
//! 3. `mod acme;` below, and `acme::ENTRY` in [`PROVIDERS`].
//! 4. What tests then ask for: `fuzz/fuzz_targets/acme_page.rs` and `acme_normalize.rs` with their
//!    entries in `fuzz/Cargo.toml`; its name in `config/default.toml`, then
//!    `config/paysync.schema.json` as `paysync check --print-schema` prints it; its row in `README.md`,
//!    its section and columns in `docs/PROVIDERS.md`.
//!
//! Configuration, paging, retries, storage and the status need nothing more: they go by [`Spec`].

#![warn(missing_docs)]

pub mod begateway;
pub mod convergegate;
pub mod ecommpay;
pub mod error;
pub mod exchange;
pub mod firekassa;
pub mod item;
pub mod model;
pub mod redact;
pub mod spec;
pub mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono_tz::Tz;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sha2::Sha512;

pub use error::{PageError, RecordError, Refusal, RefusalKind, SettingsError};
pub use exchange::{
    Authenticity, Checkpoint, Credential, Method, Next, Page, Position, Request, Response,
};
pub use spec::{Auth, Axis, ById, Paging, Redaction, Role, Shown, Spec, StreamSpec, Tier};

use crate::model::Transaction;

/// Every provider, by the code an account names it with.
pub const PROVIDERS: &[Entry] = &[
    begateway::dwh::ENTRY,
    begateway::report::ENTRY,
    convergegate::ENTRY,
    ecommpay::ENTRY,
    firekassa::ENTRY,
];

/// One line of the table of providers.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The `provider` of an account.
    pub code: &'static str,
    /// Reads an account's settings.
    pub build: fn(&Settings) -> Result<Box<dyn Provider>, SettingsError>,
}

/// What an account says about its provider.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The zone of times that carry none, and of the provider's calendar days.
    pub time_zone: Tz,
    /// The provider's own options, an object.
    pub options: serde_json::Value,
}

impl Settings {
    /// Reads the options as the provider's settings; unknown keys are errors that name them.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        serde_json::from_value(self.options.clone())
            .map_err(|error| SettingsError(format!("options: {error}")))
    }
}

/// Makes the provider that an account names.
pub fn build(code: &str, settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    let Some(entry) = PROVIDERS.iter().find(|entry| entry.code == code) else {
        let known: Vec<&str> = PROVIDERS.iter().map(|entry| entry.code).collect();
        return Err(SettingsError(format!(
            "provider: unknown provider \"{code}\", expected one of {}",
            known.join(", ")
        )));
    };
    (entry.build)(settings)
}

/// A list API, as pure functions.
pub trait Provider: Send + Sync {
    /// What the engine must know of it.
    fn spec(&self) -> Spec;

    /// The request for one page: a path, never a host.
    fn request(&self, at: &Position<'_>) -> Result<Request, PageError>;

    /// Reads the envelope of an answer with status 200: items, and where the next page starts.
    fn page<'r>(&self, at: &Position<'_>, response: &'r Response) -> Result<Page<'r>, PageError>;

    /// Where the walk of a backfill window starts, if not at the provider's own first page.
    fn backfill_start(&self) -> Option<Checkpoint> {
        None
    }

    /// The request for the named rows, where [`Spec::by_id`] says that there is one.
    fn request_by_id(&self, _ids: &[String]) -> Result<Request, PageError> {
        Err(PageError::Position("rows cannot be asked for by id"))
    }

    /// The items of an answer to [`Provider::request_by_id`]; some may be missing.
    fn items_by_id<'r>(&self, _response: &'r Response) -> Result<Vec<&'r RawValue>, PageError> {
        Err(PageError::Position("rows cannot be asked for by id"))
    }

    /// The request for the number of rows in a window, where a stream has an `audit`. The bounds are
    /// exact: the window's own.
    fn request_count(&self, _at: &Position<'_>) -> Result<Request, PageError> {
        Err(PageError::Position("rows cannot be counted"))
    }

    /// The number in an answer to [`Provider::request_count`].
    fn count(&self, _response: &Response) -> Result<u64, PageError> {
        Err(PageError::Position("rows cannot be counted"))
    }

    /// Makes a transaction of one item, JSON as it was written, redacted or not; gives the same answer
    /// years later.
    fn normalize(&self, item: &str) -> Result<Transaction, RecordError>;

    /// Adds what proves who asks.
    fn seal(&self, credential: &Credential, request: Request) -> Request {
        authorize(self.spec().auth, credential, request)
    }

    /// Checks an answer's signature, where the provider signs.
    fn verify(
        &self,
        _credential: &Credential,
        _response: &Response,
    ) -> Result<Authenticity, PageError> {
        Ok(Authenticity::Accepted)
    }

    /// What an answer with another status than 200 means, with the provider's own words.
    fn refusal(&self, response: &Response) -> Refusal;
}

/// Adds the `Authorization` header of a scheme that has one.
fn authorize(auth: Auth, credential: &Credential, mut request: Request) -> Request {
    request.authorization = match auth {
        Auth::Basic { user, password } => {
            let pair = format!(
                "{}:{}",
                credential.expose(user),
                credential.expose(password)
            );
            Some(SecretString::from(format!(
                "Basic {}",
                STANDARD.encode(pair)
            )))
        }
        Auth::Bearer { token } => Some(SecretString::from(format!(
            "Bearer {}",
            credential.expose(token)
        ))),
        Auth::Signed => None,
    };
    request
}

/// The HMAC-SHA512 of a text, as two providers sign.
fn hmac_sha512(secret: &str, text: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    Hmac::<Sha512>::new_from_slice(secret.as_bytes()).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        },
    )
}

/// Exposes a secret only here, so that a search for the word finds every place that does.
impl Credential {
    /// The secret under a key; empty if there is none.
    pub fn expose(&self, key: &str) -> &str {
        self.get(key).map_or("", ExposeSecret::expose_secret)
    }
}
