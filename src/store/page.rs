//! The page commit: rows, versions, quarantine, checkpoint and coverage in one transaction.
//!
//! The question which rows are new goes ahead of the transaction: it only spares work, since the
//! upsert applies the same rule again. What is stored already is not even read. A page without news is
//! then two round trips and one small update. Where the page before was mostly news, as in the first
//! reading of a history, it is only looked whether anything is there; the copy itself finds what is not
//! where it should be.
//!
//! The lease is proven by the statement that moves the window, under a lock that holds a takeover back
//! until the commit; without it everything is rolled back.

use std::ops::{AddAssign, RangeInclusive};

use chrono::{DateTime, TimeDelta, Utc};

use super::account::Lease;
use super::ask::{Answer, Asked, ask, peek};
use super::copy::{self, Of, copy};
use super::culprits::{refused_data, upsert_but_culprits};
pub use super::item::{Item, Quarantined, Record};
use super::item::{Unread, last_of_each};
use super::progress::window::{OpenWindow, move_window};
use super::quarantine::REFUSED;
use super::session::{Session, Work};
use super::transaction::{Observed, Written, count, upsert};
use super::{Store, StoreError, quarantine};
use crate::failpoint::failpoint;
use paysync_provider::Checkpoint;
use paysync_provider::model::Window;

/// Where a page comes from.
#[derive(Debug, Clone, Copy)]
pub struct PageContext<'a> {
    /// Code of the provider.
    pub provider: &'a str,
    /// The window the page belongs to.
    pub window: &'a OpenWindow,
    /// When its request was sent.
    pub requested_at: DateTime<Utc>,
    /// Rows whose time lies outside the window.
    pub outside: u64,
    /// The provider's own count, if it gave one.
    pub provider_count: Option<u64>,
}

/// One page, ready to be stored.
#[derive(Debug)]
pub struct PageCommit<'a, I = Record<'a>> {
    /// Where it comes from.
    pub context: PageContext<'a>,
    /// Items in the order they were sent.
    pub items: Vec<I>,
    /// Items that cannot become rows.
    pub quarantined: Vec<Quarantined<'a>>,
    /// Between which times its items were created, where they show that: those that are stored just so
    /// are found by it at a fifth of the cost, and all others as without it.
    pub created: Option<RangeInclusive<DateTime<Utc>>>,
    /// Whether most of it is taken for news: then it is only looked what is stored between these times. If
    /// it is not, it is stored as well, at a higher cost.
    pub likely_new: bool,
    /// What becomes of the window.
    pub then: Then,
}

/// What becomes of a window after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// It goes on at this checkpoint.
    More(Checkpoint),
    /// It has been read to its end.
    Close {
        /// Length of the stream's next window, if this one tells.
        length: Option<TimeDelta>,
        /// Whether it proved that the window is not covered after all.
        refuted: bool,
    },
    /// Its halves are read instead.
    Split {
        /// The halves.
        halves: (Window, Window),
        /// Length of the stream's next window.
        length: TimeDelta,
    },
}

/// What a page brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PageCounts {
    /// Items of the page: the sum of all below but `outside`.
    pub items: u64,
    /// New rows.
    pub inserted: u64,
    /// Rows that replaced an older version.
    pub updated: u64,
    /// Rows stored already, just so.
    pub unchanged: u64,
    /// Rows older than what is stored.
    pub stale: u64,
    /// Items that occurred again later in the page.
    pub duplicate: u64,
    /// Items put into quarantine.
    pub quarantined: u64,
    /// Rows whose time lies outside the window.
    pub outside: u64,
}

