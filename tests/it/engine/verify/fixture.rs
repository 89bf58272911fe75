//! A verified history, and damage done to it.

use std::collections::BTreeSet;

use paysync::engine::inspect::verify::{AccountProof, Verdict};
use paysync_simulator::{Handle, Provider};
use sqlx::{AssertSqlSafe, PgPool};

use crate::engine::SMALL;
use crate::support::{
    account_of, assert_exact, config_text, engine_of, history, start, sync_covers, verification,
};

/// The provider whose account is damaged: it has a change stream, and audits.
pub(super) const DAMAGED: Provider = Provider::BegatewayDwh;

/// Beside it one whose windows are split.
pub(super) const BOTH: [Provider; 2] = [DAMAGED, Provider::Convergegate];

/// Tables that are damaged, and restored afterwards.
const TABLES: [&str; 6] = [
    "streams",
    "windows",
    "window_totals",
    "transactions",
    "raw_transactions",
    "daily_sums",
];

/// A history read to its end, counted, and found to be right.
pub(super) struct Fixture {
    pub(super) pool: PgPool,
    pub(super) simulator: Handle,
    pub(super) text: String,
}

impl Fixture {
    pub(super) async fn new(pool: PgPool, settings: &str) -> Self {
        let simulator = start(history(300, 5)).await;
        let always = "[{ within = \"40d\", every = \"1ms\" }]";
        let accounts = format!("{SMALL}rescan = []\nrepoll = []\naudit = {always}\n");
        let text = config_text(&simulator, &pool, &BOTH, &accounts) + settings;
        // The second finds what the first has covered, and counts it.
        sync_covers(&text).await;
        sync_covers(&text).await;
        assert_exact(&pool, &simulator, &BOTH).await;
        let fixture = Self {
            pool,
            simulator,
            text,
        };
        fixture.execute("CREATE SCHEMA saved").await;
        for table in TABLES {
            fixture
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
        fixture.execute(picked).await;
        fixture
    }

    pub(super) async fn execute(&self, sql: impl Into<String>) -> u64 {
        let sql = sql.into();
        sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&self.pool)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
            .rows_affected()
    }

    /// Undoes the damage.
    pub(super) async fn restore(&self) {
        let copies = TABLES.map(|table| {
            format!(
                "DELETE FROM paysync.{table};
                 INSERT INTO paysync.{table} OVERRIDING SYSTEM VALUE SELECT * FROM saved.{table};"
            )
        });
        let sql = format!(
            "BEGIN; SET LOCAL session_replication_role = replica; UPDATE paysync.accounts SET payloads_from = NULL; {} COMMIT",
            copies.concat()
        );
        self.execute(sql).await;
    }

    pub(super) async fn proofs(&self) -> Vec<AccountProof> {
        let engine = engine_of(&self.text).await;
        let verification = verification(&engine).await;
        engine.store.pool().close().await;
        let all = verification.accounts.iter().all(|account| account.proven);
        assert_eq!(verification.proven, all);
        verification.accounts
    }

    /// The checks that fail, by account.
    pub(super) async fn failures(&self) -> BTreeSet<(String, &'static str)> {
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
    pub(super) async fn failing(&self) -> BTreeSet<&'static str> {
        let failures = self.failures().await;
        let of = |(account, check): (String, _)| {
            assert_eq!(account, account_of(DAMAGED), "{check}");
            check
        };
        failures.into_iter().map(of).collect()
    }

    /// Each damage makes just these checks fail.
    pub(super) async fn try_each(&self, damages: &[(&str, &str, &[&str])]) {
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
