//! Answers that are wrong, late, missing or hostile.

use std::time::Duration;

use chrono::TimeDelta;
use paysync::engine::{Account, Outcome};
use paysync_provider::model::Window;
use paysync_provider::{Position, Response};
use paysync_simulator::{Fault, Provider};
use sqlx::PgPool;

use super::{SMALL, forget_everything};
use crate::support::{
    account_of, assert_exact, config_text, count, engine_of, history, now, providers, start, sync,
    sync_covers, versions,
};

/// What a true answer about a window looks like.
pub(super) async fn answer(
    account: &Account,
    stream: &str,
    window: Window,
    page_size: u32,
) -> Response {
    let at = Position {
        stream,
        window,
        checkpoint: None,
        page_size,
    };
    let request = account.provider.request(&at).unwrap();
    let answer = account
        .client
        .send(&*account.provider, request, now())
        .await;
    answer.unwrap().response
}

#[sqlx::test(migrations = "./migrations")]
async fn whatever_goes_wrong_on_the_way_the_tables_are_right(pool: PgPool) {
    let simulator = start(history(200, 3)).await;
    let settings = format!("{SMALL}timeout = \"1s\"\n");
    let text = config_text(&simulator, &pool, &providers(), &settings);
    let faults = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(408),
        Fault::Html,
        Fault::Truncated,
        Fault::RateLimited(Some("1".to_owned())),
        Fault::RateLimited(None),
        Fault::Reset,
        Fault::WrongJson,
        Fault::Body("null".to_owned()),
        Fault::Body(String::new()),
        Fault::Timeout,
    ];
    let mut before = Vec::new();
    let mut met = 0;
    for fault in faults {
        met += 1;
        for provider in providers() {
            simulator.fail_next(provider, fault.clone());
        }
        sync_covers(&text).await;
        for provider in providers() {
            assert_eq!(simulator.requests(provider).faults, met, "{fault:?}");
        }
        assert_exact(&pool, &simulator, &providers()).await;
        let after = versions(&pool).await;
        assert!(before.is_empty() || before == after, "{fault:?}");
        before = after;
        forget_everything(&text).await;
    }
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.quarantine").await,
        0
    );
    simulator.stop().await;
}

/// Many at once, so that tries are used up and windows are left and taken up again.
#[sqlx::test(migrations = "./migrations")]
async fn faults_by_chance_only_cost_time(pool: PgPool) {
    let mut settings = history(300, 3);
    settings.fail_per_mille = 200;
    let simulator = start(settings).await;
    let text = config_text(&simulator, &pool, &providers(), SMALL);
    sync_covers(&text).await;
    for provider in providers() {
        assert!(simulator.requests(provider).faults > 0);
    }
    assert_exact(&pool, &simulator, &providers()).await;
    simulator.stop().await;
}

#[sqlx::test(migrations = "./migrations")]
async fn a_wrong_token_suspends_its_account_alone(pool: PgPool) {
    let simulator = start(history(100, 3)).await;
    let both = [Provider::Convergegate, Provider::BegatewayDwh];
    let right = config_text(&simulator, &pool, &both, SMALL);
    let wrong = right.replace("\"simulator-token\"", "\"not-the-token\"");
    assert_ne!(right, wrong);
    let (refused, other) = (account_of(both[0]), account_of(both[1]));

    let engine = engine_of(&wrong).await;
    let outcomes = sync(&engine, Duration::from_secs(2)).await;
    assert_eq!(outcomes[&refused], Outcome::GaveUp);
    assert_eq!(outcomes[&other], Outcome::Covered);
    engine.store.pool().close().await;
    let said: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT account_id, suspended_reason, hint FROM paysync.accounts WHERE suspended_at IS NOT NULL",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let [(account, Some(reason), Some(hint))] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert_eq!(*account, refused);
    assert!(
        reason.contains("401") && reason.contains("Unauthorized"),
        "{reason}"
    );
    assert!(hint.contains("credentials"), "{hint}");
    assert!(!reason.contains("not-the-token"), "{reason}");
    // The account is probed, not stormed.
    let requests = simulator.requests(both[0]).requests;
    assert!(
        (2..=8).contains(&requests),
        "{requests} requests with a wrong token"
    );

    sync_covers(&right).await;
    assert_exact(&pool, &simulator, &both).await;
    let left = "SELECT count(*) FROM paysync.sync_health WHERE suspended_reason IS NOT NULL";
    assert_eq!(count(&pool, left).await, 0);
    simulator.stop().await;
}

/// A provider that ignores the filter always sends the same rows, however old.
#[sqlx::test(migrations = "./migrations")]
async fn an_ignored_filter_is_noticed_on_the_first_page(pool: PgPool) {
    for provider in providers() {
        let simulator = start(history(1_000, 10)).await;
        let text = config_text(&simulator, &pool, &[provider], SMALL);
        let engine = engine_of(&text).await;
        let account = engine.accounts[0].clone();
        // Where items need not show the time that is filtered, nothing can be noticed.
        let Some(stream) = account
            .streams
            .iter()
            .find(|stream| stream.spec.axis.is_some())
        else {
            continue;
        };
        let from = simulator.settings().from;
        let old = Window::new(from, from + TimeDelta::days(1)).unwrap();
        let body = answer(&account, &stream.spec.name, old, 45).await.body;
        // A stream whose items do not show its axis cannot notice; it shall not go on for ever.
        let body = body.replace("\"hasMore\":true", "\"hasMore\":false");
        for _ in 0..1_000 {
            simulator.fail_next(provider, Fault::Body(body.clone()));
        }
        let outcomes = sync(&engine, Duration::from_secs(2)).await;
        assert_eq!(outcomes[&account.id], Outcome::GaveUp, "{}", account.id);
        engine.store.pool().close().await;
        let said: (Option<String>, Option<String>, bool) = sqlx::query_as(
            "SELECT suspended_reason, hint, isempty(coverage) FROM paysync.streams
             WHERE account_id = $1 AND stream = $2",
        )
        .bind(&account.id)
        .bind(&stream.spec.name)
        .fetch_one(&pool)
        .await
        .unwrap();
        let (Some(reason), Some(hint), true) = said else {
            panic!(
                "{} is not suspended, or claims to have read something",
                account.id
            );
        };
        assert!(reason.contains("outside the window"), "{reason}");
        assert!(hint.contains("filter"), "{hint}");

        simulator.clear_faults(provider);
        // What it sent meanwhile was no answer to what was asked.
        forget_everything(&text).await;
        sync_covers(&text).await;
        assert_exact(&pool, &simulator, &[provider]).await;
        simulator.stop().await;
    }
}
