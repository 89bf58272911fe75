-- Streams and windows: what has been read, and what is being read.

CREATE TABLE paysync.streams (
    account_id       text COLLATE "C" NOT NULL REFERENCES paysync.accounts,
    stream           text COLLATE "C" NOT NULL,
    role             text NOT NULL CHECK (role IN ('history', 'change')),
    wanted_from      timestamptz NOT NULL,
    wanted_until     timestamptz,
    coverage         tstzmultirange NOT NULL DEFAULT '{}',
    folded           tstzmultirange NOT NULL DEFAULT '{}',
    window_seconds   bigint NOT NULL CHECK (window_seconds > 0),
    expected_lag_seconds bigint NOT NULL CHECK (expected_lag_seconds >= 0),
    suspended_reason text,
    hint             text,
    suspended_at     timestamptz,
    last_error       text,
    last_error_hint  text,
    last_error_at    timestamptz,
    PRIMARY KEY (account_id, stream)
) WITH (fillfactor = 50);

COMMENT ON TABLE paysync.streams IS
    'Ways of reading an account''s transactions along one time axis, with what has been covered.';
COMMENT ON COLUMN paysync.streams.account_id IS 'The account.';
COMMENT ON COLUMN paysync.streams.stream IS 'Name of the stream, e.g. created_at.';
COMMENT ON COLUMN paysync.streams.role IS 'history: covered from the account''s start_from; change: covered from when the account was first seen.';
COMMENT ON COLUMN paysync.streams.wanted_from IS 'First instant that must be covered.';
COMMENT ON COLUMN paysync.streams.wanted_until IS 'End of what was wanted when the planner last opened a window: the poll''s now minus the stream''s lag.';
COMMENT ON COLUMN paysync.streams.coverage IS 'Instants that closed windows have covered.';
COMMENT ON COLUMN paysync.streams.folded IS 'Instants that folded windows had read to the end; with the closed windows of the ledger they hold all of coverage.';
COMMENT ON COLUMN paysync.streams.window_seconds IS 'Length of the next window, seconds; adapts to the density of rows.';
COMMENT ON COLUMN paysync.streams.expected_lag_seconds IS 'How far behind now the stream may rightly be, seconds: the provider''s lag, a poll interval, and one unit of the API''s time filter.';
COMMENT ON COLUMN paysync.streams.suspended_reason IS 'Why paysync suspended the stream, in the provider''s words; null while it reads.';
COMMENT ON COLUMN paysync.streams.hint IS 'What an operator can do about suspended_reason.';
COMMENT ON COLUMN paysync.streams.suspended_at IS 'When the stream was last found to be refused.';
COMMENT ON COLUMN paysync.streams.last_error IS 'What last kept a window from being read; null after a window closed.';
COMMENT ON COLUMN paysync.streams.last_error_hint IS 'What an operator can do about last_error.';
COMMENT ON COLUMN paysync.streams.last_error_at IS 'When last_error happened.';

CREATE TABLE paysync.rescans (
    account_id     text COLLATE "C" NOT NULL,
    stream         text COLLATE "C" NOT NULL,
    lane           text NOT NULL CHECK (lane IN ('rescan', 'repoll', 'audit')),
    within_seconds bigint NOT NULL CHECK (within_seconds > 0),
    started_at     timestamptz NOT NULL,
    remaining      tstzmultirange NOT NULL DEFAULT '{}',
    PRIMARY KEY (account_id, stream, lane, within_seconds),
    FOREIGN KEY (account_id, stream) REFERENCES paysync.streams
) WITH (fillfactor = 50);

