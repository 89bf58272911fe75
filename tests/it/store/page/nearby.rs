//! Pages that state the time range of their items: a lookup by range and one by keys give the same result.

use chrono::TimeDelta;
use fastrand::Rng;
use paysync::store::Store;
use paysync::store::account::Lease;
use paysync::store::page::PageCounts;
use paysync::store::progress::window::OpenWindow;
use paysync_provider::item::Record;
use sqlx::PgPool;

use crate::store::{STREAM, TTL, hour, more, new_stream, open_one, page, record};
use crate::support::{count, eventually, url};

/// An account that has all of every page.
const NEIGHBOUR: &str = "neighbour";

async fn window_of(store: &Store, account: &str) -> (Lease, OpenWindow) {
    store
        .register_account(account, "convergegate", "UTC")
        .await
        .unwrap();
    store
        .register_stream(account, &new_stream(STREAM))
        .await
        .unwrap();
    let accounts = [account.to_owned()];
    let leases = store.acquire(&accounts, "me", TTL, 1).await.unwrap();
    let lease = leases.into_iter().next().unwrap();
    let window = open_one(store, &lease).await;
    (lease, window)
}

/// Some of sixty rows, each of a minute of its own, in one of three versions.
fn some(random: &mut Rng, one_in: u32) -> Vec<Record<'static>> {
    let ids = (0..60).filter(|_| random.u32(0..one_in) == 0);
    let ids: Vec<i64> = ids.collect();
    let record = |id| {
        let mut record = record(&format!("{id:02}"), random.i64(1..4));
        record.transaction.created_at = Some(hour(0) + TimeDelta::minutes(id));
        record
    };
    ids.into_iter().map(record).collect()
}

#[sqlx::test(migrations = "./migrations")]
async fn the_time_range_of_a_page_does_not_change_its_result(pool: PgPool) {
    let store = Store::with_pool(pool.clone());
    let (neighbour, everywhere) = window_of(&store, NEIGHBOUR).await;
    let accounts = [
        window_of(&store, "a").await,
        window_of(&store, "b").await,
        window_of(&store, "c").await,
    ];
    let mut total = PageCounts::default();
    for seed in 0..150 {
        let mut random = Rng::with_seed(seed);
        let held_one_in = random.u32(1..4);
        let held = some(&mut random, held_one_in);
        let sent_one_in = random.choice([1, 2, 20]).unwrap();
        let sent = some(&mut random, sent_one_in);
        let [first, last] = [random.i64(-5..65), random.i64(-5..65)]
            .map(|minutes| hour(0) + TimeDelta::minutes(minutes));
        sqlx::query("TRUNCATE paysync.transactions, paysync.raw_transactions")
            .execute(&pool)
            .await
            .unwrap();
        store
            .commit_page(&neighbour, page(&everywhere, sent.clone(), more(0)))
            .await
            .unwrap();
        let mut answers = Vec::new();
        let span = Some(first..=last);
        let said = [(None, false), (span.clone(), false), (span, true)];
        for ((lease, window), (created, likely_new)) in accounts.iter().zip(said) {
            store
                .commit_page(lease, page(window, held.clone(), more(0)))
                .await
                .unwrap();
            let mut page = page(window, sent.clone(), more(0));
            page.created = created;
            page.likely_new = likely_new;
            answers.push(store.commit_page(lease, page).await.unwrap().counts);
        }
        assert_eq!(answers[0], answers[1], "seed {seed}");
        assert_eq!(answers[0], answers[2], "seed {seed}, taken for news");
        total += answers[1];
        let equal = "SELECT count(*) FROM paysync.raw_transactions AS a
             JOIN paysync.raw_transactions AS b ON a.account_id = 'a' AND b.account_id IN ('b', 'c')
              AND a.provider_transaction_id = b.provider_transaction_id AND a.payload::text = b.payload::text";
        let rows = "SELECT 2 * count(*) FROM paysync.raw_transactions WHERE account_id = 'a'";
        assert_eq!(count(&pool, equal).await, count(&pool, rows).await);
    }
    assert!(
        total.inserted > 0 && total.updated > 0 && total.unchanged > 0,
        "{total:?}"
    );
}

/// Entries read of all indexes of the transactions.
const READ: &str = "SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_user_indexes WHERE relname = 'transactions'";

#[sqlx::test(migrations = "./migrations")]
async fn an_account_without_statistics_is_not_scanned_in_full(pool: PgPool) {
    let apart = Store::new(&url(&pool), 1).unwrap();
    let (old, everywhere) = window_of(&apart, NEIGHBOUR).await;
    let rows = |version| (0..1_000).map(move |id| record(&format!("{id:04}"), version));
    apart
        .commit_page(&old, page(&everywhere, rows(1).collect(), more(0)))
        .await
        .unwrap();
    sqlx::query("ANALYZE paysync.transactions")
        .execute(&pool)
        .await
        .unwrap();
    let (lease, window) = window_of(&apart, "a").await;
    apart
        .commit_page(&lease, page(&window, rows(1).collect(), more(0)))
        .await
        .unwrap();
    let again = apart.commit_page(&lease, page(&window, rows(1).collect(), more(0)));
    assert_eq!(again.await.unwrap().counts.unchanged, 1_000);
    // A connection reports its statistics when it ends.
    apart.pool().close().await;
    eventually("statistics", async || count(&pool, READ).await > 0).await;
    let read = count(&pool, READ).await;
    assert!(read < 20_000, "{read} entries read for three pages");
}
