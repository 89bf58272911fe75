//! Payment providers' list APIs as pure functions: the request for a page, and what an answer means.
//!
//! No async, no clock, no HTTP client, no SQL: the engine calls these functions.
//!
//! # Adding a provider
//!
//! A provider is one file here, one folder of fixtures and one line of registration. For a provider
//! called `acme`:
//!
//! 1. `src/acme.rs`: a struct of the account's settings that implements [`Provider`], and its entry for
//!    the table. [`wire`] reads the value formats that JSON APIs use.
//!
//!    ```ignore
//!    pub const ENTRY: Entry = Entry {
//!        code: "acme",
//!        build: |settings| Ok(Box::new(Acme::new(settings)?)),
//!    };
//!    ```
//!
//!    `acme` must build without options: a value that every account must give is a credential, even if
//!    it is not secret. [`Provider::authenticate`] writes credentials into headers other than
//!    `Authorization`; `firekassa.rs` has an example. A cursor that no [`Checkpoint`] can hold unchanged,
//!    such as an opaque token, needs a new variant in `protocol.rs` and in `fuzz/src/lib.rs`.
//! 2. `tests/fixtures/acme/`: `first.json`, `middle.json` and `last.json` of one window (1 and 2
//!    January 2024, three items on a full page), `bad-item.json` (valid and invalid items),
//!    `card-like-ids.json`, `refusal-<status>.json`, the documentation's own example as
//!    `published.json`, and `documented.json`, the list of documented parameters. The head of
//!    `tests/it/providers.rs` describes them. The test fails while one is missing; it checks requests,
//!    pages, rows, redaction and malformed input, and writes snapshots: review those by eye.
//! 3. `mod acme;` below, and `acme::ENTRY` in [`PROVIDERS`].
//! 4. The parts that other tests require: `fuzz/fuzz_targets/acme_page.rs` and `acme_normalize.rs` with their
//!    entries in `fuzz/Cargo.toml`; the name in `config/default.toml`, then
//!    `config/paysync.schema.json` as `paysync check --print-schema` prints it; a row in `README.md`,
//!    a section and columns in `docs/PROVIDERS.md`.
//!
//! Configuration, paging, retries, storage and status need no change: they follow [`Spec`].

#![warn(missing_docs)]

mod auth;
pub mod begateway;
pub mod convergegate;
pub mod ecommpay;
pub mod error;
pub mod firekassa;
pub mod item;
pub mod model;
pub mod protocol;
mod provider;
pub mod redact;
pub mod spec;
pub mod wire;

pub use error::{PageError, RecordError, Refusal, RefusalKind, SettingsError};
pub use protocol::{
    Authenticity, Checkpoint, Credential, Method, Next, Page, Position, Request, Response,
};
pub use provider::{Entry, Provider, Settings};
pub use spec::{Auth, Axis, ById, Paging, Redaction, Role, Spec, StreamSpec, Tier, TimeField};

/// All providers, in the order of their codes.
pub const PROVIDERS: &[Entry] = &[
    begateway::dwh::ENTRY,
    begateway::report::ENTRY,
    convergegate::ENTRY,
    ecommpay::ENTRY,
    firekassa::ENTRY,
];

/// Builds the provider with this code for one account.
pub fn build(code: &str, settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    let Some(entry) = PROVIDERS.iter().find(|entry| entry.code == code) else {
        let known: Vec<&str> = PROVIDERS.iter().map(|entry| entry.code).collect();
        let known = known.join(", ");
        return Err(SettingsError(format!(
            "provider: unknown provider \"{code}\", expected one of {known}"
        )));
    };
    (entry.build)(settings)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_wrong_option_is_named() {
        let error = |code: &str, options: Value| {
            let settings = Settings {
                time_zone: chrono_tz::Tz::UTC,
                options,
            };
            build(code, &settings).err().unwrap().0
        };
        let wrong = [
            (
                "begateway_dwh",
                json!({"include_test": "yes"}),
                "options.include_test: invalid type: string \"yes\", expected a boolean",
            ),
            (
                "begateway_report",
                json!({"date_types": ["created_at", "updated_at"]}),
                "options.date_types[1]: unknown variant `updated_at`, \
                 expected one of `created_at`, `paid_at`, `settled_at`",
            ),
            (
                "convergegate",
                json!({"signature_order": "natural"}),
                "options.signature_order: unknown field `signature_order`, there are no fields",
            ),
            (
                "ecommpay",
                json!({"signature_order": "reverse"}),
                "options.signature_order: unknown variant `reverse`, expected `natural` or `lexical`",
            ),
            (
                "firekassa",
                json!({"created_filter": ["after"]}),
                "options.created_filter: invalid length 1, expected an array of length 2",
            ),
        ];
        assert!(
            wrong
                .iter()
                .map(|(code, ..)| *code)
                .eq(PROVIDERS.iter().map(|entry| entry.code))
        );
        for (code, options, expected) in wrong {
            assert_eq!(error(code, options), expected, "{code}");
            let expected = "options: invalid type: string \"x\", expected struct Options";
            assert_eq!(error(code, json!("x")), expected, "{code}");
        }
    }
}
