//! The page commit: rows, versions, quarantine, checkpoint and coverage in one transaction.
//!
//! The statement that moves the window proves the lease, under a lock that delays a takeover until the
//! commit; without the lease everything is rolled back.

use std::collections::BTreeSet;

use tracing::warn;

use super::bisect::upsert_accepted;
use super::copy::{MIN_COPY_ROWS, RowOrigin, copy};
use super::diff::{Diff, diff_items};
use super::records::{LazyRecords, UniqueItems};
use super::transition::move_window;
use super::upsert::{Observed, Written, upsert};
use super::{CommittedPage, PageCommit, PageCounts, payments};
use crate::failpoint::failpoint;
use crate::number::count;
use crate::store::Store;
use crate::store::account::Lease;
use crate::store::error::{StoreError, refused_data};
use crate::store::pool::{DbWork, Session};
use crate::store::quarantine::{self, REFUSED};
use paysync_provider::item::{PreparedItem, Record, Rejected};

/// Deadlocks after which a page is written again at once.
const MAX_DEADLOCKS: u32 = 3;

impl Store {
    /// Stores a page under a lease.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] and [`StoreError::WindowGone`] if this process may no longer write it;
    /// nothing is stored then, nor after any other error.
    pub async fn commit_page(
        &self,
        lease: &Lease,
        page: PageCommit<'_>,
    ) -> Result<CommittedPage, StoreError> {
        let unique = UniqueItems::new(&page);
        let mut session = self.session().await?;
        let diff = diff_items(
            &mut session,
            &lease.account_id,
            &unique.items,
            page.created.as_ref(),
            page.likely_new && unique.items.len() >= MIN_COPY_ROWS,
        )
        .await?;
        let write = PageWrite::new(lease, &page, &unique, &diff);
        let committed = if write.is_empty() {
            write.move_window_only(&mut session).await?
        } else {
            write.commit_or_retry(&mut session).await?
        };
        failpoint("page.commit.after");
        session.return_to_pool();
        Ok(committed)
    }
}

/// A page of which it is known what to write.
struct PageWrite<'p> {
    lease: &'p Lease,
    page: &'p PageCommit<'p>,
    unique: &'p UniqueItems<'p>,
    diff: &'p Diff,
    /// Items whose rows are new or changed.
    needed: Vec<&'p PreparedItem<'p>>,
}

/// What one attempt to write the rows did.
#[derive(Default)]
struct Attempt<'p> {
    written: Written,
    /// Items that could not be read, then those that PostgreSQL refused.
    rejected: Vec<Rejected<'p>>,
    unknown_words: BTreeSet<(&'static str, String)>,
}

impl<'p> PageWrite<'p> {
    fn new(
        lease: &'p Lease,
        page: &'p PageCommit<'p>,
        unique: &'p UniqueItems<'p>,
        diff: &'p Diff,
    ) -> Self {
        let needed = diff.needed.iter();
        Self {
            lease,
            page,
            unique,
            diff,
            needed: needed
                .filter_map(|index| unique.items.get(*index).copied())
                .collect(),
        }
    }

    /// Whether there is nothing to write but the window.
    fn is_empty(&self) -> bool {
        self.needed.is_empty()
            && self.page.items.rejected.is_empty()
            && self.unique.rejected.is_empty()
    }

    /// Moves the window by one statement, which is its own transaction.
    async fn move_window_only(&self, session: &mut Session) -> Result<CommittedPage, StoreError> {
        let mut work = session.autocommit().await?;
        let committed = self.finish(&mut work, Attempt::default()).await?;
        work.commit().await?;
        Ok(committed)
    }

    /// Commits. Pages of two lanes that write the same rows at once can deadlock: PostgreSQL then rolls one of
    /// them back, and it is written again.
    async fn commit_or_retry(&self, session: &mut Session) -> Result<CommittedPage, StoreError> {
        for _ in 0..MAX_DEADLOCKS {
            match self.commit(session).await {
                Err(error @ StoreError::Conflict(_)) => {
                    let cause = error.cause().map(ToString::to_string);
                    warn!(error = cause, hint = error.hint(), "page rolled back");
                }
                done => return done,
            }
        }
        self.commit(session).await
    }

    /// Writes everything in one transaction. If PostgreSQL refuses the rows in bulk, another transaction
    /// writes those that it accepts.
    async fn commit(&self, session: &mut Session) -> Result<CommittedPage, StoreError> {
        let mut transaction = session.begin().await?;
        let attempt = match self.write_in_bulk(&mut transaction).await {
            Err(error) if refused_data(&error).is_some() => {
                transaction.rollback().await?;
                transaction = session.begin().await?;
                self.write_accepted(&mut transaction).await?
            }
            attempt => attempt?,
        };
        failpoint("page.upsert.after");
        let committed = self.finish(&mut transaction, attempt).await?;
        failpoint("page.commit.before");
        transaction.commit().await?;
        Ok(committed)
    }

