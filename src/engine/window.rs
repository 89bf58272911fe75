//! The reading of one window, page by page: the next page is fetched while the last one commits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use metrics::{counter, histogram};
use tracing::{debug, info, warn};

use super::account::{Account, Stream};
use super::item::{outside, sort_out};
use super::paging::{PageFacts, Step, after_page};
use super::policy::{Directive, Failure};
use crate::clock::Clock;
use crate::plan::next_length;
use crate::provider::{Authenticity, Checkpoint, Page, Position, Response};
use crate::store::Store;
use crate::store::account::Lease;
use crate::store::page::{PageCommit, PageContext, PageCounts, Then};
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
        let reading = Reading {
            store: &self.store,
            clock: &*self.clock,
            account: &self.account,
            lease: &self.lease,
            stop: &self.stop,
            stream,
            window,
            length,
        };
        reading.run().await
    }
}

/// One window being read.
struct Reading<'a> {
    store: &'a Store,
    clock: &'a dyn Clock,
    account: &'a Account,
    lease: &'a Lease,
    stop: &'a CancellationToken,
    stream: &'a Stream,
    window: &'a OpenWindow,
    length: TimeDelta,
}

/// An answer with when it was asked for.
struct Fetched {
    response: Response,
    requested_at: DateTime<Utc>,
}

