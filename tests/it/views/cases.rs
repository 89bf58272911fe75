//! Small cases of the views, written by hand: what the simulator's merchants do not do.

mod payments;
mod totals;

use paysync::store::Store;
use sqlx::{AssertSqlSafe, PgPool};

/// Columns of a step: id, parent, group, kind, status, amount, currency, minutes after the first.
type Step = (
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
    i32,
);

async fn account(pool: &PgPool, id: &str, zone: &str) {
    let store = Store::with_pool(pool.clone());
    store
        .register_account(id, "begateway_report", zone)
        .await
        .unwrap();
}

async fn store(pool: &PgPool, account: &str, steps: &[Step]) {
    for (id, parent, group, kind, status, amount, currency, minutes) in steps {
        sqlx::query(
            "INSERT INTO paysync.transactions (account_id, provider, provider_transaction_id, parent_transaction_id, payment_group_id,
                 merchant_reference, kind, status, amount, currency, created_at, payload_hash, observed_at)
             VALUES ($1, 'begateway_report', $2, $3, $4, 'order', $5, $6, $7::numeric, $8,
                 '2026-03-01T23:30:00Z'::timestamptz + make_interval(mins => $9), gen_random_uuid(), now())",
        )
        .bind(account)
        .bind(id)
        .bind(parent)
        .bind(group)
        .bind(kind)
        .bind(status)
        .bind(amount)
        .bind(currency)
        .bind(minutes)
        .execute(pool)
        .await
        .unwrap();
    }
    recount(pool, account).await;
}

/// Rebuilds payment keys and daily sums.
async fn recount(pool: &PgPool, account: &str) {
    sqlx::query("SELECT paysync.recount_account($1)")
        .bind(account)
        .execute(pool)
        .await
        .unwrap();
}

/// The rows of a query, each as text with bars between the columns.
async fn ask(pool: &PgPool, sql: &str) -> Vec<String> {
    let sql = format!(
        "SELECT array_to_string(ARRAY(SELECT value FROM json_each_text(row_to_json(answer))), '|', '-') FROM ({sql}) AS answer"
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(pool)
        .await
        .unwrap()
}
