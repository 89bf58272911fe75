//! What an account has done since the process started: counters, current failures, throttled log lines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use crate::store::page::PageCounts;

/// In place of a stream's name: the failure is of all streams.
pub(crate) const ACCOUNT: &str = "";

/// Counters of one account.
#[derive(Debug, Default)]
pub struct AccountProgress {
    pages: AtomicU64,
    rows: AtomicU64,
    written: AtomicU64,
    quarantined: AtomicU64,
    windows: AtomicU64,
    wanted_seconds: AtomicU64,
    left_seconds: AtomicU64,
    unchanged: AtomicU64,
    clock_lag_seconds: AtomicI64,
    failures: Mutex<BTreeMap<String, StreamFailure>>,
    events: Mutex<BTreeMap<String, LogThrottle>>,
}

/// How long a repeated event is not logged again.
pub(crate) const LOG_INTERVAL: Duration = Duration::from_mins(10);

/// Decides when an event that happens again and again is logged.
#[derive(Debug)]
struct LogThrottle {
    last_logged: Instant,
    /// Events since then.
    suppressed: u64,
}

impl LogThrottle {
    /// The throttle of an event that is logged now.
    fn logged() -> Self {
        Self {
            last_logged: Instant::now(),
            suppressed: 0,
        }
    }

    /// Records one more event; returns how many there were since the last line if it is time for another.
    fn record(&mut self, interval: Duration) -> Option<u64> {
        self.suppressed += 1;
        if self.last_logged.elapsed() < interval {
            return None;
        }
        let events = self.suppressed;
        *self = Self::logged();
        Some(events)
    }
}

/// What keeps a stream from going on.
#[derive(Debug)]
struct StreamFailure {
    error: String,
    hint: String,
    throttle: LogThrottle,
}

impl AccountProgress {
    /// Counts a stored page of a stream, and clears the failures of the stream and of the account.
    pub(crate) fn record_page(&self, stream: &str, counts: &PageCounts) {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(counts.items, Ordering::Relaxed);
        self.written
            .fetch_add(counts.inserted + counts.updated, Ordering::Relaxed);
        self.quarantined
            .fetch_add(counts.quarantined, Ordering::Relaxed);
        self.unchanged
            .fetch_add(counts.unchanged, Ordering::Relaxed);
        let mut failures = self.failures();
        failures.remove(stream);
        failures.remove(ACCOUNT);
    }

    /// Counts a closed window.
    pub(crate) fn record_window(&self) {
        self.windows.fetch_add(1, Ordering::Relaxed);
    }

    /// Records how much time is wanted in all streams, and how much of it is not covered.
    pub(crate) fn record_coverage(&self, wanted_seconds: u64, left_seconds: u64) {
        self.wanted_seconds.store(wanted_seconds, Ordering::Relaxed);
        self.left_seconds.store(left_seconds, Ordering::Relaxed);
    }

    /// How far the provider's clock lags, by its last answer.
    pub(crate) fn clock_lag(&self) -> TimeDelta {
        TimeDelta::seconds(self.clock_lag_seconds.load(Ordering::Relaxed))
    }

    pub(crate) fn set_clock_lag(&self, lag: TimeDelta) {
        let seconds = lag.num_seconds();
        self.clock_lag_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Records what keeps a stream from going on, and what to do about it. If it is due to be logged, returns
    /// how often it has happened since it last was.
    pub(crate) fn record_failure(&self, stream: &str, error: &str, hint: &str) -> Option<u64> {
        let mut failures = self.failures();
        if let Some(known) = failures.get_mut(stream)
            && known.error == error
        {
            hint.clone_into(&mut known.hint);
            return known.throttle.record(LOG_INTERVAL);
        }
        let failure = StreamFailure {
            error: error.to_owned(),
            hint: hint.to_owned(),
            throttle: LogThrottle::logged(),
        };
        failures.insert(stream.to_owned(), failure);
        Some(1)
    }

    /// Records an event that may happen again and again. If it is due to be logged, returns how often it has
    /// happened since it last was.
    pub(crate) fn record_event(&self, event: &str, interval: Duration) -> Option<u64> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = events.get_mut(event) {
            return known.record(interval);
        }
        events.insert(event.to_owned(), LogThrottle::logged());
        Some(1)
    }

    /// What has been counted so far.
    pub(crate) fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            windows: read(&self.windows),
            pages: read(&self.pages),
            items: read(&self.rows),
            written: read(&self.written),
            unchanged: read(&self.unchanged),
            quarantined: read(&self.quarantined),
        }
    }

    /// Pages stored.
    pub fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// Items in them.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Items that were new or different.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Items put into quarantine.
    pub fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Windows read to their end.
    pub fn windows(&self) -> u64 {
        self.windows.load(Ordering::Relaxed)
    }

    /// Seconds of history that are wanted, and those not covered yet; all streams together.
    pub fn seconds(&self) -> (u64, u64) {
        (
            self.wanted_seconds.load(Ordering::Relaxed),
            self.left_seconds.load(Ordering::Relaxed),
        )
    }

    /// What keeps the account from going on, and what to do about it.
    pub fn current_failure(&self) -> Option<(String, String)> {
        // The account's own comes first.
        let failures = self.failures();
        let (_, first) = failures.first_key_value()?;
        Some((first.error.clone(), first.hint.clone()))
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<String, StreamFailure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an account has read since the process started.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) windows: u64,
    pub(crate) pages: u64,
    pub(crate) items: u64,
    pub(crate) written: u64,
    pub(crate) unchanged: u64,
    pub(crate) quarantined: u64,
}

impl Totals {
    /// What came since `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            windows: self.windows - before.windows,
            pages: self.pages - before.pages,
            items: self.items - before.items,
            written: self.written - before.written,
            unchanged: self.unchanged - before.unchanged,
            quarantined: self.quarantined - before.quarantined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_repeated_event_is_logged_with_a_count() {
        let progress = AccountProgress::default();
        assert_eq!(progress.record_event("outside", LOG_INTERVAL), Some(1));
        assert_eq!(progress.record_event("outside", LOG_INTERVAL), None);
        assert_eq!(progress.record_event("outside", LOG_INTERVAL), None);
        assert_eq!(progress.record_event("word", Duration::MAX), Some(1));
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(progress.record_event("outside", LOG_INTERVAL), Some(3));
        assert_eq!(progress.record_event("word", Duration::MAX), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_failure_is_logged_rarely() {
        let progress = AccountProgress::default();
        assert_eq!(progress.record_failure("a", "status 500", "wait"), Some(1));
        assert_eq!(progress.record_failure("a", "status 500", "wait"), None);
        assert_eq!(progress.record_failure("b", "status 500", "wait"), Some(1));
        assert_eq!(progress.record_failure("a", "status 404", "look"), Some(1));
        assert_eq!(progress.record_failure("a", "status 404", "look"), None);
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(progress.record_failure("a", "status 404", "look"), Some(2));

        progress.record_page("a", &PageCounts::default());
        let left = progress.current_failure().unwrap();
        assert_eq!(left.0, "status 500", "another stream's failure stays");
        progress.record_failure(ACCOUNT, "status 401", "key");
        assert_eq!(progress.current_failure().unwrap().0, "status 401");
        progress.record_page("b", &PageCounts::default());
        assert_eq!(progress.current_failure(), None);
    }
}
