//! Redaction of stored texts that are not read again: replaced versions, items in quarantine, and error
//! messages.

use std::sync::LazyLock;

use sqlx::Row as _;
use sqlx::postgres::{PgBindIterExt as _, PgRow};
use uuid::Uuid;

use super::{BATCH_ROWS, RedactedPayload};
use crate::number::count;
use crate::store::quarantine::{QuarantinedItem, lock, remove};
use crate::store::{Store, StoreError, columns};
use paysync_provider::model::Transaction;

/// A replaced version of a row.
#[derive(Debug, Clone)]
pub struct StoredVersion {
    /// The row as it was.
    pub transaction: Transaction,
    /// Code of the provider whose item it was made from.
    pub provider: String,
    /// Number of the version.
    pub version: i64,
}

/// An item in quarantine with its payload as today's rules redact it.
#[derive(Debug, Clone)]
pub struct RedactedItem<'q> {
    /// The item.
    pub item: &'q QuarantinedItem,
    /// Its payload.
    pub payload: RedactedPayload,
}

static VERSIONS_AFTER: LazyLock<String> = LazyLock::new(|| {
    let names = columns::names();
    format!(
        "
        SELECT {names}, provider, version
        FROM paysync.transaction_history
        WHERE account_id = $1 AND (provider_transaction_id, version) > ($2, $3)
        ORDER BY provider_transaction_id, version
        -- As in STORED_AFTER.
        LIMIT (SELECT $4)
        "
    )
});

/// Writes the texts of versions: `$1` account, `$2` numbers of the versions, then the columns.
static REDACT_VERSIONS: LazyLock<String> = LazyLock::new(|| {
    let (names, arrays) = (columns::names(), columns::arrays(3));
    let texts = columns::text_assignments(|column| {
        let redacted = format!("redacted.{}", column.name);
        if column.is_personal {
            // A person who was erased since the version was read stays erased.
            format!("CASE WHEN held.erased_at IS NULL THEN {redacted} END")
        } else {
            redacted
        }
    });
    format!(
        "
        WITH redacted AS MATERIALIZED (
            SELECT * FROM UNNEST({arrays}, $2::bigint[]) AS redacted({names}, version)
        ), locked AS MATERIALIZED (
            -- In the order of the keys: another order could deadlock with another replay.
            SELECT held.provider_transaction_id, held.version
            FROM redacted
            CROSS JOIN LATERAL (
                SELECT *
                FROM paysync.transaction_history AS held
                WHERE held.account_id = $1 AND held.provider_transaction_id = redacted.provider_transaction_id
                  AND held.version = redacted.version
                FOR NO KEY UPDATE
            ) AS held
        )
        UPDATE paysync.transaction_history AS held
        SET changed_at = now(), {texts}
        FROM locked
        JOIN redacted USING (provider_transaction_id, version)
        WHERE held.account_id = $1 AND held.provider_transaction_id = locked.provider_transaction_id
          AND held.version = locked.version
        "
    )
});

impl Store {
    /// The next replaced versions of an account's rows, in the order of their keys; empty after the last.
    ///
    /// # Errors
    /// Also if a newer version of paysync wrote a word that this one does not know.
    pub async fn versions_after(
        &self,
        account_id: &str,
        after: (&str, i64),
    ) -> Result<Vec<StoredVersion>, StoreError> {
        let rows = sqlx::query(VERSIONS_AFTER.as_str())
            .bind(account_id)
            .bind(after.0)
            .bind(after.1)
            .bind(BATCH_ROWS)
            .fetch_all(self.one_shot())
            .await?;
        let stored = |row: PgRow| {
            Ok(StoredVersion {
                transaction: columns::read(&row)?,
                provider: row.try_get("provider")?,
                version: row.try_get("version")?,
            })
        };
        rows.into_iter().map(stored).collect()
    }

    /// Writes the texts of versions, and nothing else of them; returns how many there still were.
    pub async fn redact_versions(
        &self,
        account_id: &str,
        versions: &[StoredVersion],
    ) -> Result<u64, StoreError> {
        let rows: Vec<&Transaction> = versions.iter().map(|it| &it.transaction).collect();
        let query = sqlx::query(REDACT_VERSIONS.as_str())
            .bind(account_id)
            .bind(versions.iter().map(|it| it.version).bind_iter());
        let done = columns::bind(query, &rows).execute(self.one_shot());
        Ok(done.await?.rows_affected())
    }

