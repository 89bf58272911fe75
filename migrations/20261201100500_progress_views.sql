-- Views that say how complete and how fresh the tables are.

CREATE VIEW paysync.coverage_gaps AS
SELECT streams.account_id, streams.stream, lower(gap.span) AS gap_from, upper(gap.span) AS gap_to
FROM paysync.streams
CROSS JOIN LATERAL unnest(
    tstzmultirange(tstzrange(streams.wanted_from, greatest(streams.wanted_from, streams.wanted_until)))
    - streams.coverage
    - coalesce((
        SELECT range_agg(tstzrange(windows.window_start, windows.window_end))
        FROM paysync.windows
        WHERE windows.account_id = streams.account_id
          AND windows.stream = streams.stream
          AND windows.outcome IS NULL
          AND windows.lane IN ('live', 'backfill')
    ), '{}')
) AS gap(span);

COMMENT ON VIEW paysync.coverage_gaps IS
    'Instants that are wanted but neither covered nor being read. Empty: nothing is missing up to wanted_until.';
COMMENT ON COLUMN paysync.coverage_gaps.account_id IS 'The account.';
COMMENT ON COLUMN paysync.coverage_gaps.stream IS 'The stream.';
COMMENT ON COLUMN paysync.coverage_gaps.gap_from IS 'First instant of the gap.';
COMMENT ON COLUMN paysync.coverage_gaps.gap_to IS 'First instant after the gap.';

CREATE VIEW paysync.sync_health AS
SELECT
    streams.account_id,
    accounts.provider,
    streams.stream,
    streams.role,
    streams.wanted_from,
    upper(streams.coverage) AS covered_until,
    extract(epoch FROM now() - coalesce(upper(streams.coverage), streams.wanted_from))::bigint AS lag_seconds,
    streams.expected_lag_seconds,
    coalesce((
        SELECT sum(extract(epoch FROM gaps.gap_to - gaps.gap_from))
        FROM paysync.coverage_gaps AS gaps
        WHERE gaps.account_id = streams.account_id AND gaps.stream = streams.stream
    ), 0)::bigint AS gap_seconds,
    (
        SELECT count(*)
        FROM paysync.windows
        WHERE windows.account_id = streams.account_id AND windows.stream = streams.stream AND windows.outcome IS NULL
    ) AS open_windows,
    (
        SELECT count(*)
        FROM paysync.quarantine
        WHERE quarantine.account_id = streams.account_id AND quarantine.stream = streams.stream
    ) AS quarantined_items,
    accounts.paused,
    coalesce(accounts.suspended_reason, streams.suspended_reason) AS suspended_reason,
    coalesce(accounts.suspended_reason, streams.suspended_reason, streams.last_error) AS last_error,
    CASE
        WHEN accounts.suspended_reason IS NOT NULL THEN accounts.hint
        WHEN streams.suspended_reason IS NOT NULL THEN streams.hint
        ELSE streams.last_error_hint
    END AS hint,
    streams.last_error_at
FROM paysync.streams
JOIN paysync.accounts USING (account_id);

COMMENT ON VIEW paysync.sync_health IS 'Freshness and trouble of each stream, one row per stream.';
COMMENT ON COLUMN paysync.sync_health.account_id IS 'The account.';
COMMENT ON COLUMN paysync.sync_health.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.sync_health.stream IS 'The stream.';
COMMENT ON COLUMN paysync.sync_health.role IS 'history or change.';
COMMENT ON COLUMN paysync.sync_health.wanted_from IS 'First instant that must be covered.';
COMMENT ON COLUMN paysync.sync_health.covered_until IS 'End of the newest covered instant; null before the first window closes.';
COMMENT ON COLUMN paysync.sync_health.lag_seconds IS 'Now minus covered_until, seconds.';
COMMENT ON COLUMN paysync.sync_health.expected_lag_seconds IS 'How large lag_seconds may rightly be.';
COMMENT ON COLUMN paysync.sync_health.gap_seconds IS 'Time in coverage_gaps, seconds.';
COMMENT ON COLUMN paysync.sync_health.open_windows IS 'Windows being read.';
COMMENT ON COLUMN paysync.sync_health.quarantined_items IS 'Items of the stream in quarantine.';
COMMENT ON COLUMN paysync.sync_health.paused IS 'Stopped by an operator.';
COMMENT ON COLUMN paysync.sync_health.suspended_reason IS 'Why the account or stream waits for an operator.';
COMMENT ON COLUMN paysync.sync_health.last_error IS 'What last went wrong.';
COMMENT ON COLUMN paysync.sync_health.hint IS 'What an operator can do about it.';
COMMENT ON COLUMN paysync.sync_health.last_error_at IS 'When it last went wrong.';

