//! The hours at which clocks change, in every zone: no request leaves an instant out, and every time
//! is read as an instant near the one that was meant.
//!
//! A local time without offset that comes twice in autumn means either of two instants; the earlier
//! is taken, always, so that replay years later says the same. No request depends on such a time:
//! intervals are written in UTC, with an offset, or in a zone whose clocks never change. One that is
//! skipped in spring is read by the offset from before.

use std::sync::Arc;

use chrono::{
    DateTime, Duration, NaiveDate, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Utc,
};
use chrono_tz::{TZ_VARIANTS, Tz};
use paysync::clock::ShiftedClock;
use paysync::engine::Outcome;
use paysync_provider::model::Window;
use paysync_provider::wire::parse_instant;
use paysync_provider::{PROVIDERS, Position, Provider, Request, Settings, build};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{TIMEOUT, assert_exact, config_text, engine_of, now, providers, start, sync};

/// The years that are tried.
const YEARS: std::ops::Range<i32> = 2015..2038;

/// A change of a zone's clocks.
#[derive(Debug, Clone, Copy)]
struct Change {
    zone: Tz,
    /// The first instant of the new offset.
    at: DateTime<Utc>,
    /// How far the clocks are set ahead; negative if back.
    by: TimeDelta,
}

fn offset(zone: Tz, at: DateTime<Utc>) -> TimeDelta {
    let seconds = zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    TimeDelta::seconds(seconds.local_minus_utc().into())
}

fn local(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    at.naive_utc() + offset(zone, at)
}

fn new_year(year: i32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap()
}

/// Every change of a zone's clocks in some years.
fn changes(zone: Tz, years: std::ops::Range<i32>) -> Vec<Change> {
    let mut found = Vec::new();
    let (mut at, end) = (new_year(years.start), new_year(years.end));
    while at < end {
        let next = at + Duration::days(1);
        if offset(zone, at) != offset(zone, next) {
            let (mut before, mut after) = (at, next);
            while after - before > Duration::seconds(1) {
                let middle = before + Duration::seconds((after - before).num_seconds() / 2);
                if offset(zone, middle) == offset(zone, before) {
                    before = middle;
                } else {
                    after = middle;
                }
            }
            found.push(Change {
                zone,
                at: after,
                by: offset(zone, after) - offset(zone, before),
            });
        }
        at = next;
    }
    found
}

/// Every change in every zone.
fn all_changes(years: &std::ops::Range<i32>) -> Vec<Change> {
    let changes: Vec<Change> = TZ_VARIANTS
        .iter()
        .flat_map(|zone| changes(*zone, years.clone()))
        .collect();
    let ahead = changes
        .iter()
        .filter(|change| change.by > TimeDelta::zero());
    let ahead = ahead.count();
    assert!(
        ahead > 100 && changes.len() - ahead > 100,
        "{}",
        changes.len()
    );
    changes
}

/// The instants of some hours around a change.
fn around(change: Change, step: TimeDelta) -> impl Iterator<Item = DateTime<Utc>> {
    let reach = change.by.abs() * 2 + step;
    let mut at = change.at - reach;
    std::iter::from_fn(move || {
        let this = at;
        at += step;
        (this <= change.at + reach).then_some(this)
    })
}

#[test]
fn local_times_are_read_correctly_in_every_zone() {
    for change in all_changes(&YEARS) {
        for at in around(change, Duration::minutes(15)) {
            let text = local(change.zone, at)
                .format("%Y-%m-%d %H:%M:%S")
                .to_string();
            let read =
                parse_instant(&text, change.zone).unwrap_or_else(|| panic!("{text} {change:?}"));
            // The second time of two is read as the first.
            let is_second =
                change.by < TimeDelta::zero() && change.at <= at && at < change.at - change.by;
            let expected = if is_second { at + change.by } else { at };
            assert_eq!(read, expected, "{text} {change:?}");
        }
        // Local times that were skipped: the instants follow each other in order.
        let mut skipped = TimeDelta::zero();
        while skipped < change.by {
            let naive = local(change.zone, change.at - Duration::seconds(1))
                + Duration::seconds(1)
                + skipped;
            let read = parse_instant(&naive.format("%Y-%m-%dT%H:%M:%S").to_string(), change.zone);
            assert_eq!(read, Some(change.at + skipped), "{naive} {change:?}");
            skipped += Duration::minutes(15);
        }
    }
}

