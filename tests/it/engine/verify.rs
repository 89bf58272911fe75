//! `paysync verify` and the comparison that all these tests rely on, tried with planted losses: each
//! makes its own checks fail and no other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use paysync::engine::inspect::verify::{AccountProof, Verdict};
use paysync::engine::maintenance::{Budget, run_round};
use paysync_simulator::{Handle, Provider};
use sqlx::{AssertSqlSafe, PgPool};
use tokio_util::sync::CancellationToken;

use super::SMALL;
use crate::support::{
    PATIENCE, account_of, assert_exact, config_text, count, differences, engine_of, history,
    in_time, ledger, start, stored, sync_covers, verification,
};

/// The provider whose account is damaged: it has a change stream, and audits.
const DAMAGED: Provider = Provider::BegatewayDwh;

/// Beside it one whose windows are split.
const BOTH: [Provider; 2] = [DAMAGED, Provider::Convergegate];

/// What is damaged, and put back afterwards.
const TABLES: [&str; 5] = [
    "streams",
    "windows",
    "window_totals",
    "transactions",
    "raw_transactions",
];

/// A history read to its end, counted, and found to be right.
struct Bench {
    pool: PgPool,
    simulator: Handle,
    text: String,
}

impl Bench {
    async fn new(pool: PgPool, settings: &str) -> Self {
        let simulator = start(history(300, 5)).await;
        let always = "[{ within = \"40d\", every = \"1ms\" }]";
        let accounts = format!("{SMALL}rescan = []\nrepoll = []\naudit = {always}\n");
        let text = config_text(&simulator, &pool, &BOTH, &accounts) + settings;
        // The second finds what the first has covered, and counts it.
        sync_covers(&text).await;
        sync_covers(&text).await;
        assert_exact(&pool, &simulator, &BOTH).await;
        let bench = Self {
            pool,
            simulator,
            text,
        };
        bench.execute("CREATE SCHEMA saved").await;
        for table in TABLES {
            bench
                .execute(format!(
                    "CREATE TABLE saved.{table} AS TABLE paysync.{table}"
                ))
                .await;
        }
        // A row, and a window that brought rows.
        let picked = format!(
            "CREATE TABLE saved.picked AS SELECT
                 (SELECT min(provider_transaction_id) FROM paysync.transactions WHERE account_id = '{0}') AS id,
                 (SELECT max(window_id) FROM paysync.windows
                  WHERE account_id = '{0}' AND lane = 'backfill' AND outcome = 'closed' AND inserted > 1) AS window_id",
            account_of(DAMAGED)
        );
        bench.execute(picked).await;
        bench
    }

