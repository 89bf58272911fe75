//! Failures at the provider: it cannot be reached, refuses for a while, or never comes to an end.
//!
//! What passes by itself costs only time. What an operator has to look at is one line with a hint.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use paysync::engine::failure::{Directive, Failure};
use paysync::engine::inspect::status::{self, State};
use paysync::engine::{Engine, Outcome};
use paysync::transport::MAX_BODY_BYTES;
use paysync_provider::Request;
use paysync_simulator::{Fault, Provider};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::{SMALL, forget_everything};
use crate::servers;
use crate::support::{
    PATIENCE, account_of, assert_exact, config_text, count, differences, engine_of, history,
    in_time, ledger, now, settled, start, stored, sync, sync_covers,
};

const PROVIDER: Provider = Provider::Convergegate;

/// The start of gzip: its header, and a blank said 259 times.
const BLANKS: &[u8] = &[31, 139, 8, 0, 0, 0, 0, 0, 0, 255, 82, 24, 5];

/// A piece of gzip that says the same 2064 times more, and may be repeated for ever.
const MORE_BLANKS: &[u8] = &[163, 96, 20, 140, 130, 81, 48, 10, 70, 193, 40, 24, 5];

/// What sockets hold at most, on either side.
const BUFFERS: usize = 32 << 20;

/// The configuration of one simulated account, and of others like it that look for it elsewhere.
fn elsewhere<'a>(text: &str, others: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let (head, rest) = text.split_once("[[accounts]]\n").unwrap();
    let (account, tail) = rest.split_once("[http]").unwrap();
    let id = account_of(PROVIDER);
    let (_, base_url) = account.split_once("base_url = \"").unwrap();
    let (base_url, _) = base_url.split_once('"').unwrap();
    let others = others.into_iter().map(|(name, elsewhere)| {
        let other = account.replace(base_url, elsewhere);
        format!("[[accounts]]\n{}", other.replace(&id, name))
    });
    let others: Vec<String> = others.collect();
    format!(
        "{head}[[accounts]]\n{account}{}[http]{tail}",
        others.concat()
    )
}

/// What an operator sees of an account.
#[derive(Debug)]
struct Seen {
    state: State,
    error: String,
    hint: String,
}

fn is_ok(seen: &Seen) -> bool {
    seen.state == State::Ok
}

