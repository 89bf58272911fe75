//! Corrections and the quarantine beside pages that are written meanwhile.

use std::collections::BTreeMap;

use paysync::store::quarantine::QuarantinedItem;
use paysync::store::replay::quarantine::{Retried, RetryOutcome};
use paysync::store::replay::{Corrected, Correction};
use paysync_provider::model::Field;

use super::*;

const PROVIDER: &str = "convergegate";

/// A page with these rows and bad items, asked for at this hour.
async fn commit(
    store: &Store,
    lease: &Lease,
    requested: i64,
    records: Vec<Record<'static>>,
    rejected: Vec<Rejected<'static>>,
) -> PageCounts {
    let window = open_one(store, lease).await;
    let mut commit = page(&window, records, close());
    commit.context.requested_at = hour(requested);
    reject(&mut commit, rejected);
    store.commit_page(lease, commit).await.unwrap().counts
}

/// What a fixed reader makes of the rows that are stored: another amount.
async fn corrections(store: &Store, amount: i64) -> Vec<Correction> {
    let rows = store.stored_after(ACCOUNT, PROVIDER, "").await.unwrap();
    rows.into_iter()
        .map(|stored| Correction {
            transaction: Transaction {
                amount: Some(BigDecimal::from(amount)),
                ..stored.transaction
            },
            hash: stored.hash,
            changed_at: stored.changed_at,
        })
        .collect()
}

async fn amounts(pool: &PgPool) -> Vec<(String, String)> {
    let rows = rows(pool).await.into_iter();
    rows.map(|(id, amount, _)| (id, amount)).collect()
}

fn named(id: &str, amount: &str) -> (String, String) {
    (id.to_owned(), amount.to_owned())
}

fn corrected(written: u64) -> Corrected {
    Corrected {
        written,
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
async fn what_is_stored_is_read_as_it_was_written(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let all = filled("a");
    let written = Record {
        transaction: all.clone(),
        ..record("a", 1)
    };
    commit(&store, &lease, 1, vec![written, record("b", 1)], vec![]).await;
    let read = store.stored_after(ACCOUNT, PROVIDER, "").await.unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].transaction, all);
    assert_eq!(read[0].hash, hash(&read[0].payload));
    // Everything can be corrected, and back again.
    let other = Transaction {
        provider_transaction_id: "a".to_owned(),
        ..Transaction::default()
    };
    for target in [other, all] {
        let read = store.stored_after(ACCOUNT, PROVIDER, "").await.unwrap();
        let correction = Correction {
            transaction: target.clone(),
            hash: read[0].hash,
            changed_at: read[0].changed_at,
        };
        assert_eq!(
            store.correct(ACCOUNT, &[correction]).await.unwrap(),
            corrected(1)
        );
        let read = store.stored_after(ACCOUNT, PROVIDER, "").await.unwrap();
        assert_eq!(read[0].transaction, target);
    }
    let after = store.stored_after(ACCOUNT, PROVIDER, "a").await.unwrap();
    assert_eq!(after[0].transaction, record("b", 1).transaction);
    assert!(
        store
            .stored_after(ACCOUNT, PROVIDER, "b")
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .stored_after(ACCOUNT, "firekassa", "")
            .await
            .unwrap()
            .is_empty()
    );
}

/// A correction is of the version that was read.
#[sqlx::test(migrations = "./migrations")]
async fn a_correction_loses_to_a_version_written_meanwhile(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
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
    assert_eq!(store.correct(ACCOUNT, &late).await.unwrap(), corrected(1));
    assert_eq!(amounts(&pool).await, [named("a", "7"), named("b", "2")]);
    // Nor does another replay correct what is corrected.
    assert_eq!(store.correct(ACCOUNT, &late).await.unwrap(), corrected(0));
    let versions: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT provider_transaction_id, version.amount::text, version.payload_hash = held.payload_hash
         FROM paysync.transaction_history AS version
         JOIN paysync.transactions AS held USING (account_id, provider_transaction_id) ORDER BY 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let expected = [("a", "1", true), ("b", "1", false)];
    assert_eq!(
        versions,
        expected.map(|(id, amount, same)| (id.to_owned(), amount.to_owned(), same))
    );
}

