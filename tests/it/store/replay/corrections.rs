//! Corrections of stored rows beside pages that are written meanwhile.

use std::borrow::Cow;

use bigdecimal::BigDecimal;
use chrono::{TimeDelta, TimeZone as _, Utc};
use paysync::store::Store;
use paysync::store::replay::{Corrected, Correction};
use paysync_provider::item::{Record, Rejected};
use paysync_provider::model::{Field, Transaction};
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::replay::{amounts, commit, named};
use crate::store::{ACCOUNT, hash, hour, leased_store, record};
use crate::support::{count, in_time};

/// Stored rows as a corrected reader reads them: with another amount.
async fn corrections(store: &Store, amount: i64) -> Vec<Correction> {
    let rows = store.stored_after(ACCOUNT, "").await.unwrap();
    rows.iter()
        .map(|stored| {
            let transaction = Transaction {
                amount: Some(BigDecimal::from(amount)),
                ..stored.transaction.clone()
            };
            Correction::of(stored, transaction, None)
        })
        .collect()
}

fn corrected(written: &[&str]) -> Corrected {
    Corrected {
        written: written.iter().map(|id| (*id).to_owned()).collect(),
        refused: Vec::new(),
    }
}

/// A row with a value of its own in each column.
fn filled(id: &str) -> Transaction {
    let mut amounts = [
        "12.340",
        "-0.000000000000000001",
        "123456789012345678901234567890",
        "0",
    ]
    .into_iter()
    .cycle();
    let mut row = Transaction::default();
    for (place, column) in (1..).zip(Transaction::COLUMNS) {
        match column.field {
            Field::Text { set, .. } => [column.name, "chargeback", "canceled"]
                .into_iter()
                .find_map(|text| set(&mut row, Some(text.to_owned())).ok())
                .unwrap(),
            Field::Numeric { set, .. } => set(&mut row, amounts.next().unwrap().parse().ok()),
            Field::Timestamptz { set, .. } => {
                set(&mut row, Some(hour(place) + TimeDelta::microseconds(place)));
            }
            Field::Boolean { set, .. } => set(&mut row, Some(true)),
        }
    }
    row.provider_transaction_id = id.to_owned();
    row
}

#[sqlx::test(migrations = "./migrations")]
async fn stored_rows_are_read_as_written(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let all = filled("a");
    let written = Record {
        transaction: all.clone(),
        ..record("a", 1)
    };
    commit(&store, &lease, 1, vec![written, record("b", 1)], vec![]).await;
    let read = store.stored_after(ACCOUNT, "").await.unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].transaction, all);
    assert_eq!(Some(read[0].hash), read[0].payload.as_deref().map(hash));
    // Everything can be corrected, and back again.
    let other = Transaction {
        provider_transaction_id: "a".to_owned(),
        ..Transaction::default()
    };
    for target in [other, all] {
        let read = store.stored_after(ACCOUNT, "").await.unwrap();
        let correction = Correction::of(&read[0], target.clone(), None);
        assert_eq!(
            store.correct(ACCOUNT, &[correction]).await.unwrap(),
            corrected(&["a"])
        );
        let read = store.stored_after(ACCOUNT, "").await.unwrap();
        assert_eq!(read[0].transaction, target);
    }
    let after = store.stored_after(ACCOUNT, "a").await.unwrap();
    assert_eq!(after[0].transaction, record("b", 1).transaction);
    assert!(store.stored_after(ACCOUNT, "b").await.unwrap().is_empty());
}

/// A correction is of the version that was read.
#[sqlx::test(migrations = "./migrations")]
async fn a_correction_loses_to_a_version_written_meanwhile(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    commit(
        &store,
        &lease,
        1,
        vec![record("a", 1), record("b", 1)],
        vec![],
    )
    .await;
    let late = corrections(&store, 7).await;
    commit(&store, &lease, 2, vec![record("b", 2)], vec![]).await;
    assert_eq!(
        store.correct(ACCOUNT, &late).await.unwrap(),
        corrected(&["a"])
    );
    assert_eq!(amounts(&pool).await, [named("a", "7"), named("b", "2")]);
    // Nor does another replay correct what is corrected.
    assert_eq!(store.correct(ACCOUNT, &late).await.unwrap(), corrected(&[]));
    let versions: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT provider_transaction_id, version.amount::text, version.payload_hash = held.payload_hash
         FROM paysync.transaction_history AS version
         JOIN paysync.transactions AS held USING (account_id, provider_transaction_id) ORDER BY 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    // A correction makes no version.
    let expected = [("b", "1", false)];
    assert_eq!(
        versions,
        expected.map(|(id, amount, same)| (id.to_owned(), amount.to_owned(), same))
    );
}

