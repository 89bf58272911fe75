//! The reading of one window, page by page: the next page is fetched while the last one commits.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use metrics::histogram;

use super::account::{Account, Stream};
use super::fetch::{Asking, Fetched};
use super::item::{ItemContext, Notes, Sent, outside, sort_out};
use super::keeper::Kept;
use super::paging::{PageFacts, Step, Walk};
use super::policy::Failure;
use crate::clock::Clock;
use crate::failpoint::failpoint;
use crate::plan::{Lane, next_length};
use crate::provider::{Checkpoint, Page, Position};
use crate::store::Store;
use crate::store::account::Lease;
use crate::store::page::{Item, PageCommit, PageContext, PageCounts, Then};
use crate::store::window::OpenWindow;
use crate::telemetry;
use crate::transport::retry;
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
    pub(crate) lease: Lease,
    /// The lease, as it is kept.
    pub(crate) kept: Kept,
    /// Asked to stop after the page in hand.
    pub(crate) stop: CancellationToken,
}

impl Reader {
    /// Reads a window to its end, or to the first failure that a few tries do not mend. What was
    /// stored stays stored; the window goes on at its checkpoint. `length` is the stream's window
    /// length, to adapt from.
    pub(crate) async fn read(
        &self,
        stream: &Stream,
        window: &OpenWindow,
        length: TimeDelta,
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
    fn page(&mut self, page: &Page<'_>) {
        let Some(counted) = page.count else { return };
        let is_first = self.last.is_none();
        self.is_of_pages = (is_first || self.is_of_pages) && counted == count(page.items.len());
        self.last = Some(counted);
    }

    /// The count, if it is neither the one of each page nor that of all items.
    fn differs_from(&self, items: u64) -> Option<u64> {
        self.last
            .filter(|counted| !self.is_of_pages && *counted != items)
    }
}

/// Where a page is among those of its window.
#[derive(Clone, Copy)]
struct Place<'a> {
    checkpoint: Option<&'a Checkpoint>,
    is_first: bool,
    /// Items of the window's earlier pages in this run.
    read_before: u64,
}

/// One window being read.
struct Reading<'a> {
    reader: &'a Reader,
    account: &'a Account,
    stream: &'a Stream,
    window: &'a OpenWindow,
    length: TimeDelta,
}

