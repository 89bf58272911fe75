//! What an account has done since the process started: counters, current failures, throttled log lines.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use crate::store::page::PageCounts;

/// In place of a stream's name: the failure is of all streams.
pub(crate) const ACCOUNT: &str = "";

/// What an account has done since the process started.
#[derive(Debug, Default)]
pub struct AccountProgress(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    totals: Totals,
    wanted_seconds: u64,
    left_seconds: u64,
    clock_lag: TimeDelta,
    failures: BTreeMap<String, StreamFailure>,
    events: BTreeMap<String, LogThrottle>,
}

/// What an account has read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Windows read to their end.
    pub windows: u64,
    /// Pages stored.
    pub pages: u64,
    /// Items in them.
    pub items: u64,
    /// Items that were new or different.
    pub written: u64,
    /// Items stored before in the same version.
    pub unchanged: u64,
    /// Items put into quarantine.
    pub quarantined: u64,
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
        let mut records = self.records();
        let totals = &mut records.totals;
        totals.pages += 1;
        totals.items += counts.items;
        totals.written += counts.inserted + counts.updated;
        totals.unchanged += counts.unchanged;
        totals.quarantined += counts.quarantined;
        records.failures.remove(stream);
        records.failures.remove(ACCOUNT);
    }

    /// Counts a closed window.
    pub(crate) fn record_window(&self) {
        self.records().totals.windows += 1;
    }

    /// Records how much time is wanted in all streams, and how much of it is not covered.
    pub(crate) fn record_coverage(&self, wanted_seconds: u64, left_seconds: u64) {
        let mut records = self.records();
        records.wanted_seconds = wanted_seconds;
        records.left_seconds = left_seconds;
    }

    /// How far the provider's clock lags, by its last answer.
    pub(crate) fn clock_lag(&self) -> TimeDelta {
        self.records().clock_lag
    }

    pub(crate) fn set_clock_lag(&self, lag: TimeDelta) {
        self.records().clock_lag = lag;
    }

    /// Records what keeps a stream from going on, and what to do about it. If it is due to be logged, returns
    /// how often it has happened since it last was.
    pub(crate) fn record_failure(&self, stream: &str, error: &str, hint: &str) -> Option<u64> {
        let failures = &mut self.records().failures;
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
        let events = &mut self.records().events;
        if let Some(known) = events.get_mut(event) {
            return known.record(interval);
        }
        events.insert(event.to_owned(), LogThrottle::logged());
        Some(1)
    }

    /// What has been read so far.
    pub fn totals(&self) -> Totals {
        self.records().totals
    }

    /// Seconds of history that are wanted, and those not covered yet; all streams together.
    pub fn seconds(&self) -> (u64, u64) {
        let records = self.records();
        (records.wanted_seconds, records.left_seconds)
    }

    /// What keeps the account from going on, and what to do about it.
    pub fn current_failure(&self) -> Option<(String, String)> {
        // The account's own comes first.
        let records = self.records();
        let (_, first) = records.failures.first_key_value()?;
        Some((first.error.clone(), first.hint.clone()))
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