    /// Writes payloads of items in quarantine, in one transaction; returns how many. An item gets the key of its
    /// new payload. If it is there under that key, the two become one. An item that a page brought again since
    /// it was read stays as it is.
    pub async fn redact_quarantined(
        &self,
        account_id: &str,
        items: &[RedactedItem<'_>],
    ) -> Result<u64, StoreError> {
        let ids = items
            .iter()
            .map(|it| it.item.provider_transaction_id.as_deref());
        let ids: Vec<&str> = ids.flatten().collect();
        let mut session = self.session().await?;
        let mut work = session.begin().await?;
        // An erasure locks its rows before it deletes their items: it finds the new keys, or nothing is left here.
        sqlx::query!(
            r#"
            SELECT 1 AS held
            FROM paysync.transactions
            WHERE account_id = $1 AND provider_transaction_id = ANY($2)
            ORDER BY provider_transaction_id
            FOR SHARE
            "#,
            account_id,
            &ids as &[&str],
        )
        .fetch_all(&mut work)
        .await?;
        let locked = lock(
            &mut work,
            account_id,
            items.iter().map(|it| it.item).collect(),
        )
        .await?;
        let is_locked =
            |it: &&RedactedItem<'_>| locked.contains(&(it.item.stream.clone(), it.item.hash));
        let items: Vec<&RedactedItem<'_>> = items.iter().filter(is_locked).collect();
        let streams: Vec<&str> = items.iter().map(|it| it.item.stream.as_str()).collect();
        let hashes: Vec<Uuid> = items.iter().map(|it| it.item.hash).collect();
        let new_hashes: Vec<Uuid> = items.iter().map(|it| it.payload.hash).collect();
        let texts: Vec<&str> = items.iter().map(|it| it.payload.text.as_str()).collect();
        sqlx::query!(
            r#"
            UPDATE paysync.quarantine AS held
            SET payload = redacted.payload
            FROM UNNEST($2::text[], $3::uuid[], $4::text[]) AS redacted(stream, hash, payload)
            WHERE held.account_id = $1 AND held.stream = redacted.stream AND held.payload_hash = redacted.hash
            "#,
            account_id,
            &streams as &[&str],
            &hashes,
            &texts as &[&str],
        )
        .execute(&mut work)
        .await?;
        sqlx::query!(
            r#"
            INSERT INTO paysync.quarantine AS held (
                account_id, stream, payload_hash, provider_transaction_id, reason, detail, payload, window_start,
                window_end, times_seen, first_seen_at, last_seen_at, observed_at
            )
            -- Items that differed only in what is redacted are one row.
            SELECT DISTINCT ON (old.stream, redacted.new_hash)
                   $1, old.stream, redacted.new_hash, provider_transaction_id, reason, detail, payload, window_start, window_end,
                   sum(times_seen) OVER same, min(first_seen_at) OVER same, max(last_seen_at) OVER same,
                   max(observed_at) OVER same
            FROM UNNEST($2::text[], $3::uuid[], $4::uuid[]) AS redacted(stream, hash, new_hash)
            JOIN paysync.quarantine AS old
                ON old.account_id = $1 AND old.stream = redacted.stream AND old.payload_hash = redacted.hash
            WHERE redacted.new_hash <> redacted.hash
            WINDOW same AS (PARTITION BY old.stream, redacted.new_hash)
            ORDER BY old.stream, redacted.new_hash, last_seen_at DESC
            ON CONFLICT (account_id, stream, payload_hash) DO UPDATE SET
                times_seen = held.times_seen + EXCLUDED.times_seen,
                first_seen_at = least(held.first_seen_at, EXCLUDED.first_seen_at),
                last_seen_at = greatest(held.last_seen_at, EXCLUDED.last_seen_at),
                observed_at = greatest(held.observed_at, EXCLUDED.observed_at)
            "#,
            account_id,
            &streams as &[&str],
            &hashes,
            &new_hashes,
        )
        .execute(&mut work)
        .await?;
        let moved = items.iter().filter(|it| it.item.hash != it.payload.hash);
        let moved: Vec<&QuarantinedItem> = moved.map(|it| it.item).collect();
        remove(&mut work, account_id, &moved).await?;
        work.commit().await?;
        session.return_to_pool();
        Ok(count(items.len()))
    }

    /// What kept an account from being read: all messages that may quote a provider's answer.
    pub async fn error_messages(&self, account_id: &str) -> Result<Vec<String>, StoreError> {
        let messages = sqlx::query_scalar!(
            r#"
            SELECT message AS "message!"
            FROM (
                SELECT suspended_reason AS message FROM paysync.accounts WHERE account_id = $1
                UNION ALL SELECT suspended_reason FROM paysync.streams WHERE account_id = $1
                UNION ALL SELECT last_error FROM paysync.streams WHERE account_id = $1
                UNION ALL SELECT error FROM paysync.windows WHERE account_id = $1
            ) AS messages
            WHERE message IS NOT NULL
            "#,
            account_id,
        )
        .fetch_all(self.one_shot())
        .await?;
        Ok(messages)
    }

    /// Replaces an error message wherever it still stands.
    pub async fn replace_error_message(
        &self,
        account_id: &str,
        message: &str,
        redacted: &str,
    ) -> Result<(), StoreError> {
        // One table at a time: pages lock several of them, in an order of their own.
        sqlx::query!(
            "UPDATE paysync.accounts SET suspended_reason = $3 WHERE account_id = $1 AND suspended_reason = $2",
            account_id,
            message,
            redacted,
        )
        .execute(self.one_shot())
        .await?;
        sqlx::query!(
            r#"
            UPDATE paysync.streams
            SET suspended_reason = CASE WHEN suspended_reason = $2 THEN $3 ELSE suspended_reason END,
                last_error = CASE WHEN last_error = $2 THEN $3 ELSE last_error END
            WHERE account_id = $1 AND $2 IN (suspended_reason, last_error)
            "#,
            account_id,
            message,
            redacted,
        )
        .execute(self.one_shot())
        .await?;
        sqlx::query!(
            "UPDATE paysync.windows SET error = $3 WHERE account_id = $1 AND error = $2",
            account_id,
            message,
            redacted,
        )
        .execute(self.one_shot())
        .await?;
        Ok(())
    }
}
