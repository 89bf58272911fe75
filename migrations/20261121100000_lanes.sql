-- Two more lanes look again at what is covered: repoll asks by id for rows that are not final, audit
-- compares the provider's count with the rows held. Neither fills a gap.

ALTER TABLE paysync.windows
    DROP CONSTRAINT windows_lane_check,
    ADD CONSTRAINT windows_lane_check CHECK (lane IN ('live', 'rescan', 'repoll', 'audit', 'backfill'));

COMMENT ON COLUMN paysync.windows.lane IS 'Why it is read: live (the newest day), backfill (older), rescan (read again), repoll (its open rows asked for by id), audit (counted).';
COMMENT ON COLUMN paysync.windows.within_seconds IS 'The tier of a window that is looked at again.';
COMMENT ON COLUMN paysync.windows.items IS 'Items in those pages = inserted + updated + unchanged + stale + duplicate + quarantined; for an audit the rows held.';
COMMENT ON COLUMN paysync.windows.error IS 'Why reading it last failed, or what an audit found; null after a page was stored.';

ALTER TABLE paysync.rescans
    ADD COLUMN lane text NOT NULL DEFAULT 'rescan' CHECK (lane IN ('rescan', 'repoll', 'audit')),
    DROP CONSTRAINT rescans_pkey,
    ADD PRIMARY KEY (account_id, stream, lane, within_seconds);

COMMENT ON TABLE paysync.rescans IS 'Looking again at young windows, one row per stream, lane and tier of age.';
COMMENT ON COLUMN paysync.rescans.lane IS 'How: rescan, repoll or audit.';
COMMENT ON COLUMN paysync.rescans.within_seconds IS 'The tier: instants younger than this many seconds are looked at again.';
COMMENT ON COLUMN paysync.rescans.remaining IS 'Instants that the latest pass has not looked at yet.';

CREATE OR REPLACE VIEW paysync.coverage_gaps AS
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
