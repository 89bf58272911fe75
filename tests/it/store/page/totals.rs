//! Totals by day follow every change of a row.

use bigdecimal::BigDecimal;
use paysync_provider::model::{Status, Transaction};
use sqlx::PgPool;

use crate::store::{leased_store, more, open_one, page, record};
use crate::support::assert_recounted;

type Change = fn(&mut Transaction);

#[sqlx::test(migrations = "./migrations")]
async fn totals_follow_every_change_of_a_row(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let first = ["p", "q", "t"].map(|id| record(id, 1)).to_vec();
    store
        .commit_page(&lease, page(&window, first.clone(), more(0)))
        .await
        .unwrap();
    let mut rows: Vec<Transaction> = first.into_iter().map(|row| row.transaction).collect();
    let changes: [(usize, Change, &[&str]); 7] = [
        (
            0,
            |row| row.status = Status::Pending,
            &["pending|1|1|0", "succeeded|2|2|0"],
        ),
        (
            0,
            |row| {
                row.status = Status::Succeeded;
                row.paid_amount = Some(BigDecimal::from(12));
            },
            &["succeeded|3|14|0"],
        ),
        (2, |row| row.is_test = Some(true), &["succeeded|2|13|0"]),
        (1, |row| row.amount = None, &["succeeded|2|-|1"]),
        (
            1,
            |row| {
                row.status = Status::Failed;
                row.amount = Some(BigDecimal::from(0));
            },
            &["failed|1|0|0", "succeeded|1|12|0"],
        ),
        (
            1,
            |row| row.created_at = None,
            &["failed|1|0|0", "succeeded|1|12|0"],
        ),
        (
            1,
            |row| row.description = Some("no sum moves".to_owned()),
            &["failed|1|0|0", "succeeded|1|12|0"],
        ),
    ];
    for (version, (row, change, expected)) in (2..).zip(changes) {
        change(&mut rows[row]);
        let mut changed = record(&rows[row].provider_transaction_id.clone(), version);
        changed.transaction = Transaction {
            updated_at: changed.transaction.updated_at,
            ..rows[row].clone()
        };
        store
            .commit_page(&lease, page(&window, vec![changed], more(0)))
            .await
            .unwrap();
        let totals: Vec<String> = sqlx::query_scalar(
            "SELECT concat_ws('|', status, sum(transactions), coalesce(sum(amount)::text, '-'), sum(unknown_amounts))
             FROM paysync.daily_totals GROUP BY status ORDER BY status",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        assert_eq!(totals, expected, "version {version}");
        assert_recounted(&pool).await;
    }
    let entries: i64 = sqlx::query_scalar("SELECT count(*) FROM paysync.daily_sums")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(
        entries,
        1 + 2 + 2 + 1 + 1 + 2 + 2,
        "a change that moves no sum appends nothing"
    );
}