/// A bare date is the first instant that the calendar shows it.
#[test]
fn a_date_is_its_first_instant_in_every_zone() {
    for change in all_changes(&YEARS) {
        let middle = local(change.zone, change.at).date();
        for date in [
            middle.pred_opt().unwrap(),
            middle,
            middle.succ_opt().unwrap(),
        ] {
            let read = parse_instant(&date.to_string(), change.zone).unwrap();
            assert_eq!(local(change.zone, read).date(), date, "{change:?}");
            let before = local(change.zone, read - Duration::microseconds(1)).date();
            assert!(before < date, "{before} {date} {change:?}");
        }
    }
}

fn provider(code: &str, time_zone: Tz) -> Box<dyn Provider> {
    let options = json!({});
    build(code, &Settings { time_zone, options }).unwrap()
}

fn ask(provider: &dyn Provider, stream: &str, window: Window) -> Request {
    let at = Position {
        stream,
        window,
        checkpoint: None,
        page_size: 100,
    };
    provider.request(&at).unwrap()
}

fn body(request: &Request) -> Value {
    serde_json::from_str(request.body.as_deref().unwrap()).unwrap()
}

/// Windows of odd lengths, one after another, across a change.
fn windows(change: Change) -> Vec<Window> {
    let mut start = change.at - change.by.abs() - Duration::minutes(50);
    let end = change.at + change.by.abs() + Duration::minutes(50);
    let mut found = Vec::new();
    for minutes in [7, 30, 1, 59].into_iter().cycle() {
        let next = (start + Duration::minutes(minutes)).min(end);
        found.extend(Window::new(start, next));
        start = next;
        if start == end {
            break;
        }
    }
    found
}

/// The years whose requests are tried: enough for either change of each rule.
const ASKED: std::ops::Range<i32> = 2025..2028;

/// Settlements are asked for by calendar days of the account's zone.
#[test]
fn days_of_settlement_hold_their_windows_in_every_zone() {
    for change in all_changes(&ASKED) {
        let report = provider("begateway_report", change.zone);
        for window in windows(change) {
            let body = body(&ask(&*report, "settled_at/credit_card", window));
            let params = &body["report_params"];
            assert_eq!(params["time_zone"], change.zone.name());
            let day = |key: &str| -> NaiveDate { params[key].as_str().unwrap().parse().unwrap() };
            let (from, to) = (day("from"), day("to"));
            let last = window.end() - Duration::microseconds(1);
            for at in [
                window.start(),
                last,
                change.at,
                change.at - Duration::microseconds(1),
            ] {
                let date = local(change.zone, at).date();
                let is_asked = from <= date && date <= to;
                assert!(
                    is_asked || !window.contains(at),
                    "{at}: {from} {to} {change:?}"
                );
            }
        }
    }
}

/// An interval of ECommPay has no offset, so it is written in a zone where none is missed.
#[test]
fn intervals_hold_their_windows_in_every_zone() {
    for zone in TZ_VARIANTS {
        let sent = body(&ask(
            &*provider("ecommpay", zone),
            "completed_at",
            Window::new(new_year(2026), new_year(2027)).unwrap(),
        ));
        let sent: Tz = sent["tz"].as_str().unwrap().parse().unwrap();
        assert!(
            changes(sent, 2000..2041).is_empty(),
            "{zone} is asked for in {sent}"
        );
    }
    for change in all_changes(&ASKED) {
        let ecommpay = provider("ecommpay", change.zone);
        for window in windows(change) {
            let body = body(&ask(&*ecommpay, "completed_at", window));
            let zone: Tz = body["tz"].as_str().unwrap().parse().unwrap();
            let bound =
                |key: &str| parse_instant(body["interval"][key].as_str().unwrap(), zone).unwrap();
            assert!(
                bound("from") <= window.start() && window.end() <= bound("to"),
                "{change:?}"
            );
            // A time in the response is read in the same zone.
            let text = local(zone, window.start())
                .format("%Y-%m-%d %H:%M:%S")
                .to_string();
            let item = json!({"operation_id": "1", "operation_created_at": text}).to_string();
            let item = ecommpay.normalize(&item).unwrap();
            assert_eq!(item.created_at, Some(window.start()), "{change:?}");
        }
    }
}