    async fn write_in_bulk(&self, work: &mut DbWork<'_>) -> Result<Attempt<'_>, sqlx::Error> {
        // Only a row that is not stored can be copied.
        if !self.diff.may_exist && self.needed.len() >= MIN_COPY_ROWS {
            self.copy(work).await
        } else {
            self.upsert(work).await
        }
    }

    /// Copies the rows, and reads each while PostgreSQL takes those before it.
    async fn copy(&self, work: &mut DbWork<'_>) -> Result<Attempt<'_>, sqlx::Error> {
        let origin = RowOrigin {
            account_id: &self.lease.account_id,
            spec: &self.page.provider.spec(),
            observed_at: self.page.context.requested_at,
        };
        let mut records = self.records();
        let written = copy(work, origin, &mut records).await?;
        Ok(Attempt::new(written, records))
    }

    async fn upsert(&self, work: &mut DbWork<'_>) -> Result<Attempt<'_>, sqlx::Error> {
        let mut records = self.records();
        let read: Vec<Record<'_>> = records.by_ref().collect();
        let (account_id, spec) = (&self.lease.account_id, &self.page.provider.spec());
        let written = upsert(work, account_id, spec, &self.observed(&read)).await?;
        Ok(Attempt::new(written, records))
    }

    /// Upserts the rows that PostgreSQL accepts; the others are rejected.
    async fn write_accepted(&self, work: &mut DbWork<'_>) -> Result<Attempt<'_>, sqlx::Error> {
        let mut records = self.records();
        let read: Vec<Record<'_>> = records.by_ref().collect();
        let (account_id, spec) = (&self.lease.account_id, &self.page.provider.spec());
        let rows = self.observed(&read);
        let (written, refused) = upsert_accepted(work, account_id, spec, &rows).await?;
        let mut attempt = Attempt::new(written, records);
        let rejected = refused.into_iter().map(|refused| {
            let record = refused.row.record;
            Rejected {
                provider_transaction_id: Some(record.transaction.provider_transaction_id.clone()),
                reason: REFUSED,
                detail: refused.detail,
                payload: record.payload.clone(),
                hash: record.hash,
            }
        });
        attempt.rejected.extend(rejected);
        Ok(attempt)
    }

    fn records(&self) -> LazyRecords<'_> {
        LazyRecords::new(self.page.provider, &self.needed)
    }

    fn observed<'r, 'a>(&self, records: &'r [Record<'a>]) -> Vec<Observed<'r, 'a>> {
        let at = self.page.context.requested_at;
        let observed = |record| Observed { record, at };
        records.iter().map(observed).collect()
    }

    /// Stores what was rejected, and moves the window.
    async fn finish(
        &self,
        work: &mut DbWork<'_>,
        attempt: Attempt<'_>,
    ) -> Result<CommittedPage, StoreError> {
        let context = &self.page.context;
        let rejected: Vec<&Rejected<'_>> = [
            &self.page.items.rejected,
            &self.unique.rejected,
            &attempt.rejected,
        ]
        .into_iter()
        .flatten()
        .collect();
        quarantine::write(work, &self.lease.account_id, context, &rejected).await?;
        let counts = self.counts(&attempt.written, count(rejected.len()));
        if !counts.adds_up() {
            return Err(StoreError::DoesNotAddUp(format!("{counts:?}")));
        }
        failpoint("page.join.before");
        payments::join(work, &self.lease.account_id, &attempt.written.unjoined).await?;
        failpoint("page.move.before");
        move_window(work, self.lease, context, &counts, &self.page.transition).await?;
        let first = rejected.first().filter(|first| first.reason != REFUSED);
        Ok(CommittedPage {
            counts,
            first_rejection: first.map(|first| first.detail.clone()),
            unknown_words: attempt.unknown_words,
        })
    }

    fn counts(&self, written: &Written, quarantined: u64) -> PageCounts {
        let page = self.page.items;
        PageCounts {
            items: count(page.items.len() + page.rejected.len()),
            inserted: written.inserted,
            updated: written.updated,
            unchanged: self.diff.unchanged + written.unchanged,
            stale: self.diff.stale + written.stale,
            duplicate: self.unique.duplicate,
            quarantined,
            outside: self.page.context.outside,
        }
    }
}

impl<'p> Attempt<'p> {
    fn new(written: Written, records: LazyRecords<'p>) -> Self {
        Self {
            written,
            rejected: records.rejected,
            unknown_words: records.unknown_words,
        }
    }
}
