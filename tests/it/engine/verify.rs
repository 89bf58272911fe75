//! `paysync verify`, and the comparison with the ledger that all these tests rely on.

mod fixture;
mod planted_losses;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use paysync::engine::inspect::verify::Verdict;
use paysync::engine::maintenance::{Budget, run_round};
use paysync::engine::replay::replay;
use paysync::store::inspect::stored_rows::Row;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use fixture::{BOTH, DAMAGED, Fixture};

use super::SMALL;
use crate::support::{
    TIMEOUT, account_of, assert_exact, config_text, count, differences, engine_of, history,
    in_time, ledger, start, stored, sync_covers, verification,
};

/// A loss that a count of the provider finds is mended by itself; the ledger remembers it until an
/// operator enters what was removed.
#[sqlx::test(migrations = "./migrations")]
async fn a_recorded_removal_completes_the_proof(pool: PgPool) {
    let fixture = Fixture::new(pool, "").await;
    let lost = "WITH lost AS (
             DELETE FROM paysync.transactions
             WHERE {account} AND is_test IS NOT TRUE AND created_at < now() - interval '2 days'
               AND hashtext(provider_transaction_id) % 20 = 0
             RETURNING account_id, provider_transaction_id
         )
         DELETE FROM paysync.raw_transactions USING lost
         WHERE (raw_transactions.account_id, raw_transactions.provider_transaction_id)
             = (lost.account_id, lost.provider_transaction_id)";
    let account = format!("account_id = '{}'", account_of(DAMAGED));
    let lost = fixture.execute(lost.replace("{account}", &account)).await;
    assert!(lost > 0);
    assert_eq!(fixture.failing().await, BTreeSet::from(["rows", "totals"]));
    sync_covers(&fixture.text).await;
    let found = "SELECT count(*) FROM paysync.windows WHERE lane = 'audit' AND provider_count > items + outside";
    assert!(count(&fixture.pool, found).await > 0);
    assert_exact(&fixture.pool, &fixture.simulator, &BOTH).await;
    // The counts were answered; that rows were inserted twice is not forgotten.
    assert_eq!(fixture.failing().await, BTreeSet::from(["rows", "totals"]));
    let entry = format!(
        "INSERT INTO paysync.window_totals (account_id, stream, lane, day, items, inserted)
         VALUES ('{}', '', 'removed', current_date, -{lost}, -{lost})",
        account_of(DAMAGED)
    );
    fixture.execute(entry).await;
    let recounted = format!("SELECT paysync.recount_account('{}')", account_of(DAMAGED));
    fixture.execute(recounted).await;
    assert_eq!(fixture.failing().await, BTreeSet::new());
    fixture.simulator.stop().await;
}

/// The ledger, the coverage and the rows agree at every instant of a sync, however its windows are
/// folded meanwhile.
#[sqlx::test(migrations = "./migrations")]
async fn a_running_sync_can_be_verified(pool: PgPool) {
    let mut settings = history(600, 5);
    settings.latency = Duration::from_millis(3);
    let simulator = start(settings).await;
    let text = config_text(&simulator, &pool, &BOTH, SMALL) + "[retention]\nwindows = \"1ms\"\n";
    let engine = engine_of(&text).await;
    let syncing = {
        let text = text.clone();
        tokio::spawn(async move { sync_covers(&text).await })
    };
    let budget = Budget {
        batches: 100,
        pause: Duration::ZERO,
    };
    let go_on = CancellationToken::new();
    let (mut seen, mut folded) = (0, 0);
    while !syncing.is_finished() {
        for account in verification(&engine).await.accounts {
            for check in account.checks {
                // Before its streams are known there is nothing to prove.
                let unread = check.detail == "the account has never been read";
                let proven = check.state != Verdict::Unproven;
                assert!(proven || unread || check.check == "gaps", "{check:?}");
                seen += usize::from(check.state == Verdict::Noted);
            }
        }
        let round = run_round(&engine.store, engine.retention, budget, &go_on).await;
        folded += round.unwrap().windows;
    }
    in_time("sync", syncing).await.unwrap();
    assert!(seen > 0 && folded > 0, "{seen} {folded}");
    assert!(verification(&engine).await.proven);
    assert_exact(&pool, &simulator, &BOTH).await;
    simulator.stop().await;
}