impl Reading<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let started = self.clock.now();
        let mut total = PageCounts::default();
        let mut checkpoint = self.window.checkpoint.clone();
        let mut seen = BTreeSet::new();
        let mut prefetched: Option<Fetched> = None;
        let mut delays = retry::within_run();
        loop {
            let fetched = match prefetched.take() {
                Some(fetched) => fetched,
                None => self.fetch(checkpoint.as_ref(), &mut delays).await?,
            };
            let at = self.position(checkpoint.as_ref());
            let page = match self.account.provider.page(&at, &fetched.response) {
                Ok(page) => page,
                Err(error) => {
                    self.retry_or_fail(error.into(), &mut delays).await?;
                    continue;
                }
            };
            delays = retry::within_run();
            let commit =
                self.prepare(&fetched, checkpoint.as_ref(), page, total.items, &mut seen)?;
            let more = match &commit.then {
                Then::More(next) => Some(next.clone()),
                Then::Close { .. } | Then::Split { .. } => None,
            };
            let next = more.as_ref().filter(|_| !self.stop.is_cancelled());
            let committed = async {
                let clock = std::time::Instant::now();
                let counts = self.store.commit_page(self.lease, commit).await;
                histogram!(telemetry::COMMIT_SECONDS, "account" => self.account.id.clone(), "stream" => self.stream.spec.name.clone())
                    .record(clock.elapsed());
                counts
            };
            let ahead = async {
                match next {
                    Some(next) => Some(self.fetch(Some(next), &mut delays).await),
                    None => None,
                }
            };
            let (counts, ahead) = futures_util::future::join(committed, ahead).await;
            let counts = counts?;
            self.note_page(&counts);
            total += counts;
            if more.is_none() {
                self.note_window(&total, started);
                return Ok(());
            }
            checkpoint = more;
            match ahead {
                Some(fetched) => prefetched = Some(fetched?),
                None => return Err(Failure::Stopped),
            }
        }
    }

    fn position<'p>(&'p self, checkpoint: Option<&'p Checkpoint>) -> Position<'p> {
        Position {
            stream: &self.stream.spec.name,
            window: self.window.planned.window,
            checkpoint,
            page_size: self.account.page_size,
        }
    }

    /// Fetches a page, with a few tries.
    async fn fetch(
        &self,
        checkpoint: Option<&Checkpoint>,
        delays: &mut impl Iterator<Item = Duration>,
    ) -> Result<Fetched, Failure> {
        let at = self.position(checkpoint);
        loop {
            match self.fetch_once(&at).await {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => self.retry_or_fail(failure, delays).await?,
            }
        }
    }

    async fn fetch_once(&self, at: &Position<'_>) -> Result<Fetched, Failure> {
        let account = &self.account;
        let waited = self.unless_stopped(account.wire.wait_for_place()).await?;
        counter!(telemetry::THROTTLED_SECONDS, "account" => account.id.clone())
            .absolute(waited.as_secs());
        let request = account.provider.request(at)?;
        let requested_at = self.clock.now();
        let clock = std::time::Instant::now();
        let answer = account
            .wire
            .send(&*account.provider, request, requested_at)
            .await;
        let status = answer.as_ref().map_or_else(
            |_| "error".to_owned(),
            |answer| answer.response.status.to_string(),
        );
        histogram!(telemetry::REQUEST_SECONDS, "account" => account.id.clone(), "stream" => self.stream.spec.name.clone())
            .record(clock.elapsed());
        counter!(
            telemetry::REQUESTS,
            "account" => account.id.clone(), "stream" => self.stream.spec.name.clone(), "status" => status
        )
        .increment(1);
        let answer = answer?;
        // Once a window is enough: such a provider's answers are doubtful one and all.
        if answer.authenticity == Authenticity::Doubtful && at.checkpoint.is_none() {
            warn!(
                account.id = %account.id, stream.name = %self.stream.spec.name,
                window.start = %at.window.start(), window.end = %at.window.end(),
                hint = "check the secret; set verify_signature to require, or to off",
                "the answer's signature does not match; its rows are stored all the same"
            );
        }
        if answer.response.status == 200 {
            return Ok(Fetched {
                response: answer.response,
                requested_at,
            });
        }
        let refusal = account.provider.refusal(&answer.response);
        Err(Failure::Refused {
            status: answer.response.status,
            refusal,
            retry_after: answer.retry_after,
        })
    }

    /// Waits before another try, or gives the failure back when the tries are used up or no try can
    /// help.
    async fn retry_or_fail(
        &self,
        failure: Failure,
        delays: &mut impl Iterator<Item = Duration>,
    ) -> Result<(), Failure> {
        let throttled = match failure.directive() {
            Directive::Retry => None,
            Directive::Throttle => {
                let Failure::Refused { retry_after, .. } = &failure else {
                    return Err(failure);
                };
                let floor = self.account.spec.retry_after_floor;
                let wait = retry_after.map_or(floor, |wait| wait.max(floor));
                self.account.wire.pause(wait);
                Some(wait)
            }
            _ => return Err(failure),
        };
        let Some(bound) = delays.next() else {
            return Err(failure);
        };
        // The budget itself holds the next try back for the wait that the provider asked for.
        let delay = retry::jittered(bound);
        counter!(telemetry::RETRIES, "account" => self.account.id.clone(), "stream" => self.stream.spec.name.clone())
            .increment(1);
        debug!(
            account.id = %self.account.id, stream.name = %self.stream.spec.name, error = %failure,
            delay_ms = u64::try_from((delay + throttled.unwrap_or_default()).as_millis()).unwrap_or(u64::MAX),
            "request failed, trying again"
        );
        self.unless_stopped(tokio::time::sleep(delay)).await
    }

    async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        self.stop
            .run_until_cancelled(future)
            .await
            .ok_or(Failure::Stopped)
    }

    /// Makes records of a page's items, and decides what becomes of the window. `read_before` are the
    /// items of its earlier pages in this run.
    fn prepare<'p>(
        &'p self,
        fetched: &'p Fetched,
        checkpoint: Option<&Checkpoint>,
        page: Page<'p>,
        read_before: u64,
        seen: &mut BTreeSet<String>,
    ) -> Result<PageCommit<'p>, Failure> {
        let provider = &*self.account.provider;
        let sorted = sort_out(
            provider,
            &self.account.spec.redaction,
            &fetched.response,
            &page.items,
        );
        let items = count(page.items.len());
        let facts = PageFacts {
            window: self.window.planned.window,
            checkpoint,
            page_size: self.account.page_size,
            items,
            ids: sorted
                .records
                .iter()
                .map(|r| r.transaction.provider_transaction_id.as_str())
                .collect(),
            next: page.next,
        };
        let step = after_page(&self.stream.spec, &facts, seen)?;
        let (shown, outside) = outside(self.stream, self.window.planned.window, &sorted.records);
        if outside > 0 {
            warn!(
                account.id = %self.account.id, stream.name = %self.stream.spec.name, records.outside = outside,
                records.items = items, window.start = %self.window.planned.window.start(),
                window.end = %self.window.planned.window.end(), "rows lie outside the window asked for"
            );
        }
        if checkpoint.is_none() && outside == shown && outside >= IGNORED_FILTER_ROWS {
            // No answer to what was asked: it may neither move nor close the window.
            return Err(Failure::FilterIgnored { rows: outside });
        }
        let rows = read_before + items + u64::try_from(self.window.items).unwrap_or(0);
        Ok(PageCommit {
            context: PageContext {
                provider: self.account.spec.code,
                window: self.window,
                requested_at: fetched.requested_at,
                outside,
                provider_count: page.count,
            },
            records: sorted.records,
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
                Then::Close {
                    length: next_length(
                        self.length,
                        self.window.planned.window.length(),
                        rows,
                        target,
                        limits,
                    ),
                }
            }
            Step::Split(left, right) => Then::Split {
                halves: (left, right),
                length: self.length.min(left.length().max(policy.unit)),
            },
        }
    }

    fn note_page(&self, counts: &PageCounts) {
        let account = &self.account;
        account.progress.page(counts);
        let labels = [
            ("account", account.id.clone()),
            ("stream", self.stream.spec.name.clone()),
        ];
        let lane = self.window.planned.lane.as_str();
        counter!(telemetry::PAGES, "account" => account.id.clone(), "stream" => self.stream.spec.name.clone(), "lane" => lane)
            .increment(1);
        for (outcome, items) in counts
            .outcomes()
            .into_iter()
            .filter(|(_, items)| *items > 0)
        {
            let [account, stream] = labels.clone();
            counter!(telemetry::ITEMS, account.0 => account.1, stream.0 => stream.1, "outcome" => outcome)
                .increment(items);
        }
        debug!(
            account.id = %account.id, stream.name = %self.stream.spec.name, lane, window.id = self.window.id,
            records.items = counts.items, records.inserted = counts.inserted, records.updated = counts.updated,
            records.unchanged = counts.unchanged, "page stored"
        );
        if counts.quarantined > 0 {
            warn!(
                account.id = %account.id, stream.name = %self.stream.spec.name, records.quarantined = counts.quarantined,
                window.start = %self.window.planned.window.start(), window.end = %self.window.planned.window.end(),
                "items were put into quarantine; see the table paysync.quarantine"
            );
        }
    }

    fn note_window(&self, total: &PageCounts, started: DateTime<Utc>) {
        self.account.progress.window();
        let changed = total.inserted + total.updated + total.quarantined > 0;
        let duration_ms = (self.clock.now() - started).num_milliseconds();
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    account.id = %self.account.id, stream.name = %self.stream.spec.name,
                    lane = self.window.planned.lane.as_str(), window.start = %self.window.planned.window.start(),
                    window.end = %self.window.planned.window.end(), records.items = total.items,
                    records.inserted = total.inserted, records.updated = total.updated,
                    records.unchanged = total.unchanged, records.stale = total.stale,
                    records.duplicate = total.duplicate, records.quarantined = total.quarantined, duration_ms,
                    "window read"
                )
            };
        }
        // A poll without news is no news.
        if changed { line!(info) } else { line!(debug) }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
