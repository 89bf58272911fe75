//! Incorrect paging: cursors that repeat, promises of more, rows outside of the window, and pages that are
//! smaller than requested.
//!
//! Where paysync can notice the error, it covers nothing; where the error does no harm, it loses nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use paysync::engine::Outcome;
use paysync_provider::model::Window;
use paysync_provider::{Position, Response};
use paysync_simulator::{Fault, Handle, Provider};
use sqlx::PgPool;

use super::SMALL;
use crate::support::{
    account_of, assert_exact, config_text, count, engine_of, history, ledger, now, providers,
    start, sync, sync_covers,
};

/// Old windows are read once: nothing repairs later what is lost now.
const ONCE: &str =
    "page_size = 50\nlag = \"0s\"\noverlap = \"5s\"\nrescan = []\nrepoll = []\naudit = []\n";

/// The first page of a provider's whole history.
async fn first_page(simulator: &Handle, pool: &PgPool, provider: Provider) -> (Response, String) {
    let text = config_text(simulator, pool, &[provider], SMALL);
    let engine = engine_of(&text).await;
    let account = engine.accounts[0].clone();
    let whole = Window::new(simulator.settings().from, simulator.settings().until).unwrap();
    let at = Position {
        stream: &account.streams[0].spec.name,
        window: whole,
        checkpoint: None,
        page_size: 50,
    };
    let request = account.provider.request(&at).unwrap();
    let answer = account
        .client
        .send(&*account.provider, request, now())
        .await;
    let response = answer.unwrap().response;
    let page = account.provider.page(&at, &response).unwrap();
    let item = page.items[0].get().to_owned();
    engine.store.pool().close().await;
    (response, item)
}

/// Errors of the provider's streams, with their hints.
async fn errors(pool: &PgPool, provider: Provider) -> Vec<(String, String)> {
    sqlx::query_as(
        "SELECT last_error, hint FROM paysync.sync_health WHERE account_id = $1 AND last_error IS NOT NULL",
    )
    .bind(account_of(provider))
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrations = "./migrations")]
async fn smaller_pages_than_asked_for_lose_nothing(pool: PgPool) {
    let mut settings = history(200, 4);
    settings.page_cap = Some(7);
    settings.burst = 20;
    let simulator = start(settings).await;
    sync_covers(&config_text(&simulator, &pool, &providers(), ONCE)).await;
    assert_exact(&pool, &simulator, &providers()).await;
    simulator.stop().await;
}

/// The same first page again and again, as if the cursor meant nothing.
#[sqlx::test(migrations = "./migrations")]
async fn a_repeated_cursor_is_no_endless_loop(pool: PgPool) {
    for (provider, error, hint) in [
        (
            Provider::BegatewayDwh,
            "the provider's cursor repeats",
            "raise page_size",
        ),
        (
            Provider::BegatewayReport,
            "the object id is the one the page started from",
            "its paging is broken",
        ),
        (
            Provider::Firekassa,
            "the page number differs from the requested one",
            "its paging is broken",
        ),
    ] {
        let mut settings = history(200, 3);
        // Ten rows would be enough to see that they are others than those asked for.
        settings.page_cap = Some(9);
        let simulator = start(settings).await;
        let text = config_text(&simulator, &pool, &[provider], ONCE);
        let (page, _) = first_page(&simulator, &pool, provider).await;
        for _ in 0..1_000 {
            simulator.fail_next(provider, Fault::Body(page.body.clone()));
        }
        let before = simulator.requests(provider).requests;
        let engine = engine_of(&text).await;
        let outcomes = sync(&engine, Duration::from_secs(2)).await;
        assert_eq!(outcomes[&account_of(provider)], Outcome::GaveUp);
        engine.store.pool().close().await;
        let requests = simulator.requests(provider).requests - before;
        assert!(
            (2..100).contains(&requests),
            "{provider:?}: {requests} requests"
        );
        let errors = errors(&pool, provider).await;
        let is_expected =
            |(said, help): &(String, String)| said.contains(error) && help.contains(hint);
        assert!(errors.iter().any(is_expected), "{provider:?}: {errors:?}");

        simulator.clear_faults(provider);
        sync_covers(&text).await;
        assert_exact(&pool, &simulator, &[provider]).await;
        simulator.stop().await;
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn an_empty_page_that_promises_more_is_an_error(pool: PgPool) {
    let simulator = start(history(200, 3)).await;
    let pages = [
        (
            Provider::BegatewayDwh,
            r#"{"data":{"transactions":[],"pagination":{"has_next_page":true,"next_date":"2026-01-01T00:00:00.000000+00:00","next_uid":"a"}}}"#,
        ),
        (
            Provider::BegatewayReport,
            r#"{"transactions":[],"count":0,"has_more":true,"first_object_id":1,"last_object_id":2}"#,
        ),
        (
            Provider::Convergegate,
            r#"{"timestamp":"2026-01-01T00:00:00","status":200,"result":[],"hasMore":true}"#,
        ),
    ];
    let affected = pages.map(|(provider, _)| provider);
    let text = config_text(&simulator, &pool, &affected, ONCE);
    for (provider, page) in pages {
        for _ in 0..100 {
            simulator.fail_next(provider, Fault::Body(page.to_owned()));
        }
    }
    let engine = engine_of(&text).await;
    let outcomes = sync(&engine, Duration::from_secs(2)).await;
    engine.store.pool().close().await;
    let covered = "SELECT count(*) FROM paysync.streams WHERE NOT isempty(coverage)";
    assert_eq!(count(&pool, covered).await, 0);
    for provider in affected {
        assert_eq!(outcomes[&account_of(provider)], Outcome::GaveUp);
        for (error, hint) in errors(&pool, provider).await {
            assert_eq!(error, "the page is empty and yet promises more");
            assert!(hint.contains("its paging is broken"), "{hint}");
        }
        assert!(!errors(&pool, provider).await.is_empty());
        simulator.clear_faults(provider);
    }
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &affected).await;
    simulator.stop().await;
}

/// Some rows beside those asked for: they are stored, counted, and keep nothing from being read.
#[sqlx::test(migrations = "./migrations")]
async fn some_rows_outside_the_window_are_stored_and_counted(pool: PgPool) {
    let simulator = start(history(200, 4)).await;
    // Where items need not show the time that is filtered, nothing can be noticed.
    let shown = [
        Provider::BegatewayDwh,
        Provider::BegatewayReport,
        Provider::Convergegate,
        Provider::Firekassa,
    ];
    for provider in shown {
        let text = config_text(&simulator, &pool, &[provider], ONCE);
        let (_, item) = first_page(&simulator, &pool, provider).await;
        for _ in 0..8 {
            simulator.fail_next(provider, Fault::Extra(item.clone()));
        }
        sync_covers(&text).await;
        assert!(simulator.requests(provider).faults > 0, "{provider:?}");
        simulator.clear_faults(provider);
        assert_exact(&pool, &simulator, &[provider]).await;
        let outside: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT outside, items FROM paysync.windows WHERE account_id = $1 AND outside > 0",
        )
        .bind(account_of(provider))
        .fetch_all(&pool)
        .await
        .unwrap();
        assert!(!outside.is_empty(), "{provider:?}");
        assert!(outside.iter().all(|(outside, items)| outside <= items));
    }
    simulator.stop().await;
}