/// Unfinished work is noted and fails no check; an account that was never read proves nothing.
#[sqlx::test(migrations = "./migrations")]
async fn unfinished_work_is_noted(pool: PgPool) {
    let fixture = Fixture::new(pool, "").await;
    fixture
        .execute(
            "INSERT INTO paysync.windows (account_id, stream, lane, window_start, window_end)
             SELECT account_id, stream, 'rescan', wanted_from, wanted_until FROM paysync.streams;
             INSERT INTO paysync.quarantine (account_id, stream, payload_hash, reason, detail, payload, window_start, window_end, observed_at)
             SELECT account_id, stream, gen_random_uuid(), 'unreadable', '', '', wanted_from, wanted_until, now() FROM paysync.streams",
        )
        .await;
    let engine = engine_of(&fixture.text).await;
    let accounts = BOTH.map(account_of);
    for (leased, open) in [
        (false, "are left open, and no process works on the account"),
        (true, "are being read"),
    ] {
        if leased {
            let leases = engine.store.acquire(&accounts, "other", TIMEOUT, 9).await;
            assert_eq!(leases.unwrap().len(), accounts.len());
        }
        for account in fixture.proofs().await {
            assert!(account.proven);
            let streams = engine.accounts.iter().find(|a| a.id == account.id).unwrap();
            let streams = streams.streams.len();
            let noted = account.checks.iter().filter(|c| c.state == Verdict::Noted);
            let noted: Vec<(&str, &str)> = noted.map(|c| (c.check, c.detail.as_str())).collect();
            let expected = (
                format!("{streams} windows {open}"),
                format!("{streams} items are no row"),
            );
            assert_eq!(
                noted,
                [("open", &*expected.0), ("quarantine", &*expected.1)]
            );
        }
    }
    engine.store.pool().close().await;
    fixture
        .execute(
            "DELETE FROM paysync.windows; DELETE FROM paysync.rescans; DELETE FROM paysync.streams",
        )
        .await;
    for account in fixture.proofs().await {
        assert!(!account.proven);
        assert_eq!(account.checks.len(), 1);
        assert_eq!(account.checks[0].detail, "the account has never been read");
    }
    fixture.simulator.stop().await;
}

/// It is no loss if an older version of paysync read a row otherwise, or if no process reads a history on.
#[sqlx::test(migrations = "./migrations")]
async fn older_readings_and_stopped_reading_are_noted(pool: PgPool) {
    let fixture = Fixture::new(pool, "").await;
    let engine = engine_of(&fixture.text).await;
    let id = account_of(DAMAGED);
    // As an older version wrote it: with the checksum of what it wrote.
    let mut older = None;
    let see = |row: Row| {
        let mut columns = row.transaction;
        columns.merchant_reference = Some("as read before".to_owned());
        older.get_or_insert((
            columns.provider_transaction_id.clone(),
            columns.columns_hash(),
        ));
    };
    engine.store.each_row(&id, "", 1, see).await.unwrap();
    let (row, hash) = older.unwrap();
    fixture
        .execute(format!(
            "UPDATE paysync.transactions SET merchant_reference = 'as read before', columns_hash = {hash}
             WHERE account_id = '{id}' AND provider_transaction_id = '{row}';
             UPDATE paysync.transactions SET customer_email = 'erased without paysync'
             WHERE account_id = '{id}' AND provider_transaction_id = '{row}';
             UPDATE paysync.streams SET coverage = '{{}}', wanted_until = wanted_from WHERE account_id = '{id}'"
        ))
        .await;
    let proofs = fixture.proofs().await;
    let proof = proofs.iter().find(|proof| proof.id == id).unwrap();
    assert!(proof.proven, "{proof:?}");
    let noted = proof.checks.iter().filter(|c| c.state == Verdict::Noted);
    let noted: Vec<_> = noted
        .map(|c| (c.check, c.detail.as_str(), c.hint.as_deref()))
        .collect();
    let [columns, freshness] = noted[..] else {
        panic!("{noted:?}")
    };
    assert_eq!((columns.0, freshness.0), ("columns", "freshness"));
    let detail = format!(
        "1 row was read by another version of paysync or by other options, as {row} (merchant_reference, customer_email)"
    );
    assert_eq!(columns.1, detail);
    let hint = format!("paysync replay --account {id} reads them again");
    assert_eq!(columns.2, Some(&*hint));
    assert!(
        freshness.1.contains(": nothing was read since 20"),
        "{freshness:?}"
    );
    let corrected = replay(
        &engine.store,
        engine.accounts.iter().find(|a| a.id == id).unwrap(),
        false,
        |_| (),
    )
    .await
    .unwrap();
    assert_eq!((corrected.read > 1, corrected.changed), (true, 1));
    let proofs = fixture.proofs().await;
    let proof = proofs.iter().find(|proof| proof.id == id).unwrap();
    let columns = proof.checks.iter().find(|c| c.check == "columns").unwrap();
    assert_eq!(columns.state, Verdict::Proven, "{columns:?}");
    engine.store.pool().close().await;
    fixture.simulator.stop().await;
}

