//! Looking again at what is covered, by id and by count, and the walk backwards.

use paysync_simulator::Provider;
use sqlx::PgPool;

use super::SMALL;
use crate::support::{account_of, assert_exact, config_text, count, history, start, sync_covers};

const ALWAYS: &str = "[{ within = \"40d\", every = \"1ms\" }]";

/// Rows that are open here and no longer there: neither a change stream nor a rescan shows them.
#[sqlx::test(migrations = "./migrations")]
async fn non_final_rows_are_requested_by_id(pool: PgPool) {
    let mut settings = history(900, 10);
    settings.page_cap = Some(20);
    let simulator = start(settings).await;
    let both = [Provider::Firekassa, Provider::BegatewayDwh];
    let settings = format!("{SMALL}rescan = []\naudit = []\n");
    let quiet = config_text(
        &simulator,
        &pool,
        &both,
        &format!("{settings}repoll = []\n"),
    );
    let asking = config_text(
        &simulator,
        &pool,
        &both,
        &format!("{settings}repoll = {ALWAYS}\n"),
    );
    sync_covers(&asking).await;
    assert_exact(&pool, &simulator, &both).await;
    let damaged = sqlx::query(
        "UPDATE paysync.transactions SET payload_hash = gen_random_uuid(), status = 'pending', updated_at = NULL
         WHERE hashtext(provider_transaction_id) % 3 = 0 AND is_test IS NOT TRUE",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert!(damaged.rows_affected() > 400);

    sync_covers(&quiet).await;
    let left =
        "SELECT count(*) FROM paysync.transactions WHERE status = 'pending' AND updated_at IS NULL";
    assert!(count(&pool, left).await > 400);
    let coverage =
        "SELECT array_agg(coverage::text ORDER BY account_id, stream) FROM paysync.streams";
    let covered: Vec<String> = sqlx::query_scalar(coverage).fetch_one(&pool).await.unwrap();

    sync_covers(&asking).await;
    assert_exact(&pool, &simulator, &both).await;
    let after: Vec<String> = sqlx::query_scalar(coverage).fetch_one(&pool).await.unwrap();
    assert_eq!(after.len(), covered.len());
    for provider in both {
        let repolled: (i64, i64, i64) = sqlx::query_as(
            "SELECT sum(pages)::bigint, sum(items)::bigint, sum(updated)::bigint FROM paysync.windows
             WHERE account_id = $1 AND lane = 'repoll' AND outcome = 'closed'",
        )
        .bind(account_of(provider))
        .fetch_one(&pool)
        .await
        .unwrap();
        assert!(
            repolled.0 > 1 && repolled.1 >= repolled.2 && repolled.2 > 100,
            "{repolled:?}"
        );
    }
    simulator.stop().await;
}

/// The checker is checked: rows that are lost behind its back make the window a gap again.
#[sqlx::test(migrations = "./migrations")]
async fn a_count_finds_lost_rows(pool: PgPool) {
    let simulator = start(history(900, 10)).await;
    let dwh = [Provider::BegatewayDwh];
    let settings = format!("{SMALL}rescan = []\nrepoll = []\naudit = {ALWAYS}\n");
    let text = config_text(&simulator, &pool, &dwh, &settings);
    sync_covers(&text).await;
    sync_covers(&text).await;
    let audited =
        "SELECT count(*) FROM paysync.windows WHERE lane = 'audit' AND outcome = 'closed'";
    let refuted =
        "SELECT count(*) FROM paysync.windows WHERE lane = 'audit' AND provider_count > items";
    let backfilled = "SELECT count(*) FROM paysync.windows WHERE lane = 'backfill'";
    assert!(count(&pool, audited).await >= 10);
    assert_eq!(
        count(&pool, refuted).await,
        0,
        "a count that agrees refutes nothing"
    );
    let read = count(&pool, backfilled).await;

    let lost = sqlx::query(
        "WITH lost AS (
             DELETE FROM paysync.transactions
             WHERE is_test IS NOT TRUE AND created_at < now() - interval '2 days' AND hashtext(provider_transaction_id) % 100 = 0
             RETURNING account_id, provider_transaction_id
         )
         DELETE FROM paysync.raw_transactions USING lost
         WHERE (raw_transactions.account_id, raw_transactions.provider_transaction_id)
             = (lost.account_id, lost.provider_transaction_id)",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert!(lost.rows_affected() > 0);
    sync_covers(&text).await;
    assert!(count(&pool, refuted).await > 0);
    assert!(
        count(&pool, backfilled).await > read,
        "nothing was read again"
    );
    assert_exact(&pool, &simulator, &dwh).await;
    simulator.stop().await;
}

/// The backfill of the report may be walked from its newest row to its oldest.
#[sqlx::test(migrations = "./migrations")]
async fn a_backfill_can_run_backwards(pool: PgPool) {
    let simulator = start(history(900, 10)).await;
    let report = [Provider::BegatewayReport];
    let text = config_text(&simulator, &pool, &report, SMALL);
    let backwards = |before: &str| {
        let options = "options = { ";
        assert!(text.contains(options), "{text}");
        text.replace(options, &format!("{options}backfill_before = {before}, "))
    };
    // Below every row there is nothing to walk back to: the turn finds them all.
    sync_covers(&backwards("1")).await;
    assert_exact(&pool, &simulator, &report).await;
    super::forget_everything(&text).await;
    sync_covers(&backwards("9000000000000000000")).await;
    assert_exact(&pool, &simulator, &report).await;
    // Each backfill window turned, and so took more than one page.
    let short = "SELECT count(*) FROM paysync.windows WHERE lane = 'backfill' AND pages < 2";
    assert_eq!(count(&pool, short).await, 0);
    simulator.stop().await;
}