COMMENT ON TABLE paysync.rescans IS 'Re-reading of young windows, one row per stream, lane and tier of age.';
COMMENT ON COLUMN paysync.rescans.account_id IS 'The account.';
COMMENT ON COLUMN paysync.rescans.stream IS 'The stream.';
COMMENT ON COLUMN paysync.rescans.lane IS 'How: rescan, repoll or audit.';
COMMENT ON COLUMN paysync.rescans.within_seconds IS 'The tier: instants younger than this many seconds are read again.';
COMMENT ON COLUMN paysync.rescans.started_at IS 'When the latest pass over the tier began.';
COMMENT ON COLUMN paysync.rescans.remaining IS 'Instants that the latest pass has not read yet.';

-- Replicas and restored tables bring no sequences with them: so the second stands before the number.
CREATE SEQUENCE paysync.window_numbers AS integer MINVALUE 0 MAXVALUE 4194303 CYCLE;

CREATE TABLE paysync.windows (
    account_id     text COLLATE "C" NOT NULL,
    window_id      bigint NOT NULL DEFAULT extract(epoch FROM now())::bigint * 4194304 + nextval('paysync.window_numbers'),
    stream         text COLLATE "C" NOT NULL,
    lane           text NOT NULL CHECK (lane IN ('live', 'rescan', 'repoll', 'audit', 'backfill')),
    within_seconds bigint,
    window_start   timestamptz NOT NULL,
    window_end     timestamptz NOT NULL CHECK (window_start < window_end),
    checkpoint     jsonb,
    outcome        text CHECK (outcome IN ('closed', 'split', 'dropped')),
    pages          bigint NOT NULL DEFAULT 0,
    items          bigint NOT NULL DEFAULT 0,
    inserted       bigint NOT NULL DEFAULT 0,
    updated        bigint NOT NULL DEFAULT 0,
    unchanged      bigint NOT NULL DEFAULT 0,
    stale          bigint NOT NULL DEFAULT 0,
    duplicate      bigint NOT NULL DEFAULT 0,
    quarantined    bigint NOT NULL DEFAULT 0,
    outside        bigint NOT NULL DEFAULT 0,
    provider_count bigint,
    failures       integer NOT NULL DEFAULT 0,
    error          text,
    hint           text,
    retry_at       timestamptz,
    opened_at      timestamptz NOT NULL DEFAULT now(),
    closed_at      timestamptz,
    PRIMARY KEY (account_id, window_id),
    FOREIGN KEY (account_id, stream) REFERENCES paysync.streams,
    CHECK ((outcome IS NULL) = (closed_at IS NULL)),
    CHECK (items = inserted + updated + unchanged + stale + duplicate + quarantined)
) WITH (fillfactor = 80);

CREATE INDEX windows_open ON paysync.windows (account_id, stream) WHERE outcome IS NULL;
-- The status reads what closed in the last hour, and retention looks for windows by the time they closed.
CREATE INDEX windows_closed ON paysync.windows (closed_at) WHERE outcome IS NOT NULL;
-- It has no column that changes while a window is read: such updates stay cheap.
CREATE INDEX windows_audits ON paysync.windows (account_id, stream) WHERE lane = 'audit';

COMMENT ON TABLE paysync.windows IS
    'The ledger: every window opened, with what was found in it. Half-open: window_start is in it, window_end is not.';
