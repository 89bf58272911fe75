//! Faults that schedules found, each by itself.

use std::sync::Arc;

use chrono::TimeDelta;
use paysync::engine::Outcome;
use paysync::store::{Store, StoreError};
use paysync_simulator::Provider;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use super::process::WrongClock;
use crate::support::{
    TIMEOUT, assert_exact, config_text, engine_of, history, next_second, start, sync, sync_covers,
};

/// Their streams show every change, so nothing is read twice.
const SHOWING: [Provider; 2] = [Provider::Convergegate, Provider::BegatewayDwh];

const ONCE: &str =
    "page_size = 50\nlag = \"0s\"\noverlap = \"5s\"\nrescan = []\nrepoll = []\naudit = []\n";

/// What a machine takes for the past may be the future: were it covered, the rows made there later
/// would be lost.
#[sqlx::test(migrations = "./migrations")]
async fn a_machine_whose_clock_is_wrong_loses_nothing(pool: PgPool) {
    let simulator = start(history(200, 3)).await;
    let text = config_text(&simulator, &pool, &SHOWING, ONCE);
    for hours in [1, -1] {
        let mut engine = engine_of(&text).await;
        engine.clock = Arc::new(WrongClock(TimeDelta::hours(hours)));
        let outcomes = sync(&engine, TIMEOUT).await;
        assert!(
            outcomes
                .values()
                .all(|outcome| *outcome == Outcome::Covered)
        );
        engine.store.pool().close().await;
        for provider in SHOWING {
            simulator.insert_now(provider, 10);
            simulator.touch(provider, 10);
        }
    }
    next_second().await;
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &SHOWING).await;
    simulator.stop().await;
}

/// A database that takes no connections for a while is away: the daemon waits for it.
#[sqlx::test(migrations = false)]
async fn the_daemon_waits_for_a_closed_database(pool: PgPool) {
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&pool)
        .await
        .unwrap();
    // A session cannot close its own database to connections.
    let mut outside = PgConnection::connect(&std::env::var("DATABASE_URL").unwrap())
        .await
        .unwrap();
    let mut set = async |what: &str| {
        let statement = format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS {what}");
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut outside)
            .await
            .unwrap();
    };
    let store = Store::with_pool(pool);
    set("false").await;
    let error = store.reach().await.unwrap_err();
    set("true").await;
    assert!(matches!(error, StoreError::Away(_)), "{error:?}");
    store.reach().await.unwrap();
}
