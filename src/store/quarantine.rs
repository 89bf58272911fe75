//! The rows of the quarantine: items that could not be normalized or stored.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::page::PageContext;
use super::pool::DbWork;
use paysync_provider::item::Rejected;

/// The reason of an item that PostgreSQL refuses.
pub(crate) const REFUSED: &str = "refused_by_database";

/// An item in quarantine.
#[derive(Debug, Clone)]
pub struct QuarantinedItem {
    /// The stream that brought it.
    pub stream: String,
    /// XXH3-128 of `payload`: with account and stream, its key.
    pub hash: Uuid,
    /// The provider's id, where it could be read.
    pub provider_transaction_id: Option<String>,
    /// Why it is in quarantine, one word.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
    /// The item as sent, redacted.
    pub payload: String,
    /// When the request was sent that last brought it.
    pub observed_at: DateTime<Utc>,
}

/// An item that a retry could not turn into a record, with today's reason.
pub(crate) struct StillInvalid<'a> {
    pub(crate) item: &'a QuarantinedItem,
    pub(crate) id: Option<&'a str>,
    pub(crate) reason: &'a str,
    pub(crate) detail: String,
}

impl<'a> StillInvalid<'a> {
    pub(crate) fn new(item: &'a QuarantinedItem, why: &'a Rejected<'_>) -> Self {
        let id = why.provider_transaction_id.as_deref();
        Self {
            item,
            id: id.or(item.provider_transaction_id.as_deref()),
            reason: why.reason,
            detail: why.detail.clone(),
        }
    }

    /// Whether the reason or the id differs from what is stored.
    pub(crate) fn is_changed(&self) -> bool {
        let item = self.item;
        self.reason != item.reason
            || self.detail != item.detail
            || self.id != item.provider_transaction_id.as_deref()
    }
}

