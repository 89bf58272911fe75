//! The quarantine tried again: what has become a record is stored by the rules of a page and leaves in
//! the same transaction; what a newer stored version has overtaken leaves as well.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use crate::number::{count, signed};
use crate::store::page::bisect::upsert_accepted;
use crate::store::page::diff::{RowKey, diff};
use crate::store::page::upsert::{Observed, Written};
use crate::store::pool::DbWork;
use crate::store::quarantine::{Kept, REFUSED, lock, relabel, remove, superseded};
use crate::store::{Store, StoreError};
use paysync_provider::item::{Record, Rejected};

/// An item in quarantine and what is made of it now.
#[derive(Debug)]
pub struct Retried<'a> {
    /// The item.
    pub kept: &'a Kept,
    /// The record, or why there still is none.
    pub outcome: Result<Record<'a>, Rejected<'a>>,
}

/// What became of items in quarantine.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Emptied {
    /// Stored, and removed.
    pub fit: u64,
    /// Removed, because a newer version of their row is stored.
    pub superseded: u64,
    /// Left, by the reason.
    pub left: BTreeMap<String, u64>,
}

/// An item that stays, unless its row is stored in a newer version.
pub(crate) struct Misfit<'a> {
    pub(crate) kept: &'a Kept,
    pub(crate) id: Option<&'a str>,
    pub(crate) reason: &'a str,
    pub(crate) detail: String,
}

impl<'a> Misfit<'a> {
    fn of(kept: &'a Kept, why: &'a Rejected<'_>) -> Self {
        Self {
            kept,
            id: why
                .provider_transaction_id
                .as_deref()
                .or(kept.provider_transaction_id.as_deref()),
            reason: why.reason,
            detail: why.detail.clone(),
        }
    }

    fn is_news(&self) -> bool {
        let kept = self.kept;
        (self.reason, self.detail.as_str(), self.id)
            != (
                kept.reason.as_str(),
                kept.detail.as_str(),
                kept.provider_transaction_id.as_deref(),
            )
    }
}

