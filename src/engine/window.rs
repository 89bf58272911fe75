//! The reading of one window, page by page: the next page is fetched and sorted out while the last
//! one is stored.

use std::sync::Arc;

use chrono::TimeDelta;
use metrics::histogram;

use super::account::{Account, Stream};
use super::fetch::Asking;
use super::item::{ItemContext, Notes, Sent, created, outside};
use super::keeper::Kept;
use super::memory::{PageMemory, Reservation};
use super::opened::Opened;
use super::paging::{PageFacts, Step, Walk};
use super::policy::Failure;
use crate::clock::Clock;
use crate::failpoint::failpoint;
use crate::plan::{Lane, next_length};
use crate::store::Store;
use crate::store::account::Lease;
use crate::store::page::{PageCommit, PageContext, PageCounts, Then};
use crate::store::progress::window::OpenWindow;
use crate::telemetry;
use crate::transport::retry;
use paysync_provider::{Checkpoint, Position};
use tokio_util::sync::CancellationToken;

/// Rows all outside their window that show that a filter is ignored; a few may be a rounding.
const IGNORED_FILTER_ROWS: u64 = 10;

/// What reading windows of an account needs. Each window is read in a task of its own: a future
/// that nobody polls could hold a row lock that its neighbour waits for.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) account: Arc<Account>,
    pub(crate) page_memory: PageMemory,
    pub(crate) lease: Lease,
    /// The lease, as it is kept.
    pub(crate) kept: Kept,
    /// Asked to stop after the page in hand.
    pub(crate) stop: CancellationToken,
}

impl Reader {
    /// Reads a window to its end, or to the first failure that a few tries do not mend. What was
    /// stored stays stored; the window goes on at its checkpoint. `length` is the stream's window
    /// length, to adapt from. `all_fetched` is told when the last of many pages is there to be stored.
    pub(crate) async fn read(
        &self,
        stream: &Stream,
        window: &OpenWindow,
        length: TimeDelta,
        all_fetched: &(dyn Fn() + Sync),
    ) -> Result<(), Failure> {
        match window.planned.lane {
            Lane::Repoll => self.repoll(stream, window).await,
            Lane::Audit => self.audit(stream, window).await,
            Lane::Live | Lane::Rescan | Lane::Backfill => {
                let reading = Reading {
                    reader: self,
                    account: &self.account,
                    stream,
                    window,
                    length,
                    all_fetched,
                };
                reading.run().await
            }
        }
    }
}

/// The provider's counts beside the items it sent: of each page, or of the whole window.
#[derive(Debug, Default)]
struct Tally {
    last: Option<u64>,
    is_of_pages: bool,
}

impl Tally {
    fn page(&mut self, items: u64, counted: Option<u64>) {
        let Some(counted) = counted else { return };
        let is_first = self.last.is_none();
        self.is_of_pages = (is_first || self.is_of_pages) && counted == items;
        self.last = Some(counted);
    }

    /// The count, if it is neither the one of each page nor that of all items.
    fn differs_from(&self, items: u64) -> Option<u64> {
        self.last
            .filter(|counted| !self.is_of_pages && *counted != items)
    }
}

/// What the window's pages have shown in this run, stored or not.
struct Seen {
    walk: Walk,
    tally: Tally,
    items: u64,
    /// Whether the window's first page is still to come.
    is_first: bool,
}

/// A page that can be stored: what becomes of its window is known.
struct Prepared {
    opened: Opened,
    outside: u64,
    then: Then,
    _memory: Reservation,
}

/// One window being read.
struct Reading<'a> {
    reader: &'a Reader,
    account: &'a Account,
    stream: &'a Stream,
    window: &'a OpenWindow,
    length: TimeDelta,
    all_fetched: &'a (dyn Fn() + Sync),
}

