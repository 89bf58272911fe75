//! Today's redaction, applied to what is stored.

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::engine::account::Account;
use crate::store::replay::{RedactedPayload, StoredRow};
use paysync_provider::model::Transaction;
use paysync_provider::redact::{EXTRACTED, redact_and_extract, redact_row};
use paysync_provider::{PROVIDERS, Redaction, Settings};

/// The account's redaction of items and rows.
pub(super) struct Redactor<'a> {
    account: &'a Account,
    /// By provider: an account may hold rows of the one that it had before.
    specs: BTreeMap<&'static str, Redaction>,
}

impl<'a> Redactor<'a> {
    pub(super) fn new(account: &'a Account) -> Self {
        let settings = Settings {
            time_zone: chrono_tz::UTC,
            options: json!({}),
        };
        let specs = PROVIDERS.iter().filter_map(|entry| {
            let provider = (entry.build)(&settings).ok()?;
            Some((entry.code, provider.spec().redaction))
        });
        let own = (account.spec.code, account.spec.redaction);
        Self {
            account,
            specs: specs.chain([own]).collect(),
        }
    }

    /// An item of a provider by today's rules, if they redact it further.
    pub(super) fn item(&self, provider: &str, item: &str) -> Option<RedactedPayload> {
        let (spec, rules) = (self.specs.get(provider)?, &self.account.rules);
        let text = redact_and_extract(item, spec, rules, [""; EXTRACTED]).text;
        (text != item).then(|| RedactedPayload {
            hash: hash_of(&text),
            text: text.into_owned(),
        })
    }

    /// The same of a row's payload.
    pub(super) fn payload(&self, stored: &StoredRow) -> Option<RedactedPayload> {
        let payload = stored.payload.as_deref()?;
        let mut redacted = self.item(&stored.provider, payload)?;
        if stored.hash != hash_of(payload) {
            // The hash of another payload stays: verify reports it, and a re-scan mends it.
            redacted.hash = stored.hash;
        }
        Some(redacted)
    }

    /// A row of a provider by today's rules as far as they apply without its payload, if they redact it further.
    pub(super) fn row(&self, provider: &str, row: &Transaction) -> Option<Transaction> {
        redact_row(row, self.specs.get(provider)?)
    }
}

fn hash_of(payload: &str) -> Uuid {
    Uuid::from_u128(xxh3_128(payload.as_bytes()))
}
