//! Replays of stored payloads: rows that were misread, items in quarantine, beside a
//! daemon that goes on.

use std::collections::BTreeMap;

use paysync::engine::replay::{Replayed, replay};
use paysync_simulator::Provider;
use sqlx::PgPool;

use super::SMALL;
use crate::support::{
    account_of, assert_exact, assert_recounted, config_text, count, engine_of, history, in_time,
    providers, recount, start, stored, sync_covers, versions,
};

/// Replays every account; the reports by account.
async fn replay_all(text: &str, dry_run: bool) -> BTreeMap<String, Replayed> {
    let engine = engine_of(text).await;
    let mut reports = BTreeMap::new();
    for account in &engine.accounts {
        let replayed = replay(&engine.store, account, dry_run, |_| ());
        let replayed = in_time("replay", replayed).await.unwrap();
        reports.insert(account.id.clone(), replayed);
    }
    engine.store.pool().close().await;
    reports
}

/// Damages rows as a program that reads them otherwise would have stored them, with keys and sums.
async fn damage(pool: &PgPool, sql: &'static str) -> u64 {
    let mut connection = pool.acquire().await.unwrap();
    let damaged = sqlx::query(sql).execute(&mut *connection).await.unwrap();
    recount(&mut connection).await;
    damaged.rows_affected()
}

/// All that a replay may not touch: what was sent, and when it was asked for.
async fn facts(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT format('%s %s %s %s %s', account_id, provider_transaction_id, payload_hash, observed_at, payload)
         FROM paysync.transactions JOIN paysync.raw_transactions USING (account_id, provider_transaction_id)
         ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn quarantine(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT format('%s %s %s', held, xmin, xmax) FROM paysync.quarantine AS held ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// As if the reader had not known the providers' amounts and words: every third row is spoilt in the
/// columns that are made of its payload.
const MISREAD: &str = "
    UPDATE paysync.transactions SET
        amount = coalesce(amount, 0) + 0.01, status = 'unknown', kind = 'other', created_at = created_at - interval '1 hour',
        description = 'misread', card_last4 = NULL, is_test = NOT is_test, provider_status = NULL
    WHERE hashtext(provider_transaction_id) % 3 = 0";

#[sqlx::test(migrations = "./migrations")]
async fn misread_rows_are_corrected(pool: PgPool) {
    let simulator = start(history(300, 5)).await;
    let text = config_text(&simulator, &pool, &providers(), SMALL);
    sync_covers(&text).await;
    let before = versions(&pool).await;
    for replayed in replay_all(&text, false).await.into_values() {
        assert!(replayed.read > 0);
        assert_eq!(replayed.unchanged, replayed.read, "{:?}", replayed.changes);
    }
    assert_eq!(versions(&pool).await, before, "nothing is wrong yet");

    let (misread, facts_before) = (damage(&pool, MISREAD).await, facts(&pool).await);
    assert!(misread > 300);
    let damaged = versions(&pool).await;
    let preview = replay_all(&text, true).await;
    assert_eq!(versions(&pool).await, damaged, "a dry run writes nothing");
    let changed: u64 = preview.values().map(|replayed| replayed.changed).sum();
    assert_eq!(changed, misread);
    for replayed in preview.values() {
        assert_eq!(replayed.unchanged + replayed.changed, replayed.read);
        assert_eq!(replayed.changes.len(), 20);
        let status = |change: &paysync::engine::replay::ChangedRow| {
            let status = change.columns.iter().find(|it| it.column == "status");
            status.is_some_and(|it| it.old.as_deref() == Some("unknown") && it.new.is_some())
        };
        assert!(
            replayed.changes.iter().all(status),
            "{:?}",
            replayed.changes
        );
    }

    assert_eq!(replay_all(&text, false).await, preview);
    assert_exact(&pool, &simulator, &providers()).await;
    assert_recounted(&pool).await;
    assert_eq!(facts(&pool).await, facts_before);
    // A new reading is no version, but readers of changed_at see it.
    let corrected =
        "SELECT count(*) FROM paysync.transactions WHERE changed_at > version_from AND version = 1";
    assert_eq!(
        count(&pool, corrected).await,
        i64::try_from(misread).unwrap()
    );
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.transaction_history").await,
        0
    );

    let right = versions(&pool).await;
    for replayed in replay_all(&text, false).await.into_values() {
        assert_eq!(replayed.unchanged, replayed.read);
    }
    assert_eq!(
        versions(&pool).await,
        right,
        "a second replay writes nothing"
    );
    simulator.stop().await;
}

/// As if the reader had not understood every fifth item, whichever stream brought it.
const MISUNDERSTOOD: &str = "
    WITH gone AS (
        DELETE FROM paysync.transactions WHERE hashtext(provider_transaction_id) % 5 = 0 RETURNING *
    ), raw AS (
        DELETE FROM paysync.raw_transactions WHERE hashtext(provider_transaction_id) % 5 = 0 RETURNING *
    )
    INSERT INTO paysync.quarantine (
        account_id, stream, payload_hash, reason, detail, payload, window_start, window_end, observed_at
    )
    SELECT account_id, streams.stream, payload_hash, 'unknown_currency', 'for a test', payload::text,
           observed_at - interval '1 hour', observed_at, observed_at
    FROM gone JOIN raw USING (account_id, provider_transaction_id) JOIN paysync.streams USING (account_id)";

#[sqlx::test(migrations = "./migrations")]
async fn readable_items_leave_the_quarantine(pool: PgPool) {
    let simulator = start(history(300, 5)).await;
    let text = config_text(&simulator, &pool, &providers(), SMALL);
    sync_covers(&text).await;
    let (undisturbed, facts_before) = (versions(&pool).await, facts(&pool).await);
    let quarantined = damage(&pool, MISUNDERSTOOD).await;
    assert!(quarantined > 300);
    assert!(versions(&pool).await.len() < undisturbed.len());

    let (rows, items) = (versions(&pool).await, quarantine(&pool).await);
    let preview = replay_all(&text, true).await;
    assert_eq!(versions(&pool).await, rows, "a dry run writes nothing");
    assert_eq!(quarantine(&pool).await, items, "a dry run writes nothing");
    let replayed = replay_all(&text, false).await;
    assert_eq!(replayed, preview);
    for replayed in replayed.values() {
        assert!(replayed.retried > 0);
        assert_eq!(replayed.quarantine.stored, replayed.retried);
    }
    assert!(quarantine(&pool).await.is_empty());
    assert_exact(&pool, &simulator, &providers()).await;
    assert_recounted(&pool).await;
    assert_eq!(facts(&pool).await, facts_before);
    // The ledger counts rows that no window has inserted.
    let entered =
        "SELECT coalesce(sum(inserted), 0)::bigint FROM paysync.ledger WHERE lane = 'replay'";
    let inserted = count(&pool, entered).await;
    assert_eq!(
        inserted,
        i64::try_from(undisturbed.len() - rows.len()).unwrap() / 2
    );
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.transaction_history").await,
        0
    );
    for replayed in replay_all(&text, false).await.into_values() {
        assert_eq!((replayed.retried, replayed.unchanged), (0, replayed.read));
    }
    simulator.stop().await;
}

