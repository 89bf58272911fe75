//! Redaction of stored items and versions beside pages and erasures.

use paysync::store::Store;
use paysync::store::quarantine::QuarantinedItem;
use paysync::store::replay::RedactedPayload;
use paysync::store::replay::redaction::RedactedItem;
use paysync_provider::item::Rejected;
use paysync_provider::model::Transaction;
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::replay::commit;
use crate::store::{ACCOUNT, hash, hour, leased_store, record};
use crate::support::{count, in_time};

fn rejected(payload: &'static str) -> Rejected<'static> {
    Rejected {
        provider_transaction_id: Some("a".to_owned()),
        reason: "unreadable_time",
        detail: "for a test".to_owned(),
        payload: payload.into(),
        hash: hash(payload),
    }
}

async fn kept(store: &Store) -> Vec<QuarantinedItem> {
    let first = (String::new(), Uuid::nil());
    let kept = store.quarantined_after(ACCOUNT, (&first.0, first.1)).await;
    kept.unwrap()
}

/// What is left of these items: a rule drops a member that made them differ.
fn redacted(items: &[QuarantinedItem]) -> Vec<RedactedItem<'_>> {
    let further = items.iter().filter(|item| item.payload != "[]");
    further
        .map(|item| RedactedItem {
            item,
            payload: RedactedPayload {
                text: "[]".to_owned(),
                hash: hash("[]"),
            },
        })
        .collect()
}

/// All sightings of an item are counted once, whichever rules it was stored by.
#[sqlx::test(migrations = "./migrations")]
async fn items_that_are_the_same_now_become_one(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    for (requested, payloads) in [(3, ["[1]", "[2]"]), (4, ["[1]", "[]"]), (2, ["[3]", "[]"])] {
        let items = payloads.map(rejected).into();
        commit(&store, &lease, requested, vec![], items).await;
    }
    let items = kept(&store).await;
    let done = store.redact_quarantined(ACCOUNT, &redacted(&items)).await;
    assert_eq!((items.len(), done.unwrap()), (4, 3));
    let left = kept(&store).await;
    let left: Vec<_> = left
        .iter()
        .map(|it| (it.hash, it.payload.as_str(), it.observed_at))
        .collect();
    assert_eq!(left, [(hash("[]"), "[]", hour(4))]);
    let seen = "SELECT times_seen FROM paysync.quarantine";
    assert_eq!(count(&pool, seen).await, 6);
}

/// The key of an item whose payload was edited may be the one that it gets.
#[sqlx::test(migrations = "./migrations")]
async fn an_item_that_keeps_its_key_stays(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    commit(
        &store,
        &lease,
        1,
        vec![],
        vec![rejected("[]"), rejected("[1]")],
    )
    .await;
    let edited = sqlx::query("UPDATE paysync.quarantine SET payload = '[7]' WHERE payload = '[]'");
    edited.execute(&pool).await.unwrap();
    let items = kept(&store).await;
    let done = store.redact_quarantined(ACCOUNT, &redacted(&items)).await;
    assert_eq!(done.unwrap(), 2);
    let left = kept(&store).await;
    let left: Vec<_> = left
        .iter()
        .map(|it| (it.hash, it.payload.as_str()))
        .collect();
    assert_eq!(left, [(hash("[]"), "[]")]);
}

/// An item that is seen again or erased meanwhile is left to those who did so.
#[sqlx::test(migrations = "./migrations")]
async fn items_that_are_seen_again_or_erased_meanwhile_are_not_written(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    commit(
        &store,
        &lease,
        1,
        vec![record("a", 1)],
        vec![rejected("[1]")],
    )
    .await;
    let items = kept(&store).await;
    commit(&store, &lease, 2, vec![], vec![rejected("[1]")]).await;
    let done = store.redact_quarantined(ACCOUNT, &redacted(&items)).await;
    assert_eq!(done.unwrap(), 0);
    assert_eq!(kept(&store).await[0].payload, "[1]");

    let items = kept(&store).await;
    store.erase(ACCOUNT, &["a".to_owned()]).await.unwrap();
    let done = store.redact_quarantined(ACCOUNT, &redacted(&items)).await;
    assert_eq!(done.unwrap(), 0);
    assert!(kept(&store).await.is_empty());
}

