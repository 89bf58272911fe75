//! Expiry of versions, quarantined items and payloads.

use std::time::Duration;

use paysync::store::retention::PayloadExpiry;
use sqlx::PgPool;

use crate::store::retention::{DAY, MONTH};
use crate::store::{ACCOUNT, bad, leased_store, more, open, page, planned, record, reject, rows};
use crate::support::count;

#[sqlx::test(migrations = "./migrations")]
async fn old_versions_and_items_are_deleted_in_batches(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let windows = open(&store, &lease, &[planned(0, 1)]).await;
    for version in 1..=5 {
        let rows = vec![record("a", version), record("b", version)];
        let mut commit = page(&windows[0], rows, more(version.unsigned_abs()));
        let payload: &'static str =
            ["1", "2", "3", "4", "5"][usize::try_from(version - 1).unwrap()];
        reject(&mut commit, vec![bad(payload)]);
        store.commit_page(&lease, commit).await.unwrap();
    }
    let versions = "SELECT count(*) FROM paysync.transaction_history";
    let items = "SELECT count(*) FROM paysync.quarantine";
    let rows = "SELECT count(*) FROM paysync.transactions";
    assert_eq!(
        (count(&pool, versions).await, count(&pool, items).await),
        (8, 5)
    );
    for sql in [
        "UPDATE paysync.transaction_history SET valid_to = valid_to - interval '31 days' WHERE amount < 4",
        "UPDATE paysync.quarantine SET last_seen_at = last_seen_at - interval '31 days' WHERE payload < '4'",
    ] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    for expected in [(4, 2), (2, 1), (0, 0)] {
        let dropped = (
            store.delete_versions(ACCOUNT, MONTH, 4).await.unwrap(),
            store.delete_quarantined(ACCOUNT, MONTH, 2).await.unwrap(),
        );
        assert_eq!(dropped, expected);
    }
    assert_eq!(
        store
            .delete_versions("other", Duration::ZERO, 9)
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        store
            .delete_quarantined("other", Duration::ZERO, 9)
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        (count(&pool, versions).await, count(&pool, items).await),
        (2, 2)
    );
    assert_eq!(count(&pool, rows).await, 2);
}

#[sqlx::test(migrations = "./migrations")]
async fn one_process_runs_maintenance(pool: PgPool) {
    let (store, _) = leased_store(&pool).await;
    assert!(store.is_leader("b").await.unwrap(), "alone");
    for holder in ["a", "b", "c"] {
        store.announce(holder, MONTH).await.unwrap();
    }
    assert!(store.is_leader("a").await.unwrap());
    assert!(!store.is_leader("b").await.unwrap());
    sqlx::query(
        "UPDATE paysync.processes SET alive_until = now() - interval '1 second' WHERE holder = 'a'",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert!(store.is_leader("b").await.unwrap(), "the first is dead");
}

/// Payloads go by the age of their row's last change; a re-scan does not bring them back, a change does.
#[sqlx::test(migrations = "./migrations")]
async fn old_payloads_expire_and_return_with_a_change(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let windows = open(&store, &lease, &[planned(0, 1)]).await;
    let commit = async |rows| {
        let commit = page(&windows[0], rows, more(1));
        store.commit_page(&lease, commit).await.unwrap().counts
    };
    let five = || ["a", "b", "c", "d", "e"].map(|id| record(id, 1)).to_vec();
    commit(five()).await;
    let old = "UPDATE paysync.transactions SET version_from = version_from - interval '31 days' WHERE provider_transaction_id < 'e'";
    sqlx::query(old).execute(&pool).await.unwrap();
    let unknown = store.begin_payload_expiry("other", MONTH).await.unwrap();
    assert_eq!(unknown, None);
    let expire = async || store.begin_payload_expiry(ACCOUNT, MONTH).await.unwrap();
    let PayloadExpiry { before, after } = expire().await.unwrap();
    assert_eq!(after, "");

    // A row that is being written is left for the next round.
    let mut writer = pool.begin().await.unwrap();
    sqlx::query(
        "SELECT FROM paysync.transactions WHERE provider_transaction_id = 'b' FOR NO KEY UPDATE",
    )
    .execute(&mut *writer)
    .await
    .unwrap();
    let mut dropped = Vec::new();
    // Each round goes on where the last one stopped.
    while let Some(PayloadExpiry {
        before: same,
        after,
    }) = expire().await
    {
        assert_eq!(same, before);
        let batch = store.delete_payloads(ACCOUNT, before, &after, 2);
        dropped.push(batch.await.unwrap().payloads);
    }
    assert_eq!(dropped, [1, 2, 0]);
    writer.rollback().await.unwrap();
    assert_eq!(
        store
            .delete_payloads(ACCOUNT, before, "", 9)
            .await
            .unwrap()
            .payloads,
        1
    );
    // The next time is a day later, or when less is kept.
    assert_eq!(expire().await, None);
    let less = store.begin_payload_expiry(ACCOUNT, DAY * 28).await.unwrap();
    assert!(less.unwrap().before > before);
    // Where more is kept meanwhile, that much is kept.
    assert!(expire().await.unwrap().before < before + DAY);
    let held = async || {
        let ids: Vec<String> = rows(&pool).await.into_iter().map(|(id, ..)| id).collect();
        ids
    };
    assert_eq!(held().await, ["e"]);
    let transactions = "SELECT count(*) FROM paysync.transactions";
    assert_eq!(count(&pool, transactions).await, 5);

    assert_eq!(commit(five()).await.unchanged, 5);
    assert_eq!(held().await, ["e"]);
    assert_eq!(commit(vec![record("b", 2)]).await.updated, 1);
    assert_eq!(held().await, ["b", "e"]);
    // Expired payloads are distinguished from lost ones.
    let lost = "DELETE FROM paysync.raw_transactions WHERE provider_transaction_id = 'e'";
    sqlx::query(lost).execute(&pool).await.unwrap();
    let mut missing = Vec::new();
    store
        .each_row(ACCOUNT, "", 9, |row| {
            if row.payload.is_none() {
                missing.push((row.transaction.provider_transaction_id, row.may_be_missing));
            }
        })
        .await
        .unwrap();
    let expected = [("a", true), ("c", true), ("d", true), ("e", false)];
    assert_eq!(missing, expected.map(|(id, go)| (id.to_owned(), go)));
}