/// The comparison with the simulator's ledger finds each loss as well.
#[sqlx::test(migrations = "./migrations")]
async fn the_comparison_finds_planted_differences(pool: PgPool) {
    let fixture = Fixture::new(pool, "").await;
    let fixture = Arc::new(fixture);
    let account = format!("account_id = '{}'", account_of(DAMAGED));
    for (what, damage, said) in [
        (
            "a row is deleted",
            "DELETE FROM paysync.transactions WHERE {account} AND provider_transaction_id = {row}",
            Some(" is lost: "),
        ),
        (
            "a row is invented",
            "INSERT INTO paysync.transactions (account_id, provider, provider_transaction_id, kind, status, payload_hash, observed_at)
             SELECT account_id, provider, 'another', kind, status, payload_hash, observed_at
             FROM paysync.transactions WHERE {account} AND provider_transaction_id = {row}",
            Some("another is invented"),
        ),
        (
            "an amount is changed",
            "UPDATE paysync.transactions SET amount = amount + 0.01 WHERE {account} AND provider_transaction_id = {row}",
            Some(": amount is "),
        ),
        (
            "a time is changed",
            "UPDATE paysync.transactions SET created_at = created_at + interval '1 microsecond'
             WHERE {account} AND provider_transaction_id = {row}",
            Some(": created_at is "),
        ),
        (
            "a text is lost",
            "UPDATE paysync.transactions SET currency = NULL WHERE {account} AND provider_transaction_id = {row}",
            Some(": currency is "),
        ),
        (
            "a payload is deleted",
            "DELETE FROM paysync.raw_transactions WHERE {account} AND provider_transaction_id = {row}",
            None,
        ),
        (
            "less is covered",
            "UPDATE paysync.streams SET coverage = '{}' WHERE {account}",
            None,
        ),
    ] {
        let damage = damage
            .replace("{account}", &account)
            .replace("{row}", "(SELECT id FROM saved.picked)");
        assert!(fixture.execute(damage).await > 0, "{what}");
        let held = stored(&fixture.pool, &account_of(DAMAGED)).await;
        let found = differences(&held, &ledger(&fixture.simulator, DAMAGED));
        match said {
            Some(said) => assert!(found.len() == 1 && found[0].contains(said), "{what}: {found:?}"),
            None => assert!(found.is_empty(), "{what}: {found:?}"),
        }
        let exact = {
            let fixture = fixture.clone();
            tokio::spawn(async move { assert_exact(&fixture.pool, &fixture.simulator, &BOTH).await })
        };
        assert!(exact.await.unwrap_err().is_panic(), "{what}");
        fixture.restore().await;
    }
    assert_exact(&fixture.pool, &fixture.simulator, &BOTH).await;
    Arc::into_inner(fixture).unwrap().simulator.stop().await;
}