    async fn execute(&self, sql: impl Into<String>) -> u64 {
        let sql = sql.into();
        sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&self.pool)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
            .rows_affected()
    }

    /// Undoes the damage.
    async fn restore(&self) {
        let copies = TABLES.map(|table| {
            format!(
                "DELETE FROM paysync.{table};
                 INSERT INTO paysync.{table} OVERRIDING SYSTEM VALUE SELECT * FROM saved.{table};"
            )
        });
        let sql = format!(
            "BEGIN; SET LOCAL session_replication_role = replica; {} COMMIT",
            copies.concat()
        );
        self.execute(sql).await;
    }

    async fn proofs(&self) -> Vec<AccountProof> {
        let engine = engine_of(&self.text).await;
        let verification = verification(&engine).await;
        engine.store.pool().close().await;
        let all = verification.accounts.iter().all(|account| account.proven);
        assert_eq!(verification.proven, all);
        verification.accounts
    }

    /// The checks that fail, by account.
    async fn failures(&self) -> BTreeSet<(String, &'static str)> {
        let mut failures = BTreeSet::new();
        for account in self.proofs().await {
            let failed = account
                .checks
                .iter()
                .filter(|c| c.state == Verdict::Unproven);
            for check in failed {
                assert!(check.hint.is_some(), "{check:?}");
                failures.insert((account.id.clone(), check.check));
            }
        }
        failures
    }

    /// The checks that fail of the damaged account; those of the other may not.
    async fn failing(&self) -> BTreeSet<&'static str> {
        let failures = self.failures().await;
        let of = |(account, check): (String, _)| {
            assert_eq!(account, account_of(DAMAGED), "{check}");
            check
        };
        failures.into_iter().map(of).collect()
    }

    /// Each damage makes just these checks fail.
    async fn try_each(&self, damages: &[(&str, &str, &[&str])]) {
        assert_eq!(self.failing().await, BTreeSet::new());
        for (what, sql, expected) in damages {
            let sql = sql
                .replace(
                    "{account}",
                    &format!("account_id = '{}'", account_of(DAMAGED)),
                )
                .replace("{row}", "(SELECT id FROM saved.picked)")
                .replace("{window}", "(SELECT window_id FROM saved.picked)");
            assert!(self.execute(sql).await > 0, "{what}: nothing was damaged");
            let expected: BTreeSet<&str> = expected.iter().copied().collect();
            assert_eq!(self.failing().await, expected, "{what}");
            self.restore().await;
        }
        assert_eq!(self.failing().await, BTreeSet::new());
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn every_planted_loss_is_found(pool: PgPool) {
    let bench = Bench::new(pool, "").await;
    let damages = [
        (
            "a row is deleted with its payload",
            "WITH lost AS (DELETE FROM paysync.transactions WHERE {account} AND provider_transaction_id = {row})
             DELETE FROM paysync.raw_transactions WHERE {account} AND provider_transaction_id = {row}",
            &["rows"][..],
        ),
        (
            "a row is deleted",
            "DELETE FROM paysync.transactions WHERE {account} AND provider_transaction_id = {row}",
            &["rows"],
        ),
        (
            "a row is doubled under another id, with its payload",
            "WITH doubled AS (
                 INSERT INTO paysync.transactions (account_id, provider, provider_transaction_id, kind, status, payload_hash, observed_at)
                 SELECT account_id, provider, provider_transaction_id || '-', kind, status, payload_hash, observed_at
                 FROM paysync.transactions WHERE {account} AND provider_transaction_id = {row}
             )
             INSERT INTO paysync.raw_transactions
             SELECT account_id, provider_transaction_id || '-', payload
             FROM paysync.raw_transactions WHERE {account} AND provider_transaction_id = {row}",
            &["rows"],
        ),
        (
            "a row gets another id",
            "UPDATE paysync.transactions SET provider_transaction_id = 'another'
             WHERE {account} AND provider_transaction_id = {row}",
            &["payloads", "rows"],
        ),
        (
            "a payload is deleted",
            "DELETE FROM paysync.raw_transactions WHERE {account} AND provider_transaction_id = {row}",
            &["payloads"],
        ),
        (
            "a payload is altered by a blank",
            "UPDATE paysync.raw_transactions SET payload = (payload::text || ' ')::json
             WHERE {account} AND provider_transaction_id = {row}",
            &["payloads"],
        ),
        (
            "the hash of a row is altered",
            "UPDATE paysync.transactions SET payload_hash = gen_random_uuid()
             WHERE {account} AND provider_transaction_id = {row}",
            &["payloads"],
        ),
        (
            "a window is lost",
            "DELETE FROM paysync.windows WHERE {account} AND window_id = {window}",
            &["coverage", "rows"],
        ),
        (
            "a window that brought nothing is lost",
            "WITH lost AS (
                 DELETE FROM paysync.windows WHERE {account} AND window_id = {window} RETURNING *
             )
             UPDATE paysync.windows AS other
             SET items = other.items + lost.items, inserted = other.inserted + lost.inserted,
                 updated = other.updated + lost.updated, unchanged = other.unchanged + lost.unchanged
             FROM lost
             WHERE other.account_id = lost.account_id
               AND other.window_id = (SELECT max(window_id) FROM paysync.windows WHERE {account} AND window_id <> {window})",
            &["coverage"],
        ),
        (
            "a page of a window is forgotten",
            "UPDATE paysync.windows SET pages = pages - 1, items = items - 1, inserted = inserted - 1
             WHERE {account} AND window_id = {window}",
            &["rows"],
        ),
        (
            "what was inserted is called unchanged",
            "UPDATE paysync.windows SET unchanged = unchanged + 1, inserted = inserted - 1
             WHERE {account} AND window_id = {window}",
            &["rows"],
        ),
        (
            "what was inserted is counted twice",
            "UPDATE paysync.windows SET items = items + inserted, inserted = 2 * inserted
             WHERE {account} AND window_id = {window}",
            &["rows"],
        ),
        (
            "a window was not read to its end",
            "UPDATE paysync.windows SET outcome = 'dropped' WHERE {account} AND window_id = {window}",
            &["coverage"],
        ),
        (
            "a window was shorter than it is covered",
            "UPDATE paysync.windows SET window_end = window_end - interval '1 microsecond'
             WHERE {account} AND window_id = {window}",
            &["coverage"],
        ),
        (
            "more is covered than was read",
            "UPDATE paysync.streams
             SET coverage = coverage + tstzmultirange(tstzrange(upper(coverage), upper(coverage) + interval '1 microsecond'))
             WHERE {account} AND role = 'history'",
            &["coverage"],
        ),
        (
            "all that is to come is covered",
            "UPDATE paysync.streams SET coverage = coverage + tstzmultirange(tstzrange(now(), NULL))
             WHERE {account} AND role = 'history'",
            &["coverage"],
        ),
        (
            "less is covered than is wanted",
            "UPDATE paysync.streams
             SET coverage = coverage - tstzmultirange(tstzrange(wanted_from, wanted_from + interval '1 microsecond'))
             WHERE {account} AND role = 'history'",
            &["gaps"],
        ),
        (
            "an earlier start is wanted",
            "UPDATE paysync.streams SET wanted_from = wanted_from - interval '1 day' WHERE {account} AND role = 'history'",
            &["gaps"],
        ),
        (
            "the provider counted more than was held",
            "UPDATE paysync.windows SET provider_count = items + outside + 1
             WHERE {account} AND window_id = (
                 SELECT max(window_id) FROM paysync.windows WHERE {account} AND lane = 'audit' AND outcome = 'closed'
             )",
            &["counts"],
        ),
        (
            "an entry does not add up",
            "ALTER TABLE paysync.windows DROP CONSTRAINT windows_check2;
             UPDATE paysync.windows SET items = items + 1 WHERE {account} AND window_id = {window}",
            &["ledger"],
        ),
    ];
    bench.try_each(&damages).await;
    bench.simulator.stop().await;
}