impl PageCounts {
    /// What became of the items: a word and a count each.
    pub const fn outcomes(&self) -> [(&'static str, u64); 6] {
        [
            ("inserted", self.inserted),
            ("updated", self.updated),
            ("unchanged", self.unchanged),
            ("stale", self.stale),
            ("duplicate", self.duplicate),
            ("quarantined", self.quarantined),
        ]
    }

    fn adds_up(&self) -> bool {
        self.items
            == self.inserted
                + self.updated
                + self.unchanged
                + self.stale
                + self.duplicate
                + self.quarantined
    }
}

impl AddAssign for PageCounts {
    fn add_assign(&mut self, page: Self) {
        self.items += page.items;
        self.inserted += page.inserted;
        self.updated += page.updated;
        self.unchanged += page.unchanged;
        self.stale += page.stale;
        self.duplicate += page.duplicate;
        self.quarantined += page.quarantined;
        self.outside += page.outside;
    }
}

impl Store {
    /// Stores a page under a lease.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] and [`StoreError::WindowGone`] if this process may not write it any
    /// more; nothing is kept then, nor after any other error.
    pub async fn commit_page<'a, I: Item<'a>>(
        &self,
        lease: &Lease,
        mut page: PageCommit<'a, I>,
    ) -> Result<PageCounts, StoreError> {
        let items = count(page.items.len() + page.quarantined.len());
        let (sent, duplicate) = last_of_each(page.items, &mut page.quarantined);
        let mut connection = self.session().await?;
        let answer = ask_for(
            &mut connection,
            &lease.account_id,
            &sent,
            page.created.as_ref(),
            page.likely_new && sent.len() >= copy::FEWEST,
        )
        .await?;
        // Rows of which nothing is stored are copied, and read while PostgreSQL takes those before them.
        let copies = !answer.held && answer.wanted.len() >= copy::FEWEST;
        let mut quarantined = page.quarantined;
        let apart = quarantined.len();
        let mut news = News {
            page: &page.context,
            records: Vec::new(),
            unchanged: answer.unchanged,
            stale: answer.stale,
            items,
            duplicate,
        };
        if !copies {
            news.records
                .extend(Unread::new(&sent, &answer.wanted, &mut quarantined));
            if news.records.is_empty() && quarantined.is_empty() {
                // Nothing to write but the window: one statement is its own transaction.
                let counts = news.counts(Written::default(), 0);
                failpoint("page.move.before");
                let mut alone = connection.alone().await?;
                move_window(&mut alone, lease, &page.context, &counts, &page.then).await?;
                alone.commit().await?;
                failpoint("page.commit.after");
                connection.done();
                return Ok(counts);
            }
        }
        let mut transaction = connection.begin().await?;
        let written = if copies {
            let unread = Unread::new(&sent, &answer.wanted, &mut quarantined);
            news.copy(&mut transaction, lease, unread).await
        } else {
            news.upsert(&mut transaction, lease).await
        };
        let (mut transaction, written) = match written {
            Ok(written) => (transaction, written),
            Err(error) if refused_data(&error).is_some() => {
                transaction.rollback().await?;
                if copies {
                    quarantined.truncate(apart);
                    news.records
                        .extend(Unread::new(&sent, &answer.wanted, &mut quarantined));
                }
                let mut transaction = connection.begin().await?;
                let written = news
                    .isolate(&mut transaction, lease, &mut quarantined)
                    .await?;
                (transaction, written)
            }
            Err(error) => return Err(error.into()),
        };
        failpoint("page.upsert.after");
        let window = page.context.window;
        quarantine::write(
            &mut transaction,
            &lease.account_id,
            &window.stream,
            window.planned.window,
            page.context.requested_at,
            &quarantined,
        )
        .await?;
        let counts = news.counts(written, count(quarantined.len()));
        if !counts.adds_up() {
            return Err(StoreError::DoesNotAddUp(format!("{counts:?}")));
        }
        failpoint("page.move.before");
        move_window(&mut transaction, lease, &page.context, &counts, &page.then).await?;
        failpoint("page.commit.before");
        transaction.commit().await?;
        failpoint("page.commit.after");
        connection.done();
        Ok(counts)
    }
}

/// Asks which items are news.
async fn ask_for<'a>(
    connection: &mut Session,
    account_id: &str,
    items: &[impl Item<'a>],
    created: Option<&RangeInclusive<DateTime<Utc>>>,
    likely_new: bool,
) -> Result<Answer, StoreError> {
    if items.is_empty() {
        return Ok(Answer::default());
    }
    let asked = |item| Asked {
        id: Item::id(item),
        hash: Item::hash(item),
        version: None,
    };
    let asked: Vec<Asked<'_>> = items.iter().map(asked).collect();
    failpoint("page.ask.before");
    if let Some(created) = created.filter(|_| likely_new) {
        let mut look = connection.alone().await?;
        let seen = peek(&mut look, account_id, &asked, created).await?;
        look.commit().await?;
        if let Some(answer) = seen {
            failpoint("page.ask.after");
            return Ok(answer);
        }
    }
    let mut question = connection.alone().await?;
    let answered = ask(&mut question, account_id, &asked, created).await;
    if answered.is_ok() {
        question.commit().await?;
    } else {
        question.rollback().await?;
    }
    failpoint("page.ask.after");
    match answered {
        // A key that PostgreSQL refuses even in a question: the upsert finds whose it is.
        Err(error) if refused_data(&error).is_some() => Ok(Answer::all_wanted(items.len())),
        answered => Ok(answered?),
    }
}

/// What a page has to write.
struct News<'p, 'a> {
    page: &'p PageContext<'p>,
    records: Vec<Record<'a>>,
    unchanged: u64,
    stale: u64,
    items: u64,
    duplicate: u64,
}

impl<'a> News<'_, 'a> {
    async fn copy(
        &self,
        connection: &mut Work<'_>,
        lease: &Lease,
        unread: impl Iterator<Item = Record<'a>>,
    ) -> Result<Written, sqlx::Error> {
        let of = Of {
            account_id: &lease.account_id,
            provider: self.page.provider,
            observed_at: self.page.requested_at,
        };
        Ok(Written {
            inserted: copy(connection, of, unread).await?,
            ..Written::default()
        })
    }

    async fn upsert(
        &self,
        connection: &mut Work<'_>,
        lease: &Lease,
    ) -> Result<Written, sqlx::Error> {
        let (account, provider) = (&lease.account_id, self.page.provider);
        upsert(connection, account, provider, &self.observed()).await
    }

    fn observed(&self) -> Vec<Observed<'_, 'a>> {
        let observed = |record| Observed {
            record,
            at: self.page.requested_at,
        };
        self.records.iter().map(observed).collect()
    }

    /// Writes what PostgreSQL takes; the culprits go to the quarantine.
    async fn isolate(
        &self,
        connection: &mut Work<'_>,
        lease: &Lease,
        quarantined: &mut Vec<Quarantined<'a>>,
    ) -> Result<Written, StoreError> {
        let (written, culprits) = upsert_but_culprits(
            connection,
            &lease.account_id,
            self.page.provider,
            &self.observed(),
        )
        .await?;
        quarantined.extend(culprits.into_iter().map(|culprit| {
            let record = culprit.row.record;
            Quarantined {
                provider_transaction_id: Some(record.transaction.provider_transaction_id.clone()),
                reason: REFUSED,
                detail: culprit.detail,
                payload: record.payload.clone(),
                hash: record.hash,
            }
        }));
        Ok(written)
    }

    fn counts(&self, written: Written, quarantined: u64) -> PageCounts {
        PageCounts {
            items: self.items,
            inserted: written.inserted,
            updated: written.updated,
            unchanged: self.unchanged + written.unchanged,
            stale: self.stale + written.stale,
            duplicate: self.duplicate,
            quarantined,
            outside: self.page.outside,
        }
    }
}
