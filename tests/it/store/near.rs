//! Pages that say between which times their items were created: found side by side or by their keys,
//! the answer is the same.

use fastrand::Rng;

use super::*;

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
async fn a_page_finds_the_same_whatever_it_says_of_its_times(pool: PgPool) {
    let store = Store::with_pool(pool.clone());
    let (neighbour, everywhere) = window_of(&store, NEIGHBOUR).await;
    let accounts = [window_of(&store, "a").await, window_of(&store, "b").await];
    let mut met = PageCounts::default();
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
        for ((lease, window), created) in accounts.iter().zip([None, Some(first..=last)]) {
            store
                .commit_page(lease, page(window, held.clone(), more(0)))
                .await
                .unwrap();
            let mut page = page(window, sent.clone(), more(0));
            page.created = created;
            answers.push(store.commit_page(lease, page).await.unwrap());
        }
        assert_eq!(answers[0], answers[1], "seed {seed}");
        met += answers[1];
        let differ = "SELECT count(*) FROM paysync.raw_transactions AS a
             JOIN paysync.raw_transactions AS b ON (a.account_id, b.account_id) = ('a', 'b')
              AND a.provider_transaction_id = b.provider_transaction_id AND a.payload::text = b.payload::text";
        let rows = "SELECT count(*) FROM paysync.raw_transactions WHERE account_id = 'a'";
        assert_eq!(count(&pool, differ).await, count(&pool, rows).await);
    }
    assert!(
        met.inserted > 0 && met.updated > 0 && met.unchanged > 0,
        "{met:?}"
    );
}