/// A correction waits for the page that writes its row, and then sees that it came too late.
#[sqlx::test(migrations = "./migrations")]
async fn a_correction_waits_for_a_page_in_the_middle(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
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
        "UPDATE paysync.transactions SET amount = 2, changed_at = now() WHERE provider_transaction_id = 'a'",
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
    assert_eq!(done, corrected(1));
    assert_eq!(amounts(&pool).await, [named("a", "2"), named("b", "7")]);
}

#[sqlx::test(migrations = "./migrations")]
async fn a_correction_that_postgresql_refuses_is_told_alone(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let ids: Vec<String> = (0..50).map(|number| format!("{number:02}")).collect();
    let records = ids.iter().map(|id| record(id, 1)).collect();
    commit(&store, &lease, 1, records, vec![]).await;
    let mut corrections = corrections(&store, 7).await;
    corrections[13].transaction.paid_at = Utc.with_ymd_and_hms(-5000, 1, 1, 0, 0, 0).single();
    let done = store.correct(ACCOUNT, &corrections).await.unwrap();
    let refused = vec![named("13", "SQLSTATE 22008")];
    assert_eq!((done.written, done.refused), (49, refused));
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
    let (store, lease) = bench(&pool).await;
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
        let batch = store.stored_after(ACCOUNT, PROVIDER, &after).await.unwrap();
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

/// A bad item of a row, with the payload of a version of it.
fn aside(id: &str, version: i64, reason: &'static str) -> Rejected<'static> {
    let record = record(id, version);
    Rejected {
        provider_transaction_id: Some(id.to_owned()),
        reason,
        detail: "for a test".to_owned(),
        payload: record.payload,
        hash: record.hash,
    }
}

async fn kept(store: &Store) -> Vec<QuarantinedItem> {
    let first = (String::new(), Uuid::nil());
    store
        .quarantined_after(ACCOUNT, (&first.0, first.1))
        .await
        .unwrap()
}

/// What a fixed reader makes of items: records, but of those whose payload has this text in it.
fn retry<'a>(items: &'a [QuarantinedItem], still_bad: &str) -> Vec<Retried<'a>> {
    let read = |kept: &'a QuarantinedItem| {
        let value: serde_json::Value = serde_json::from_str(&kept.payload).unwrap();
        let (id, version) = (
            value["id"].as_str().unwrap(),
            value["version"].as_i64().unwrap(),
        );
        if kept.payload.contains(still_bad) {
            return Err(Rejected {
                reason: "unreadable_time",
                detail: "of today".to_owned(),
                ..aside(id, version, "")
            });
        }
        Ok(record(id, version))
    };
    items
        .iter()
        .map(|kept| Retried {
            item: kept,
            outcome: read(kept),
        })
        .collect()
}

fn emptied(fit: u64, superseded: u64, left: &[(&str, u64)]) -> RetryOutcome {
    let left = left
        .iter()
        .map(|(reason, items)| ((*reason).to_owned(), *items));
    RetryOutcome {
        stored: fit,
        superseded,
        remaining: left.collect::<BTreeMap<_, _>>(),
    }
}