/// Payloads that cannot be read any more are reported, and neither deleted nor changed.
#[sqlx::test(migrations = "./migrations")]
async fn unreadable_payloads_stay_unchanged(pool: PgPool) {
    let simulator = start(history(60, 2)).await;
    let provider = Provider::Convergegate;
    let text = config_text(&simulator, &pool, &[provider], SMALL);
    sync_covers(&text).await;
    let ids: Vec<String> = stored(&pool, &account_of(provider))
        .await
        .into_keys()
        .collect();
    for (id, payload) in [
        (&ids[0], "{}".to_owned()),
        (&ids[1], "[1]".to_owned()),
        (
            &ids[2],
            format!(r#"{{"id":"{}","amount":"a lot"}}"#, ids[2]),
        ),
        (&ids[3], format!(r#"{{"id":"{}"}}"#, ids[4])),
    ] {
        sqlx::query("UPDATE paysync.raw_transactions SET payload = $2::json WHERE provider_transaction_id = $1")
            .bind(id)
            .bind(payload)
            .execute(&pool)
            .await
            .unwrap();
    }
    // Rows of another provider are left alone.
    let foreign = "UPDATE paysync.transactions SET provider = 'firekassa', status = 'unknown'
                   WHERE provider_transaction_id = (SELECT max(provider_transaction_id) FROM paysync.transactions)";
    assert_eq!(damage(&pool, foreign).await, 1);
    let before = versions(&pool).await;
    let replayed = replay_all(&text, false).await.pop_first().unwrap().1;
    assert_eq!(versions(&pool).await, before);
    let rows = u64::try_from(ids.len()).unwrap();
    assert_eq!((replayed.read, replayed.unchanged), (rows - 1, rows - 5));
    assert_eq!((replayed.changed, replayed.unreadable), (0, 4));
    let reported: Vec<(&str, &str)> = replayed
        .complaints
        .iter()
        .map(|complaint| (complaint.id.as_str(), complaint.reason))
        .collect();
    let expected = [
        (ids[0].as_str(), "missing_id"),
        (ids[1].as_str(), "unreadable_item"),
        (ids[2].as_str(), "unreadable_amount"),
        (ids[3].as_str(), "another_id"),
    ];
    assert_eq!(reported, expected);
    simulator.stop().await;
}

/// Rows change and are read, corrected and quarantined at once: no deadlock occurs, and the provider's
/// newest version is left.
#[sqlx::test(migrations = "./migrations")]
async fn a_replay_beside_a_daemon_loses_to_newer_versions(pool: PgPool) {
    let simulator = start(history(400, 3)).await;
    let text = config_text(&simulator, &pool, &providers(), SMALL);
    sync_covers(&text).await;
    for _ in 0..2 {
        damage(&pool, MISREAD).await;
        damage(&pool, MISUNDERSTOOD).await;
        for provider in providers() {
            // Fewer than a page: what changes in one second cannot be split.
            simulator.touch(provider, 20);
        }
        let reading = async {
            super::forget_everything(&text).await;
            sync_covers(&text).await;
        };
        let replaying = async {
            for _ in 0..3 {
                replay_all(&text, false).await;
            }
        };
        tokio::join!(reading, replaying);
    }
    for replayed in replay_all(&text, false).await.into_values() {
        assert_eq!(replayed.unreadable + replayed.overtaken, 0);
    }
    assert!(quarantine(&pool).await.is_empty());
    assert_exact(&pool, &simulator, &providers()).await;
    assert_recounted(&pool).await;
    simulator.stop().await;
}

/// Whatever keeps a row from being read again, what it holds is redacted: a reading that PostgreSQL refuses,
/// another provider, a payload that was edited by hand.
#[sqlx::test(migrations = "./migrations")]
async fn rows_that_are_not_read_again_are_redacted(pool: PgPool) {
    const CARD: &str = "4111111111111111";
    const CUT: &str = "411111******1111";
    let simulator = start(history(60, 2)).await;
    let provider = Provider::Convergegate;
    let text = config_text(&simulator, &pool, &[provider], SMALL);
    sync_covers(&text).await;
    // The longest key of an index is a third of a page.
    let long: String = (0..100_000).map(|_| fastrand::alphanumeric()).collect();
    let ids: Vec<String> = stored(&pool, &account_of(provider))
        .await
        .into_keys()
        .collect();
    let items = [
        format!(
            r#"{{"id":"{}","referenceId":"{long}","description":"{CARD}"}}"#,
            ids[0]
        ),
        format!(
            r#"{{"id":"{0}","order_id":"{CARD}","referenceId":"{CARD}","comment":"{CARD}"}}"#,
            ids[1]
        ),
        format!(r#"{{"id":"{}","description":"{CARD}"}}"#, ids[2]),
    ];
    for (id, item) in ids.iter().zip(&items) {
        sqlx::query(
            "WITH edited AS (UPDATE paysync.raw_transactions SET payload = $2::json WHERE provider_transaction_id = $1)
             UPDATE paysync.transactions SET description = $3, gateway = $3, merchant_reference = $3, amount = 1.500,
                 provider = CASE WHEN $4 THEN 'firekassa' ELSE provider END
             WHERE provider_transaction_id = $1",
        )
        .bind(id)
        .bind(item)
        .bind(CARD)
        .bind(*id == ids[1])
        .execute(&pool)
        .await
        .unwrap();
    }
    let hashes = "SELECT string_agg(payload_hash::text, ' ' ORDER BY provider_transaction_id) FROM paysync.transactions";
    let before: String = sqlx::query_scalar(hashes).fetch_one(&pool).await.unwrap();

    let replayed = replay_all(&text, false).await.pop_first().unwrap().1;
    let complaint = &replayed.complaints[0];
    assert_eq!(
        (complaint.reason, replayed.unreadable),
        ("refused_by_database", 1)
    );
    assert_eq!((replayed.redacted.payloads, replayed.redacted.rows), (3, 2));
    assert_eq!(replayed.read, u64::try_from(ids.len()).unwrap() - 1);
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT payload::text, concat_ws(' ', version, amount, description, gateway, merchant_reference)
         FROM paysync.transactions JOIN paysync.raw_transactions USING (account_id, provider_transaction_id)
         ORDER BY provider_transaction_id LIMIT 3",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    // ConvergeGate's gateway is made of an exact key, FireKassa's is not; a merchant's reference is in both.
    let foreign = items[1].replace(
        &format!(r#""referenceId":"{CARD}","comment":"{CARD}""#),
        &format!(r#""referenceId":"{CUT}","comment":"{CUT}""#),
    );
    let expected = [
        (
            items[0].replace(CARD, CUT),
            format!("1 1.500 {CUT} {CARD} {CARD}"),
        ),
        (foreign, format!("1 1.500 {CUT} {CUT} {CARD}")),
        (items[2].replace(CARD, CUT), format!("1 {CUT}")),
    ];
    assert_eq!(rows, expected);
    let after: String = sqlx::query_scalar(hashes).fetch_one(&pool).await.unwrap();
    assert_eq!(after, before, "an edit by hand is still found");
    simulator.stop().await;
}
