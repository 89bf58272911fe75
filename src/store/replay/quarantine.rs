//! A retry of the quarantine. An item that can be read now is stored by the rules of a page and leaves
//! the quarantine in the same transaction. An item older than the stored version of its row leaves, too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use uuid::Uuid;

use super::{BATCH_BYTES, BATCH_ROWS};
use crate::number::{count, signed};
use crate::store::page::bisect::upsert_accepted;
use crate::store::page::diff::{RowKey, diff};
use crate::store::page::payments;
use crate::store::page::upsert::{Observed, Written};
use crate::store::pool::DbWork;
use crate::store::quarantine::{
    QuarantinedItem, REFUSED, StillInvalid, keys, lock, relabel, remove, superseded,
};
use crate::store::{Store, StoreError};
use paysync_provider::Spec;
use paysync_provider::item::{Record, Rejected};

/// An item in quarantine, read again.
#[derive(Debug)]
pub struct Retried<'a> {
    /// The item.
    pub item: &'a QuarantinedItem,
    /// The record, or why the item still cannot become one.
    pub outcome: Result<Record<'a>, Rejected<'a>>,
}

/// What a retry did with the items.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RetryOutcome {
    /// Items stored and removed.
    pub stored: u64,
    /// Items removed because a newer version of their row is stored.
    pub superseded: u64,
    /// Items that stay, by reason.
    pub remaining: BTreeMap<String, u64>,
}

/// Enters rows that no window stored into the ledger, as replay's.
async fn add_to_ledger(
    connection: &mut DbWork<'_>,
    account_id: &str,
    written: &Written,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        INSERT INTO paysync.window_totals AS held (account_id, stream, lane, day, items, inserted, updated, unchanged, stale)
        SELECT $1, '', 'replay', (now() AT TIME ZONE 'UTC')::date, $2::bigint + $3 + $4 + $5, $2, $3, $4, $5
        WHERE $2::bigint + $3 + $4 + $5 > 0
        ON CONFLICT (account_id, stream, lane, day) DO UPDATE SET
            items = held.items + EXCLUDED.items,
            inserted = held.inserted + EXCLUDED.inserted,
            updated = held.updated + EXCLUDED.updated,
            unchanged = held.unchanged + EXCLUDED.unchanged,
            stale = held.stale + EXCLUDED.stale
        "#,
        account_id,
        signed(written.inserted),
        signed(written.updated),
        signed(written.unchanged),
        signed(written.stale),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether any of these items is still in quarantine. Else the account may have been forgotten since they were
/// read, and their rows must not come back; the lock delays a forgetting that begins now until the commit.
async fn are_held(
    connection: &mut DbWork<'_>,
    account_id: &str,
    items: &[Retried<'_>],
) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "SELECT 1 AS locked FROM paysync.accounts WHERE account_id = $1 FOR SHARE",
        account_id
    )
    .fetch_optional(&mut *connection)
    .await?;
    let (streams, hashes) = keys(&items.iter().map(|retried| retried.item).collect::<Vec<_>>());
    sqlx::query_scalar!(
        r#"
        SELECT EXISTS (
            SELECT
            FROM UNNEST($2::text[], $3::uuid[]) AS read(stream, payload_hash)
            JOIN paysync.quarantine AS held
                ON held.account_id = $1 AND held.stream = read.stream AND held.payload_hash = read.payload_hash
        ) AND NOT EXISTS (
            SELECT FROM paysync.forgotten_accounts WHERE account_id = $1 AND ended_at IS NULL
        ) AS "held!"
        "#,
        account_id,
        &streams as &[&str],
        &hashes,
    )
    .fetch_one(connection)
    .await
}

