//! The evidence for `paysync verify`: the ledger beside the rows. Reads only.

use chrono::{DateTime, Utc};

use crate::store::pool::DbWork;
use crate::store::{Store, StoreError};

/// The evidence about an account, all from one snapshot of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Its streams, by name.
    pub streams: Vec<StreamEvidence>,
    /// What the ledger says.
    pub ledger: LedgerEvidence,
    /// Rows in `transactions`.
    pub rows: i64,
    /// Payloads whose row is gone.
    pub orphans: i64,
    /// The id of one of these payloads.
    pub orphan: Option<String>,
    /// Audits that found fewer rows than the provider counts, if nothing has resolved them since.
    pub doubts: Vec<Doubt>,
    /// Items in quarantine.
    pub quarantined: i64,
    /// Whether a process holds the lease on the account.
    pub leased: bool,
}

/// The evidence about a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEvidence {
    /// Its name.
    pub stream: String,
    /// Its coverage.
    pub covered: Extent,
    /// The part of the coverage that no closed window has read, neither one of the ledger nor a folded one.
    pub unread: Extent,
    /// Wanted time that is neither covered nor being read.
    pub gaps: Extent,
    /// Whether there is history to read and no attempt has been made yet.
    pub untried: bool,
    /// The instant up to which it was wanted when a window was last opened.
    pub wanted_until: Option<DateTime<Utc>>,
    /// Seconds by which that is longer ago than it may rightly be.
    pub overdue_seconds: i64,
    /// Open windows.
    pub open: i64,
}

/// The number of intervals and the span around them. PostgreSQL computes both: stored ranges may have
/// bounds that paysync never writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Intervals.
    pub intervals: i64,
    /// Start of the first; none if there is no interval, or it has no start.
    pub from: Option<DateTime<Utc>>,
    /// End of the last; none if there is no interval, or it has no end.
    pub to: Option<DateTime<Utc>>,
}

/// Sums over the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerEvidence {
    /// Windows, folded ones among them.
    pub windows: i64,
    /// Items that were inserted.
    pub inserted: i64,
    /// Windows and folded days whose counts do not add up.
    pub wrong: i64,
}

/// An unresolved audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The stream.
    pub stream: String,
    /// First instant counted.
    pub from: DateTime<Utc>,
    /// First instant after those counted.
    pub to: DateTime<Utc>,
    /// Rows stored at that time.
    pub held: i64,
    /// Rows the provider counted.
    pub counted: i64,
}

impl Store {
    /// The evidence about an account; none if it is unknown.
    pub async fn evidence(&self, account_id: &str) -> Result<Option<Evidence>, StoreError> {
        // All statements see one snapshot: a page that is stored meanwhile is in none of them.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut session = self.session().await?;
        let mut snapshot = session.begin_with(begin).await?;
        let evidence = evidence(&mut snapshot, account_id).await?;
        snapshot.rollback().await?;
        session.return_to_pool();
        Ok(evidence)
    }
}

async fn evidence(
    snapshot: &mut DbWork<'_>,
    account_id: &str,
) -> Result<Option<Evidence>, sqlx::Error> {
    let totals = sqlx::query!(
        r#"
        SELECT coalesce(accounts.lease_until > clock_timestamp(), false) AS "leased!",
               (SELECT count(*) FROM paysync.transactions WHERE account_id = $1) AS "rows!",
               (SELECT count(*) FROM paysync.quarantine WHERE account_id = $1) AS "quarantined!",
               sums.windows AS "windows!", sums.inserted AS "inserted!", wrong.count AS "wrong!",
               orphans.count AS "orphans!", orphans.id AS orphan
        FROM paysync.accounts
        CROSS JOIN (
            SELECT coalesce(sum(windows), 0)::bigint AS windows, coalesce(sum(inserted), 0)::bigint AS inserted
            FROM paysync.ledger
            WHERE account_id = $1
        ) AS sums
        CROSS JOIN (
            -- The tables' CHECKs prevent this, unless they were dropped.
            SELECT count(*) AS count
            FROM (
                SELECT items, inserted + updated + unchanged + stale + duplicate + quarantined AS parts
                FROM paysync.windows WHERE account_id = $1
                UNION ALL
                SELECT items, inserted + updated + unchanged + stale + duplicate + quarantined
                FROM paysync.window_totals WHERE account_id = $1
            ) AS entries
            WHERE items <> parts
        ) AS wrong
        CROSS JOIN (
            SELECT count(*) AS count, min(provider_transaction_id) AS id
            FROM paysync.raw_transactions
            WHERE account_id = $1 AND NOT EXISTS (
                SELECT FROM paysync.transactions
                WHERE transactions.account_id = $1
                  AND transactions.provider_transaction_id = raw_transactions.provider_transaction_id
            )
        ) AS orphans
        WHERE accounts.account_id = $1
        "#,
        account_id,
    )
    .fetch_optional(&mut *snapshot)
    .await?;
    let Some(totals) = totals else {
        return Ok(None);
    };
    Ok(Some(Evidence {
        streams: streams(snapshot, account_id).await?,
        ledger: LedgerEvidence {
            windows: totals.windows,
            inserted: totals.inserted,
            wrong: totals.wrong,
        },
        rows: totals.rows,
        orphans: totals.orphans,
        orphan: totals.orphan,
        doubts: doubts(snapshot, account_id).await?,
        quarantined: totals.quarantined,
        leased: totals.leased,
    }))
}