impl Reading<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let started = self.reader.clock.now();
        let mut total = PageCounts::default();
        let mut checkpoint = self.window.checkpoint.clone();
        let mut is_first = checkpoint.is_none();
        if is_first && self.window.planned.lane == Lane::Backfill {
            checkpoint = self.account.provider.backfill_start();
        }
        let mut walk = Walk::default();
        let mut tally = Tally::default();
        let mut prefetched: Option<Fetched> = None;
        let mut delays = retry::within_run();
        let asking = self
            .reader
            .asking(&self.stream.spec.name, self.window.planned.lane);
        loop {
            let fetched = match prefetched.take() {
                Some(fetched) => fetched,
                None => {
                    self.fetch(&asking, checkpoint.as_ref(), &mut delays)
                        .await?
                }
            };
            let at = self.position(checkpoint.as_ref());
            let page = match self.account.provider.page(&at, &fetched.response) {
                Ok(page) => page,
                Err(error) => {
                    asking.retry_or_fail(error.into(), &mut delays).await?;
                    continue;
                }
            };
            failpoint("window.fetched");
            delays = retry::within_run();
            tally.page(&page);
            if fetched.doubtful && is_first {
                // Once a window is enough: such a provider's answers are doubtful one and all.
                self.reader.note_doubt(self.stream, self.window);
            }
            let place = Place {
                checkpoint: checkpoint.as_ref(),
                is_first,
                read_before: total.items,
            };
            let read = |transaction: &_| self.reader.note_words(transaction);
            let notes = Notes::telling(&read);
            let commit = self.prepare(&fetched, place, page, &mut walk, &notes)?;
            is_first = false;
            let more = match &commit.then {
                Then::More(next) => Some(next.clone()),
                Then::Close { .. } | Then::Split { .. } => None,
            };
            let next = more.as_ref().filter(|_| !self.reader.stop.is_cancelled());
            let committed = async {
                let clock = std::time::Instant::now();
                let counts = self
                    .reader
                    .store
                    .commit_page(&self.reader.lease, commit)
                    .await;
                histogram!(telemetry::COMMIT_SECONDS, "account" => self.account.id.clone(), "stream" => self.stream.spec.name.clone())
                    .record(clock.elapsed());
                counts
            };
            let ahead = async {
                match next {
                    Some(next) => Some(self.fetch(&asking, Some(next), &mut delays).await),
                    None => None,
                }
            };
            let (counts, ahead) = futures_util::future::join(committed, ahead).await;
            let counts = counts?;
            failpoint("window.stored");
            self.reader
                .note_page(self.stream, self.window, &counts, notes.why());
            total += counts;
            if more.is_none() {
                self.compare(&tally, &total);
                self.reader
                    .note_window(self.stream, self.window, &total, started);
                return Ok(());
            }
            checkpoint = more;
            match ahead {
                Some(fetched) => prefetched = Some(fetched?),
                None => return Err(Failure::Stopped),
            }
        }
    }

    /// A count is described in two ways and ends nothing; that it fits neither is worth a line.
    fn compare(&self, tally: &Tally, total: &PageCounts) {
        let read_before = u64::try_from(self.window.items).unwrap_or(0);
        let Some(counted) = tally.differs_from(read_before + total.items) else {
            return;
        };
        let items = read_before + total.items;
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

    async fn fetch(
        &self,
        asking: &Asking<'_>,
        checkpoint: Option<&Checkpoint>,
        delays: &mut impl Iterator<Item = Duration>,
    ) -> Result<Fetched, Failure> {
        let at = self.position(checkpoint);
        asking
            .fetch(|| self.account.provider.request(&at), delays)
            .await
    }

    /// Sorts a page's items, and decides what becomes of the window.
    fn prepare<'p>(
        &'p self,
        fetched: &'p Fetched,
        place: Place<'_>,
        page: Page<'p>,
        walk: &mut Walk,
        notes: &'p Notes<'p>,
    ) -> Result<PageCommit<'p, Sent<'p, 'p>>, Failure> {
        let items = ItemContext {
            provider: &*self.account.provider,
            spec: &self.account.spec,
            axis: self.stream.spec.axis,
            lossy: fetched.response.lossy,
            notes,
        };
        let sorted = sort_out(items, &page.items);
        let items = count(page.items.len());
        let facts = PageFacts {
            window: self.window.planned.window,
            checkpoint: place.checkpoint,
            page_size: self.account.page_size,
            items,
            ids: sorted.items.iter().map(Item::id).collect(),
            others: sorted
                .quarantined
                .iter()
                .map(|q| q.hash.as_u128())
                .collect(),
            next: page.next,
        };
        let step = walk.after_page(&self.stream.spec, &facts)?;
        let window = self.window.planned.window;
        let (shown, outside) = outside(&self.stream.spec, window, &sorted.items);
        if place.is_first && outside == shown && outside >= IGNORED_FILTER_ROWS {
            // No answer to what was asked: it may neither move nor close the window.
            return Err(Failure::FilterIgnored { rows: outside });
        }
        self.reader
            .note_outside(self.stream, self.window, outside, items);
        let rows = place.read_before + items + u64::try_from(self.window.items).unwrap_or(0);
        Ok(PageCommit {
            context: PageContext {
                provider: self.account.spec.code,
                window: self.window,
                requested_at: fetched.requested_at,
                outside,
                provider_count: page.count,
            },
            items: sorted.items,
            quarantined: sorted.quarantined,
            then: self.then(step, rows),
        })
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

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Next;

    fn differs(pages: &[(usize, u64)]) -> Option<u64> {
        let item = serde_json::value::RawValue::from_string("1".to_owned()).unwrap();
        let mut tally = Tally::default();
        for (items, counted) in pages {
            tally.page(&Page {
                items: vec![&*item; *items],
                next: Next::End,
                count: Some(*counted),
            });
        }
        tally.differs_from(pages.iter().map(|(items, _)| count(*items)).sum())
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
