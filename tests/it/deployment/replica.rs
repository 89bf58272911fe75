//! A logical replica of all tables: it proves the same, shows the same totals, and takes over.

use paysync::app::App;
use paysync::launcher::{Cluster, Options};
use sqlx::{AssertSqlSafe, PgPool};

use crate::engine::{SMALL, forget_everything};
use crate::support::{
    assert_exact, assert_recounted, config_of, config_text, count, eventually, history, providers,
    start, sync_covers, verification,
};

async fn execute(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(pool)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// A server that decodes its WAL.
async fn server(directory: &std::path::Path) -> Cluster {
    let options = Options {
        directory: Some(directory.to_owned()),
        ..Options::default()
    };
    let first = Cluster::start(&options).await.unwrap();
    let pool = PgPool::connect(&first.url("postgres")).await.unwrap();
    execute(&pool, "ALTER SYSTEM SET wal_level = 'logical'").await;
    pool.close().await;
    first.stop().await.unwrap();
    Cluster::start(&options).await.unwrap()
}

/// All that people read, and the ledger behind it.
async fn contents(pool: &PgPool) -> Vec<String> {
    let mut contents = Vec::new();
    for table in [
        "transactions",
        "raw_transactions",
        "transaction_history",
        "quarantine",
        "windows",
        "window_totals",
        "streams",
        "daily_sums",
        "daily_totals",
        "payments",
    ] {
        let sql = format!(
            "SELECT '{table} ' || to_jsonb(held)::text FROM paysync.{table} AS held ORDER BY 1"
        );
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(pool)
            .await
            .unwrap();
        assert!(
            !rows.is_empty() || ["quarantine", "window_totals"].contains(&table),
            "{table}"
        );
        contents.extend(rows);
    }
    contents
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logical_replica_is_proven_and_takes_over() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = server(directory.path()).await;
    let mut pools = Vec::new();
    for name in ["primary", "replica"] {
        let url = cluster.create_database(name).await.unwrap();
        pools.push(PgPool::connect(&url).await.unwrap());
    }
    let [primary, replica] = &pools[..] else {
        unreachable!()
    };
    let mut settings = history(120, 3);
    let before = start(settings.clone()).await;
    settings.changed = 3;
    let simulator = start(settings).await;
    let first = config_text(&before, primary, &providers(), SMALL);
    let [on_primary, on_replica] =
        [primary, replica].map(|pool| config_text(&simulator, pool, &providers(), SMALL));
    for text in [&on_primary, &on_replica] {
        let engine = App::new(&config_of(text), &[]).unwrap().engine;
        engine.store.migrate().await.unwrap();
        engine.store.pool().close().await;
    }
    // The replica has the schema; the rows of all tables come from the primary.
    execute(replica, "TRUNCATE paysync._sqlx_migrations").await;
    execute(primary, "CREATE PUBLICATION everything FOR ALL TABLES").await;
    execute(
        primary,
        "SELECT pg_create_logical_replication_slot('everything', 'pgoutput')",
    )
    .await;
    let url = cluster.url("primary");
    execute(
        replica,
        &format!("CREATE SUBSCRIPTION everything CONNECTION '{url}' PUBLICATION everything WITH (create_slot = false)"),
    )
    .await;
    // Each sync moves windows, and folds its sums at the end; the second brings versions.
    sync_covers(&first).await;
    before.stop().await;
    forget_everything(&first).await;
    sync_covers(&on_primary).await;

    let expected = contents(primary).await;
    eventually("the replica has caught up", async || {
        contents(replica).await == expected
    })
    .await;
    let engine = App::new(&config_of(&on_replica), &[]).unwrap().engine;
    let verified = verification(&engine).await;
    assert!(verified.proven, "{verified:#?}");
    engine.store.pool().close().await;
    assert_recounted(replica).await;

    // The primary is gone; the replica's windows get numbers of their own.
    execute(replica, "ALTER SUBSCRIPTION everything DISABLE").await;
    execute(
        replica,
        "ALTER SUBSCRIPTION everything SET (slot_name = NONE)",
    )
    .await;
    execute(replica, "DROP SUBSCRIPTION everything").await;
    forget_everything(&on_replica).await;
    sync_covers(&on_replica).await;
    assert_exact(replica, &simulator, &providers()).await;
    let unordered = "SELECT count(*) FROM paysync.windows AS earlier JOIN paysync.windows AS later USING (account_id)
                     WHERE earlier.opened_at < later.opened_at AND earlier.window_id >= later.window_id";
    assert_eq!(count(replica, unordered).await, 0);
    simulator.stop().await;
    for pool in &pools {
        pool.close().await;
    }
    cluster.stop().await.unwrap();
}
