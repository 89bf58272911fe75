//! A line each minute that says what was read, also where nothing changed.

use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use crate::engine::progress::{AccountProgress, Totals};

const INTERVAL: Duration = Duration::from_mins(1);

pub(super) struct Summary {
    last_logged: Instant,
    totals: Totals,
}

impl Summary {
    pub(super) fn new(progress: &AccountProgress) -> Self {
        Self {
            last_logged: Instant::now(),
            totals: progress.totals(),
        }
    }

    pub(super) fn log_if_due(&mut self, progress: &AccountProgress) {
        if self.last_logged.elapsed() < INTERVAL {
            return;
        }
        let before = std::mem::replace(self, Self::new(progress));
        let read = self.totals.since(before.totals);
        if read.pages > 0 {
            info!(
                windows = read.windows,
                pages = read.pages,
                records.items = read.items,
                records.written = read.written,
                records.unchanged = read.unchanged,
                records.quarantined = read.quarantined,
                "read in the last minute"
            );
        }
    }
}
