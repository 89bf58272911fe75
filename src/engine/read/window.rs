//! One window, read page by page: the next page is fetched and its items prepared while the last one is
//! stored.

use std::sync::Arc;

use chrono::TimeDelta;
use metrics::histogram;

use crate::engine::account::{Account, Stream};
use crate::engine::failure::Failure;
use crate::engine::page_memory::Reservation;
use crate::engine::read::context::ReadContext;
use crate::engine::read::observer;
use crate::engine::read::page::ParsedPage;
use crate::engine::read::paging::{PageFacts, PagingState, Step};
use crate::engine::read::request::RequestContext;
use crate::failpoint::failpoint;
use crate::number::unsigned;
use crate::plan::{Lane, next_length};
use crate::store::page::{PageCommit, PageContext, PageCounts, WindowTransition};
use crate::store::progress::window::OpenWindow;
use crate::telemetry;
use paysync_provider::{Checkpoint, Position};

/// Rows all outside their window that show that a filter is ignored; a few may be a rounding.
const IGNORED_FILTER_ROWS: u64 = 10;

/// A window that can be read now.
pub(crate) struct ReadyWindow {
    pub(crate) stream: Arc<Stream>,
    pub(crate) window: OpenWindow,
    /// The stream's window length, to adapt from.
    pub(crate) length: TimeDelta,
}

/// Reads a window to its end, or to the first failure that a few tries do not mend. Stored pages
/// stay; the window resumes at its checkpoint. `all_fetched` is called when the last of several pages is
/// fetched and only has to be stored.
pub(crate) async fn read_window(
    context: &ReadContext,
    ready: &ReadyWindow,
    all_fetched: &(dyn Fn() + Sync),
) -> Result<(), Failure> {
    let ReadyWindow { stream, window, .. } = ready;
    let reader = WindowReader {
        context,
        account: &context.account,
        stream,
        window,
        length: ready.length,
        requests: RequestContext::new(context, window),
    };
    reader.run(all_fetched).await
}

/// The provider's counts beside the items it sent: of each page, or of the whole window.
#[derive(Debug, Default)]
struct ProviderCounts {
    last: Option<u64>,
    is_of_pages: bool,
}

impl ProviderCounts {
    fn record_page(&mut self, items: u64, counted: Option<u64>) {
        let Some(counted) = counted else { return };
        let is_first = self.last.is_none();
        self.is_of_pages = (is_first || self.is_of_pages) && counted == items;
        self.last = Some(counted);
    }

    /// The count, if it is neither the one of each page nor that of all items.
    fn mismatch(&self, items: u64) -> Option<u64> {
        self.last
            .filter(|counted| !self.is_of_pages && *counted != items)
    }
}

/// What the window's pages have shown in this run, stored or not.
#[derive(Default)]
struct Seen {
    paging: PagingState,
    counts: ProviderCounts,
    items: u64,
    /// Whether the window's first page is still to come.
    is_first: bool,
}

/// A page that can be stored: what becomes of its window is known.
struct PreparedPage {
    page: ParsedPage,
    outside: u64,
    transition: WindowTransition,
    _memory: Reservation,
}

struct WindowReader<'a> {
    context: &'a ReadContext,
    account: &'a Account,
    stream: &'a Stream,
    window: &'a OpenWindow,
    length: TimeDelta,
    requests: RequestContext<'a>,
}