/// Writes items to the quarantine; for an item that is there already, it counts the sighting.
pub(crate) async fn write(
    connection: &mut DbWork<'_>,
    account_id: &str,
    page: &PageContext<'_>,
    items: &[&Rejected<'_>],
) -> Result<(), sqlx::Error> {
    if items.is_empty() {
        return Ok(());
    }
    let window = page.window.planned.window;
    let hashes: Vec<Uuid> = items.iter().map(|item| item.hash).collect();
    // PostgreSQL's text cannot hold NUL.
    let without_nul = |id: &String| id.replace('\0', "\u{fffd}");
    let ids = items
        .iter()
        .map(|item| item.provider_transaction_id.as_ref().map(without_nul));
    let ids: Vec<Option<String>> = ids.collect();
    let reasons: Vec<&str> = items.iter().map(|item| item.reason).collect();
    let details: Vec<&str> = items.iter().map(|item| item.detail.as_str()).collect();
    let payloads: Vec<&str> = items.iter().map(|item| item.payload.as_ref()).collect();
    sqlx::query!(
        r#"
        INSERT INTO paysync.quarantine AS held (
            account_id, stream, payload_hash, provider_transaction_id, reason, detail, payload, window_start,
            window_end, observed_at
        )
        -- The same item twice in a page is one row.
        SELECT DISTINCT ON (hash) $1, $2, hash, id, reason, detail,
               -- The payload of an erased row is not stored again.
               CASE WHEN EXISTS (
                   SELECT FROM paysync.transactions AS stored
                   WHERE stored.account_id = $1 AND stored.provider_transaction_id = id AND stored.erased_at IS NOT NULL
               ) THEN '{}' ELSE payload END,
               $3, $4, $5
        FROM UNNEST($6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[]) AS item(hash, id, reason, detail, payload)
        ORDER BY hash
        ON CONFLICT (account_id, stream, payload_hash) DO UPDATE SET
            provider_transaction_id = EXCLUDED.provider_transaction_id,
            reason = EXCLUDED.reason,
            detail = EXCLUDED.detail,
            window_start = EXCLUDED.window_start,
            window_end = EXCLUDED.window_end,
            observed_at = greatest(held.observed_at, EXCLUDED.observed_at),
            times_seen = held.times_seen + 1,
            last_seen_at = now()
        "#,
        account_id,
        page.window.stream,
        window.start(),
        window.end(),
        page.requested_at,
        &hashes,
        &ids as &[Option<String>],
        &reasons as &[&str],
        &details as &[&str],
        &payloads as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The places of the items whose row is stored in a newer version.
pub(crate) async fn superseded(
    connection: &mut DbWork<'_>,
    account_id: &str,
    invalid: &[StillInvalid<'_>],
) -> Result<BTreeSet<usize>, sqlx::Error> {
    let ids: Vec<Option<&str>> = invalid.iter().map(|invalid| invalid.id).collect();
    let observed: Vec<DateTime<Utc>> = invalid.iter().map(|m| m.item.observed_at).collect();
    let places = sqlx::query_scalar!(
        r#"
        SELECT asked.place AS "place!"
        FROM UNNEST($2::text[], $3::timestamptz[]) WITH ORDINALITY AS asked(provider_transaction_id, observed_at, place)
        JOIN paysync.transactions AS held
            ON held.account_id = $1 AND held.provider_transaction_id = asked.provider_transaction_id
        -- An item that cannot be read has no time of the provider: the times of the requests decide.
        WHERE paysync.is_older(NULL, asked.observed_at, held.updated_at, held.observed_at)
        "#,
        account_id,
        &ids as &[Option<&str>],
        &observed,
    )
    .fetch_all(connection)
    .await?;
    let places = places.into_iter();
    Ok(places
        .filter_map(|place| usize::try_from(place - 1).ok())
        .collect())
}

/// Locks the items that no page brought again since they were read, in the order in which pages write them;
/// returns their keys.
pub(crate) async fn lock(
    connection: &mut DbWork<'_>,
    account_id: &str,
    items: Vec<&QuarantinedItem>,
) -> Result<BTreeSet<(String, Uuid)>, sqlx::Error> {
    let (streams, hashes) = keys(&items);
    let observed: Vec<DateTime<Utc>> = items.iter().map(|item| item.observed_at).collect();
    let rows = sqlx::query!(
        r#"
        SELECT held.stream, held.payload_hash
        FROM UNNEST($2::text[], $3::uuid[], $4::timestamptz[]) AS read(stream, payload_hash, observed_at)
        JOIN paysync.quarantine AS held
            ON held.account_id = $1 AND held.stream = read.stream AND held.payload_hash = read.payload_hash
        WHERE held.observed_at = read.observed_at
        ORDER BY held.stream, held.payload_hash
        FOR UPDATE OF held
        "#,
        account_id,
        &streams as &[&str],
        &hashes,
        &observed,
    )
    .fetch_all(connection)
    .await?;
    let keys = rows.into_iter().map(|row| (row.stream, row.payload_hash));
    Ok(keys.collect())
}

pub(crate) async fn remove(
    connection: &mut DbWork<'_>,
    account_id: &str,
    items: &[&QuarantinedItem],
) -> Result<(), sqlx::Error> {
    let (streams, hashes) = keys(items);
    sqlx::query!(
        r#"
        DELETE FROM paysync.quarantine AS held
        USING UNNEST($2::text[], $3::uuid[]) AS gone(stream, payload_hash)
        WHERE held.account_id = $1 AND held.stream = gone.stream AND held.payload_hash = gone.payload_hash
        "#,
        account_id,
        &streams as &[&str],
        &hashes,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes today's reasons to items that stay.
pub(crate) async fn relabel(
    connection: &mut DbWork<'_>,
    account_id: &str,
    invalid: &[&StillInvalid<'_>],
) -> Result<(), sqlx::Error> {
    let items: Vec<&QuarantinedItem> = invalid.iter().map(|invalid| invalid.item).collect();
    let (streams, hashes) = keys(&items);
    let ids: Vec<Option<&str>> = invalid.iter().map(|invalid| invalid.id).collect();
    let reasons: Vec<&str> = invalid.iter().map(|invalid| invalid.reason).collect();
    let details: Vec<&str> = invalid.iter().map(|m| m.detail.as_str()).collect();
    sqlx::query!(
        r#"
        UPDATE paysync.quarantine AS held
        SET provider_transaction_id = today.id, reason = today.reason, detail = today.detail
        FROM UNNEST($2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[])
            AS today(stream, payload_hash, id, reason, detail)
        WHERE held.account_id = $1 AND held.stream = today.stream AND held.payload_hash = today.payload_hash
        "#,
        account_id,
        &streams as &[&str],
        &hashes,
        &ids as &[Option<&str>],
        &reasons as &[&str],
        &details as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) fn keys<'k>(items: &[&'k QuarantinedItem]) -> (Vec<&'k str>, Vec<Uuid>) {
    let keys = items.iter().map(|item| (item.stream.as_str(), item.hash));
    keys.unzip()
}