/// What leaves the quarantine follows the version rule: by the provider's stamp, else by the request.
#[sqlx::test(migrations = "./migrations")]
async fn an_older_item_never_replaces_a_newer_row(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let rows = ["held newer", "held older", "same", "bad older", "bad newer"];
    let records = rows.iter().map(|id| record(id, 5)).collect();
    commit(&store, &lease, 10, records, vec![]).await;
    let older = vec![
        aside("held newer", 4, "x"),
        aside("same", 5, "x"),
        aside("bad older", 4, "x"),
        aside("not held", 1, "x"),
    ];
    commit(&store, &lease, 9, vec![], older).await;
    let newer = vec![
        aside("held older", 6, "x"),
        aside("bad newer", 6, "x"),
        // An earlier version of one that is put aside as well.
        aside("not held", 2, "x"),
    ];
    commit(&store, &lease, 11, vec![], newer).await;

    let items = kept(&store).await;
    let retried = retry(&items, "bad");
    let expected = emptied(4, 2, &[("unreadable_time", 1)]);
    let before = versions(&pool).await;
    assert_eq!(
        store.preview_retry(ACCOUNT, &retried).await.unwrap(),
        expected
    );
    assert_eq!(versions(&pool).await, before);
    assert_eq!(kept(&store).await.len(), 7);
    assert_eq!(
        store
            .retry_quarantine(ACCOUNT, PROVIDER, &retried)
            .await
            .unwrap(),
        expected
    );

    let mut expected = [
        named("bad newer", "5"),
        named("bad older", "5"),
        named("held newer", "5"),
        named("held older", "6"),
        named("not held", "2"),
        named("same", "5"),
    ];
    expected.sort();
    assert_eq!(amounts(&pool).await, expected);
    let left = kept(&store).await;
    let left: Vec<(Option<&str>, &str, &str)> = left
        .iter()
        .map(|kept| {
            let id = kept.provider_transaction_id.as_deref();
            (id, kept.reason.as_str(), kept.detail.as_str())
        })
        .collect();
    assert_eq!(left, [(Some("bad newer"), "unreadable_time", "of today")]);
    // The version of the request that brought it.
    let observed: DateTime<Utc> = sqlx::query_scalar(
        "SELECT observed_at FROM paysync.transactions WHERE provider_transaction_id = 'held older'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(observed, hour(11));
    let history = count(&pool, "SELECT count(*) FROM paysync.transaction_history").await;
    assert_eq!(history, 2, "of held older, and of not held");
}

/// Without a stamp the requests decide.
#[sqlx::test(migrations = "./migrations")]
async fn without_stamps_the_request_decides(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let records = vec![stamped("a", 5, None), stamped("b", 5, None)];
    commit(&store, &lease, 10, records, vec![]).await;
    commit(&store, &lease, 9, vec![], vec![aside("a", 6, "x")]).await;
    commit(&store, &lease, 11, vec![], vec![aside("b", 6, "x")]).await;
    let items = kept(&store).await;
    let read = |kept| {
        let id = |kept: &QuarantinedItem| kept.provider_transaction_id.clone().unwrap();
        let outcome = Ok(stamped(&id(kept), 6, None));
        Retried {
            item: kept,
            outcome,
        }
    };
    let retried: Vec<Retried<'_>> = items.iter().map(read).collect();
    let done = store
        .retry_quarantine(ACCOUNT, PROVIDER, &retried)
        .await
        .unwrap();
    assert_eq!(done, emptied(1, 1, &[]));
    assert_eq!(amounts(&pool).await, [named("a", "5"), named("b", "6")]);
    assert!(kept(&store).await.is_empty());
}

/// An item that a page brings again while it is tried stays for the next time.
#[sqlx::test(migrations = "./migrations")]
async fn an_item_met_again_meanwhile_stays(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let both = || vec![aside("a", 1, "x"), aside("b", 1, "x")];
    commit(&store, &lease, 1, vec![], both()).await;
    let items = kept(&store).await;
    commit(&store, &lease, 2, vec![], vec![aside("b", 1, "x")]).await;
    let retried = retry(&items, "none");
    let done = store
        .retry_quarantine(ACCOUNT, PROVIDER, &retried)
        .await
        .unwrap();
    assert_eq!(done, emptied(1, 0, &[("x", 1)]));
    let items = kept(&store).await;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].observed_at, hour(2));
    let retried = retry(&items, "none");
    let done = store
        .retry_quarantine(ACCOUNT, PROVIDER, &retried)
        .await
        .unwrap();
    assert_eq!(done, emptied(1, 0, &[]));
}