impl WindowReader<'_> {
    async fn run(&self, all_fetched: &(dyn Fn() + Sync)) -> Result<(), Failure> {
        let started = self.context.clock.now();
        let mut checkpoint = self.window.checkpoint.clone();
        let mut seen = Seen {
            is_first: checkpoint.is_none(),
            ..Seen::default()
        };
        if seen.is_first && self.window.planned.lane == Lane::Backfill {
            checkpoint = self.account.provider.backfill_start();
        }
        let memory = self.reserve().await?;
        let mut page = self.prepare(memory, checkpoint.as_ref(), &mut seen).await?;
        let mut total = PageCounts::default();
        let mut likely_new = false;
        loop {
            let more = match &page.transition {
                WindowTransition::More(next) => Some(next),
                WindowTransition::Close { .. } | WindowTransition::Split { .. } => None,
            };
            if more.is_none() && !self.is_live() {
                all_fetched();
            }
            let memory = more.and_then(|_| self.try_reserve());
            let ahead = async {
                match (more, memory) {
                    (Some(next), Some(memory)) => {
                        Some(self.prepare(memory, Some(next), &mut seen).await)
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
                    self.prepare(memory, Some(&next), &mut seen).await?
                }
            };
        }
        // A provider's count is documented in two ways and ends no window; one that fits neither is logged.
        let items = self.read_before() + total.items;
        if let Some(counted) = seen.counts.mismatch(items) {
            observer::record_count_mismatch(self.account, &self.window.stream, items, counted);
        }
        observer::record_window(self.account, &total, self.context.clock.now() - started);
        Ok(())
    }

    /// Waits for memory for a page; the window may hold none meanwhile.
    async fn reserve(&self) -> Result<Reservation, Failure> {
        let memory = self.context.page_memory.reserve(self.expected_bytes());
        self.context.unless_stopped(memory).await
    }

    /// Memory for the page after the one that is stored now, if that may be fetched already.
    fn try_reserve(&self) -> Option<Reservation> {
        if self.context.held.stop.is_cancelled() {
            return None;
        }
        self.context.page_memory.try_reserve(self.expected_bytes())
    }

    fn expected_bytes(&self) -> usize {
        self.account.page_size_estimate.expected(self.is_live())
    }

    fn is_live(&self) -> bool {
        self.window.planned.lane == Lane::Live
    }

    /// Fetches a page, prepares its items, and decides what becomes of the window.
    async fn prepare(
        &self,
        mut memory: Reservation,
        checkpoint: Option<&Checkpoint>,
        seen: &mut Seen,
    ) -> Result<PreparedPage, Failure> {
        let account = &self.account;
        let window = self.window.planned.window;
        let at = Position {
            stream: &self.window.stream,
            window,
            checkpoint,
            page_size: self.account.page_size,
        };
        let parse = |fetched| ParsedPage::parse(fetched, |response| account.page(&at, response));
        let mut page = self
            .requests
            .fetch(|| account.provider.request(&at), parse)
            .await?;
        let bytes = page.fetched().response.body.len();
        self.account
            .page_size_estimate
            .record(self.is_live(), bytes);
        self.context.page_memory.resize(&mut memory, bytes);
        failpoint("window.fetched");
        let is_first = std::mem::take(&mut seen.is_first);
        if page.fetched().signature_mismatch && is_first {
            // Once a window is enough: such a provider's answers all have it.
            observer::record_signature_mismatch(self.account, &self.window.stream);
        }
        let lossy = page.fetched().response.lossy;
        let context = self.account.item_context(self.stream.spec.axis, lossy);
        page.prepare_items(context).await;
        let (items, item_count) = (page.items(), page.item_count());
        seen.counts.record_page(item_count, page.provider_count());
        let rejected = items.rejected.iter();
        let facts = PageFacts {
            window,
            checkpoint,
            page_size: self.account.page_size,
            items: item_count,
            ids: items.items.iter().map(|item| item.id.as_str()).collect(),
            rejected_hashes: rejected.map(|it| it.hash.as_u128()).collect(),
            next: page.next().clone(),
        };
        let step = seen.paging.after_page(&self.stream.spec, &facts)?;
        let accepted = self.stream.spec.accepted_times(window);
        let (shown, outside) = items.outside(self.stream.spec.axis, &accepted);
        if is_first && outside == shown && outside >= IGNORED_FILTER_ROWS {
            // No answer to what was asked: it may neither move nor close the window.
            return Err(Failure::FilterIgnored(outside));
        }
        observer::record_outside(self.account, &self.window.stream, outside, item_count);
        seen.items += item_count;
        Ok(PreparedPage {
            page,
            outside,
            transition: self.transition(step, self.read_before() + seen.items),
            _memory: memory,
        })
    }

    /// Stores a page and what becomes of the window. `likely_new`: see [`PageCommit`].
    async fn store(
        &self,
        prepared: &PreparedPage,
        likely_new: bool,
    ) -> Result<PageCounts, Failure> {
        let page = &prepared.page;
        let items = page.items();
        let stream = &self.stream.spec;
        let accepted = stream.accepted_times(self.window.planned.window);
        let commit = PageCommit {
            context: PageContext {
                provider_code: self.account.spec.code,
                window: self.window,
                requested_at: page.fetched().requested_at,
                outside: prepared.outside,
                provider_count: page.provider_count(),
            },
            items,
            provider: &*self.account.provider,
            created: items.created(stream.axis, &accepted),
            likely_new,
            transition: prepared.transition.clone(),
        };
        let clock = std::time::Instant::now();
        let context = self.context;
        let committed = context.store.commit_page(&context.held.lease, commit).await;
        histogram!(telemetry::COMMIT_SECONDS, "account" => self.account.id.clone(), "stream" => stream.name.clone())
            .record(clock.elapsed());
        let committed = committed?;
        failpoint("window.stored");
        observer::record_page(self.account, self.window, &committed, items.redactions);
        Ok(committed.counts)
    }

    /// Items of the window's pages in earlier runs.
    fn read_before(&self) -> u64 {
        unsigned(self.window.items)
    }

    fn transition(&self, step: Step, rows: u64) -> WindowTransition {
        let policy = &self.stream.policy;
        match step {
            Step::More(checkpoint) => WindowTransition::More(checkpoint),
            Step::Close => {
                let span = self.window.planned.window.length();
                let target = self.account.target_rows(self.stream);
                let limits = (policy.unit, policy.max_window);
                let length = next_length(self.length, span, rows, target, limits);
                WindowTransition::Close {
                    length: Some(length),
                    refuted: false,
                }
            }
            Step::Split(left, right) => WindowTransition::Split {
                halves: (left, right),
                length: self.length.min(left.length().max(policy.unit)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mismatch(pages: &[(u64, u64)]) -> Option<u64> {
        let mut counts = ProviderCounts::default();
        for (items, counted) in pages {
            counts.record_page(*items, Some(*counted));
        }
        counts.mismatch(pages.iter().map(|(items, _)| items).sum())
    }

    #[test]
    fn a_count_may_be_of_pages_or_of_the_window() {
        assert_eq!(mismatch(&[(3, 3), (2, 2)]), None);
        assert_eq!(mismatch(&[(3, 5), (2, 5)]), None);
        assert_eq!(mismatch(&[(3, 4), (2, 4)]), Some(4));
        assert_eq!(mismatch(&[(3, 9), (2, 2)]), Some(2));
        assert_eq!(mismatch(&[]), None);
    }
}
