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
          AND windows.lane <> 'rescan'
    ), '{}')
) AS gap(span);

COMMENT ON VIEW paysync.coverage_gaps IS 'Instants that are wanted but neither covered nor being read. Empty means nothing is missing up to wanted_until.';
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
