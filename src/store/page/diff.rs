//! Which rows of a page are new or changed, before anything is written.
//!
//! The diff only saves work: the upsert applies the same rule again. Items that are stored already are
//! not even read, and a page without new or changed rows takes two round trips and one small update.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::failpoint::failpoint;
use crate::number::{count, signed};
use crate::store::error::{StoreError, refused_data};
use crate::store::pool::{DbWork, Session};
use paysync_provider::item::PreparedItem;

/// If the time span of a page already holds this many rows, they are compared by key instead.
const MAX_EXISTING: i64 = 100;

/// What identifies a version of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowKey<'p> {
    pub(crate) id: &'p str,
    pub(crate) hash: Uuid,
    /// The provider's stamp and when the request was sent: known of all keys of a diff or of none.
    /// Without them no row is stale.
    pub(crate) version: Option<(Option<DateTime<Utc>>, DateTime<Utc>)>,
}

/// How the rows of a page compare with those that are stored.
#[derive(Debug, Default)]
pub(crate) struct Diff {
    /// Indexes of rows that are new or changed, in the order of the keys.
    pub(crate) needed: Vec<usize>,
    /// Whether any of them may be stored already.
    pub(crate) may_exist: bool,
    /// Rows older than the stored version.
    pub(crate) stale: u64,
    /// Rows that are stored already in the same version.
    pub(crate) unchanged: u64,
}

impl Diff {
    /// The diff if PostgreSQL cannot answer: the upsert applies the same rule by itself.
    pub(crate) fn all_needed(rows: usize) -> Self {
        Self {
            needed: (0..rows).collect(),
            may_exist: true,
            ..Self::default()
        }
    }
}

