//! The reading of one window, page by page: the next page is fetched while the last one commits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::{counter, histogram};
use tracing::{debug, info, warn};

use super::account::{Account, Stream};
use super::item::{sort_out, time_on};
use super::paging::{PageFacts, Step, after_page};
use super::policy::{Directive, Failure};
use crate::clock::Clock;
use crate::model::Window;
use crate::plan::next_length;
use crate::provider::{Checkpoint, Position, Response};
use crate::store::Store;
use crate::store::account::Lease;
use crate::store::page::{PageCommit, PageContext, PageCounts, Record, Then};
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

/// An answer with when it was asked for.
struct Fetched {
    response: Response,
    requested_at: DateTime<Utc>,
}

impl Reader {
    /// Reads a window to its end, or to the first failure that a few tries do not mend. What was
    /// stored stays stored; the window goes on at its checkpoint.
    pub(crate) async fn read(
        &self,
        stream: &Stream,
        window: &OpenWindow,
        length: chrono::TimeDelta,
    ) -> Result<(), Failure> {
        let started = self.clock.now();
        let mut total = PageCounts::default();
        let mut checkpoint = window.checkpoint.clone();
        let mut seen = BTreeSet::new();
        let mut prefetched: Option<Fetched> = None;
        let mut delays = retry::within_run();
        loop {
            let fetched = match prefetched.take() {
                Some(fetched) => fetched,
                None => {
                    self.fetch(stream, window, checkpoint.as_ref(), &mut delays)
                        .await?
                }
            };
            let at = self.position(stream, window, checkpoint.as_ref());
            let page = match self.account.provider.page(&at, &fetched.response) {
                Ok(page) => page,
                Err(error) => {
                    self.retry_or_fail(stream, error.into(), &mut delays)
                        .await?;
                    continue;
                }
            };
            delays = retry::within_run();
            let sorted = sort_out(
                &*self.account.provider,
                &self.account.spec.redaction,
                &fetched.response,
                &page.items,
            );
            let items = count(page.items.len());
            let facts = PageFacts {
                window: window.planned.window,
                checkpoint: checkpoint.as_ref(),
                page_size: self.account.page_size,
                items,
                ids: sorted
                    .records
                    .iter()
                    .map(|r| r.transaction.provider_transaction_id.as_str())
                    .collect(),
                next: page.next,
            };
            let step = after_page(&stream.spec, &facts, &mut seen)?;
            drop(facts);
            let outside = outside(stream, window.planned.window, &sorted.records);
            if outside > 0 {
                warn!(
                    account.id = %self.account.id, stream.name = %stream.spec.name, records.outside = outside,
                    records.items = items, window.start = %window.planned.window.start(),
                    window.end = %window.planned.window.end(), "rows lie outside the window asked for"
                );
            }
            let first = checkpoint.is_none();
            let rows = total.items + items + u64::try_from(window.items).unwrap_or(0);
            let then = self.then(stream, window, length, step, rows);
            let next = match &then {
                Then::More(next) if !self.stop.is_cancelled() => Some(next.clone()),
                _ => None,
            };
            let done = !matches!(then, Then::More(_));
            let context = PageContext {
                provider: self.account.spec.code,
                window,
                requested_at: fetched.requested_at,
                outside,
                provider_count: page.count,
            };
            let more = if let Then::More(next) = &then {
                Some(next.clone())
            } else {
                None
            };
            let commit = PageCommit {
                context,
                records: sorted.records,
                quarantined: sorted.quarantined,
                then,
            };
            let committed = async {
                let clock = std::time::Instant::now();
                let counts = self.store.commit_page(&self.lease, commit).await;
                histogram!(telemetry::COMMIT_SECONDS, "account" => self.account.id.clone(), "stream" => stream.spec.name.clone())
                    .record(clock.elapsed());
                counts
            };
            let ahead = async {
                match &next {
                    Some(next) => Some(self.fetch(stream, window, Some(next), &mut delays).await),
                    None => None,
                }
            };
            let (counts, ahead) = futures_util::future::join(committed, ahead).await;
            let counts = counts?;
            self.note_page(stream, window, &counts);
            total += counts;
            if first && counts.outside == counts.items && counts.items >= IGNORED_FILTER_ROWS {
                return Err(Failure::FilterIgnored { rows: counts.items });
            }
            if done {
                self.note_window(stream, window, &total, started);
                return Ok(());
            }
            checkpoint = more;
            match ahead {
                Some(fetched) => prefetched = Some(fetched?),
                None => return Err(Failure::Stopped),
            }
        }
    }