COMMENT ON COLUMN paysync.windows.account_id IS 'The account.';
COMMENT ON COLUMN paysync.windows.window_id IS 'Number of the window. Later windows have greater numbers.';
COMMENT ON COLUMN paysync.windows.stream IS 'The stream.';
COMMENT ON COLUMN paysync.windows.lane IS 'Why it is read: live (the newest day), backfill (older), rescan (read again), repoll (its open rows read by id), audit (counted).';
COMMENT ON COLUMN paysync.windows.within_seconds IS 'The tier of a rescan, repoll or audit window.';
COMMENT ON COLUMN paysync.windows.window_start IS 'First instant of the window.';
COMMENT ON COLUMN paysync.windows.window_end IS 'First instant after the window.';
COMMENT ON COLUMN paysync.windows.checkpoint IS 'Where its next page starts; null for the first page.';
COMMENT ON COLUMN paysync.windows.outcome IS 'closed (read to the end), split (its halves are read instead), dropped (withdrawn by an operator); null while open.';
COMMENT ON COLUMN paysync.windows.pages IS 'Pages stored.';
COMMENT ON COLUMN paysync.windows.items IS 'Items in those pages = inserted + updated + unchanged + stale + duplicate + quarantined; for an audit the rows held.';
COMMENT ON COLUMN paysync.windows.inserted IS 'Items that were new.';
COMMENT ON COLUMN paysync.windows.updated IS 'Items that replaced an older version.';
COMMENT ON COLUMN paysync.windows.unchanged IS 'Items that are stored already in the same version.';
COMMENT ON COLUMN paysync.windows.stale IS 'Items older than the version stored.';
COMMENT ON COLUMN paysync.windows.duplicate IS 'Items that occurred again later in the same page.';
COMMENT ON COLUMN paysync.windows.quarantined IS 'Items put into quarantine.';
COMMENT ON COLUMN paysync.windows.outside IS 'Items whose time lies outside the window; they are stored and counted above as well. For an audit rows of the second after the window, which the provider may have counted.';
COMMENT ON COLUMN paysync.windows.provider_count IS 'The provider''s own count, where it gives one.';
COMMENT ON COLUMN paysync.windows.failures IS 'Times in a row that reading it failed.';
COMMENT ON COLUMN paysync.windows.error IS 'Why reading it last failed, or what an audit found; null after a page was stored.';
COMMENT ON COLUMN paysync.windows.hint IS 'What an operator can do about error.';
COMMENT ON COLUMN paysync.windows.retry_at IS 'Not read before this instant.';
COMMENT ON COLUMN paysync.windows.opened_at IS 'When it was opened.';
COMMENT ON COLUMN paysync.windows.closed_at IS 'When it got its outcome.';

-- The ledger grows by a row per poll. Old closed windows are folded: their sums stay, by day, and the time that they have
-- read stays in streams.folded. So the ledger remains small and still proves what it proved.
CREATE TABLE paysync.window_totals (
    account_id  text COLLATE "C" NOT NULL,
    stream      text COLLATE "C" NOT NULL,
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

COMMENT ON TABLE paysync.window_totals IS
    'Sums of folded windows (retention.windows), and entries of the ledger that belong to no window.';
COMMENT ON COLUMN paysync.window_totals.account_id IS 'The account.';
COMMENT ON COLUMN paysync.window_totals.stream IS 'The stream.';
COMMENT ON COLUMN paysync.window_totals.lane IS 'The lane of the windows; or replay (rows that paysync replay made of items in quarantine), removed (rows deleted on purpose, counted by hand as negative items and inserted).';
COMMENT ON COLUMN paysync.window_totals.day IS 'The UTC day on which the windows got their outcome.';
COMMENT ON COLUMN paysync.window_totals.windows IS 'Windows folded, whatever their outcome.';
COMMENT ON COLUMN paysync.window_totals.pages IS 'Their pages.';
COMMENT ON COLUMN paysync.window_totals.items IS 'Their items = inserted + updated + unchanged + stale + duplicate + quarantined; for audits the rows held.';
COMMENT ON COLUMN paysync.window_totals.inserted IS 'Items that were new.';
COMMENT ON COLUMN paysync.window_totals.updated IS 'Items that replaced an older version.';
COMMENT ON COLUMN paysync.window_totals.unchanged IS 'Items that are stored already in the same version.';
COMMENT ON COLUMN paysync.window_totals.stale IS 'Items older than the version stored.';
COMMENT ON COLUMN paysync.window_totals.duplicate IS 'Items that occurred again later in the same page.';
COMMENT ON COLUMN paysync.window_totals.quarantined IS 'Items put into quarantine.';
COMMENT ON COLUMN paysync.window_totals.outside IS 'Items whose time lies outside their window.';
