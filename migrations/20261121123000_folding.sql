-- The ledger grows by a row per poll. Closed windows that are old are folded: their sums stay, by day, and the time they
-- have read stays with the stream, so that the ledger remains small and still proves what it proved.

CREATE TABLE paysync.window_totals (
    account_id  text NOT NULL,
    stream      text NOT NULL,
    lane        text NOT NULL CHECK (lane IN ('live', 'rescan', 'repoll', 'audit', 'backfill', 'replay', 'removed')),
    day         date NOT NULL,
    windows     bigint NOT NULL DEFAULT 0,
    pages       bigint NOT NULL DEFAULT 0,
    items       bigint NOT NULL DEFAULT 0,
    inserted    bigint NOT NULL DEFAULT 0,
    updated     bigint NOT NULL DEFAULT 0,
    unchanged   bigint NOT NULL DEFAULT 0,
    stale       bigint NOT NULL DEFAULT 0,
    duplicate   bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    outside     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, stream, lane, day),
    CHECK (items = inserted + updated + unchanged + stale + duplicate + quarantined)
) WITH (fillfactor = 70);

COMMENT ON TABLE paysync.window_totals IS 'Sums of the windows that were folded away (retention.windows), and entries of the ledger that no window makes.';
COMMENT ON COLUMN paysync.window_totals.account_id IS 'The account.';
COMMENT ON COLUMN paysync.window_totals.stream IS 'The stream.';
COMMENT ON COLUMN paysync.window_totals.lane IS 'The lane of the windows; or replay (rows that paysync replay made of items in quarantine), removed (rows deleted on purpose, counted by hand as negative items and inserted).';
COMMENT ON COLUMN paysync.window_totals.day IS 'The UTC day on which the windows got their outcome.';
COMMENT ON COLUMN paysync.window_totals.windows IS 'Windows folded, whatever their outcome.';
COMMENT ON COLUMN paysync.window_totals.pages IS 'Their pages.';
COMMENT ON COLUMN paysync.window_totals.items IS 'Their items = inserted + updated + unchanged + stale + duplicate + quarantined; for audits the rows held.';
COMMENT ON COLUMN paysync.window_totals.inserted IS 'Items that were new.';
COMMENT ON COLUMN paysync.window_totals.updated IS 'Items that replaced an older version.';
COMMENT ON COLUMN paysync.window_totals.unchanged IS 'Items that were stored already, just so.';
COMMENT ON COLUMN paysync.window_totals.stale IS 'Items older than the version stored.';
COMMENT ON COLUMN paysync.window_totals.duplicate IS 'Items that occurred again later in the same page.';
COMMENT ON COLUMN paysync.window_totals.quarantined IS 'Items put into quarantine.';
COMMENT ON COLUMN paysync.window_totals.outside IS 'Items whose time lies outside their window.';

ALTER TABLE paysync.streams ADD COLUMN folded tstzmultirange NOT NULL DEFAULT '{}';

COMMENT ON COLUMN paysync.streams.folded IS 'Instants that folded windows had read to the end; with the closed windows of the ledger they hold all of coverage.';

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

COMMENT ON VIEW paysync.ledger IS 'What was read, by day: windows and those folded away. The sum of inserted over all of an account is the number of its transactions.';
COMMENT ON COLUMN paysync.ledger.account_id IS 'The account.';
COMMENT ON COLUMN paysync.ledger.stream IS 'The stream.';
COMMENT ON COLUMN paysync.ledger.lane IS 'Why it was read: live, backfill, rescan, repoll, audit; or replay, removed, see window_totals.';
COMMENT ON COLUMN paysync.ledger.day IS 'The UTC day on which the windows got their outcome; open windows count on the day they were opened.';
COMMENT ON COLUMN paysync.ledger.windows IS 'Windows.';
COMMENT ON COLUMN paysync.ledger.pages IS 'Pages stored.';
COMMENT ON COLUMN paysync.ledger.items IS 'Items in those pages = inserted + updated + unchanged + stale + duplicate + quarantined; for audits the rows held.';
COMMENT ON COLUMN paysync.ledger.inserted IS 'Items that were new.';
COMMENT ON COLUMN paysync.ledger.updated IS 'Items that replaced an older version.';
COMMENT ON COLUMN paysync.ledger.unchanged IS 'Items that were stored already, just so.';
COMMENT ON COLUMN paysync.ledger.stale IS 'Items older than the version stored.';
COMMENT ON COLUMN paysync.ledger.duplicate IS 'Items that occurred again later in the same page.';
COMMENT ON COLUMN paysync.ledger.quarantined IS 'Items put into quarantine.';
COMMENT ON COLUMN paysync.ledger.outside IS 'Items whose time lies outside their window.';

-- Versions only ever come at the end: a few pages of index find those that retention.history lets go.
CREATE INDEX transaction_history_valid_to ON paysync.transaction_history USING brin (valid_to);
