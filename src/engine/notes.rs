//! What reading leaves behind for operators: counters and log lines.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::counter;
use tracing::{debug, info, warn};

use super::account::{Account, Stream};
use super::item::Notes;
use super::progress::SILENCE;
use super::window::Reader;
use crate::clock::WORST_SKEW;
use crate::store::page::PageCounts;
use crate::store::progress::window::OpenWindow;
use crate::telemetry;
use paysync_provider::model::{Kind, Status, Transaction};
use paysync_provider::redact::Taken;

impl Reader {
    pub(super) fn note_page(
        &self,
        stream: &Stream,
        window: &OpenWindow,
        counts: &PageCounts,
        notes: &Notes<'_>,
    ) {
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
        count_redactions(account, notes.taken);
        debug!(
            account.id = %account.id, stream.name = %stream.spec.name, lane, window.id = window.id,
            records.items = counts.items, records.inserted = counts.inserted, records.updated = counts.updated,
            records.unchanged = counts.unchanged, redactions = notes.taken.total(), "page stored"
        );
        let told = (counts.quarantined > 0).then(|| self.notice(stream, "quarantined"));
        if let Some(times) = told.flatten() {
            warn!(
                account.id = %account.id, stream.name = %stream.spec.name, records.quarantined = counts.quarantined,
                error = notes.why().unwrap_or("PostgreSQL refuses a value"), window.start = %window.planned.window.start(), window.end = %window.planned.window.end(), times,
                hint = "see the table paysync.quarantine; paysync replay reads it again after an update",
                "items were put into quarantine"
            );
        }
    }

    /// Whether what may happen with each page is worth a line again.
    fn notice(&self, stream: &Stream, what: &str) -> Option<u64> {
        let what = format!("{}: {what}", stream.spec.name);
        self.account.progress.notice(&what, SILENCE)
    }

    pub(super) fn note_outside(
        &self,
        stream: &Stream,
        window: &OpenWindow,
        outside: u64,
        items: u64,
    ) {
        let told = (outside > 0).then(|| self.notice(stream, "outside"));
        let Some(times) = told.flatten() else {
            return;
        };
        warn!(
            account.id = %self.account.id, stream.name = %stream.spec.name, records.outside = outside,
            records.items = items, window.start = %window.planned.window.start(),
            window.end = %window.planned.window.end(), times,
            hint = "they are stored all the same; check the account's time_zone and the options that name the time filter",
            "rows lie outside the window asked for"
        );
    }

    /// Reading goes by the earlier of both clocks, so that a wrong one delays and loses nothing.
    pub(super) fn note_clock(&self) {
        let ahead = self.clock.now() - self.lease.now();
        let told =
            (ahead.abs() > WORST_SKEW).then(|| self.account.progress.notice("clock", SILENCE));
        if let Some(times) = told.flatten() {
            warn!(
                account.id = %self.account.id, seconds = ahead.num_seconds().abs(), times,
                hint = "set both by NTP; new rows are read by the earlier clock: late, but none is lost",
                "this machine's clock and the database's differ"
            );
        }
    }

    pub(super) fn note_count(
        &self,
        stream: &Stream,
        window: &OpenWindow,
        items: u64,
        counted: u64,
    ) {
        let Some(times) = self.notice(stream, "count") else {
            return;
        };
        warn!(
            account.id = %self.account.id, stream.name = %stream.spec.name,
            window.start = %window.planned.window.start(), window.end = %window.planned.window.end(),
            records.items = items, records.counted = counted, times,
            hint = "nothing to do: every page was read to the end the provider tells; the count is in paysync.windows",
            "the provider's count differs from the items it sent"
        );
    }

    pub(super) fn note_doubt(&self, stream: &Stream, window: &OpenWindow) {
        let Some(times) = self.notice(stream, "signature") else {
            return;
        };
        warn!(
            account.id = %self.account.id, stream.name = %stream.spec.name,
            window.start = %window.planned.window.start(), window.end = %window.planned.window.end(), times,
            hint = "check the secret; set verify_signature to require, or to off",
            "the answer's signature does not match; its rows are stored all the same"
        );
    }

    /// Words that paysync does not know, once each: the rows have them beside `unknown` and `other`.
    pub(super) fn note_words(&self, row: &Transaction) {
        let words = [
            (
                "status",
                (row.status == Status::Unknown).then_some(&row.provider_status),
            ),
            (
                "kind",
                (row.kind == Kind::Other).then_some(&row.provider_kind),
            ),
        ];
        for (column, word) in words {
            let Some(word) = word.and_then(Option::as_ref) else {
                continue;
            };
            let what = format!("{column}: {word}");
            if self.account.progress.notice(&what, Duration::MAX).is_some() {
                warn!(
                    account.id = %self.account.id, column, word,
                    hint = "nothing to do: the word is kept beside it, in provider_status or provider_kind",
                    "the provider's word is stored as unknown or other"
                );
            }
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

/// Counts what was taken out of a page's items.
fn count_redactions(account: &Account, taken: Taken) {
    for (what, times) in taken.by_kind() {
        if times > 0 {
            counter!(telemetry::REDACTIONS, "account" => account.id.clone(), "what" => what)
                .increment(times);
        }
    }
}
