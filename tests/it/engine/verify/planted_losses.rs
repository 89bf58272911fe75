//! Planted losses: each makes its own checks fail and no other.

use std::collections::BTreeSet;

use sqlx::PgPool;

use super::fixture::{BOTH, Fixture};
use crate::support::{account_of, assert_exact, count, sync_covers};

#[sqlx::test(migrations = "./migrations")]
async fn every_planted_loss_is_found(pool: PgPool) {
    let fixture = Fixture::new(pool, "").await;
    let damages = [
        (
            "a row is deleted with its payload",
            "WITH lost AS (DELETE FROM paysync.transactions WHERE {account} AND provider_transaction_id = {row})
             DELETE FROM paysync.raw_transactions WHERE {account} AND provider_transaction_id = {row}",
            &["rows", "totals"][..],
        ),
        (
            "a row is deleted",
            "DELETE FROM paysync.transactions WHERE {account} AND provider_transaction_id = {row}",
            &["rows", "totals"],
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
            &["payments", "rows", "totals"],
        ),
        (
            "a row gets another id",
            "UPDATE paysync.transactions SET provider_transaction_id = 'another'
             WHERE {account} AND provider_transaction_id = {row}",
            &["columns", "payloads", "payments", "rows"],
        ),
        (
            "an amount is changed",
            "UPDATE paysync.transactions SET amount = amount + 0.01 WHERE {account} AND provider_transaction_id = {row}",
            &["columns", "totals"],
        ),
        (
            "a status is changed",
            "UPDATE paysync.transactions SET status = CASE status WHEN 'failed' THEN 'pending' ELSE 'failed' END
             WHERE {account} AND provider_transaction_id = {row}",
            &["columns", "totals"],
        ),
        (
            "a reference is changed",
            "UPDATE paysync.transactions SET merchant_reference = 'another' WHERE {account} AND provider_transaction_id = {row}",
            &["columns"],
        ),
        (
            "the columns of a row without a payload are changed",
            "UPDATE paysync.accounts SET payloads_from = now() WHERE {account};
             DELETE FROM paysync.raw_transactions WHERE {account};
             UPDATE paysync.transactions SET rrn = 'another' WHERE {account} AND provider_transaction_id = {row}",
            &["columns"],
        ),
        (
            "a row is moved to another payment",
            "UPDATE paysync.transactions SET payment_key = 't:another' WHERE {account} AND provider_transaction_id = {row}",
            &["payments"],
        ),
        (
            "a row is in no payment",
            "UPDATE paysync.transactions SET payment_key = '' WHERE {account} AND provider_transaction_id = {row}",
            &["payments"],
        ),
        (
            "the totals are doubled",
            "INSERT INTO paysync.daily_sums (account_id, day, currency, kind, status, transactions, amount, unknown_amounts)
             SELECT account_id, day, currency, kind, status, transactions, amount, unknown_amounts
             FROM paysync.daily_sums WHERE {account}",
            &["totals"],
        ),
        (
            "the totals are emptied",
            "DELETE FROM paysync.daily_sums WHERE {account}",
            &["totals"],
        ),
        (
            "a sum is stale by a cent",
            "UPDATE paysync.daily_sums SET amount = amount - 0.01
             WHERE {account} AND entry_id = (SELECT min(entry_id::text)::uuid FROM paysync.daily_sums WHERE {account})",
            &["totals"],
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
    fixture.try_each(&damages).await;
    fixture.simulator.stop().await;
}

/// The same when the windows are gone and their sums have to prove it.
#[sqlx::test(migrations = "./migrations")]
async fn every_planted_loss_is_found_among_folded_windows(pool: PgPool) {
    let fixture = Fixture::new(pool, "[retention]\nwindows = \"1ms\"\n").await;
    let left = "SELECT count(*) FROM paysync.windows";
    assert_eq!(
        count(&fixture.pool, left).await,
        0,
        "a sync folds at its end"
    );
    fixture
        .try_each(&[
            (
                "a row is deleted",
                "DELETE FROM paysync.transactions WHERE {account} AND provider_transaction_id = {row}",
                &["rows", "totals"],
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
    // The ledger and its folded sums together prove what is read again.
    crate::engine::forget_everything(&fixture.text).await;
    let gaps = BOTH.map(|provider| (account_of(provider), "gaps"));
    assert_eq!(fixture.failures().await, BTreeSet::from(gaps));
    sync_covers(&fixture.text).await;
    assert_eq!(fixture.failing().await, BTreeSet::new());
    assert_exact(&fixture.pool, &fixture.simulator, &BOTH).await;
    fixture.simulator.stop().await;
}