/// A correction waits for the page that writes its row, and then sees that it came too late.
#[sqlx::test(migrations = "./migrations")]
async fn a_correction_waits_for_an_open_page_commit(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    commit(
        &store,
        &lease,
        1,
        vec![record("a", 1), record("b", 1)],
        vec![],
    )
    .await;
    let late = corrections(&store, 7).await;
    let mut page = pool.begin().await.unwrap();
    sqlx::query(
        "UPDATE paysync.transactions SET amount = 2, version = 2, version_from = now() WHERE provider_transaction_id = 'a'",
    )
    .execute(&mut *page)
    .await
    .unwrap();
    let correcting = {
        let store = store.clone();
        tokio::spawn(async move { store.correct(ACCOUNT, &late).await })
    };
    in_time("a correction that waits", async {
        while count(&pool, "SELECT count(*) FROM pg_locks WHERE NOT granted").await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    page.commit().await.unwrap();
    let done = in_time("a correction", correcting).await.unwrap().unwrap();
    assert_eq!(done, corrected(&["b"]));
    assert_eq!(amounts(&pool).await, [named("a", "2"), named("b", "7")]);
}

#[sqlx::test(migrations = "./migrations")]
async fn only_refused_corrections_are_reported(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let ids: Vec<String> = (0..50).map(|number| format!("{number:02}")).collect();
    let records = ids.iter().map(|id| record(id, 1)).collect();
    commit(&store, &lease, 1, records, vec![]).await;
    let mut corrections = corrections(&store, 7).await;
    corrections[13].transaction.paid_at = Utc.with_ymd_and_hms(-5000, 1, 1, 0, 0, 0).single();
    let done = store.correct(ACCOUNT, &corrections).await.unwrap();
    let refused = vec![named("13", "SQLSTATE 22008")];
    assert_eq!((done.written.len(), done.refused), (49, refused));
    let left: Vec<(String, String)> = amounts(&pool)
        .await
        .into_iter()
        .filter(|(_, amount)| amount != "7")
        .collect();
    assert_eq!(left, [named("13", "1")]);
}

/// However large payloads are, a batch holds little more than a few of them.
#[sqlx::test(migrations = "./migrations")]
async fn batches_are_bounded(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let long = |id: &str| {
        let payload = format!(r#"{{"id":"{id}","text":"{}"}}"#, "x".repeat(9 << 20));
        Record {
            hash: hash(&payload),
            payload: Cow::Owned(payload),
            ..record(id, 1)
        }
    };
    let aside = |id: &str| Rejected {
        provider_transaction_id: None,
        reason: "missing_id",
        detail: String::new(),
        hash: long(id).hash,
        payload: long(id).payload,
    };
    let records = vec![long("a"), long("b"), long("c"), record("d", 1)];
    commit(
        &store,
        &lease,
        1,
        records,
        vec![aside("e"), aside("f"), aside("g")],
    )
    .await;
    let mut batches = Vec::new();
    let mut after = String::new();
    loop {
        let batch = store.stored_after(ACCOUNT, &after).await.unwrap();
        let Some(last) = batch.last() else { break };
        after.clone_from(&last.transaction.provider_transaction_id);
        batches.push(batch.len());
    }
    assert_eq!(batches, [2, 2]);
    let mut after = (String::new(), Uuid::nil());
    let mut batches = Vec::new();
    loop {
        let batch = store
            .quarantined_after(ACCOUNT, (&after.0, after.1))
            .await
            .unwrap();
        let Some(last) = batch.last() else { break };
        after = (last.stream.clone(), last.hash);
        batches.push(batch.len());
    }
    assert_eq!(batches, [2, 1]);
}
