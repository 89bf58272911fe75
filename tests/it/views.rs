//! The views for questions: their contract, and what they say about what is known to be true.

mod cases;
mod dictionary;
mod plans;
mod roles;

use std::collections::BTreeMap;

use paysync_simulator::{Handle, Provider, Settings};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::{
    account_of, assert_exact, config_text, count, history, next_second, providers, start,
    sync_covers,
};

/// Columns of `payments` that the simulator knows the truth of.
const COLUMNS: [&str; 11] = [
    "payment_id",
    "state",
    "currency",
    "amount",
    "authorized_amount",
    "captured_amount",
    "reversed_amount",
    "refunded_amount",
    "charged_back_amount",
    "net_amount",
    "steps",
];

const SETTINGS: &str = "lag = \"0s\"\noverlap = \"5s\"\npage_size = 500\n";

/// Totals made from the rows, to be compared with those that are kept.
const TOTALS_OF_ROWS: &str = "
    SELECT account_id, provider, (created_at AT TIME ZONE time_zone)::date AS day, currency, kind, status, count(*) AS transactions,
           CASE WHEN count(*) FILTER (WHERE amount IS NULL) = 0
               THEN sum(CASE WHEN status = 'succeeded' THEN coalesce(paid_amount, amount) ELSE amount END) END AS amount,
           count(*) FILTER (WHERE amount IS NULL) AS unknown_amounts
    FROM paysync.transactions JOIN paysync.accounts USING (account_id, provider)
    WHERE is_test IS NOT TRUE
    GROUP BY account_id, provider, day, currency, kind, status";

/// A change of this snapshot other than new columns at the end of a view breaks the queries that users
/// have written.
#[sqlx::test(migrations = "./migrations")]
async fn the_contract_of_the_views(pool: PgPool) {
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT format('%s.%s %s', view.relname, attribute.attname, format_type(attribute.atttypid, attribute.atttypmod))
         FROM pg_class AS view
         JOIN pg_attribute AS attribute ON attribute.attrelid = view.oid AND attribute.attnum > 0
         WHERE view.relnamespace = 'paysync'::regnamespace AND view.relkind = 'v'
         ORDER BY view.relname COLLATE \"C\", attribute.attnum",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    insta::assert_snapshot!(columns.join("\n"));
}

#[sqlx::test(migrations = "./migrations")]
async fn every_table_view_and_column_is_explained(pool: PgPool) {
    let unexplained: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws('.', relation.relname, attribute.attname)
         FROM pg_class AS relation
         LEFT JOIN pg_attribute AS attribute
             ON attribute.attrelid = relation.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
         WHERE relation.relnamespace = 'paysync'::regnamespace AND relation.relkind IN ('r', 'p', 'v', 'm')
           AND relation.relname <> '_sqlx_migrations'
           AND (obj_description(relation.oid, 'pg_class') IS NULL
                OR coalesce(col_description(relation.oid, attribute.attnum), '') = '')",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

/// Merchants of all providers, by a seed: whatever happened to a payment, the view says what the
/// simulator's own books say.
#[sqlx::test(migrations = "./migrations")]
async fn payments_show_their_final_state(pool: PgPool) {
    let seed = std::env::var("PAYSYNC_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("PAYSYNC_SEED={seed}");
    let simulator = start(Settings {
        seed,
        ..history(1500, 60)
    })
    .await;
    let text = config_text(&simulator, &pool, &providers(), SETTINGS);
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &providers()).await;
    let states = agree(&pool, &simulator).await;
    for state in [
        "pending",
        "failed",
        "canceled",
        "authorized",
        "captured",
        "partially_captured",
        "voided",
        "partially_refunded",
        "refunded",
        "charged_back",
    ] {
        assert!(
            states.contains_key(state),
            "{state} never occurred: {states:?}"
        );
    }
    assert!(!states.contains_key("unknown"), "{states:?}");
    assert_eq!(differing_totals(&pool).await, 0);
    // Life goes on: rows come and change while they are read.
    for provider in providers() {
        simulator.insert_now(provider, 150);
        simulator.touch(provider, 300);
    }
    next_second().await;
    crate::engine::forget_everything(&text).await;
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &providers()).await;
    agree(&pool, &simulator).await;
    assert_eq!(differing_totals(&pool).await, 0);
    assert!(count(&pool, "SELECT count(*) FROM paysync.transaction_history").await > 100);
    simulator.stop().await;
}

/// Compares all payments of all accounts, and returns how many there are of each state.
async fn agree(pool: &PgPool, simulator: &Handle) -> BTreeMap<String, usize> {
    // As autovacuum does in time.
    sqlx::query("ANALYZE paysync.transactions")
        .execute(pool)
        .await
        .unwrap();
    let mut states = BTreeMap::new();
    for provider in providers() {
        let true_ones: BTreeMap<String, Value> = simulator
            .payments(provider)
            .iter()
            .map(|payment| {
                (
                    payment.payment_id.clone(),
                    serde_json::to_value(payment).unwrap(),
                )
            })
            .collect();
        let found = payments(pool, provider).await;
        let wrong: Vec<String> = true_ones
            .iter()
            .filter(|(id, payment)| found.get(*id) != Some(*payment))
            .map(|(id, payment)| format!("{:?} is {payment}", found.get(id)))
            .take(5)
            .collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", provider.slug());
        assert_eq!(found.len(), true_ones.len(), "{}", provider.slug());
        assert!(found.len() > 300, "{}: {}", provider.slug(), found.len());
        for payment in true_ones.values() {
            *states
                .entry(payment["state"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
    }
    // Every step belongs to one payment.
    let counted = count(pool, "SELECT sum(steps)::bigint FROM paysync.payments").await;
    let steps = "SELECT count(*) FROM paysync.transactions
        WHERE kind NOT IN ('payout', 'verification', 'other') AND is_test IS NOT TRUE";
    assert_eq!(counted, count(pool, steps).await);
    states
}

/// What the view says of an account, as the simulator writes it.
async fn payments(pool: &PgPool, provider: Provider) -> BTreeMap<String, Value> {
    let values = COLUMNS.map(|column| {
        if column.ends_with("amount") {
            format!("trim_scale({column})::text")
        } else {
            format!("{column}::text")
        }
    });
    let sql = format!(
        "SELECT json_object(ARRAY['{}'], ARRAY[{}])::text FROM paysync.payments WHERE account_id = $1",
        COLUMNS.join("', '"),
        values.join(", ")
    );
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(account_of(provider))
        .fetch_all(pool)
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            let row: Map<String, Value> = serde_json::from_str(row).unwrap();
            (
                row["payment_id"].as_str().unwrap().to_owned(),
                Value::Object(row),
            )
        })
        .collect()
}

/// How many of the kept totals are not those of the rows.
async fn differing_totals(pool: &PgPool) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM (
            (SELECT * FROM paysync.daily_totals EXCEPT ALL ({TOTALS_OF_ROWS}))
            UNION ALL
            (({TOTALS_OF_ROWS}) EXCEPT ALL SELECT * FROM paysync.daily_totals)
        ) AS differing"
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(pool)
        .await
        .unwrap()
}