    fn position<'p>(
        &self,
        stream: &'p Stream,
        window: &OpenWindow,
        checkpoint: Option<&'p Checkpoint>,
    ) -> Position<'p> {
        Position {
            stream: &stream.spec.name,
            window: window.planned.window,
            checkpoint,
            page_size: self.account.page_size,
        }
    }

    /// Fetches a page, with a few tries.
    async fn fetch(
        &self,
        stream: &Stream,
        window: &OpenWindow,
        checkpoint: Option<&Checkpoint>,
        delays: &mut impl Iterator<Item = Duration>,
    ) -> Result<Fetched, Failure> {
        let at = self.position(stream, window, checkpoint);
        loop {
            match self.fetch_once(stream, &at).await {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => self.retry_or_fail(stream, failure, delays).await?,
            }
        }
    }

    async fn fetch_once(&self, stream: &Stream, at: &Position<'_>) -> Result<Fetched, Failure> {
        let account = &self.account;
        let waited = self.unless_stopped(account.wire.wait_for_place()).await?;
        counter!(telemetry::THROTTLED_SECONDS, "account" => account.id.clone())
            .increment(waited.as_secs());
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
        histogram!(telemetry::REQUEST_SECONDS, "account" => account.id.clone(), "stream" => stream.spec.name.clone())
            .record(clock.elapsed());
        counter!(
            telemetry::REQUESTS,
            "account" => account.id.clone(), "stream" => stream.spec.name.clone(), "status" => status
        )
        .increment(1);
        let answer = answer?;
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
        stream: &Stream,
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
        counter!(telemetry::RETRIES, "account" => self.account.id.clone(), "stream" => stream.spec.name.clone())
            .increment(1);
        debug!(
            account.id = %self.account.id, stream.name = %stream.spec.name, error = %failure,
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

    fn then(
        &self,
        stream: &Stream,
        window: &OpenWindow,
        length: chrono::TimeDelta,
        step: Step,
        rows: u64,
    ) -> Then {
        match step {
            Step::More(checkpoint) => Then::More(checkpoint),
            Step::Close => {
                let target = self.account.target_rows(stream);
                let limits = (stream.policy.unit, stream.policy.max_window);
                let length =
                    next_length(length, window.planned.window.length(), rows, target, limits);
                Then::Close { length }
            }
            Step::Split(left, right) => Then::Split {
                halves: (left, right),
                length: length.min(left.length().max(stream.policy.unit)),
            },
        }
    }

    fn note_page(&self, stream: &Stream, window: &OpenWindow, counts: &PageCounts) {
        let account = &self.account;
        account.progress.page(counts);
        let labels = [
            ("account", account.id.clone()),
            ("stream", stream.spec.name.clone()),
        ];
        let lane = window.planned.lane.as_str();
        counter!(telemetry::PAGES, "account" => account.id.clone(), "stream" => stream.spec.name.clone(), "lane" => lane)
            .increment(1);
        for (outcome, items) in outcomes(counts).into_iter().filter(|(_, items)| *items > 0) {
            let [account, stream] = labels.clone();
            counter!(telemetry::ITEMS, account.0 => account.1, stream.0 => stream.1, "outcome" => outcome)
                .increment(items);
        }
        debug!(
            account.id = %account.id, stream.name = %stream.spec.name, lane, window.id = window.id,
            records.items = counts.items, records.inserted = counts.inserted, records.updated = counts.updated,
            records.unchanged = counts.unchanged, "page stored"
        );
        if counts.quarantined > 0 {
            warn!(
                account.id = %account.id, stream.name = %stream.spec.name, records.quarantined = counts.quarantined,
                window.start = %window.planned.window.start(), window.end = %window.planned.window.end(),
                "items were put into quarantine; see the table paysync.quarantine"
            );
        }
    }

    fn note_window(
        &self,
        stream: &Stream,
        window: &OpenWindow,
        total: &PageCounts,
        started: DateTime<Utc>,
    ) {
        self.account.progress.window();
        let changed = total.inserted + total.updated + total.quarantined > 0;
        let duration_ms = (self.clock.now() - started).num_milliseconds();
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    account.id = %self.account.id, stream.name = %stream.spec.name,
                    lane = window.planned.lane.as_str(), window.start = %window.planned.window.start(),
                    window.end = %window.planned.window.end(), records.items = total.items,
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

/// How many rows lie outside the window, beyond what the widened request may rightly bring.
fn outside(stream: &Stream, window: Window, records: &[Record<'_>]) -> u64 {
    let Some(axis) = stream.spec.axis else {
        return 0;
    };
    let Some(widened) = Window::new(
        window.start() - stream.spec.slack,
        window.end() + stream.spec.slack,
    ) else {
        return 0;
    };
    let is_outside = |record: &&Record<'_>| {
        time_on(axis, &record.transaction)
            .is_some_and(|time| time < widened.start() || time > widened.end())
    };
    count(records.iter().filter(is_outside).count())
}

fn outcomes(counts: &PageCounts) -> [(&'static str, u64); 6] {
    [
        ("inserted", counts.inserted),
        ("updated", counts.updated),
        ("unchanged", counts.unchanged),
        ("stale", counts.stale),
        ("duplicate", counts.duplicate),
        ("quarantined", counts.quarantined),
    ]
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