/// An installation of 2023 pages by time alone, which is enough while a page holds more rows than
/// share a time.
#[sqlx::test(migrations = "./migrations")]
async fn a_cursor_without_uids_is_enough_for_most(pool: PgPool) {
    let mut settings = history(400, 4);
    settings.dwh_without_uids = true;
    settings.burst = 40;
    let simulator = start(settings).await;
    let dwh = [Provider::BegatewayDwh];
    sync_covers(&config_text(&simulator, &pool, &dwh, ONCE)).await;
    assert_exact(&pool, &simulator, &dwh).await;
    simulator.stop().await;
}

/// Where more rows share a time than a page holds, the window fails, and that time is not covered.
#[sqlx::test(migrations = "./migrations")]
async fn a_cursor_without_uids_never_covers_unread_rows(pool: PgPool) {
    let mut settings = history(400, 4);
    settings.dwh_without_uids = true;
    settings.burst = 120;
    let simulator = start(settings).await;
    let dwh = [Provider::BegatewayDwh];
    let text = config_text(&simulator, &pool, &dwh, ONCE);
    let engine = engine_of(&text).await;
    let mut said = Vec::new();
    // On a busy machine the time may be over before the burst is read.
    for _ in 0..10 {
        let outcomes = sync(&engine, Duration::from_secs(3)).await;
        assert_eq!(outcomes[&account_of(dwh[0])], Outcome::GaveUp);
        said = errors(&pool, dwh[0]).await;
        if !said.is_empty() {
            break;
        }
    }
    engine.store.pool().close().await;
    assert!(!said.is_empty());
    for (error, hint) in said {
        assert!(error.contains("the provider's cursor repeats"), "{error}");
        assert!(hint.contains("raise page_size"), "{hint}");
    }
    let covers: Vec<bool> = sqlx::query_scalar(
        "SELECT coverage @> $2::text::timestamptz FROM paysync.streams
         WHERE account_id = $1 AND stream = 'created_at' AND NOT isempty(coverage)",
    )
    .bind(account_of(dwh[0]))
    .bind(time_of_the_burst(&simulator, dwh[0]))
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(covers, [false], "all around it is covered, and it is not");

    sync_covers(&text.replace("page_size = 50", "page_size = 200")).await;
    assert_exact(&pool, &simulator, &dwh).await;
    simulator.stop().await;
}

/// The time that most rows were created at.
fn time_of_the_burst(simulator: &Handle, provider: Provider) -> String {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for row in ledger(simulator, provider).values() {
        *times.entry(row["created_at"].to_string()).or_default() += 1;
    }
    let (time, _) = times.into_iter().max_by_key(|(_, rows)| *rows).unwrap();
    time.trim_matches('"').to_owned()
}

/// More rows of one instant than many pages hold, where the cursor can tell them apart.
#[sqlx::test(migrations = "./migrations")]
async fn thousands_of_rows_may_share_one_instant(pool: PgPool) {
    let mut settings = history(3_300, 3);
    settings.burst = 3_000;
    settings.page_cap = Some(400);
    let simulator = start(settings).await;
    let stable = [
        Provider::BegatewayDwh,
        Provider::BegatewayReport,
        Provider::Firekassa,
    ];
    let text = config_text(&simulator, &pool, &stable, &ONCE.replace("50", "400"));
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &stable).await;
    simulator.stop().await;
}
