//! Responses that are wrong, late, missing or hostile.

use std::time::Duration;

use chrono::TimeDelta;
use paysync::engine::Outcome;
use paysync_provider::model::Window;
use paysync_simulator::Fault;
use sqlx::PgPool;

use crate::engine::{SMALL, fetch, forget_everything};
use crate::support::{
    assert_exact, config_text, count, engine_of, history, providers, start, sync, sync_covers,
    versions,
};

#[sqlx::test(migrations = "./migrations")]
async fn bad_responses_leave_the_tables_exact(pool: PgPool) {
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
    let mut faulty = 0;
    for fault in faults {
        faulty += 1;
        for provider in providers() {
            simulator.fail_next(provider, fault.clone());
        }
        sync_covers(&text).await;
        for provider in providers() {
            assert_eq!(simulator.requests(provider).faults, faulty, "{fault:?}");
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
async fn random_faults_only_cost_time(pool: PgPool) {
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
        let body = fetch(&account, &stream.spec.name, old, 45).await.body;
        // A stream whose items do not show its axis cannot notice; it must end nevertheless.
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
        // The rows that it sent meanwhile were outside of the requested windows.
        forget_everything(&text).await;
        sync_covers(&text).await;
        assert_exact(&pool, &simulator, &[provider]).await;
        simulator.stop().await;
    }
}