/// An erasure that comes while an item gets its new key deletes it under that key.
#[sqlx::test(migrations = "./migrations")]
async fn an_erasure_waits_for_the_new_keys(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    commit(
        &store,
        &lease,
        1,
        vec![record("a", 1)],
        vec![rejected("[1]")],
    )
    .await;
    let items = kept(&store).await;
    // An insert of the new key holds the redaction up after it has written the item.
    let mut gate = pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO paysync.quarantine (account_id, stream, payload_hash, reason, detail, payload, window_start, window_end, observed_at)
         SELECT account_id, stream, $1, reason, detail, payload, window_start, window_end, observed_at FROM paysync.quarantine",
    )
    .bind(hash("[]"))
    .execute(&mut *gate)
    .await
    .unwrap();
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let redacting = {
        let (store, items) = (store.clone(), items.clone());
        tokio::spawn(async move { store.redact_quarantined(ACCOUNT, &redacted(&items)).await })
    };
    in_time("a redaction that waits", async {
        while count(&pool, waiting).await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let erasing = {
        let store = store.clone();
        tokio::spawn(async move { store.erase(ACCOUNT, &["a".to_owned()]).await })
    };
    in_time("an erasure that waits", async {
        while count(&pool, waiting).await < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.rollback().await.unwrap();
    assert_eq!(in_time("a redaction", redacting).await.unwrap().unwrap(), 1);
    let erased = in_time("an erasure", erasing).await.unwrap().unwrap();
    assert_eq!((erased.rows, erased.quarantined), (1, 1));
    assert!(kept(&store).await.is_empty());
}

/// Only the texts of versions are written, and not those of a person who was erased meanwhile.
#[sqlx::test(migrations = "./migrations")]
async fn versions_keep_all_but_their_texts(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    for version in 1..4 {
        let rows = ["a", "b"].map(|id| record(id, version)).into();
        commit(&store, &lease, version, rows, vec![]).await;
    }
    let edit = "UPDATE paysync.transaction_history
        SET amount = 1.500, description = 'x', error_message = 'x', changed_at = '2000-01-01'";
    sqlx::query(edit).execute(&pool).await.unwrap();
    let mut versions = store.versions_after(ACCOUNT, ("", 0)).await.unwrap();
    let keys = |versions: &[_]| -> Vec<(String, i64)> {
        let versions = versions.iter();
        let key = |it: &paysync::store::replay::redaction::StoredVersion| {
            (it.transaction.provider_transaction_id.clone(), it.version)
        };
        versions.map(key).collect()
    };
    let all = [("a", 1), ("a", 2), ("b", 1), ("b", 2)].map(|(id, it)| (id.to_owned(), it));
    assert_eq!(keys(&versions), all);
    let after = store.versions_after(ACCOUNT, ("a", 1)).await.unwrap();
    assert_eq!(keys(&after), all[1..]);
    for version in &mut versions {
        version.transaction = Transaction {
            description: Some("y".to_owned()),
            error_message: Some("y".to_owned()),
            amount: None,
            ..version.transaction.clone()
        };
    }
    store.erase(ACCOUNT, &["b".to_owned()]).await.unwrap();
    let left = [&versions[1..], &versions[..1]].concat();
    assert_eq!(store.redact_versions(ACCOUNT, &left[..3]).await.unwrap(), 3);
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws(' ', provider_transaction_id, version, amount, coalesce(description, '-'), error_message,
             changed_at > '2000-01-02', valid_to > '2000-01-02')
         FROM paysync.transaction_history ORDER BY provider_transaction_id, version",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let expected = [
        "a 1 1.500 x x f t",
        "a 2 1.500 y y t t",
        "b 1 1.500 - y t t",
        "b 2 1.500 - y t t",
    ];
    assert_eq!(rows, expected);
}
