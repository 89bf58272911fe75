//! Payments, made of the steps of a group.

use sqlx::{AssertSqlSafe, PgPool};

use crate::views::cases::{ask, store};

const MONEY: &str =
    "SELECT payment_id, state, captured_amount, refunded_amount, net_amount, has_origin, steps
    FROM paysync.payments ORDER BY account_id, payment_id";

/// Steps of a payment that was made before anything was read; two of them are still one payment.
#[sqlx::test(migrations = "./migrations")]
async fn steps_without_their_payment_are_separate_payments(pool: PgPool) {
    store(
        &pool,
        "a",
        &[
            (
                "r1",
                Some("gone"),
                Some("gone"),
                "refund",
                "succeeded",
                Some("10"),
                "EUR",
                0,
            ),
            (
                "r2",
                Some("gone"),
                Some("gone"),
                "refund",
                "succeeded",
                Some("5"),
                "EUR",
                1,
            ),
            (
                "c1",
                Some("held"),
                Some("held"),
                "capture",
                "succeeded",
                Some("20"),
                "EUR",
                0,
            ),
            (
                "c2",
                Some("c1"),
                Some("c1"),
                "refund",
                "succeeded",
                Some("20"),
                "EUR",
                2,
            ),
        ],
    )
    .await;
    assert_eq!(
        ask(&pool, MONEY).await,
        ["c1|refunded|20|20|0|false|2", "r1|unknown|-|15|-|false|2"]
    );
}

/// The group links rows that name no parent, whatever the order in which they were made.
#[sqlx::test(migrations = "./migrations")]
async fn a_group_is_one_payment(pool: PgPool) {
    let group = Some("11:p");
    store(
        &pool,
        "a",
        &[
            ("r", None, group, "refund", "succeeded", Some("4"), "EUR", 3),
            (
                "first",
                None,
                group,
                "payment",
                "failed",
                Some("10"),
                "EUR",
                0,
            ),
            (
                "second",
                None,
                group,
                "payment",
                "succeeded",
                Some("10"),
                "EUR",
                1,
            ),
            ("x", None, group, "payout", "succeeded", Some("7"), "EUR", 2),
        ],
    )
    .await;
    // Another account's rows are another's.
    store(
        &pool,
        "b",
        &[(
            "z",
            None,
            group,
            "payment",
            "succeeded",
            Some("1"),
            "EUR",
            0,
        )],
    )
    .await;
    assert_eq!(
        ask(&pool, MONEY).await,
        [
            "first|partially_refunded|10|4|6|true|3",
            "z|captured|1|0|1|true|1"
        ]
    );
}

/// Nothing is converted, and nothing that is not known is counted as nothing.
#[sqlx::test(migrations = "./migrations")]
async fn what_is_not_known_stays_null(pool: PgPool) {
    store(
        &pool,
        "a",
        &[
            (
                "p",
                None,
                Some("p"),
                "payment",
                "succeeded",
                Some("10"),
                "EUR",
                0,
            ),
            (
                "pr",
                Some("p"),
                Some("p"),
                "refund",
                "succeeded",
                Some("11"),
                "USD",
                1,
            ),
            ("q", None, Some("q"), "payment", "succeeded", None, "EUR", 0),
            ("s", None, None, "payment", "succeeded", Some("3"), "EUR", 0),
        ],
    )
    .await;
    assert_eq!(
        ask(&pool, MONEY).await,
        [
            "p|unknown|10|-|-|true|2",
            "q|captured|-|0|-|true|1",
            "s|captured|3|0|3|true|1"
        ]
    );
    assert_eq!(
        ask(&pool, "SELECT currency, kind, transactions, amount, unknown_amounts FROM paysync.daily_totals ORDER BY 1, 2").await,
        ["EUR|payment|3|-|1", "USD|refund|1|11|0"]
    );
}

/// No row is in no payment: a cycle of parents is one, and no query hangs in it.
#[sqlx::test(migrations = "./migrations")]
async fn a_cycle_of_parents_does_no_harm(pool: PgPool) {
    store(
        &pool,
        "a",
        &[
            (
                "x",
                Some("y"),
                None,
                "refund",
                "succeeded",
                Some("1"),
                "EUR",
                0,
            ),
            (
                "y",
                Some("x"),
                None,
                "refund",
                "succeeded",
                Some("1"),
                "EUR",
                0,
            ),
            (
                "self",
                Some("self"),
                None,
                "payment",
                "succeeded",
                Some("1"),
                "EUR",
                0,
            ),
        ],
    )
    .await;
    assert_eq!(
        ask(
            &pool,
            "SELECT payment_id, steps FROM paysync.payments ORDER BY 1"
        )
        .await,
        ["self|1", "x|2"]
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn the_timeline_has_each_status_once_in_a_row(pool: PgPool) {
    store(
        &pool,
        "a",
        &[("p", None, None, "payment", "pending", Some("10"), "EUR", 0)],
    )
    .await;
    for change in [
        "description = 'only words'",
        "status = 'failed'",
        "status = 'succeeded'",
        "settled_at = now()",
    ] {
        let sql = format!(
            "WITH kept AS (
                 INSERT INTO paysync.transaction_history SELECT version_from, clock_timestamp(), * FROM paysync.transactions
                 RETURNING valid_to
             )
             UPDATE paysync.transactions
             SET {change}, payload_hash = gen_random_uuid(), version = version + 1, version_from = valid_to FROM kept"
        );
        sqlx::query(AssertSqlSafe(sql))
            .execute(&pool)
            .await
            .unwrap();
    }
    let timeline = "SELECT status, status_to IS NULL AS holds, status_to > status_from AS lasted
        FROM paysync.transaction_timeline WHERE account_id = 'a' AND provider_transaction_id = 'p' ORDER BY status_from";
    assert_eq!(
        ask(&pool, timeline).await,
        [
            "pending|false|true",
            "failed|false|true",
            "succeeded|true|-"
        ]
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn a_second_charge_of_an_order_is_found(pool: PgPool) {
    store(
        &pool,
        "a",
        &[
            (
                "p",
                None,
                Some("p"),
                "payment",
                "succeeded",
                Some("10"),
                "EUR",
                0,
            ),
            (
                "failed",
                None,
                None,
                "payment",
                "failed",
                Some("10"),
                "EUR",
                1,
            ),
            (
                "twice",
                None,
                Some("twice"),
                "payment",
                "succeeded",
                Some("10.00"),
                "EUR",
                2,
            ),
            (
                "undone",
                Some("twice"),
                Some("twice"),
                "refund",
                "succeeded",
                Some("10"),
                "EUR",
                9,
            ),
            (
                "other",
                None,
                None,
                "payment",
                "succeeded",
                Some("11"),
                "EUR",
                3,
            ),
            (
                "dollars",
                None,
                None,
                "payment",
                "succeeded",
                Some("10"),
                "USD",
                3,
            ),
            (
                "late",
                None,
                None,
                "payment",
                "succeeded",
                Some("10"),
                "EUR",
                2 + 1441,
            ),
        ],
    )
    .await;
    store(
        &pool,
        "b",
        &[(
            "foreign",
            None,
            None,
            "payment",
            "succeeded",
            Some("10"),
            "EUR",
            1,
        )],
    )
    .await;
    let found = "SELECT provider_transaction_id, duplicate_of, seconds_apart, state, duplicate_of_state FROM paysync.duplicate_charges";
    assert_eq!(ask(&pool, found).await, ["twice|p|120|refunded|captured"]);
}
