//! One page in the database: its rows, the quarantine, and the window's checkpoint and coverage, in one
//! transaction.
//!
//! `commit` leads a page through: `read` makes records of items one by one, `diff` says which of them to
//! write, `copy` or `upsert` writes them, `bisect` finds those that PostgreSQL refuses, `daily_sums` adds
//! them to the totals, `payments` joins them to their payments, `transition` moves the window.

pub(super) mod bisect;
mod commit;
mod copy;
pub(super) mod daily_sums;
pub(super) mod diff;
pub(super) mod payments;
mod records;
pub(super) mod transition;
pub(super) mod upsert;

use std::collections::BTreeSet;
use std::ops::{AddAssign, RangeInclusive};

use chrono::{DateTime, TimeDelta, Utc};

use super::progress::window::OpenWindow;
use paysync_provider::item::PageItems;
use paysync_provider::model::Window;
use paysync_provider::{Checkpoint, Provider};

/// Where a page comes from.
#[derive(Debug, Clone, Copy)]
pub struct PageContext<'a> {
    /// The provider's code.
    pub provider_code: &'a str,
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
pub struct PageCommit<'a> {
    /// Where it comes from.
    pub context: PageContext<'a>,
    /// Its items. They are read when their turn to be written comes.
    pub items: &'a PageItems<'a>,
    /// Reads the items.
    pub provider: &'a dyn Provider,
    /// The span of the items' creation times, where they show them: unchanged rows are found by it at a
    /// fifth of the cost, and all others as without it.
    pub created: Option<RangeInclusive<DateTime<Utc>>>,
    /// Whether most items are expected to be new: then the diff looks only at what is stored in
    /// `created`. A wrong guess costs time, not correctness.
    pub likely_new: bool,
    /// What becomes of the window.
    pub transition: WindowTransition,
}

/// What becomes of a window after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowTransition {
    /// It goes on at this checkpoint.
    More(Checkpoint),
    /// It has been read to its end.
    Close {
        /// Length of the stream's next window, if this one determines it.
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

/// A page that is stored.
#[derive(Debug)]
pub struct CommittedPage {
    /// What became of its items.
    pub counts: PageCounts,
    /// Why the first item was rejected before it reached PostgreSQL.
    pub first_rejection: Option<String>,
    /// The provider's words in its new and changed rows that paysync does not know, with their columns.
    pub unknown_words: BTreeSet<(&'static str, String)>,
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
    /// Rows that are stored already in the same version.
    pub unchanged: u64,
    /// Rows older than the stored version.
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