/// Looks at an account until it is seen so.
async fn until_seen(engine: &Engine, id: &str, so: impl Fn(&Seen) -> bool) -> Seen {
    let looking = async {
        loop {
            let status = status::load(&engine.store, &engine.accounts).await.unwrap();
            let mut accounts = status.accounts.into_iter();
            if let Some(account) = accounts.find(|account| account.id == id) {
                let error = account.streams.iter().find_map(|s| s.last_error.clone());
                let seen = Seen {
                    state: account.state,
                    error: error.unwrap_or_default(),
                    hint: account.hint.unwrap_or_default(),
                };
                if so(&seen) {
                    return seen;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(id, looking).await
}

#[sqlx::test(migrations = "./migrations")]
async fn what_cannot_be_reached_says_why_and_delays_nobody(pool: PgPool) {
    let simulator = start(history(200, 3)).await;
    let text = config_text(&simulator, &pool, &[PROVIDER], SMALL);
    let right = simulator.base_url(PROVIDER);
    let at = |scheme: &str, address: std::net::SocketAddr| format!("{scheme}://{address}");
    let redirect = servers::answering("302 Found\r\nLocation: http://elsewhere.invalid/").await;
    let cases = [
        (
            "dns",
            "https://nowhere.invalid".to_owned(),
            ["cannot connect to nowhere.invalid: ", ""],
            "check base_url, DNS, TLS",
        ),
        (
            "refused",
            at("http", servers::nowhere().await),
            ["cannot connect to 127.0.0.1:", "Connection refused"],
            "check base_url, DNS, TLS",
        ),
        (
            "untrusted",
            at("https", servers::untrusted().await),
            ["cannot connect to 127.0.0.1:", "invalid peer certificate"],
            "check base_url, DNS, TLS",
        ),
        (
            "no-tls",
            right.replace("http:", "https:"),
            ["cannot connect to 127.0.0.1:", "corrupt message"],
            "check base_url, DNS, TLS",
        ),
        (
            "redirect",
            at("http", redirect),
            ["status 302", ""],
            "set base_url to the final address",
        ),
    ];
    let wrong = elsewhere(
        &text,
        cases.iter().map(|(name, url, ..)| (*name, url.as_str())),
    );
    let engine = engine_of(&wrong).await;
    let stop = CancellationToken::new();
    let watch = async {
        for (name, _, parts, hint) in &cases {
            let expected = if *name == "redirect" {
                State::Suspended
            } else {
                State::Failing
            };
            let seen = until_seen(&engine, name, |seen| seen.state == expected).await;
            let told = parts.iter().all(|part| seen.error.contains(part));
            assert!(told && seen.hint.contains(hint), "{name}: {seen:?}");
            assert_eq!(seen.error.lines().count(), 1, "{name}: {seen:?}");
        }
        // Those that fail go on failing; the one that works is done all the same.
        until_seen(&engine, &account_of(PROVIDER), is_ok).await;
        stop.cancel();
    };
    let syncing = async { tokio::join!(engine.sync(PATIENCE, &stop), watch).0 };
    let report = in_time("a sync beside failures", syncing).await.unwrap();
    for (account, outcome) in report {
        let works = account.id == account_of(PROVIDER);
        assert_eq!(
            outcome == Outcome::Covered,
            works,
            "{}: {outcome:?}",
            account.id
        );
    }
    engine.store.pool().close().await;

    // The right address is all it takes.
    sync_covers(&elsewhere(
        &text,
        cases.iter().map(|(name, ..)| (*name, right.as_str())),
    ))
    .await;
    for (name, ..) in &cases {
        let found = differences(&stored(&pool, name).await, &ledger(&simulator, PROVIDER));
        assert!(found.is_empty(), "{name}: {found:?}");
    }
    assert_exact(&pool, &simulator, &[PROVIDER]).await;
    simulator.stop().await;
}

/// The memory of an answer is bounded, whatever it announces and however small it was packed.
#[sqlx::test(migrations = "./migrations")]
async fn an_answer_without_end_is_dropped_at_the_cap(pool: PgPool) {
    let simulator = start(history(50, 2)).await;
    let text = config_text(&simulator, &pool, &[PROVIDER], SMALL);
    let cases: [(&str, &[u8], Vec<u8>, usize); 3] = [
        ("Content-Length: 9999999999", b"", vec![b' '; 1 << 16], 0),
        (
            "Server: no length at all",
            b"",
            vec![b' '; 1 << 16],
            MAX_BODY_BYTES,
        ),
        (
            "Content-Encoding: gzip",
            BLANKS,
            MORE_BLANKS.repeat(5_000),
            MAX_BODY_BYTES / 158,
        ),
    ];
    for (headers, start, piece, most) in cases {
        let (address, taken) = servers::endless(headers, start, piece).await;
        let base_url = format!("http://{address}");
        let engine = engine_of(&elsewhere(&text, [("endless", base_url.as_str())])).await;
        let account = engine
            .accounts
            .iter()
            .find(|account| account.id == "endless");
        let account = account.unwrap();
        let request = Request::get("/");
        let sent = account.client.send(&*account.provider, request, now());
        let error = in_time(headers, sent).await.err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("the answer from {address} is larger than 64 MiB")
        );
        let failure = Failure::from(error);
        assert_eq!(failure.directive(), Directive::Retry);
        assert_eq!(failure.hint(), "lower the account's page_size");
        let taken = taken.load(Ordering::Relaxed);
        assert!(
            taken <= most + BUFFERS,
            "{headers}: {taken} bytes were taken"
        );
        engine.store.pool().close().await;
    }
    simulator.fail_next(PROVIDER, Fault::Endless);
    sync_covers(&text).await;
    assert_eq!(simulator.requests(PROVIDER).faults, 1);
    assert_exact(&pool, &simulator, &[PROVIDER]).await;
    simulator.stop().await;
}

/// However a wait is written, it ends: seconds, a date, nothing, or nonsense.
#[sqlx::test(migrations = "./migrations")]
async fn every_form_of_retry_after_is_understood(pool: PgPool) {
    let simulator = start(history(100, 2)).await;
    let two = [PROVIDER, Provider::Firekassa];
    let text = config_text(&simulator, &pool, &two, SMALL);
    let date = |seconds| {
        let date = now() + TimeDelta::seconds(seconds);
        Some(date.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    };
    let headers = [
        Some("0".to_owned()),
        Some("1".to_owned()),
        date(2),
        date(-3600),
        None,
        Some("soon".to_owned()),
        Some("-1".to_owned()),
        Some("1.5".to_owned()),
    ];
    for header in &headers {
        for provider in two {
            simulator.fail_next(provider, Fault::RateLimited(header.clone()));
        }
    }
    sync_covers(&text).await;
    for provider in two {
        assert_eq!(simulator.requests(provider).faults, 8);
    }
    assert_exact(&pool, &simulator, &two).await;
    simulator.stop().await;
}

/// A long wait is the account's own, it can be seen, and nobody has to sit it out to stop.
#[sqlx::test(migrations = "./migrations")]
async fn a_wait_of_hours_is_told_and_holds_up_nobody(pool: PgPool) {
    let simulator = start(history(100, 2)).await;
    let both = [PROVIDER, Provider::BegatewayDwh];
    let text = config_text(&simulator, &pool, &both, SMALL);
    let ages = u64::MAX.to_string();
    simulator.fail_next(PROVIDER, Fault::RateLimited(Some(ages)));
    let engine = engine_of(&text).await;
    let stop = CancellationToken::new();
    let watch = async {
        let waits = |seen: &Seen| seen.state == State::Failing;
        let seen = until_seen(&engine, &account_of(PROVIDER), waits).await;
        assert!(seen.error.starts_with("status 429: "), "{seen:?}");
        assert!(seen.hint.contains("requests_per_minute"), "{seen:?}");
        until_seen(&engine, &account_of(both[1]), is_ok).await;
        stop.cancel();
    };
    let syncing = async { tokio::join!(engine.sync(PATIENCE, &stop), watch).0 };
    in_time("a stop", syncing).await.unwrap();
    // Three places for requests: what was under way already may come in.
    let requests = simulator.requests(PROVIDER).requests;
    assert!(
        (1..=3).contains(&requests),
        "{requests} requests, it did not wait"
    );
    // Nor does a sync sit it out.
    let outcomes = sync(&engine, Duration::from_secs(1)).await;
    assert_eq!(outcomes[&account_of(PROVIDER)], Outcome::GaveUp);
    assert_eq!(simulator.requests(PROVIDER).requests, requests);
    engine.store.pool().close().await;
    // Who starts anew knows nothing of the wait.
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &both).await;
    simulator.stop().await;
}

/// A refusal in the middle of a run holds the account until a probe is let in again.
#[sqlx::test(migrations = "./migrations")]
async fn a_refusal_that_passes_is_healed_by_the_probe(pool: PgPool) {
    let mut settings = history(600, 6);
    settings.latency = Duration::from_millis(5);
    let simulator = start(settings).await;
    let both = [PROVIDER, Provider::BegatewayDwh];
    let text = config_text(&simulator, &pool, &both, SMALL);
    let cases = [
        (
            Fault::Status(401),
            "status 401",
            "check the account's credentials",
        ),
        (
            Fault::Status(403),
            "status 403",
            "check the account's credentials",
        ),
        (
            Fault::Web(403),
            "status 403: a web page, not JSON",
            "a proxy in front of the provider blocks",
        ),
    ];
    for (fault, error, hint) in cases {
        let engine = engine_of(&text).await;
        let account = account_of(PROVIDER);
        let stop = CancellationToken::new();
        let watch = async {
            let begun = simulator.requests(PROVIDER).pages;
            while simulator.requests(PROVIDER).pages < begun + 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for _ in 0..1_000 {
                simulator.fail_next(PROVIDER, fault.clone());
            }
            let waits = |seen: &Seen| seen.state == State::Suspended;
            let seen = until_seen(&engine, &account, waits).await;
            assert!(seen.error.starts_with(error), "{seen:?}");
            assert!(seen.hint.contains(hint), "{seen:?}");
            simulator.clear_faults(PROVIDER);
            until_seen(&engine, &account_of(both[1]), is_ok).await;
        };
        // It is probed three times in the time after which a sync gives up.
        let syncing = engine.sync(Duration::from_secs(3), &stop);
        let report = in_time(error, async { tokio::join!(syncing, watch).0 }).await;
        for (account, outcome) in report.unwrap() {
            assert_eq!(outcome, Outcome::Covered, "{}: {error}", account.id);
        }
        let healed = until_seen(&engine, &account, |_| true).await;
        assert_eq!(
            (healed.state, healed.hint.as_str()),
            (State::Ok, ""),
            "{healed:?}"
        );
        engine.store.pool().close().await;
        assert_exact(&pool, &simulator, &both).await;
        forget_everything(&text).await;
    }
    simulator.stop().await;
}

/// Nor does a daemon that is told to try again wait for its next probe.
#[sqlx::test(migrations = "./migrations")]
async fn resume_is_noticed_by_a_daemon_that_waits(pool: PgPool) {
    let simulator = start(history(100, 2)).await;
    let text = config_text(&simulator, &pool, &[PROVIDER], SMALL);
    for _ in 0..100 {
        simulator.fail_next(PROVIDER, Fault::Status(401));
    }
    let engine = engine_of(&text).await;
    let account = account_of(PROVIDER);
    let stop = CancellationToken::new();
    let watch = async {
        let refused = || simulator.requests(PROVIDER).requests;
        until_seen(&engine, &account, |seen| seen.state == State::Suspended).await;
        // Those under way when the first was refused are the last.
        let known = settled("requests", refused).await;
        assert!(
            (1..=3).contains(&known),
            "{known} requests while it was refused"
        );
        simulator.clear_faults(PROVIDER);
        engine.store.lift_suspension(&account, true).await.unwrap();
        let healed = until_seen(&engine, &account, is_ok);
        let in_time = tokio::time::timeout(Duration::from_secs(40), healed).await;
        assert!(in_time.is_ok(), "it was not tried again at once");
        stop.cancel();
    };
    let running = Box::pin(engine.run(&stop));
    in_time("resume", async { tokio::join!(running, watch) }).await;
    assert_exact(&pool, &simulator, &[PROVIDER]).await;
    simulator.stop().await;
}

/// What a provider will never take holds up the stream that asked for it, and no other.
#[sqlx::test(migrations = "./migrations")]
async fn a_rejected_request_suspends_its_stream_alone(pool: PgPool) {
    let options = "check the account's options, time_zone and base_url";
    for (status, hint) in [
        (400, options),
        (404, "check base_url: there is no such API"),
        (422, options),
    ] {
        let simulator = start(history(200, 3)).await;
        let dwh = [Provider::BegatewayDwh];
        // One window of a stream at a time: another that is read would show that all is well.
        let settings = format!("{SMALL}concurrency = 1\n");
        let text = config_text(&simulator, &pool, &dwh, &settings);
        let engine = engine_of(&text).await;
        let account = account_of(dwh[0]);
        simulator.fail_next(dwh[0], Fault::Status(status));
        let stop = CancellationToken::new();
        let watch = async {
            let others = |seen: &Seen| seen.state == State::Suspended;
            let seen = until_seen(&engine, &account, others).await;
            assert!(
                seen.error.starts_with(&format!("status {status}")),
                "{seen:?}"
            );
            assert!(seen.hint.contains(hint), "{seen:?}");
            let covered = "SELECT count(*) FROM paysync.sync_health
                WHERE gap_seconds = 0 AND open_windows = 0 AND suspended_reason IS NULL";
            while count(&pool, covered).await < 3 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let waiting = "SELECT count(*) FROM paysync.streams WHERE suspended_reason IS NOT NULL";
            assert_eq!(count(&pool, waiting).await, 1);
            stop.cancel();
        };
        let syncing = async { tokio::join!(engine.sync(PATIENCE, &stop), watch).0 };
        let report = in_time("the other streams", syncing).await.unwrap();
        assert_eq!(report[0].1, Outcome::Stopped);
        engine.store.pool().close().await;

        sync_covers(&text).await;
        assert_exact(&pool, &simulator, &dwh).await;
        forget_everything(&text).await;
        simulator.stop().await;
    }
}