/// The same when the windows are gone and their sums have to prove it.
#[sqlx::test(migrations = "./migrations")]
async fn every_planted_loss_is_found_among_folded_windows(pool: PgPool) {
    let bench = Bench::new(pool, "[retention]\nwindows = \"1ms\"\n").await;
    let left = "SELECT count(*) FROM paysync.windows";
    assert_eq!(count(&bench.pool, left).await, 0, "a sync folds at its end");
    bench
        .try_each(&[
            (
                "a row is deleted",
                "DELETE FROM paysync.transactions WHERE {account} AND provider_transaction_id = {row}",
                &["rows"],
            ),
            (
                "the sums of a day are lost",
                "DELETE FROM paysync.window_totals WHERE {account} AND lane = 'backfill'",
                &["rows"],
            ),
            (
                "a sum is counted twice",
                "UPDATE paysync.window_totals SET items = items + inserted, inserted = 2 * inserted
                 WHERE {account} AND lane = 'backfill'",
                &["rows"],
            ),
            (
                "what was read is forgotten",
                "UPDATE paysync.streams SET folded = folded - tstzmultirange(tstzrange(wanted_from, wanted_from + interval '1 microsecond'))
                 WHERE {account} AND role = 'history'",
                &["coverage"],
            ),
            (
                "more is covered than was read",
                "UPDATE paysync.streams
                 SET coverage = coverage + tstzmultirange(tstzrange(upper(coverage), upper(coverage) + interval '1 microsecond'))
                 WHERE {account}",
                &["coverage"],
            ),
            (
                "an entry does not add up",
                "ALTER TABLE paysync.window_totals DROP CONSTRAINT window_totals_check;
                 UPDATE paysync.window_totals SET items = items + 1 WHERE {account} AND lane = 'backfill'",
                &["ledger"],
            ),
        ])
        .await;
    // What is read again is proven by the ledger and the folded together.
    super::forget_everything(&bench.text).await;
    let gaps = BOTH.map(|provider| (account_of(provider), "gaps"));
    assert_eq!(bench.failures().await, BTreeSet::from(gaps));
    sync_covers(&bench.text).await;
    assert_eq!(bench.failing().await, BTreeSet::new());
    assert_exact(&bench.pool, &bench.simulator, &BOTH).await;
    bench.simulator.stop().await;
}