/// All other requests say the same, whatever the account's zone.
#[test]
fn other_requests_depend_on_no_zone() {
    let change = Change {
        zone: Tz::UTC,
        at: new_year(2026),
        by: TimeDelta::hours(1),
    };
    for entry in PROVIDERS.iter().filter(|entry| entry.code != "ecommpay") {
        let plain = provider(entry.code, Tz::UTC);
        for stream in plain
            .spec()
            .streams
            .iter()
            .filter(|stream| !stream.name.starts_with("settled_at"))
        {
            for window in windows(change) {
                let expected = ask(&*plain, &stream.name, window);
                for zone in TZ_VARIANTS {
                    let asked = ask(&*provider(entry.code, zone), &stream.name, window);
                    assert_eq!(asked.body, expected.body, "{zone} {}", stream.name);
                    assert_eq!(asked.query, expected.query, "{zone} {}", stream.name);
                }
            }
        }
    }
}

/// Days on which the clocks of a zone change: at midnight, by half an hour, and as in most of Europe.
const DAYS: [(Tz, &str); 6] = [
    (Tz::Africa__Cairo, "2026-04-25T12:00:00Z"),
    (Tz::Africa__Cairo, "2026-10-31T12:00:00Z"),
    (Tz::Australia__Lord_Howe, "2026-04-05T12:00:00Z"),
    (Tz::Australia__Lord_Howe, "2026-10-04T12:00:00Z"),
    (Tz::Europe__Vilnius, "2026-03-30T12:00:00Z"),
    (Tz::Europe__Vilnius, "2026-10-26T12:00:00Z"),
];

/// The APIs themselves, on such days: what was made in them is read to the last row.
#[sqlx::test(migrations = "./migrations")]
async fn days_on_which_clocks_change_are_read_exactly(pool: PgPool) {
    for (zone, ends) in DAYS {
        let ends: DateTime<Utc> = ends.parse().unwrap();
        let near = |change: &Change| change.at < ends && ends - change.at < Duration::days(3);
        assert!(changes(zone, 2026..2027).iter().any(near), "{zone} {ends}");
        sqlx::query("TRUNCATE paysync.accounts, paysync.streams, paysync.windows, paysync.transactions, paysync.raw_transactions, paysync.transaction_history, paysync.rescans, paysync.window_totals, paysync.quarantine CASCADE")
            .execute(&pool)
            .await
            .unwrap();
        let settings = paysync_simulator::Settings {
            rows: 300,
            now: Some(ends),
            ..paysync_simulator::Settings::new(ends, 3)
        };
        let simulator = start(settings).await;
        let settings = format!(
            "page_size = 50\nlag = \"0s\"\noverlap = \"5s\"\nrescan = []\nrepoll = []\naudit = []\ntime_zone = \"{zone}\"\n"
        );
        let text = config_text(&simulator, &pool, &providers(), &settings);
        let mut engine = engine_of(&text).await;
        engine.clock = Arc::new(ShiftedClock(ends - now()));
        // So that changes and settlements of those days are asked for, too.
        sqlx::query("UPDATE paysync.accounts SET first_seen_at = $1::text::timestamptz")
            .bind((ends - Duration::days(3)).to_rfc3339())
            .execute(&pool)
            .await
            .unwrap();
        let outcomes = sync(&engine, TIMEOUT).await;
        let covered = outcomes
            .values()
            .all(|outcome| *outcome == Outcome::Covered);
        assert!(covered, "{zone} {ends}: {outcomes:?}");
        engine.store.pool().close().await;
        assert_exact(&pool, &simulator, &providers()).await;
        let settled = "SELECT count(*) FROM paysync.windows WHERE stream LIKE 'settled_at/%' AND outcome = 'closed'";
        assert!(
            crate::support::count(&pool, settled).await > 0,
            "{zone} {ends}"
        );
        let refused = "SELECT count(*) FROM paysync.streams WHERE last_error IS NOT NULL";
        assert_eq!(
            crate::support::count(&pool, refused).await,
            0,
            "{zone} {ends}"
        );
        simulator.stop().await;
    }
}
