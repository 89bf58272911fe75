//! One person is erased: nothing of them is found in any table, whatever the provider sends later, and no
//! sum has moved.

use std::borrow::Cow;

use paysync::store::Store;
use paysync::store::account::Lease;
use paysync::store::page::PageCounts;
use paysync::store::progress::window::OpenWindow;
use paysync::store::replay::quarantine::Retried;
use paysync::store::replay::{Corrected, Correction, RedactedPayload, StoredRow};
use paysync::store::retention::erase::Erased;
use paysync_provider::item::{Record, Rejected};
use sqlx::{AssertSqlSafe, PgPool};

use super::{ACCOUNT, hash, hour, leased_store, more, open_one, page, record, reject, rows};
use crate::support::{count, tables_with};

const EMAIL: &str = "jane.planted@example.com";

/// What of a person is planted: none of it may be found afterwards.
const PLANTED: [&str; 3] = ["planted", "cus-7731", "203.0.113.77"];

/// A row that names a person, in columns and payload.
fn personal(id: &str, version: i64) -> Record<'static> {
    let mut record = record(id, version);
    let person = &mut record.transaction;
    person.customer_email = Some(EMAIL.to_owned());
    person.customer_id = Some("cus-7731".to_owned());
    person.customer_ip = Some("203.0.113.77".to_owned());
    person.card_bin = Some("planted bin".to_owned());
    person.card_last4 = Some("planted digits".to_owned());
    person.description = Some("Order of Jane Planted".to_owned());
    person.merchant_reference = Some(format!("order-{id}"));
    let payload = format!(
        r#"{{"id":"{id}","version":{version},"email":"{EMAIL}","ip":"203.0.113.77","name":"Jane Planted"}}"#
    );
    record.hash = hash(&payload);
    record.payload = Cow::Owned(payload);
    record
}

/// The same person's item, which cannot be read.
fn unreadable(id: Option<&str>, detail: i64) -> Rejected<'static> {
    let payload = format!(r#"{{"id":"a","detail":{detail},"email":"{EMAIL}"}}"#);
    Rejected {
        provider_transaction_id: id.map(str::to_owned),
        reason: "unreadable_item",
        detail: "for a test".to_owned(),
        hash: hash(&payload),
        payload: Cow::Owned(payload),
    }
}

async fn store_page(
    store: &Store,
    lease: &Lease,
    window: &OpenWindow,
    records: Vec<Record<'_>>,
    rejected: Vec<Rejected<'_>>,
) -> PageCounts {
    let mut commit = page(window, records, more(1));
    reject(&mut commit, rejected);
    store.commit_page(lease, commit).await.unwrap().counts
}

/// Tables in which something of the person is left.
async fn found(pool: &PgPool) -> Vec<String> {
    let mut found = Vec::new();
    for text in PLANTED {
        found.extend(tables_with(pool, text).await);
    }
    found
}

/// What reports are made of.
async fn sums(pool: &PgPool) -> Vec<String> {
    let mut sums = Vec::new();
    for sql in [
        "SELECT t::text FROM paysync.daily_totals AS t ORDER BY 1",
        "SELECT concat_ws(' ', provider_transaction_id, kind, status, amount, currency, created_at, updated_at, merchant_reference,
                payload_hash, observed_at, version, version_from) FROM paysync.transactions ORDER BY 1",
        "SELECT concat_ws(' ', provider_transaction_id, kind, status, amount, valid_from, valid_to)
         FROM paysync.transaction_history ORDER BY 1",
    ] {
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(pool)
            .await
            .unwrap();
        sums.extend(rows);
    }
    sums
}

async fn erase(store: &Store) -> Erased {
    let ids = store.rows_of_person(ACCOUNT, EMAIL).await.unwrap();
    let preview = store.preview_erase(ACCOUNT, &ids).await.unwrap();
    let erased = store.erase(ACCOUNT, &ids).await.unwrap();
    assert_eq!(preview, erased);
    erased
}

#[sqlx::test(migrations = "./migrations")]
async fn an_erased_person_is_in_no_table_and_sums_stay(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let bystander = record("c", 1);
    let first = vec![personal("a", 1), personal("b", 1), bystander];
    store_page(
        &store,
        &lease,
        &window,
        first,
        vec![unreadable(Some("a"), 1)],
    )
    .await;
    store_page(&store, &lease, &window, vec![personal("a", 2)], vec![]).await;
    // A version that does not name the person does not hide those before it.
    store_page(&store, &lease, &window, vec![record("b", 2)], vec![]).await;
    assert!(found(&pool).await.len() > 8, "it would be seen");

    let partial = store.rows_of_person(ACCOUNT, "jane").await.unwrap();
    assert_eq!(partial, [""; 0], "a part of a name is no name");
    let by_id = store.rows_of_person(ACCOUNT, "cus-7731").await.unwrap();
    assert_eq!(by_id, ["a", "b"]);
    let elsewhere = store.rows_of_person("other", EMAIL).await.unwrap();
    assert_eq!(elsewhere, [""; 0]);

    let before = sums(&pool).await;
    let counts = Erased {
        rows: 2,
        versions: 2,
        payloads: 2,
        quarantined: 1,
    };
    assert_eq!(erase(&store).await, counts);
    assert_eq!(found(&pool).await, [""; 0]);
    assert_eq!(sums(&pool).await, before);
    assert_eq!(rows(&pool).await.len(), 1, "the other payload stays");
    let marked = "SELECT count(*) FROM paysync.transactions WHERE erased_at IS NOT NULL";
    assert_eq!(count(&pool, marked).await, 2);
    assert_eq!(erase(&store).await, Erased::default(), "no row is left");
}

