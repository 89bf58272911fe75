//! Invariants of the tables: they hold whatever happened.

use sqlx::PgPool;

use super::Tally;
use crate::support::{assert_recounted, count};

/// Each query counts violations.
const NEVER: &[(&str, &str)] = &[
    (
        "accounts whose windows count another number of new rows than there are",
        "SELECT count(*) FROM paysync.accounts
         WHERE (SELECT coalesce(sum(inserted), 0) FROM paysync.windows WHERE windows.account_id = accounts.account_id)
            <> (SELECT count(*) FROM paysync.transactions WHERE transactions.account_id = accounts.account_id)",
    ),
    (
        "accounts whose windows count another number of changes than there are versions",
        "SELECT count(*) FROM paysync.accounts
         WHERE (SELECT coalesce(sum(updated), 0) FROM paysync.windows WHERE windows.account_id = accounts.account_id)
            <> (SELECT count(*) FROM paysync.transaction_history AS old WHERE old.account_id = accounts.account_id)",
    ),
    (
        "windows that do not add up",
        "SELECT count(*) FROM paysync.windows
         WHERE items <> inserted + updated + unchanged + stale + duplicate + quarantined",
    ),
    (
        "versions that are the same as the next one, do not end where the next one begins, or leave out a number",
        "SELECT count(*) FROM (
             SELECT payload_hash, valid_to,
                    lead(payload_hash) OVER versions AS next_hash, lead(valid_from) OVER versions AS next_from,
                    version <> row_number() OVER versions AS is_misnumbered
             FROM (
                 SELECT account_id, provider_transaction_id, version, payload_hash, valid_from, valid_to
                 FROM paysync.transaction_history
                 UNION ALL
                 SELECT account_id, provider_transaction_id, version, payload_hash, version_from, NULL
                 FROM paysync.transactions
             ) AS version
             WINDOW versions AS (PARTITION BY account_id, provider_transaction_id ORDER BY version)
         ) AS version
         WHERE next_hash = payload_hash OR next_from <> valid_to OR is_misnumbered",
    ),
    (
        "windows that are covered though they never came to an end",
        "SELECT count(*) FROM paysync.streams
         WHERE NOT coverage <@ coalesce((
             SELECT range_agg(tstzrange(window_start, window_end)) FROM paysync.windows
             WHERE windows.account_id = streams.account_id AND windows.stream = streams.stream
               AND windows.outcome = 'closed' AND windows.lane IN ('live', 'backfill', 'rescan')
         ), '{}')",
    ),
    ("items in quarantine", "SELECT count(*) FROM paysync.quarantine"),
    (
        "accounts and streams that still wait for an operator",
        "SELECT count(*) FROM paysync.sync_health WHERE suspended_reason IS NOT NULL",
    ),
    ("leases that were not given back", "SELECT count(*) FROM paysync.accounts WHERE lease_holder IS NOT NULL"),
];

pub(super) async fn check(pool: &PgPool, tally: &mut Tally) {
    for (what, question) in NEVER {
        assert_eq!(count(pool, question).await, 0, "{what}");
    }
    assert_recounted(pool).await;
    let unsigned = |count: i64| u64::try_from(count).unwrap();
    tally.rows += unsigned(count(pool, "SELECT count(*) FROM paysync.transactions").await);
    tally.versions +=
        unsigned(count(pool, "SELECT count(*) FROM paysync.transaction_history").await);
    tally.failures += unsigned(
        count(
            pool,
            "SELECT count(*) FROM paysync.streams WHERE last_error_at IS NOT NULL",
        )
        .await,
    );
}