/// A loss that a count of the provider finds is mended by itself; the ledger remembers it until an
/// operator enters what was removed.
#[sqlx::test(migrations = "./migrations")]
async fn what_is_read_again_and_entered_is_proven(pool: PgPool) {
    let bench = Bench::new(pool, "").await;
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
    let lost = bench.execute(lost.replace("{account}", &account)).await;
    assert!(lost > 0);
    assert_eq!(bench.failing().await, BTreeSet::from(["rows"]));
    sync_covers(&bench.text).await;
    let found = "SELECT count(*) FROM paysync.windows WHERE lane = 'audit' AND provider_count > items + outside";
    assert!(count(&bench.pool, found).await > 0);
    assert_exact(&bench.pool, &bench.simulator, &BOTH).await;
    // The counts were answered; that rows were inserted twice is not forgotten.
    assert_eq!(bench.failing().await, BTreeSet::from(["rows"]));
    let entry = format!(
        "INSERT INTO paysync.window_totals (account_id, stream, lane, day, items, inserted)
         VALUES ('{}', '', 'removed', current_date, -{lost}, -{lost})",
        account_of(DAMAGED)
    );
    bench.execute(entry).await;
    assert_eq!(bench.failing().await, BTreeSet::new());
    bench.simulator.stop().await;
}

/// The ledger, the coverage and the rows agree at every instant of a sync, however its windows are
/// folded meanwhile.
#[sqlx::test(migrations = "./migrations")]
async fn a_sync_under_way_can_be_verified(pool: PgPool) {
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

/// What is no loss is told, and fails nothing; an account that was never read proves nothing.
#[sqlx::test(migrations = "./migrations")]
async fn what_is_unfinished_is_noted(pool: PgPool) {
    let bench = Bench::new(pool, "").await;
    bench
        .execute(
            "INSERT INTO paysync.windows (account_id, stream, lane, window_start, window_end)
             SELECT account_id, stream, 'rescan', wanted_from, wanted_until FROM paysync.streams;
             INSERT INTO paysync.quarantine (account_id, stream, payload_hash, reason, detail, payload, window_start, window_end, observed_at)
             SELECT account_id, stream, gen_random_uuid(), 'unreadable', '', '', wanted_from, wanted_until, now() FROM paysync.streams",
        )
        .await;
    let engine = engine_of(&bench.text).await;
    let accounts = BOTH.map(account_of);
    for (leased, open) in [
        (false, "are left open, and no process works on the account"),
        (true, "are being read"),
    ] {
        if leased {
            let leases = engine
                .store
                .acquire(&accounts, "somebody", PATIENCE, 9)
                .await;
            assert_eq!(leases.unwrap().len(), accounts.len());
        }
        for account in bench.proofs().await {
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
    bench
        .execute(
            "DELETE FROM paysync.windows; DELETE FROM paysync.rescans; DELETE FROM paysync.streams",
        )
        .await;
    for account in bench.proofs().await {
        assert!(!account.proven);
        assert_eq!(account.checks.len(), 1);
        assert_eq!(account.checks[0].detail, "the account has never been read");
    }
    bench.simulator.stop().await;
}

/// The comparison with the simulator's ledger finds each loss as well.
#[sqlx::test(migrations = "./migrations")]
async fn the_comparison_finds_what_is_planted(pool: PgPool) {
    let bench = Bench::new(pool, "").await;
    let bench = Arc::new(bench);
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
        assert!(bench.execute(damage).await > 0, "{what}");
        let held = stored(&bench.pool, &account_of(DAMAGED)).await;
        let found = differences(&held, &ledger(&bench.simulator, DAMAGED));
        match said {
            Some(said) => assert!(found.len() == 1 && found[0].contains(said), "{what}: {found:?}"),
            None => assert!(found.is_empty(), "{what}: {found:?}"),
        }
        let exact = {
            let bench = bench.clone();
            tokio::spawn(async move { assert_exact(&bench.pool, &bench.simulator, &BOTH).await })
        };
        assert!(exact.await.unwrap_err().is_panic(), "{what}");
        bench.restore().await;
    }
    assert_exact(&bench.pool, &bench.simulator, &BOTH).await;
    Arc::into_inner(bench).unwrap().simulator.stop().await;
}
