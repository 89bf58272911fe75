//! A provider that cannot be reached, and responses without an end.

use std::sync::atomic::Ordering;

use paysync::engine::Outcome;
use paysync::engine::failure::{Directive, Failure};
use paysync::engine::inspect::status::State;
use paysync::transport::MAX_BODY_BYTES;
use paysync_provider::Request;
use paysync_simulator::Fault;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::engine::SMALL;
use crate::engine::failures::{PROVIDER, is_ok, until_seen};
use crate::support::servers;
use crate::support::{
    TIMEOUT, account_of, assert_exact, config_text, differences, engine_of, history, in_time,
    ledger, now, start, stored, sync_covers,
};

/// The start of gzip: its header, and a blank said 259 times.
const BLANKS: &[u8] = &[31, 139, 8, 0, 0, 0, 0, 0, 0, 255, 82, 24, 5];

/// A piece of gzip that says the same 2064 times more, and may be repeated without an end.
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

#[sqlx::test(migrations = "./migrations")]
async fn an_unreachable_provider_is_reported_and_delays_no_other(pool: PgPool) {
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
            let reported = parts.iter().all(|part| seen.error.contains(part));
            assert!(reported && seen.hint.contains(hint), "{name}: {seen:?}");
            assert_eq!(seen.error.lines().count(), 1, "{name}: {seen:?}");
        }
        // Those that fail go on failing; the one that works is done all the same.
        until_seen(&engine, &account_of(PROVIDER), is_ok).await;
        stop.cancel();
    };
    let syncing = async { tokio::join!(engine.sync(TIMEOUT, &stop), watch).0 };
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
async fn an_endless_response_is_dropped_at_the_size_limit(pool: PgPool) {
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