/// A request that was sent earlier does not make an item older.
#[sqlx::test(migrations = "./migrations")]
async fn an_item_is_as_new_as_its_last_request(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    for requested in [2, 3, 1] {
        commit(&store, &lease, requested, vec![], vec![aside("a", 1, "x")]).await;
    }
    assert_eq!(kept(&store).await[0].observed_at, hour(3));
}

/// What a reader makes of items that reads one time out of all reason.
fn retry_with_long_ago(items: &[QuarantinedItem]) -> Vec<Retried<'_>> {
    let mut retried = retry(items, "none");
    for item in &mut retried {
        if let Ok(record) = &mut item.outcome
            && record.transaction.provider_transaction_id == "b"
        {
            record.transaction.updated_at = Utc.with_ymd_and_hms(-5000, 1, 1, 0, 0, 0).single();
        }
    }
    retried
}

/// What PostgreSQL refuses stays, and keeps nothing else from leaving.
#[sqlx::test(migrations = "./migrations")]
async fn what_postgresql_refuses_stays_in_quarantine(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let bad = ["a", "b", "c", "d"].map(|id| aside(id, 1, "x")).to_vec();
    commit(&store, &lease, 1, vec![], bad).await;
    let items = kept(&store).await;
    let done = store
        .retry_quarantine(ACCOUNT, PROVIDER, &retry_with_long_ago(&items))
        .await
        .unwrap();
    let expected = emptied(3, 0, &[("refused_by_database", 1)]);
    assert_eq!(done, expected);
    let left = kept(&store).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].reason, "refused_by_database");
    assert_eq!(left[0].detail, "SQLSTATE 22008");
    assert_eq!(left[0].provider_transaction_id.as_deref(), Some("b"));
    // A dry run expects the same, and the next replay finds the same.
    let expected = emptied(0, 0, &[("refused_by_database", 1)]);
    let foreseen = store
        .preview_retry(ACCOUNT, &retry_with_long_ago(&left))
        .await
        .unwrap();
    assert_eq!(foreseen, expected);
    let done = store
        .retry_quarantine(ACCOUNT, PROVIDER, &retry_with_long_ago(&left))
        .await
        .unwrap();
    assert_eq!(done, expected);
}

/// Items from before requests were kept are as new as when they were first met.
#[sqlx::test(migrations = false)]
async fn items_of_older_schemas_keep_their_time(pool: PgPool) {
    let migrations = sqlx::migrate!();
    let (old, new): (Vec<_>, Vec<_>) = migrations
        .iter()
        .partition(|migration| migration.version < 20_261_121_101_500);
    let run = |part: Vec<&sqlx::migrate::Migration>| {
        let pool = pool.clone();
        let texts: Vec<String> = part.iter().map(|it| it.sql.as_str().to_owned()).collect();
        async move {
            for text in texts {
                sqlx::raw_sql(sqlx::AssertSqlSafe(text))
                    .execute(&pool)
                    .await
                    .unwrap();
            }
        }
    };
    run(old).await;
    sqlx::query(
        "INSERT INTO paysync.quarantine (account_id, stream, payload_hash, reason, detail, payload, window_start, window_end, first_seen_at)
         VALUES ('acme', 'created', gen_random_uuid(), 'x', 'x', '{}', '2026-01-01Z', '2026-01-02Z', '2026-01-03Z')",
    )
    .execute(&pool)
    .await
    .unwrap();
    run(new).await;
    let right = "SELECT count(*) FROM paysync.quarantine WHERE observed_at = '2026-01-03Z'";
    assert_eq!(count(&pool, right).await, 1);
}