/// Enters into the ledger what no window has stored.
async fn enter(
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

impl Store {
    /// Stores what has become a record, by the rules of a page, and takes out of the quarantine what
    /// is stored or superseded. What stays gets its reason of today. An item that was met again since
    /// it was read stays as well.
    pub async fn empty_quarantine(
        &self,
        account_id: &str,
        provider: &str,
        items: &[Retried<'_>],
    ) -> Result<Emptied, StoreError> {
        let mut emptied = Emptied::default();
        let mut connection = self.session().await?;
        let mut transaction = connection.begin().await?;
        let (mut stored, mut misfits) = (Vec::new(), misfits(items));
        let mut total = Written::default();
        for round in rounds(items) {
            let observed: Vec<Observed<'_, '_>> = round.values().map(|(_, row)| *row).collect();
            let (written, rejected) =
                upsert_accepted(&mut transaction, account_id, provider, &observed).await?;
            emptied.superseded += written.stale;
            total.inserted += written.inserted;
            total.updated += written.updated;
            total.unchanged += written.unchanged;
            total.stale += written.stale;
            let mut rejected: BTreeMap<&str, String> = rejected
                .into_iter()
                .map(|rejected| (id(rejected.row.record), rejected.detail))
                .collect();
            for (id, (kept, _)) in round {
                match rejected.remove(id) {
                    None => stored.push(kept),
                    Some(detail) => misfits.push(Misfit {
                        kept,
                        id: Some(id),
                        reason: REFUSED,
                        detail,
                    }),
                }
            }
        }
        enter(&mut transaction, account_id, &total).await?;
        emptied.fit = count(stored.len()) - emptied.superseded;
        let superseded = superseded(&mut transaction, account_id, &misfits).await?;
        emptied.superseded += count(superseded.len());
        let (moot, staying) = part(misfits, &superseded);
        stored.extend(moot.iter().map(|misfit| misfit.kept));

        let news: Vec<&Misfit<'_>> = staying.iter().filter(|misfit| misfit.is_news()).collect();
        let touched = stored.iter().copied().chain(news.iter().map(|m| m.kept));
        let unmoved = lock(&mut transaction, account_id, touched.collect()).await?;
        let is_unmoved = |kept: &Kept| unmoved.contains(&(kept.stream.clone(), kept.hash));
        let (gone, met_again): (Vec<&Kept>, Vec<&Kept>) =
            stored.into_iter().partition(|kept| is_unmoved(kept));
        remove(&mut transaction, account_id, &gone).await?;
        let news: Vec<&Misfit<'_>> = news.into_iter().filter(|m| is_unmoved(m.kept)).collect();
        relabel(&mut transaction, account_id, &news).await?;
        transaction.commit().await?;
        connection.return_to_pool();

        emptied.fit = emptied.fit.saturating_sub(count(met_again.len()));
        emptied.leave(met_again.iter().map(|kept| kept.reason.as_str()));
        emptied.leave(staying.iter().map(|misfit| misfit.reason));
        Ok(emptied)
    }

    /// What [`Store::empty_quarantine`] would do; writes nothing. What PostgreSQL refused before is
    /// taken as refused again.
    pub async fn foresee_emptying(
        &self,
        account_id: &str,
        items: &[Retried<'_>],
    ) -> Result<Emptied, StoreError> {
        let mut emptied = Emptied::default();
        let mut connection = self.session().await?;
        let mut misfits = misfits(items);
        let fits: Vec<(&Kept, Observed<'_, '_>)> = rounds(items)
            .into_iter()
            .flat_map(BTreeMap::into_values)
            .collect();
        let observed: Vec<Observed<'_, '_>> = fits.iter().map(|(_, row)| *row).collect();
        let keys: Vec<RowKey<'_>> = observed.iter().map(Observed::key).collect();
        let diff = diff(&mut connection, account_id, &keys, None).await?;
        let needed = diff.needed.iter().filter_map(|place| fits.get(*place));
        for (kept, row) in needed {
            if kept.reason == REFUSED {
                misfits.push(Misfit {
                    kept,
                    id: Some(id(row.record)),
                    reason: REFUSED,
                    detail: kept.detail.clone(),
                });
            } else {
                emptied.fit += 1;
            }
        }
        emptied.fit += diff.unchanged;
        let mut alone = connection.autocommit().await?;
        let superseded = superseded(&mut alone, account_id, &misfits).await?;
        alone.commit().await?;
        connection.return_to_pool();
        emptied.superseded = diff.stale + count(superseded.len());
        let (_, staying) = part(misfits, &superseded);
        emptied.leave(staying.iter().map(|misfit| misfit.reason));
        Ok(emptied)
    }
}

impl Emptied {
    fn leave<'r>(&mut self, reasons: impl Iterator<Item = &'r str>) {
        for reason in reasons {
            *self.left.entry(reason.to_owned()).or_default() += 1;
        }
    }
}

impl AddAssign for Emptied {
    fn add_assign(&mut self, batch: Self) {
        self.fit += batch.fit;
        self.superseded += batch.superseded;
        for (reason, items) in batch.left {
            *self.left.entry(reason).or_default() += items;
        }
    }
}

/// What is still no record.
fn misfits<'a>(items: &'a [Retried<'_>]) -> Vec<Misfit<'a>> {
    let misfit = |item: &'a Retried<'_>| {
        let why = item.outcome.as_ref().err()?;
        Some(Misfit::of(item.kept, why))
    };
    items.iter().filter_map(misfit).collect()
}

type Round<'p, 'a> = BTreeMap<&'p str, (&'p Kept, Observed<'p, 'a>)>;

/// The records in rounds that hold each row once, older versions first, sorted by key as pages are.
fn rounds<'p, 'a>(items: &'p [Retried<'a>]) -> Vec<Round<'p, 'a>> {
    let mut rows: Vec<(&'p Kept, Observed<'p, 'a>)> = items
        .iter()
        .filter_map(|item| {
            let record = item.outcome.as_ref().ok()?;
            let at = item.kept.observed_at;
            Some((item.kept, Observed { record, at }))
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

/// Parts those at these places from the others.
fn part<T>(items: Vec<T>, places: &BTreeSet<usize>) -> (Vec<T>, Vec<T>) {
    let mut place = 0..;
    items
        .into_iter()
        .partition(|_| place.next().is_some_and(|place| places.contains(&place)))
}