/// Compares a page's items with the stored rows. `created`: see [`PageCommit`](super::PageCommit);
/// `likely_new`: whether to try [`diff_recent`] first.
pub(super) async fn diff_items(
    session: &mut Session,
    account_id: &str,
    items: &[&PreparedItem<'_>],
    created: Option<&RangeInclusive<DateTime<Utc>>>,
    likely_new: bool,
) -> Result<Diff, StoreError> {
    if items.is_empty() {
        return Ok(Diff::default());
    }
    let keys = items.iter().map(|item| RowKey {
        id: &item.id,
        hash: item.hash,
        version: None,
    });
    let keys: Vec<RowKey<'_>> = keys.collect();
    failpoint("page.ask.before");
    if let Some(created) = created.filter(|_| likely_new) {
        let mut work = session.autocommit().await?;
        let recent = diff_recent(&mut work, account_id, &keys, created).await?;
        work.commit().await?;
        if let Some(diff) = recent {
            failpoint("page.ask.after");
            return Ok(diff);
        }
    }
    let diff = diff(session, account_id, &keys, created).await;
    failpoint("page.ask.after");
    diff
}

/// Compares rows with those that are stored. All rows are needed if PostgreSQL refuses a key even here:
/// the upsert finds out which.
pub(crate) async fn diff(
    session: &mut Session,
    account_id: &str,
    keys: &[RowKey<'_>],
    created: Option<&RangeInclusive<DateTime<Utc>>>,
) -> Result<Diff, StoreError> {
    let mut work = session.autocommit().await?;
    match compare(&mut work, account_id, keys, created).await {
        Ok(diff) => {
            work.commit().await?;
            Ok(diff)
        }
        Err(error) if refused_data(&error).is_some() => {
            work.rollback().await?;
            Ok(Diff::all_needed(keys.len()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Compares with the rows that were created in a span of time: a fraction of the work of [`diff`] where
/// few rows are stored. None if more are stored, or one in another version. A row that is stored with a
/// time outside the span is taken for new: the copy then fails, and the upsert writes the page.
async fn diff_recent(
    connection: &mut DbWork<'_>,
    account_id: &str,
    keys: &[RowKey<'_>],
    created: &RangeInclusive<DateTime<Utc>>,
) -> Result<Option<Diff>, sqlx::Error> {
    let stored = sqlx::query!(
        r#"
        SELECT provider_transaction_id AS id, payload_hash AS hash
        FROM paysync.transactions
        WHERE account_id = $1 AND created_at BETWEEN $2 AND $3
        ORDER BY created_at
        LIMIT $4
        "#,
        account_id,
        created.start(),
        created.end(),
        MAX_EXISTING,
    )
    .fetch_all(connection)
    .await?;
    if signed(count(stored.len())) == MAX_EXISTING {
        return Ok(None);
    }
    let stored: BTreeMap<String, Uuid> = stored.into_iter().map(|row| (row.id, row.hash)).collect();
    let mut diff = Diff::default();
    for (index, key) in keys.iter().enumerate() {
        match stored.get(key.id) {
            None => diff.needed.push(index),
            Some(hash) if *hash == key.hash => diff.unchanged += 1,
            Some(_) => return Ok(None),
        }
    }
    Ok(Some(diff))
}

/// Compares in one round trip, which sends keys, hashes and stamps but no payloads, and writes nothing.
async fn compare(
    connection: &mut DbWork<'_>,
    account_id: &str,
    keys: &[RowKey<'_>],
    created: Option<&RangeInclusive<DateTime<Utc>>>,
) -> Result<Diff, sqlx::Error> {
    let ids: Vec<&str> = keys.iter().map(|key| key.id).collect();
    let hashes: Vec<Uuid> = keys.iter().map(|key| key.hash).collect();
    // Where no version is known, these stay empty, which PostgreSQL takes for nulls.
    let versions = keys.iter().filter_map(|key| key.version);
    let (updated, observed): (Vec<_>, Vec<_>) = versions.unzip();
    let rows = sqlx::query!(
        r#"
        SELECT asked.place AS "place!",
               held.is_held IS TRUE AS "held!",
               held.is_held AND paysync.is_older(asked.updated_at, asked.observed_at, held.updated_at, held.observed_at)
                   IS TRUE AS "stale!"
        FROM UNNEST($2::text[], $3::uuid[], $4::timestamptz[], $5::timestamptz[]) WITH ORDINALITY
            AS asked(provider_transaction_id, payload_hash, updated_at, observed_at, place)
        LEFT JOIN LATERAL (
            -- One index lookup per row, never a scan, whatever the statistics of a growing table say: OFFSET 0
            -- prevents any other join.
            SELECT true AS is_held, payload_hash, updated_at, observed_at
            FROM paysync.transactions
            WHERE account_id = $1 AND transactions.provider_transaction_id = asked.provider_transaction_id
            OFFSET 0
        ) AS held ON true
        WHERE held.payload_hash IS DISTINCT FROM asked.payload_hash
          -- Rows that were created one after another are stored side by side: reading a time span costs a fifth
          -- of one lookup per row. The limit is twice the number of rows, for a span that holds many others.
          AND (asked.provider_transaction_id, asked.payload_hash) NOT IN (
              SELECT provider_transaction_id, payload_hash
              FROM (
                  SELECT provider_transaction_id, payload_hash
                  FROM paysync.transactions
                  WHERE account_id = $1 AND created_at BETWEEN $6 AND $7
                  ORDER BY created_at
                  LIMIT $8
              ) AS nearby
              -- The limit makes the planner hash these rows in memory instead of scanning them for each row.
              LIMIT 10000
          )
        "#,
        account_id,
        &ids as &[&str],
        &hashes,
        &updated as &[Option<DateTime<Utc>>],
        &observed as &[DateTime<Utc>],
        created.map(RangeInclusive::start),
        created.map(RangeInclusive::end),
        signed(count(2 * keys.len())),
    )
    .fetch_all(connection)
    .await?;
    let mut diff = Diff {
        unchanged: count(keys.len() - rows.len()),
        may_exist: rows.iter().any(|row| row.held),
        ..Diff::default()
    };
    for row in rows {
        match usize::try_from(row.place - 1) {
            Ok(index) if !row.stale => diff.needed.push(index),
            _ => diff.stale += 1,
        }
    }
    // Pages write rows in the order of their keys, so that two lanes cannot deadlock.
    diff.needed.sort_unstable();
    Ok(diff)
}