CREATE VIEW paysync.ledger AS
SELECT account_id, stream, lane, day,
       sum(windows)::bigint AS windows,
       sum(pages)::bigint AS pages,
       sum(items)::bigint AS items,
       sum(inserted)::bigint AS inserted,
       sum(updated)::bigint AS updated,
       sum(unchanged)::bigint AS unchanged,
       sum(stale)::bigint AS stale,
       sum(duplicate)::bigint AS duplicate,
       sum(quarantined)::bigint AS quarantined,
       sum(outside)::bigint AS outside
FROM (
    SELECT account_id, stream, lane, (coalesce(closed_at, opened_at) AT TIME ZONE 'UTC')::date AS day, 1::bigint AS windows,
           pages, items, inserted, updated, unchanged, stale, duplicate, quarantined, outside
    FROM paysync.windows
    UNION ALL
    SELECT account_id, stream, lane, day, windows,
           pages, items, inserted, updated, unchanged, stale, duplicate, quarantined, outside
    FROM paysync.window_totals
) AS entries
GROUP BY account_id, stream, lane, day;

COMMENT ON VIEW paysync.ledger IS
    'What was read, by day: windows and those folded away. The sum of inserted over all of an account is the number of its transactions.';
COMMENT ON COLUMN paysync.ledger.account_id IS 'The account.';
COMMENT ON COLUMN paysync.ledger.stream IS 'The stream.';
COMMENT ON COLUMN paysync.ledger.lane IS 'Why it was read: live, backfill, rescan, repoll, audit; or replay, removed, see window_totals.';
COMMENT ON COLUMN paysync.ledger.day IS 'The UTC day on which the windows got their outcome; open windows count on the day they were opened.';
COMMENT ON COLUMN paysync.ledger.windows IS 'Windows.';
COMMENT ON COLUMN paysync.ledger.pages IS 'Pages stored.';
COMMENT ON COLUMN paysync.ledger.items IS 'Items in those pages = inserted + updated + unchanged + stale + duplicate + quarantined; for audits the rows held.';
COMMENT ON COLUMN paysync.ledger.inserted IS 'Items that were new.';
COMMENT ON COLUMN paysync.ledger.updated IS 'Items that replaced an older version.';
COMMENT ON COLUMN paysync.ledger.unchanged IS 'Items that are stored already in the same version.';
COMMENT ON COLUMN paysync.ledger.stale IS 'Items older than the version stored.';
COMMENT ON COLUMN paysync.ledger.duplicate IS 'Items that occurred again later in the same page.';
COMMENT ON COLUMN paysync.ledger.quarantined IS 'Items put into quarantine.';
COMMENT ON COLUMN paysync.ledger.outside IS 'Items whose time lies outside their window.';

-- A provider's count that exceeds the stored rows is a question; what is read or counted again answers it. The ledger keeps
-- the windows of a stream from its oldest open question on, and paysync verify shows them.
CREATE VIEW paysync.count_doubts AS
SELECT audits.account_id, audits.stream, audits.window_id, audits.window_start, audits.window_end, audits.closed_at,
       audits.items + audits.outside AS held, audits.provider_count
FROM paysync.windows AS audits
JOIN paysync.streams USING (account_id, stream)
WHERE audits.lane = 'audit' AND audits.outcome = 'closed' AND audits.provider_count > audits.items + audits.outside
  -- What is no longer wanted is not read again.
  AND NOT isempty(
      tstzmultirange(tstzrange(audits.window_start, audits.window_end)) * tstzmultirange(tstzrange(streams.wanted_from, NULL))
      - coalesce((
          SELECT range_agg(tstzrange(later.window_start, later.window_end))
          FROM paysync.windows AS later
          WHERE later.account_id = audits.account_id AND later.stream = audits.stream
            -- A neighbour's window that reads back into it may have been open already; it ended later.
            AND later.outcome = 'closed' AND later.closed_at > audits.closed_at
            AND (later.lane IN ('live', 'backfill', 'rescan')
                 OR (later.lane = 'audit' AND later.provider_count <= later.items + later.outside))
      ), '{}')
  );