impl Reading<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let started = self.reader.clock.now();
        let asking = self
            .reader
            .asking(&self.stream.spec.name, self.window.planned.lane);
        let mut checkpoint = self.window.checkpoint.clone();
        let mut seen = Seen {
            walk: Walk::default(),
            tally: Tally::default(),
            items: 0,
            is_first: checkpoint.is_none(),
        };
        if seen.is_first && self.window.planned.lane == Lane::Backfill {
            checkpoint = self.account.provider.backfill_start();
        }
        let memory = self.reserve().await?;
        let mut page = self
            .prepare(&asking, memory, checkpoint.as_ref(), &mut seen)
            .await?;
        let mut total = PageCounts::default();
        let mut likely_new = false;
        loop {
            let more = match &page.then {
                Then::More(next) => Some(next),
                Then::Close { .. } | Then::Split { .. } => None,
            };
            if more.is_none() && !self.is_live() {
                (self.all_fetched)();
            }
            let memory = more.and_then(|_| self.try_reserve());
            let ahead = async {
                match (more, memory) {
                    (Some(next), Some(memory)) => {
                        Some(self.prepare(&asking, memory, Some(next), &mut seen).await)
                    }
                    _ => None,
                }
            };
            let (counts, ahead) =
                futures_util::future::join(self.store(&page, likely_new), ahead).await;
            let counts = counts?;
            total += counts;
            likely_new = 2 * counts.inserted > counts.items;
            page = match (more, ahead) {
                (None, _) => break,
                (Some(_), Some(next)) => next?,
                (Some(next), None) => {
                    let next = next.clone();
                    drop(page);
                    let memory = self.reserve().await?;
                    self.prepare(&asking, memory, Some(&next), &mut seen)
                        .await?
                }
            };
        }
        self.compare(&seen.tally, &total);
        self.reader
            .note_window(self.stream, self.window, &total, started);
        Ok(())
    }

    /// Waits for memory for a page; whoever waits may hold none.
    async fn reserve(&self) -> Result<Reservation, Failure> {
        let stop = &self.reader.stop;
        if stop.is_cancelled() {
            return Err(Failure::Stopped);
        }
        let expected = self.account.sizes.expected(self.is_live());
        stop.run_until_cancelled(self.reader.page_memory.reserve(expected))
            .await
            .ok_or(Failure::Stopped)
    }

    /// Memory for the page after the one in hand, if that may be asked for already.
    fn try_reserve(&self) -> Option<Reservation> {
        if self.reader.stop.is_cancelled() {
            return None;
        }
        let expected = self.account.sizes.expected(self.is_live());
        self.reader.page_memory.try_reserve(expected)
    }

    fn is_live(&self) -> bool {
        self.window.planned.lane == Lane::Live
    }

    /// Fetches a page, sorts out its items, and decides what becomes of the window.
    async fn prepare(
        &self,
        asking: &Asking<'_>,
        mut memory: Reservation,
        checkpoint: Option<&Checkpoint>,
        seen: &mut Seen,
    ) -> Result<Prepared, Failure> {
        let provider = &*self.account.provider;
        let at = self.position(checkpoint);
        let mut delays = retry::within_run();
        let mut opened = loop {
            let fetched = asking.fetch(|| provider.request(&at), &mut delays).await?;
            match Opened::open(fetched, |response| provider.page(&at, response)) {
                Ok(opened) => break opened,
                Err(error) => asking.retry_or_fail(error.into(), &mut delays).await?,
            }
        };
        let bytes = opened.fetched().response.body.len();
        self.account.sizes.note(self.is_live(), bytes);
        self.reader.page_memory.fit(&mut memory, bytes);
        failpoint("window.fetched");
        let is_first = std::mem::take(&mut seen.is_first);
        if opened.fetched().doubtful && is_first {
            // Once a window is enough: such a provider's answers are doubtful one and all.
            self.reader.note_doubt(self.stream, self.window);
        }
        let context = ItemContext {
            provider,
            spec: &self.account.spec,
            rules: &self.account.rules,
            axis: self.stream.spec.axis,
            lossy: opened.fetched().response.lossy,
        };
        opened.sort(context).await;
        let (sorted, items) = (opened.sorted(), opened.items());
        seen.tally.page(items, opened.count());
        let window = self.window.planned.window;
        let facts = PageFacts {
            window,
            checkpoint,
            page_size: self.account.page_size,
            items,
            ids: sorted.items.iter().map(Sent::id).collect(),
            others: sorted
                .quarantined
                .iter()
                .map(|q| q.hash.as_u128())
                .collect(),
            next: opened.next().clone(),
        };
        let step = seen.walk.after_page(&self.stream.spec, &facts)?;
        let right = self.stream.spec.right_times(window);
        let (shown, outside) = outside(self.stream.spec.axis, &right, &sorted.items);
        if is_first && outside == shown && outside >= IGNORED_FILTER_ROWS {
            // No answer to what was asked: it may neither move nor close the window.
            return Err(Failure::FilterIgnored { rows: outside });
        }
        self.reader
            .note_outside(self.stream, self.window, outside, items);
        seen.items += items;
        Ok(Prepared {
            opened,
            outside,
            then: self.then(step, self.read_before() + seen.items),
            _memory: memory,
        })
    }

    /// Stores a page and what becomes of the window. `likely_new`: see [`PageCommit`].
    async fn store(&self, page: &Prepared, likely_new: bool) -> Result<PageCounts, Failure> {
        let opened = &page.opened;
        let sorted = opened.sorted();
        let stream = &self.stream.spec;
        let right = stream.right_times(self.window.planned.window);
        let read = |transaction: &_| self.reader.note_words(transaction);
        let notes = Notes::telling(&read, sorted);
        let commit = PageCommit {
            context: PageContext {
                provider: self.account.spec.code,
                window: self.window,
                requested_at: opened.fetched().requested_at,
                outside: page.outside,
                provider_count: opened.count(),
            },
            items: sorted.readable(&*self.account.provider, &notes),
            quarantined: sorted.quarantined.clone(),
            created: created(stream.axis, &right, &sorted.items),
            likely_new,
            then: page.then.clone(),
        };
        let clock = std::time::Instant::now();
        let counts = self
            .reader
            .store
            .commit_page(&self.reader.lease, commit)
            .await;
        histogram!(telemetry::COMMIT_SECONDS, "account" => self.account.id.clone(), "stream" => self.stream.spec.name.clone())
            .record(clock.elapsed());
        let counts = counts?;
        failpoint("window.stored");
        self.reader
            .note_page(self.stream, self.window, &counts, &notes);
        Ok(counts)
    }

    /// Items of the window's pages in earlier runs.
    fn read_before(&self) -> u64 {
        u64::try_from(self.window.items).unwrap_or(0)
    }

    /// A count is described in two ways and ends nothing; that it fits neither is worth a line.
    fn compare(&self, tally: &Tally, total: &PageCounts) {
        let items = self.read_before() + total.items;
        let Some(counted) = tally.differs_from(items) else {
            return;
        };
        self.reader
            .note_count(self.stream, self.window, items, counted);
    }

    fn position<'p>(&'p self, checkpoint: Option<&'p Checkpoint>) -> Position<'p> {
        Position {
            stream: &self.stream.spec.name,
            window: self.window.planned.window,
            checkpoint,
            page_size: self.account.page_size,
        }
    }

    fn then(&self, step: Step, rows: u64) -> Then {
        let policy = &self.stream.policy;
        match step {
            Step::More(checkpoint) => Then::More(checkpoint),
            Step::Close => {
                let target = self.account.target_rows(self.stream);
                let limits = (policy.unit, policy.max_window);
                let length = next_length(
                    self.length,
                    self.window.planned.window.length(),
                    rows,
                    target,
                    limits,
                );
                Then::Close {
                    length: Some(length),
                    refuted: false,
                }
            }
            Step::Split(left, right) => Then::Split {
                halves: (left, right),
                length: self.length.min(left.length().max(policy.unit)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differs(pages: &[(u64, u64)]) -> Option<u64> {
        let mut tally = Tally::default();
        for (items, counted) in pages {
            tally.page(*items, Some(*counted));
        }
        tally.differs_from(pages.iter().map(|(items, _)| items).sum())
    }

    #[test]
    fn a_count_may_be_of_pages_or_of_the_window() {
        assert_eq!(differs(&[(3, 3), (2, 2)]), None);
        assert_eq!(differs(&[(3, 5), (2, 5)]), None);
        assert_eq!(differs(&[(3, 4), (2, 4)]), Some(4));
        assert_eq!(differs(&[(3, 9), (2, 2)]), Some(2));
        assert_eq!(differs(&[]), None);
    }
}
