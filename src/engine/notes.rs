//! What reading leaves behind for operators: counters and log lines.

use chrono::{DateTime, Utc};
use metrics::counter;
use tracing::{debug, info, warn};

use super::account::Stream;
use super::window::Reader;
use crate::store::page::PageCounts;
use crate::store::window::OpenWindow;
use crate::telemetry;

impl Reader {
    pub(super) fn note_page(&self, stream: &Stream, window: &OpenWindow, counts: &PageCounts) {
        let account = &self.account;
        account.progress.page(&stream.spec.name, counts);
        let labels = [
            ("account", account.id.clone()),
            ("stream", stream.spec.name.clone()),
        ];
        let lane = window.planned.lane.as_str();
        counter!(telemetry::PAGES, "account" => account.id.clone(), "stream" => stream.spec.name.clone(), "lane" => lane)
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

    pub(super) fn note_window(
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
