//! The plans of the views: what asks for a short time reads a short time.

use sqlx::{AssertSqlSafe, PgPool};

/// Usual filters of questions, each of which must not read the whole table of transactions.
const QUESTIONS: [&str; 14] = [
    "SELECT * FROM paysync.payments WHERE account_id = 'acme-3' AND created_at >= '2026-03-10Z' AND created_at < '2026-03-11Z'",
    "SELECT * FROM paysync.payments WHERE created_at >= '2026-03-10Z' AND created_at < '2026-03-11Z'",
    "SELECT * FROM paysync.payments WHERE account_id = 'acme-3' AND payment_id = '777'",
    "SELECT * FROM paysync.payments WHERE account_id = 'acme-3' AND merchant_reference = 'order-777'",
    "SELECT * FROM paysync.daily_totals WHERE day >= '2026-03-10'",
    "SELECT * FROM paysync.approval_rates WHERE hour >= '2026-03-10Z' AND hour < '2026-03-11Z'",
    "SELECT * FROM paysync.declines WHERE hour >= '2026-03-10Z' AND hour < '2026-03-11Z'",
    "SELECT * FROM paysync.settlement_lag WHERE created_at >= '2026-03-10Z' AND created_at < '2026-03-11Z'",
    "SELECT * FROM paysync.settlement_lag WHERE account_id = 'acme-3' AND created_at >= '2026-03-10Z' AND created_at < '2026-03-11Z'",
    "SELECT * FROM paysync.open_transactions",
    "SELECT * FROM paysync.open_transactions WHERE account_id = 'acme-3'",
    "SELECT * FROM paysync.transaction_timeline WHERE account_id = 'acme-3' AND provider_transaction_id = '777'",
    "SELECT * FROM paysync.duplicate_charges WHERE account_id = 'acme-3' AND created_at >= '2026-03-10Z' AND created_at < '2026-03-11Z'",
    "SELECT * FROM paysync.duplicate_charges WHERE created_at >= '2026-03-10Z' AND created_at < '2026-03-11Z'",
];

/// Enough rows that reading all of them would cost more than an index: four months of ten accounts.
const ROWS: &str = "
    INSERT INTO paysync.transactions (account_id, provider, provider_transaction_id, payment_group_id, parent_transaction_id,
        merchant_reference, kind, status, amount, currency, created_at, settled_at, description, payload_hash, observed_at)
    SELECT 'acme-' || n % 10, 'begateway_dwh', n::text, n::text, CASE WHEN n % 5 = 0 THEN (n - 1)::text END, 'order-' || n,
           CASE WHEN n % 5 = 0 THEN 'refund' ELSE 'payment' END,
           CASE WHEN n % 500 = 1 THEN 'pending' WHEN n % 7 = 1 THEN 'failed' ELSE 'succeeded' END, 10, 'EUR',
           '2026-01-01Z'::timestamptz + n * interval '4 minutes', now(), repeat('x', 200), gen_random_uuid(), now()
    FROM generate_series(1, 40000) AS n";

#[sqlx::test(migrations = "./migrations")]
async fn a_short_range_is_read_without_a_full_scan(pool: PgPool) {
    for statement in [
        "INSERT INTO paysync.accounts (account_id, provider) SELECT 'acme-' || n, 'begateway_dwh' FROM generate_series(0, 9) AS n",
        ROWS,
        "VACUUM (ANALYZE) paysync.transactions",
        "ANALYZE paysync.daily_sums",
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&pool)
            .await
            .unwrap();
    }
    for question in QUESTIONS {
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {question}")))
            .fetch_all(&pool)
            .await
            .unwrap();
        let whole = plan
            .iter()
            .find(|line| line.contains("Seq Scan on transactions"));
        assert!(whole.is_none(), "{question}:\n{}", plan.join("\n"));
        if question.contains("daily_totals") {
            assert!(
                !plan.iter().any(|line| line.contains("on transactions")),
                "{plan:#?}"
            );
        }
    }
}
