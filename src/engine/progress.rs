//! What an account has done since the process started: counters that anyone may read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use crate::store::page::PageCounts;

/// In place of a stream's name: the trouble is all streams'.
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
    behind_seconds: AtomicI64,
    troubles: Mutex<BTreeMap<String, Trouble>>,
    notices: Mutex<BTreeMap<String, Notice>>,
}

#[derive(Debug)]
struct Notice {
    told: Instant,
    /// Times it has happened since it was told.
    untold: u64,
}

/// How long the same is not told again.
pub(crate) const SILENCE: Duration = Duration::from_mins(10);

#[derive(Debug)]
struct Trouble {
    error: String,
    hint: String,
    told: Instant,
    /// Times it has happened since it was told.
    untold: u64,
}

impl AccountProgress {
    /// Counts a stored page of a stream, which is out of trouble then, and so is the account.
    pub(crate) fn page(&self, stream: &str, counts: &PageCounts) {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(counts.items, Ordering::Relaxed);
        self.written
            .fetch_add(counts.inserted + counts.updated, Ordering::Relaxed);
        self.quarantined
            .fetch_add(counts.quarantined, Ordering::Relaxed);
        self.unchanged
            .fetch_add(counts.unchanged, Ordering::Relaxed);
        let mut troubles = self.troubles();
        troubles.remove(stream);
        troubles.remove(ACCOUNT);
    }

    /// Counts a closed window.
    pub(crate) fn window(&self) {
        self.windows.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how much time is wanted in all streams, and how much of it is not covered.
    pub(crate) fn coverage(&self, wanted_seconds: u64, left_seconds: u64) {
        self.wanted_seconds.store(wanted_seconds, Ordering::Relaxed);
        self.left_seconds.store(left_seconds, Ordering::Relaxed);
    }

    /// How far the provider's clock is behind, by its last answer.
    pub(crate) fn behind(&self) -> TimeDelta {
        TimeDelta::seconds(self.behind_seconds.load(Ordering::Relaxed))
    }

    /// Notes how far the provider's clock is behind.
    pub(crate) fn set_behind(&self, behind: TimeDelta) {
        let seconds = behind.num_seconds();
        self.behind_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Notes what keeps a stream from going on, and what to do about it. Says whether it is worth a
    /// line: how often it has happened since it last was. The same again and again is told rarely.
    pub(crate) fn trouble(&self, stream: &str, error: &str, hint: &str) -> Option<u64> {
        let mut troubles = self.troubles();
        let known = troubles
            .get_mut(stream)
            .filter(|known| known.error == error && known.told.elapsed() < SILENCE);
        if let Some(known) = known {
            known.untold += 1;
            return None;
        }
        let trouble = Trouble {
            error: error.to_owned(),
            hint: hint.to_owned(),
            told: Instant::now(),
            untold: 0,
        };
        let before = troubles.insert(stream.to_owned(), trouble);
        let again = before.filter(|before| before.error == error);
        Some(again.map_or(0, |before| before.untold) + 1)
    }

    /// Whether something that may happen again and again is worth a line: how often it has happened
    /// since it last was.
    pub(crate) fn notice(&self, what: &str, silence: Duration) -> Option<u64> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let known = notices.get_mut(what);
        if let Some(known) = known {
            known.untold += 1;
            if known.told.elapsed() < silence {
                return None;
            }
            known.told = Instant::now();
            return Some(std::mem::take(&mut known.untold));
        }
        let notice = Notice {
            told: Instant::now(),
            untold: 0,
        };
        notices.insert(what.to_owned(), notice);
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
    pub fn current_trouble(&self) -> Option<(String, String)> {
        // The account's own comes first.
        let troubles = self.troubles();
        let (_, first) = troubles.first_key_value()?;
        Some((first.error.clone(), first.hint.clone()))
    }

    fn troubles(&self) -> MutexGuard<'_, BTreeMap<String, Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
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
    async fn what_happens_again_and_again_is_told_with_a_count() {
        let progress = AccountProgress::default();
        assert_eq!(progress.notice("outside", SILENCE), Some(1));
        assert_eq!(progress.notice("outside", SILENCE), None);
        assert_eq!(progress.notice("outside", SILENCE), None);
        assert_eq!(progress.notice("word", Duration::MAX), Some(1));
        tokio::time::advance(SILENCE).await;
        assert_eq!(progress.notice("outside", SILENCE), Some(3));
        assert_eq!(progress.notice("word", Duration::MAX), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_trouble_is_told_rarely() {
        let progress = AccountProgress::default();
        assert_eq!(progress.trouble("a", "status 500", "wait"), Some(1));
        assert_eq!(progress.trouble("a", "status 500", "wait"), None);
        assert_eq!(progress.trouble("b", "status 500", "wait"), Some(1));
        assert_eq!(progress.trouble("a", "status 404", "look"), Some(1));
        assert_eq!(progress.trouble("a", "status 404", "look"), None);
        tokio::time::advance(SILENCE).await;
        assert_eq!(progress.trouble("a", "status 404", "look"), Some(2));

        progress.page("a", &PageCounts::default());
        let left = progress.current_trouble().unwrap();
        assert_eq!(left.0, "status 500", "another stream's trouble stays");
        progress.trouble(ACCOUNT, "status 401", "key");
        assert_eq!(progress.current_trouble().unwrap().0, "status 401");
        progress.page("b", &PageCounts::default());
        assert_eq!(progress.current_trouble(), None);
    }
}
