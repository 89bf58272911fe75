//! Totals by day, rates, lags, and up to when data are complete.

use paysync::store::retention::daily_totals::Fold;
use sqlx::{AssertSqlSafe, PgPool};

use crate::views::cases::{account, ask, store};

#[sqlx::test(migrations = "./migrations")]
async fn days_are_those_of_the_account(pool: PgPool) {
    account(&pool, "a", "UTC").await;
    store(
        &pool,
        "a",
        &[(
            "p",
            None,
            None,
            "payment",
            "succeeded",
            Some("10"),
            "EUR",
            0,
        )],
    )
    .await;
    let totals = "SELECT day, transactions, amount FROM paysync.daily_totals";
    let days = "SELECT day FROM paysync.payments";
    assert_eq!(ask(&pool, totals).await, ["2026-03-01|1|10"]);
    sqlx::query("UPDATE paysync.accounts SET time_zone = 'Europe/Berlin'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(ask(&pool, totals).await, ["2026-03-02|1|10"]);
    assert_eq!(ask(&pool, days).await, ["2026-03-02"]);
    let refused = sqlx::query("UPDATE paysync.accounts SET time_zone = 'Mars/Base'")
        .execute(&pool)
        .await;
    assert!(refused.unwrap_err().to_string().contains("Mars/Base"));
    sqlx::query("TRUNCATE paysync.transactions")
        .execute(&pool)
        .await
        .unwrap();
    assert!(ask(&pool, totals).await.is_empty());
}

#[sqlx::test(migrations = "./migrations")]
async fn totals_follow_every_change_of_a_row(pool: PgPool) {
    store(
        &pool,
        "a",
        &[
            ("p", None, None, "payment", "pending", Some("10"), "EUR", 0),
            ("q", None, None, "payment", "succeeded", Some("5"), "EUR", 0),
            ("t", None, None, "payment", "succeeded", Some("5"), "EUR", 0),
        ],
    )
    .await;
    let totals = "SELECT status, transactions, amount, unknown_amounts FROM paysync.daily_totals ORDER BY status";
    for (change, expected) in [
        (
            "SET status = 'succeeded', paid_amount = 12 WHERE provider_transaction_id = 'p'",
            vec!["succeeded|3|22|0"],
        ),
        (
            "SET is_test = true WHERE provider_transaction_id = 't'",
            vec!["succeeded|2|17|0"],
        ),
        (
            "SET amount = NULL WHERE provider_transaction_id = 'q'",
            vec!["succeeded|2|-|1"],
        ),
        (
            "SET amount = 1, status = 'failed' WHERE provider_transaction_id = 'q'",
            vec!["failed|1|1|0", "succeeded|1|12|0"],
        ),
        (
            "SET created_at = NULL WHERE provider_transaction_id = 'q'",
            vec!["failed|1|1|0", "succeeded|1|12|0"],
        ),
        // An amount of nothing moves no sum.
        (
            "SET amount = 0 WHERE provider_transaction_id = 'q'",
            vec!["failed|1|0|0", "succeeded|1|12|0"],
        ),
        (
            "SET status = 'pending' WHERE provider_transaction_id = 'q'",
            vec!["pending|1|0|0", "succeeded|1|12|0"],
        ),
    ] {
        sqlx::query(AssertSqlSafe(format!(
            "UPDATE paysync.transactions {change}"
        )))
        .execute(&pool)
        .await
        .unwrap();
        assert_eq!(ask(&pool, totals).await, expected, "{change}");
    }
    sqlx::query("DELETE FROM paysync.transactions")
        .execute(&pool)
        .await
        .unwrap();
    assert!(ask(&pool, totals).await.is_empty());
}

#[sqlx::test(migrations = "./migrations")]
async fn data_are_complete_up_to_the_first_gap_of_any_stream(pool: PgPool) {
    account(&pool, "a", "UTC").await;
    let stream = async |name: &str, role: &str, coverage: &str| {
        sqlx::query(
            "INSERT INTO paysync.streams (account_id, stream, role, wanted_from, wanted_until, coverage, window_seconds, expected_lag_seconds)
             VALUES ('a', $1, $2, '2026-01-01Z', '2026-02-01Z', $3::tstzmultirange, 60, 60)",
        )
        .bind(name)
        .bind(role)
        .bind(coverage)
        .execute(&pool)
        .await
        .unwrap();
    };
    sqlx::query("SET TIME ZONE 'UTC'")
        .execute(&pool)
        .await
        .unwrap();
    let as_of = "SELECT (complete_until AT TIME ZONE 'UTC')::date AS until, (recent_from AT TIME ZONE 'UTC')::date AS recent,
            (recent_until AT TIME ZONE 'UTC')::date AS recent_until, gap_seconds FROM paysync.data_as_of";
    assert_eq!(ask(&pool, as_of).await, ["-|-|-|-"]);
    stream("created_at", "history", "{[2026-01-01Z,2026-02-01Z)}").await;
    assert_eq!(
        ask(&pool, as_of).await,
        ["2026-02-01|2026-01-01|2026-02-01|0"]
    );
    stream(
        "updated_at",
        "change",
        "{[2026-01-01Z,2026-01-20Z),[2026-01-21Z,2026-02-01Z)}",
    )
    .await;
    assert_eq!(
        ask(&pool, as_of).await,
        ["2026-01-20|2026-01-21|2026-02-01|86400"]
    );
    stream("paid_at", "history", "{[2026-01-30Z,2026-01-31Z)}").await;
    assert_eq!(
        ask(&pool, as_of).await,
        [format!("-|2026-01-30|2026-01-31|{}", 86400 + 30 * 86400)]
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn rates_declines_lags_and_open_rows(pool: PgPool) {
    store(
        &pool,
        "a",
        &[
            (
                "1",
                None,
                None,
                "payment",
                "succeeded",
                Some("10"),
                "EUR",
                0,
            ),
            (
                "2",
                None,
                None,
                "authorization",
                "succeeded",
                Some("10"),
                "EUR",
                1,
            ),
            ("3", None, None, "payment", "failed", Some("10"), "EUR", 2),
            ("4", None, None, "payment", "canceled", Some("10"), "EUR", 3),
            ("5", None, None, "payment", "pending", Some("10"), "EUR", 4),
            ("6", None, None, "refund", "failed", Some("10"), "EUR", 5),
            (
                "7",
                None,
                None,
                "payment",
                "succeeded",
                Some("10"),
                "EUR",
                29,
            ),
            (
                "8",
                None,
                None,
                "payment",
                "authorized",
                Some("10"),
                "EUR",
                30,
            ),
            ("t", None, None, "payment", "failed", Some("10"), "EUR", 0),
        ],
    )
    .await;
    sqlx::query(
        "UPDATE paysync.transactions SET is_test = true WHERE provider_transaction_id = 't'",
    )
    .execute(&pool)
    .await
    .unwrap();
    sqlx::query("UPDATE paysync.transactions SET paid_at = created_at, settled_at = created_at + interval '90 minutes'
         WHERE provider_transaction_id = '1'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(
        ask(
            &pool,
            "SELECT hour, attempts, decided, approved, declined, canceled, undecided, approval_rate
             FROM paysync.approval_rates ORDER BY hour"
        )
        .await,
        [
            "2026-03-01T23:00:00+00:00|6|4|3|1|1|1|0.7500",
            "2026-03-02T00:00:00+00:00|1|1|1|0|0|0|1.0000"
        ]
    );
    assert_eq!(
        ask(
            &pool,
            "SELECT kind, status, transactions, amount FROM paysync.declines ORDER BY kind, status"
        )
        .await,
        [
            "payment|canceled|1|10",
            "payment|failed|1|10",
            "refund|failed|1|10"
        ]
    );
    assert_eq!(
        ask(&pool, "SELECT provider_transaction_id, is_settled, lag_hours > 1000 AS late, CASE WHEN is_settled THEN lag_hours END AS lag
             FROM paysync.settlement_lag ORDER BY provider_transaction_id").await,
        ["1|true|false|1.50", "7|false|true|-"]
    );
    assert_eq!(
        ask(
            &pool,
            "SELECT provider_transaction_id, status, age FROM paysync.open_transactions ORDER BY 1"
        )
        .await,
        [
            "5|pending|5: 30 days and more",
            "8|authorized|5: 30 days and more"
        ]
    );
}

/// Entries that are folded, by several at once and while rows come, add up to the same.
#[sqlx::test(migrations = "./migrations")]
async fn folding_loses_no_entry(pool: PgPool) {
    let store_of = || paysync::store::Store::with_pool(pool.clone());
    account(&pool, "a", "UTC").await;
    let ids: Vec<String> = (0..60).map(|n| format!("p{n}")).collect();
    let write = async {
        for id in &ids {
            sqlx::query(
                "INSERT INTO paysync.transactions (account_id, provider, provider_transaction_id, kind, status, amount, currency,
                     created_at, payload_hash, observed_at)
                 VALUES ('a', 'begateway_dwh', $1, 'payment', 'pending', 2.5, 'EUR', '2026-03-01Z', gen_random_uuid(), now())",
            )
            .bind(id)
            .execute(&pool)
            .await
            .unwrap();
            sqlx::query("UPDATE paysync.transactions SET status = 'succeeded' WHERE provider_transaction_id = $1")
                .bind(id)
                .execute(&pool)
                .await
                .unwrap();
        }
    };
    let fold = || async {
        let mut folded = 0;
        for _ in 0..30 {
            folded += store_of().fold_daily_sums(Fold::All, 10).await.unwrap();
        }
        folded
    };
    let ((), first, second) = tokio::join!(write, fold(), fold());
    let last = store_of().fold_daily_sums(Fold::All, 10).await.unwrap();
    // 60 came as pending, each of which left again for succeeded.
    assert!(first + second + last >= 180, "{first} {second} {last}");
    let totals = "SELECT status, transactions, amount FROM paysync.daily_totals";
    assert_eq!(ask(&pool, totals).await, ["succeeded|60|150.0"]);
    let entries = "SELECT status, transactions, amount, is_folded FROM paysync.daily_sums";
    assert_eq!(ask(&pool, entries).await, ["succeeded|60|150.0|true"]);
    assert_eq!(store_of().fold_daily_sums(Fold::All, 10).await.unwrap(), 0);
}

/// A day is not written anew for each row that comes.
#[sqlx::test(migrations = "./migrations")]
async fn a_day_is_folded_when_it_is_worth_it(pool: PgPool) {
    let store = paysync::store::Store::with_pool(pool.clone());
    account(&pool, "a", "UTC").await;
    let add = async |ids: std::ops::Range<i32>| {
        for id in ids {
            sqlx::query(
                "INSERT INTO paysync.transactions (account_id, provider, provider_transaction_id, kind, status, amount, currency,
                     created_at, payload_hash, observed_at)
                 VALUES ('a', 'begateway_dwh', $1, 'payment', 'succeeded', 1, (ARRAY['EUR', 'GBP', 'USD'])[$2 % 3 + 1],
                     '2026-03-01Z', gen_random_uuid(), now())",
            )
            .bind(id.to_string())
            .bind(id)
            .execute(&pool)
            .await
            .unwrap();
        }
    };
    let folded = async |fold| store.fold_daily_sums(fold, 10).await.unwrap();
    add(0..6).await;
    assert_eq!(folded(Fold::Due).await, 6);
    // Three entries are left, one of each currency.
    add(6..8).await;
    assert_eq!(folded(Fold::Due).await, 0);
    add(8..9).await;
    assert_eq!(folded(Fold::Due).await, 3 + 3);
    add(9..10).await;
    assert_eq!(folded(Fold::Due).await, 0);
    assert_eq!(folded(Fold::All).await, 3 + 1);
    assert_eq!(folded(Fold::All).await, 0);
    let totals = "SELECT currency, transactions FROM paysync.daily_totals ORDER BY currency";
    assert_eq!(ask(&pool, totals).await, ["EUR|4", "GBP|3", "USD|3"]);
}
