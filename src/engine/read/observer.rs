//! Counters and log lines for operators. The lines get their account and window from the spans around them.

use std::time::Duration;

use chrono::TimeDelta;
use metrics::counter;
use tracing::{debug, info, warn};

use crate::clock::MAX_CLOCK_SKEW;
use crate::engine::account::Account;
use crate::engine::progress::LOG_INTERVAL;
use crate::engine::read::context::ReadContext;
use crate::store::page::{CommittedPage, PageCounts};
use crate::store::progress::window::OpenWindow;
use crate::telemetry;
use paysync_provider::redact::RedactionCounts;

pub(super) fn record_page(
    account: &Account,
    window: &OpenWindow,
    committed: &CommittedPage,
    redactions: RedactionCounts,
) {
    let counts = &committed.counts;
    let (id, stream) = (&account.id, &window.stream);
    let lane = window.planned.lane.as_str();
    account.progress.record_page(stream, counts);
    counter!(telemetry::PAGES, "account" => id.clone(), "stream" => stream.clone(), "lane" => lane)
        .increment(1);
    for (outcome, items) in counts.outcomes() {
        if items > 0 {
            counter!(telemetry::ITEMS, "account" => id.clone(), "stream" => stream.clone(), "outcome" => outcome)
                .increment(items);
        }
    }
    count_redactions(account, redactions);
    record_unknown_words(account, committed);
    debug!(
        window.id = window.id,
        records.items = counts.items,
        records.inserted = counts.inserted,
        records.updated = counts.updated,
        records.unchanged = counts.unchanged,
        redactions = redactions.total(),
        "page stored"
    );
    if counts.quarantined > 0
        && let Some(times) = record_event(account, stream, "quarantined")
    {
        let error = committed.first_rejection.as_deref();
        warn!(
            records.quarantined = counts.quarantined,
            error = error.unwrap_or("PostgreSQL refuses a value"),
            times,
            hint = "see the table paysync.quarantine; after an update run paysync replay",
            "items were put into quarantine"
        );
    }
}

pub(crate) fn count_redactions(account: &Account, redactions: RedactionCounts) {
    for (what, times) in redactions.by_kind() {
        counter!(telemetry::REDACTIONS, "account" => account.id.clone(), "what" => what)
            .increment(times);
    }
}

/// Whether an event that may happen with each page of a stream is due to be logged: how often it has happened.
fn record_event(account: &Account, stream: &str, event: &str) -> Option<u64> {
    let event = format!("{stream}: {event}");
    account.progress.record_event(&event, LOG_INTERVAL)
}

/// `outside` of a page's items have a time outside the window.
pub(super) fn record_outside(account: &Account, stream: &str, outside: u64, items: u64) {
    if outside > 0
        && let Some(times) = record_event(account, stream, "outside")
    {
        warn!(
            records.outside = outside,
            records.items = items,
            times,
            hint = "they are stored all the same; check the account's time_zone and the options that name the time filter",
            "rows lie outside the window asked for"
        );
    }
}

/// The provider counted other than the items it sent.
pub(super) fn record_count_mismatch(account: &Account, stream: &str, items: u64, counted: u64) {
    if let Some(times) = record_event(account, stream, "count") {
        warn!(
            records.items = items,
            records.counted = counted,
            times,
            hint = "nothing to do: every page was read to the end that the provider reports; the count is in paysync.windows",
            "the provider's count differs from the items it sent"
        );
    }
}

pub(super) fn record_signature_mismatch(account: &Account, stream: &str) {
    if let Some(times) = record_event(account, stream, "signature") {
        warn!(
            times,
            hint = "check the secret; set verify_signature to require, or to off",
            "the answer's signature does not match; its rows are stored all the same"
        );
    }
}

/// Logs each word that paysync does not know once: the rows keep it beside `unknown` and `other`.
fn record_unknown_words(account: &Account, committed: &CommittedPage) {
    for (column, word) in &committed.unknown_words {
        let event = format!("{column}: {word}");
        let first = account.progress.record_event(&event, Duration::MAX);
        if first.is_some() {
            let hint = "nothing to do: provider_status or provider_kind holds the word";
            warn!(
                column,
                word, hint, "the provider's word is stored as unknown or other"
            );
        }
    }
}

pub(super) fn record_window(account: &Account, total: &PageCounts, duration: TimeDelta) {
    account.progress.record_window();
    // A line's level is fixed where it is written.
    macro_rules! line {
        ($level:ident) => {
            $level!(
                records.items = total.items,
                records.inserted = total.inserted,
                records.updated = total.updated,
                records.unchanged = total.unchanged,
                records.stale = total.stale,
                records.duplicate = total.duplicate,
                records.quarantined = total.quarantined,
                duration_ms = duration.num_milliseconds(),
                "window read"
            )
        };
    }
    if total.inserted + total.updated + total.quarantined > 0 {
        line!(info);
    } else {
        line!(debug);
    }
}

/// Reading goes by the earlier of both clocks, so that a wrong one delays and loses nothing.
pub(crate) fn record_clock_skew(context: &ReadContext) {
    let ahead = context.clock.now() - context.held.lease.now();
    if ahead.abs() > MAX_CLOCK_SKEW
        && let Some(times) = context.account.progress.record_event("clock", LOG_INTERVAL)
    {
        warn!(
            seconds = ahead.num_seconds().abs(),
            times,
            hint = "set both by NTP; until then new rows are read late, and no row is lost",
            "this machine's clock and the database's differ"
        );
    }
}
