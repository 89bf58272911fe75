//! Migrations, and the registration of accounts and streams.

use chrono::TimeDelta;
use paysync::store::Store;
use paysync::store::progress::stream::NewStream;
use sqlx::PgPool;

use crate::store::{ACCOUNT, STREAM, hour, leased_store, new_stream, state};

#[sqlx::test(migrations = "./migrations")]
async fn the_program_and_the_tests_migrate_alike(pool: PgPool) {
    let store = Store::with_pool(pool.clone());
    store.migrate().await.unwrap();
    let kept: (Option<String>, Option<String>) = sqlx::query_as(
        "SELECT to_regclass('paysync._sqlx_migrations')::text, to_regclass('public._sqlx_migrations')::text",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(kept, (Some("paysync._sqlx_migrations".to_owned()), None));
}

#[sqlx::test(migrations = "./migrations")]
async fn an_empty_database_is_migrated_by_the_program(pool: PgPool) {
    sqlx::query("DROP SCHEMA paysync CASCADE")
        .execute(&pool)
        .await
        .unwrap();
    let store = Store::with_pool(pool.clone());
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    let (_store, _lease) = leased_store(&pool).await;
    let skew = store.ping().await.unwrap() - crate::support::now();
    assert!(skew.abs() < TimeDelta::minutes(5), "{skew}");
    assert!(!store.server_version().await.unwrap().is_empty());
}

#[sqlx::test(migrations = "./migrations")]
async fn a_repeated_registration_writes_nothing(pool: PgPool) {
    let written = || async {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT format('%s %s %s', account_id, xmin, ctid) FROM paysync.accounts
             UNION ALL SELECT format('%s %s %s', stream, xmin, ctid) FROM paysync.streams ORDER BY 1",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        rows
    };
    let store = Store::with_pool(pool.clone());
    let register = |zone: &'static str, new: NewStream<'static>| {
        let store = store.clone();
        async move {
            store
                .register_account(ACCOUNT, "convergegate", zone)
                .await
                .unwrap();
            store.register_stream(ACCOUNT, &new).await.unwrap();
        }
    };
    register("UTC", new_stream(STREAM)).await;
    let before = written().await;
    assert_eq!(before.len(), 2);
    register("UTC", new_stream(STREAM)).await;
    assert_eq!(written().await, before);

    let earlier = NewStream {
        wanted_from: hour(-5),
        ..new_stream(STREAM)
    };
    register("Europe/Riga", earlier).await;
    let after = written().await;
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|row| !before.contains(row)), "{after:?}");
    assert_eq!(state(&store).await.progress.wanted_from, hour(-5));
    let first_seen = store.account(ACCOUNT).await.unwrap().first_seen_at;
    register("UTC", new_stream(STREAM)).await;
    let again = store.account(ACCOUNT).await.unwrap().first_seen_at;
    assert_eq!(first_seen, again);
}
