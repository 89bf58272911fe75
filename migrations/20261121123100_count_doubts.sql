-- A provider's count that exceeds the rows held is a question; what is read again, or counted again, answers it. The
-- ledger keeps the windows of a stream from its oldest open question on, and paysync verify shows them.

-- No column in it that changes while a window is read: such updates stay cheap.
CREATE INDEX windows_audits ON paysync.windows (account_id, stream) WHERE lane = 'audit';

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

COMMENT ON VIEW paysync.count_doubts IS 'Audits in which the provider counted more rows than were held, until the window is read again or a later count agrees. Empty means no question is open.';
COMMENT ON COLUMN paysync.count_doubts.account_id IS 'The account.';
COMMENT ON COLUMN paysync.count_doubts.stream IS 'The stream.';
COMMENT ON COLUMN paysync.count_doubts.window_id IS 'Number of the audit''s window.';
COMMENT ON COLUMN paysync.count_doubts.window_start IS 'First instant counted.';
COMMENT ON COLUMN paysync.count_doubts.window_end IS 'First instant after those counted.';
COMMENT ON COLUMN paysync.count_doubts.closed_at IS 'When it was counted.';
COMMENT ON COLUMN paysync.count_doubts.held IS 'Rows held then, those at the very end of the window among them.';
COMMENT ON COLUMN paysync.count_doubts.provider_count IS 'Rows the provider counted.';

COMMENT ON COLUMN paysync.windows.outside IS 'Items whose time lies outside the window; they are stored and counted above as well. For an audit rows of the second after the window, which the provider may have counted.';
