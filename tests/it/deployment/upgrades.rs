//! Databases as earlier versions left them (`scripts/keep-database`) are brought up to date, and lose nothing; the same
//! is a dump of the rows alone that is restored. A database of a development build is refused.

use std::path::Path;

use chrono::TimeDelta;
use paysync::app::App;
use paysync::store::{Store, StoreError};
use paysync_simulator::{Handle, Settings};
use sqlx::{AssertSqlSafe, PgPool};

use crate::engine::forget_everything;
use crate::support::{
    assert_exact, assert_recounted, config_of, config_text, count, engine_of, providers, start,
    sync_covers, verification,
};

/// What no migration takes from a user.
const KEPT: &[&str] = &[
    "transactions",
    "raw_transactions",
    "transaction_history",
    "quarantine",
    "accounts",
];

/// The history that is in the databases.
async fn simulator() -> Handle {
    let until = "2026-11-20T00:00:00Z".parse().unwrap();
    let settings = Settings {
        rows: 40,
        changed: 4,
        from: until - TimeDelta::days(3),
        ..Settings::new(until, 3)
    };
    start(settings).await
}

/// Rows of a table as JSON, each column that it has.
async fn rows(pool: &PgPool, table: &str) -> Vec<serde_json::Value> {
    let sql = format!("SELECT to_jsonb(held) FROM paysync.{table} AS held ORDER BY held::text");
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn load(pool: &PgPool, text: &str) {
    let mut connection = pool.acquire().await.unwrap();
    // Its triggers and references have done their work where it comes from.
    let text = format!("SET session_replication_role = replica; {text}");
    sqlx::raw_sql(AssertSqlSafe(text))
        .execute(&mut *connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// Every row of before is there, with every value that it had.
fn assert_kept(table: &str, before: &[serde_json::Value], after: &[serde_json::Value]) {
    let is_within = |old: &serde_json::Value, new: &serde_json::Value| {
        let (old, new) = (old.as_object().unwrap(), new.as_object().unwrap());
        old.iter()
            .all(|(column, value)| new.get(column) == Some(value))
    };
    assert_eq!(before.len(), after.len(), "{table}");
    for old in before {
        assert!(
            after.iter().any(|new| is_within(old, new)),
            "{table}: {old}"
        );
    }
}

async fn bring_up_to_date(pool: &PgPool, file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let schema = text.lines().next().unwrap().strip_prefix("-- schema ");
    let schema: i64 = schema.unwrap().parse().unwrap();
    sqlx::migrate!().run_to(schema, pool).await.unwrap();
    load(pool, &text).await;
    let mut before = Vec::new();
    for table in KEPT {
        before.push(rows(pool, table).await);
    }
    assert!(before[0].len() >= 150 && before[2].len() >= 20, "{file:?}");

    let simulator = simulator().await;
    let config = config_text(&simulator, pool, &providers(), "");
    let store = App::new(&config_of(&config), &[]).unwrap().engine.store;
    store.migrate().await.unwrap();
    for (table, before) in KEPT.iter().zip(&before) {
        assert_kept(table, before, &rows(pool, table).await);
    }
    store.pool().close().await;
    let uncounted = "SELECT count(*) FROM (
        SELECT account_id, count(*) FROM paysync.transactions WHERE is_test IS NOT TRUE GROUP BY account_id
        EXCEPT SELECT account_id, sum(transactions)::bigint FROM paysync.daily_totals GROUP BY account_id
    ) AS uncounted";
    assert_eq!(count(pool, uncounted).await, 0);

    assert_recounted(pool).await;

    // It proves what the earlier version had read, and goes on from there.
    let verification = verification(&engine_of(&config).await).await;
    assert!(verification.proven, "{file:?}: {verification:#?}");
    sync_covers(&config).await;
    assert_exact(pool, &simulator, &providers()).await;
    forget_everything(&config).await;
    sync_covers(&config).await;
    assert_exact(pool, &simulator, &providers()).await;
    for (table, before) in KEPT.iter().zip(&before).take(3) {
        assert_eq!(rows(pool, table).await.len(), before.len(), "{table}");
    }
    simulator.stop().await;
}

#[sqlx::test(migrations = false)]
async fn databases_of_earlier_versions_lose_nothing(pool: PgPool) {
    let folder = Path::new("tests/fixtures/databases");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        bring_up_to_date(&pool, &file).await;
        let drop = "DROP SCHEMA paysync CASCADE";
        sqlx::raw_sql(drop).execute(&pool).await.unwrap();
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn a_development_build_is_refused(pool: PgPool) {
    let store = Store::with_pool(pool.clone());
    store.migrate().await.unwrap();
    for (damage, is_development_build) in [
        ("UPDATE paysync._sqlx_migrations SET checksum = ''", true),
        (
            "UPDATE paysync._sqlx_migrations SET version = 20261121090000 WHERE version = (SELECT min(version) FROM paysync._sqlx_migrations)",
            true,
        ),
        (
            "INSERT INTO paysync._sqlx_migrations (version, description, success, checksum, execution_time) VALUES (20990101000000, '', true, '', 0)",
            false,
        ),
    ] {
        let mut work = pool.begin().await.unwrap();
        let kept = "CREATE TABLE public.kept AS TABLE paysync._sqlx_migrations";
        sqlx::raw_sql(AssertSqlSafe(format!("{kept}; {damage}")))
            .execute(&mut *work)
            .await
            .unwrap();
        work.commit().await.unwrap();
        let refused = store.migrate().await.unwrap_err();
        assert_eq!(
            matches!(refused, StoreError::DevelopmentBuild),
            is_development_build,
            "{refused:?}"
        );
        assert_eq!(
            refused
                .advice()
                .is_some_and(|advice| advice.contains("DROP SCHEMA paysync")),
            is_development_build
        );
        sqlx::raw_sql(
            "TRUNCATE paysync._sqlx_migrations; INSERT INTO paysync._sqlx_migrations TABLE public.kept; DROP TABLE public.kept",
        )
        .execute(&pool)
        .await
        .unwrap();
    }
    store.migrate().await.unwrap();
}