COMMENT ON VIEW paysync.count_doubts IS
    'Audits in which the provider counted more rows than were held, until the window is read again or a later count agrees. Empty means no question is open.';
COMMENT ON COLUMN paysync.count_doubts.account_id IS 'The account.';
COMMENT ON COLUMN paysync.count_doubts.stream IS 'The stream.';
COMMENT ON COLUMN paysync.count_doubts.window_id IS 'Number of the audit''s window.';
COMMENT ON COLUMN paysync.count_doubts.window_start IS 'First instant counted.';
COMMENT ON COLUMN paysync.count_doubts.window_end IS 'First instant after those counted.';
COMMENT ON COLUMN paysync.count_doubts.closed_at IS 'When it was counted.';
COMMENT ON COLUMN paysync.count_doubts.held IS 'Rows held then, those at the very end of the window among them.';
COMMENT ON COLUMN paysync.count_doubts.provider_count IS 'Rows the provider counted.';

CREATE VIEW paysync.data_as_of AS
SELECT
    accounts.account_id,
    accounts.provider,
    streams.wanted_from,
    streams.complete_until,
    streams.recent_from,
    streams.recent_until,
    streams.gap_seconds,
    round(extract(epoch FROM now() - streams.complete_until)::numeric, 0)::bigint AS seconds_behind
FROM paysync.accounts
LEFT JOIN (
    SELECT
        streams.account_id,
        min(streams.wanted_from) FILTER (WHERE streams.role = 'history') AS wanted_from,
        -- One stream of which nothing is complete makes that of the account unknown.
        CASE WHEN bool_and(first.upto IS NOT NULL) THEN min(first.upto) END AS complete_until,
        CASE WHEN bool_and(NOT isempty(streams.coverage)) THEN max(newest.since) END AS recent_from,
        CASE WHEN bool_and(NOT isempty(streams.coverage)) THEN min(newest.upto) END AS recent_until,
        sum((
            SELECT coalesce(sum(extract(epoch FROM gaps.gap_to - gaps.gap_from)), 0)
            FROM paysync.coverage_gaps AS gaps
            WHERE gaps.account_id = streams.account_id AND gaps.stream = streams.stream
        ))::bigint AS gap_seconds
    FROM paysync.streams
    LEFT JOIN LATERAL (
        SELECT upper(span) AS upto FROM unnest(streams.coverage) AS span WHERE span @> streams.wanted_from
    ) AS first ON true
    LEFT JOIN LATERAL (
        SELECT lower(span) AS since, upper(span) AS upto FROM unnest(streams.coverage) AS span ORDER BY span DESC LIMIT 1
    ) AS newest ON true
    GROUP BY streams.account_id
) AS streams USING (account_id);

COMMENT ON VIEW paysync.data_as_of IS
    'How far the data can be trusted, one row per account: everything that the provider showed of the time before complete_until is stored. Providers that cannot show changes (FireKassa, and rows that are older than the account) may still change a status later; it is read again by age.';
COMMENT ON COLUMN paysync.data_as_of.account_id IS 'The account.';
COMMENT ON COLUMN paysync.data_as_of.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.data_as_of.wanted_from IS 'The account''s start_from: nothing older is wanted.';
COMMENT ON COLUMN paysync.data_as_of.complete_until IS 'Every stream of the account has been read without a gap from its start up to here; null: a stream has not reached its start, see recent_from.';
COMMENT ON COLUMN paysync.data_as_of.recent_from IS 'While history is still being read: the newest stretch that is complete starts here.';
COMMENT ON COLUMN paysync.data_as_of.recent_until IS 'The newest stretch that is complete ends here.';
COMMENT ON COLUMN paysync.data_as_of.gap_seconds IS 'Time in coverage_gaps, seconds, over all streams.';
COMMENT ON COLUMN paysync.data_as_of.seconds_behind IS 'Now minus complete_until, seconds.';
