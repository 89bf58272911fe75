//! What an account has done since the process started: counters that anyone may read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::store::page::PageCounts;

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
    trouble: Mutex<Option<(String, String)>>,
}

impl AccountProgress {
    /// Counts a stored page.
    pub(crate) fn page(&self, counts: &PageCounts) {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(counts.items, Ordering::Relaxed);
        self.written
            .fetch_add(counts.inserted + counts.updated, Ordering::Relaxed);
        self.quarantined
            .fetch_add(counts.quarantined, Ordering::Relaxed);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
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

    /// Notes what keeps the account from going on, and what to do about it.
    pub(crate) fn trouble(&self, error: &str, hint: &str) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((error.to_owned(), hint.to_owned()));
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
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