impl Store {
    /// The next items of an account's quarantine, in the order of their keys; empty after the last.
    pub async fn quarantined_after(
        &self,
        account_id: &str,
        after: (&str, Uuid),
    ) -> Result<Vec<QuarantinedItem>, StoreError> {
        let items = sqlx::query_as!(
            QuarantinedItem,
            r#"
            SELECT stream, payload_hash AS hash, provider_transaction_id, reason, detail, payload, observed_at
            FROM (
                SELECT *, sum(octet_length(payload)) OVER (ORDER BY stream, payload_hash) - octet_length(payload) AS before
                FROM (
                    SELECT *
                    FROM paysync.quarantine
                    WHERE account_id = $1 AND (stream, payload_hash) > ($2, $3)
                    ORDER BY stream, payload_hash
                    LIMIT $4
                ) AS next
            ) AS batch
            WHERE before < $5
            ORDER BY stream, payload_hash
            "#,
            account_id,
            after.0,
            after.1,
            BATCH_ROWS,
            BATCH_BYTES,
        )
        .fetch_all(self.one_shot())
        .await?;
        Ok(items)
    }

    /// Stores the items that can be read now, and removes those that are stored or superseded. The others
    /// stay under today's reason; an item that a page brought again since it was read stays, too.
    pub async fn retry_quarantine(
        &self,
        account_id: &str,
        spec: &Spec,
        items: &[Retried<'_>],
    ) -> Result<RetryOutcome, StoreError> {
        let mut outcome = RetryOutcome::default();
        let mut connection = self.session().await?;
        let mut transaction = connection.begin().await?;
        if !are_held(&mut transaction, account_id, items).await? {
            transaction.rollback().await?;
            connection.return_to_pool();
            return Ok(outcome);
        }
        let (mut leaving, mut invalid) = (Vec::new(), still_invalid(items));
        let mut total = Written::default();
        for round in rounds(items) {
            let observed: Vec<Observed<'_, '_>> = round.values().map(|(_, row)| *row).collect();
            let (written, rejected) =
                upsert_accepted(&mut transaction, account_id, spec, &observed).await?;
            total += written;
            let mut rejected: BTreeMap<&str, String> = rejected
                .into_iter()
                .map(|rejected| (id(rejected.row.record), rejected.detail))
                .collect();
            for (id, (item, _)) in round {
                match rejected.remove(id) {
                    None => leaving.push(item),
                    Some(detail) => invalid.push(StillInvalid {
                        item,
                        id: Some(id),
                        reason: REFUSED,
                        detail,
                    }),
                }
            }
        }
        add_to_ledger(&mut transaction, account_id, &total).await?;
        let stored = count(leaving.len()) - total.stale;
        let superseded = superseded(&mut transaction, account_id, &invalid).await?;
        outcome.superseded = total.stale + count(superseded.len());
        let (moot, staying) = partition_at(invalid, &superseded);
        leaving.extend(moot.iter().map(|invalid| invalid.item));

        let changed: Vec<&StillInvalid<'_>> = staying.iter().filter(|i| i.is_changed()).collect();
        let touched = leaving
            .iter()
            .copied()
            .chain(changed.iter().map(|i| i.item));
        let locked = lock(&mut transaction, account_id, touched.collect()).await?;
        let is_locked = |item: &QuarantinedItem| locked.contains(&(item.stream.clone(), item.hash));
        let (removed, seen_again): (Vec<&QuarantinedItem>, Vec<&QuarantinedItem>) =
            leaving.into_iter().partition(|item| is_locked(item));
        remove(&mut transaction, account_id, &removed).await?;
        let changed: Vec<_> = changed.into_iter().filter(|i| is_locked(i.item)).collect();
        relabel(&mut transaction, account_id, &changed).await?;
        payments::join(&mut transaction, account_id, &total.unjoined).await?;
        transaction.commit().await?;
        connection.return_to_pool();

        outcome.stored = stored.saturating_sub(count(seen_again.len()));
        outcome.keep(seen_again.iter().map(|item| item.reason.as_str()));
        outcome.keep(staying.iter().map(|invalid| invalid.reason));
        Ok(outcome)
    }

    /// What [`Store::retry_quarantine`] would do; writes nothing. It assumes that PostgreSQL refuses again
    /// what it refused before.
    pub async fn preview_retry(
        &self,
        account_id: &str,
        items: &[Retried<'_>],
    ) -> Result<RetryOutcome, StoreError> {
        let mut outcome = RetryOutcome::default();
        let mut connection = self.session().await?;
        let mut invalid = still_invalid(items);
        let valid: Vec<(&QuarantinedItem, Observed<'_, '_>)> = rounds(items)
            .into_iter()
            .flat_map(BTreeMap::into_values)
            .collect();
        let observed: Vec<Observed<'_, '_>> = valid.iter().map(|(_, row)| *row).collect();
        let keys: Vec<RowKey<'_>> = observed.iter().map(Observed::key).collect();
        let diff = diff(&mut connection, account_id, &keys, None).await?;
        let needed = diff.needed.iter().filter_map(|place| valid.get(*place));
        for (item, row) in needed {
            if item.reason == REFUSED {
                invalid.push(StillInvalid {
                    item,
                    id: Some(id(row.record)),
                    reason: REFUSED,
                    detail: item.detail.clone(),
                });
            } else {
                outcome.stored += 1;
            }
        }
        outcome.stored += diff.unchanged;
        let mut alone = connection.autocommit().await?;
        let superseded = superseded(&mut alone, account_id, &invalid).await?;
        alone.commit().await?;
        connection.return_to_pool();
        outcome.superseded = diff.stale + count(superseded.len());
        let (_, staying) = partition_at(invalid, &superseded);
        outcome.keep(staying.iter().map(|invalid| invalid.reason));
        Ok(outcome)
    }
}

impl RetryOutcome {
    fn keep<'r>(&mut self, reasons: impl Iterator<Item = &'r str>) {
        for reason in reasons {
            *self.remaining.entry(reason.to_owned()).or_default() += 1;
        }
    }
}

impl AddAssign for RetryOutcome {
    fn add_assign(&mut self, batch: Self) {
        self.stored += batch.stored;
        self.superseded += batch.superseded;
        for (reason, items) in batch.remaining {
            *self.remaining.entry(reason).or_default() += items;
        }
    }
}

/// The items that cannot become a record.
fn still_invalid<'a>(items: &'a [Retried<'_>]) -> Vec<StillInvalid<'a>> {
    let invalid = |retried: &'a Retried<'_>| {
        let why = retried.outcome.as_ref().err()?;
        Some(StillInvalid::new(retried.item, why))
    };
    items.iter().filter_map(invalid).collect()
}

type Round<'p, 'a> = BTreeMap<&'p str, (&'p QuarantinedItem, Observed<'p, 'a>)>;

/// The records in rounds that hold each row once, older versions first, sorted by key as pages are.
fn rounds<'p, 'a>(items: &'p [Retried<'a>]) -> Vec<Round<'p, 'a>> {
    let mut rows: Vec<(&'p QuarantinedItem, Observed<'p, 'a>)> = items
        .iter()
        .filter_map(|retried| {
            let record = retried.outcome.as_ref().ok()?;
            let at = retried.item.observed_at;
            Some((retried.item, Observed { record, at }))
        })
        .collect();
    rows.sort_by_key(|(_, row)| (row.record.transaction.updated_at, row.at));
    let mut rounds: Vec<Round<'p, 'a>> = Vec::new();
    for row in rows {
        let id = id(row.1.record);
        match rounds.iter_mut().find(|round| !round.contains_key(id)) {
            Some(round) => drop(round.insert(id, row)),
            None => rounds.push(BTreeMap::from([(id, row)])),
        }
    }
    rounds
}

fn id<'p>(record: &'p Record<'_>) -> &'p str {
    &record.transaction.provider_transaction_id
}

/// Separates the items at these places from the others.
fn partition_at<T>(items: Vec<T>, places: &BTreeSet<usize>) -> (Vec<T>, Vec<T>) {
    let mut place = 0..;
    items
        .into_iter()
        .partition(|_| place.next().is_some_and(|place| places.contains(&place)))
}