async fn streams(
    snapshot: &mut DbWork<'_>,
    account_id: &str,
) -> Result<Vec<StreamEvidence>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        SELECT streams.stream,
               role = 'history' AND wanted_until IS NULL AND wanted_from < now() AS "untried!",
               wanted_until,
               coalesce(extract(epoch FROM now() - wanted_until)::bigint - expected_lag_seconds, 0) AS "overdue_seconds!",
               (SELECT count(*) FROM unnest(coverage)) AS "covered!", lower(coverage) AS covered_from, upper(coverage) AS covered_to,
               unread.intervals AS "unread!", unread.since AS unread_from, unread.until AS unread_to,
               gaps.intervals AS "gaps!", gaps.since AS gaps_from, gaps.until AS gaps_to,
               (
                   SELECT count(*) FROM paysync.windows
                   WHERE windows.account_id = $1 AND windows.stream = streams.stream AND outcome IS NULL
               ) AS "open!"
        FROM paysync.streams
        CROSS JOIN LATERAL (
            SELECT count(*) AS intervals, min(lower(span)) AS since, max(upper(span)) AS until
            FROM unnest(coverage - folded - coalesce((
                SELECT range_agg(tstzrange(window_start, window_end))
                FROM paysync.windows
                WHERE windows.account_id = $1 AND windows.stream = streams.stream
                  AND outcome = 'closed' AND lane IN ('live', 'backfill', 'rescan')
            ), '{}')) AS span
        ) AS unread
        CROSS JOIN LATERAL (
            SELECT count(*) AS intervals, min(gap_from) AS since, max(gap_to) AS until
            FROM paysync.coverage_gaps
            WHERE coverage_gaps.account_id = $1 AND coverage_gaps.stream = streams.stream
        ) AS gaps
        WHERE streams.account_id = $1
        ORDER BY streams.stream
        "#,
        account_id,
    )
    .fetch_all(snapshot)
    .await?;
    let extent = |intervals, from, to| Extent {
        intervals,
        from,
        to,
    };
    let streams = rows.into_iter().map(|row| StreamEvidence {
        stream: row.stream,
        covered: extent(row.covered, row.covered_from, row.covered_to),
        unread: extent(row.unread, row.unread_from, row.unread_to),
        gaps: extent(row.gaps, row.gaps_from, row.gaps_to),
        untried: row.untried,
        wanted_until: row.wanted_until,
        overdue_seconds: row.overdue_seconds,
        open: row.open,
    });
    Ok(streams.collect())
}

async fn doubts(snapshot: &mut DbWork<'_>, account_id: &str) -> Result<Vec<Doubt>, sqlx::Error> {
    sqlx::query_as!(
        Doubt,
        r#"
        SELECT stream AS "stream!", window_start AS "from!", window_end AS "to!", held AS "held!",
               provider_count AS "counted!"
        FROM paysync.count_doubts
        WHERE account_id = $1
        ORDER BY window_id
        "#,
        account_id,
    )
    .fetch_all(snapshot)
    .await
}
