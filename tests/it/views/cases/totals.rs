//! Totals by day, rates, lags, and up to when data are complete.

use paysync::store::Store;
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
    account(&pool, "a", "Europe/Berlin").await;
    assert_eq!(ask(&pool, totals).await, ["2026-03-02|1|10"]);
    assert_eq!(ask(&pool, days).await, ["2026-03-02"]);
    let store = Store::with_pool(pool.clone());
    let refused = store.register_account("a", "begateway_report", "Mars/Base");
    let cause = refused.await.unwrap_err();
    assert!(cause.cause().unwrap().to_string().contains("Mars/Base"));
    assert_eq!(ask(&pool, days).await, ["2026-03-02"]);
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

/// Appends entries to the sums of a day, each a status and a number of transactions.
async fn entries(pool: &PgPool, entries: &str) {
    let sql = format!(
        "INSERT INTO paysync.daily_sums (account_id, day, currency, kind, status, transactions, amount, unknown_amounts)
         SELECT 'a', '2026-03-01', 'EUR', 'payment', status, n, n * 2.5, 0 FROM (VALUES {entries}) AS entry (status, n)"
    );
    sqlx::query(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

/// Entries that are folded, by several at once and while rows come, add up to the same.
#[sqlx::test(migrations = "./migrations")]
async fn folding_loses_no_entry(pool: PgPool) {
    let store_of = || Store::with_pool(pool.clone());
    account(&pool, "a", "UTC").await;
    let write = async {
        for _ in 0..60 {
            entries(&pool, "('pending', 1), ('pending', -1), ('succeeded', 1)").await;
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
    // Some were folded more than once.
    assert!(first + second + last >= 180, "{first} {second} {last}");
    let totals = "SELECT status, transactions, amount FROM paysync.daily_totals";
    assert_eq!(ask(&pool, totals).await, ["succeeded|60|150.0"]);
    let stored = "SELECT status, transactions, amount, is_folded FROM paysync.daily_sums";
    assert_eq!(ask(&pool, stored).await, ["succeeded|60|150.0|true"]);
    assert_eq!(store_of().fold_daily_sums(Fold::All, 10).await.unwrap(), 0);
}

/// A day is not written anew for each row that comes.
#[sqlx::test(migrations = "./migrations")]
async fn a_day_is_folded_when_it_is_worth_it(pool: PgPool) {
    let store = Store::with_pool(pool.clone());
    account(&pool, "a", "UTC").await;
    let add = async |currencies: &str| {
        for status in currencies
            .chars()
            .map(|currency| format!("('{currency}', 1)"))
        {
            entries(&pool, &status).await;
        }
    };
    let folded = async |fold| store.fold_daily_sums(fold, 10).await.unwrap();
    add("abcabc").await;
    assert_eq!(folded(Fold::Due).await, 6);
    // Three entries are left, one of each status.
    add("ab").await;
    assert_eq!(folded(Fold::Due).await, 0);
    add("c").await;
    assert_eq!(folded(Fold::Due).await, 3 + 3);
    add("a").await;
    assert_eq!(folded(Fold::Due).await, 0);
    assert_eq!(folded(Fold::All).await, 3 + 1);
    assert_eq!(folded(Fold::All).await, 0);
    let totals = "SELECT status, transactions FROM paysync.daily_totals ORDER BY status";
    assert_eq!(ask(&pool, totals).await, ["a|4", "b|3", "c|3"]);
}