#[sqlx::test(migrations = "./migrations")]
async fn later_pages_do_not_restore_an_erased_person(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    store_page(&store, &lease, &window, vec![personal("a", 1)], vec![]).await;
    let read = store.stored_after(ACCOUNT, "").await.unwrap();
    let [stored] = read.as_slice() else {
        panic!("{read:?}")
    };
    erase(&store).await;

    // The same again changes nothing.
    let same = store_page(&store, &lease, &window, vec![personal("a", 1)], vec![]).await;
    assert_eq!((same.unchanged, same.items), (1, 1));
    assert_eq!(found(&pool).await, [""; 0]);
    assert!(rows(&pool).await.is_empty());

    // A replay that had read the row before it was erased is too late.
    let mut transaction = stored.transaction.clone();
    transaction.customer_ip = Some("203.0.113.77".to_owned());
    let payload = RedactedPayload {
        text: r#"{"customer_ip":"203.0.113.77"}"#.to_owned(),
        hash: stored.hash,
    };
    let correction = Correction::of(stored, transaction, Some(payload));
    let corrected = store.correct(ACCOUNT, &[correction]).await.unwrap();
    assert_eq!(corrected, Corrected::default());
    assert_eq!(found(&pool).await, [""; 0]);

    // New versions by the upsert, alone and among rows that are copied.
    for version in 2..4 {
        let mut news = vec![personal("a", version)];
        if version == 3 {
            news.extend((0..200).map(|id| record(&format!("n{id}"), 1)));
        }
        let mut commit = page(&window, news, more(1));
        commit.likely_new = version == 3;
        commit.created = Some(hour(50)..=hour(51));
        let counts = store.commit_page(&lease, commit).await.unwrap().counts;
        assert_eq!(counts.updated, 1, "{counts:?}");
        assert_eq!(found(&pool).await, [""; 0]);
        let held = "SELECT count(*) FROM paysync.transactions
                    WHERE provider_transaction_id = 'a' AND erased_at IS NOT NULL AND merchant_reference = 'order-a' AND amount = ";
        let held = format!("{held}{version}");
        assert_eq!(
            count(&pool, held.leak()).await,
            1,
            "the rest is kept up to date"
        );
    }
    let versions =
        "SELECT count(*) FROM paysync.transaction_history WHERE provider_transaction_id = 'a'";
    assert_eq!(count(&pool, versions).await, 2);
    let read = store.stored_after(ACCOUNT, "").await.unwrap();
    let without: Vec<&StoredRow> = read.iter().filter(|row| row.payload.is_none()).collect();
    assert_eq!(read.len(), 201);
    assert!(without[0].is_erased && without.len() == 1, "{without:?}");

    // Quarantine keeps an unreadable item without its text, each time.
    for _ in 0..2 {
        let items = vec![unreadable(Some("a"), 1)];
        let counts = store_page(&store, &lease, &window, vec![], items).await;
        assert_eq!(counts.quarantined, 1);
        assert_eq!(found(&pool).await, [""; 0]);
    }
}

/// An item that names the person, and that is read only after the person was erased.
#[sqlx::test(migrations = "./migrations")]
async fn a_quarantine_retry_does_not_restore_an_erased_person(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let items = vec![unreadable(None, 1)];
    store_page(&store, &lease, &window, vec![personal("a", 1)], items).await;
    let ids = store.rows_of_person(ACCOUNT, EMAIL).await.unwrap();
    let mentions = store.other_mentions(ACCOUNT, EMAIL, &ids).await.unwrap();
    assert_eq!(mentions, 1, "it shows no id, and is reported");
    assert_eq!(
        store
            .other_mentions(ACCOUNT, "example.com", &ids)
            .await
            .unwrap(),
        0
    );
    assert_eq!(erase(&store).await.quarantined, 0);

    let kept = store
        .quarantined_after(ACCOUNT, ("", uuid::Uuid::nil()))
        .await
        .unwrap();
    let [kept] = kept.as_slice() else {
        panic!("{kept:?}")
    };
    let item = Retried {
        item: kept,
        outcome: Ok(personal("a", 9)),
    };
    let emptied = store
        .retry_quarantine(
            ACCOUNT,
            &super::real_provider("convergegate").spec(),
            &[item],
        )
        .await
        .unwrap();
    assert_eq!(emptied.stored, 1);
    assert_eq!(found(&pool).await, [""; 0]);
    let newest = "SELECT amount::bigint FROM paysync.transactions";
    assert_eq!(count(&pool, newest).await, 9);
}
