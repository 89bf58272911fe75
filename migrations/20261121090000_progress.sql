-- Accounts, streams, windows: what has been read, what is being read, and by whom.

CREATE SCHEMA IF NOT EXISTS paysync;

CREATE TABLE paysync.accounts (
    account_id       text PRIMARY KEY,
    provider         text NOT NULL,
    time_zone        text NOT NULL DEFAULT 'UTC',
    first_seen_at    timestamptz NOT NULL DEFAULT now(),
    paused           boolean NOT NULL DEFAULT false,
    suspended_reason text,
    hint             text,
    suspended_at     timestamptz,
    lease_holder     text,
    lease_token      bigint NOT NULL DEFAULT 0,
    lease_until      timestamptz
) WITH (fillfactor = 50);

COMMENT ON TABLE paysync.accounts IS 'One set of credentials at a provider: an [[accounts]] entry of the configuration.';
COMMENT ON COLUMN paysync.accounts.account_id IS 'The account''s id in the configuration; on every row read through it.';
COMMENT ON COLUMN paysync.accounts.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.accounts.time_zone IS 'IANA zone of the account''s reporting day.';
COMMENT ON COLUMN paysync.accounts.first_seen_at IS 'When paysync first started with this account; change streams are covered from here.';
COMMENT ON COLUMN paysync.accounts.paused IS 'Stopped by an operator (paysync pause).';
COMMENT ON COLUMN paysync.accounts.suspended_reason IS 'Why paysync stopped reading the account by itself, in the provider''s words; null while it reads.';
COMMENT ON COLUMN paysync.accounts.hint IS 'What an operator can do about suspended_reason.';
COMMENT ON COLUMN paysync.accounts.suspended_at IS 'When the account was last found to be refused.';
COMMENT ON COLUMN paysync.accounts.lease_holder IS 'Process that works on the account.';
COMMENT ON COLUMN paysync.accounts.lease_token IS 'Fencing token: grows with each acquisition; a page is stored only under the newest one.';
COMMENT ON COLUMN paysync.accounts.lease_until IS 'End of the lease by this database''s clock; null when released.';

CREATE TABLE paysync.streams (
    account_id       text NOT NULL REFERENCES paysync.accounts,
    stream           text NOT NULL,
    role             text NOT NULL CHECK (role IN ('history', 'change')),
    wanted_from      timestamptz NOT NULL,
    wanted_until     timestamptz,
    coverage         tstzmultirange NOT NULL DEFAULT '{}',
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

COMMENT ON TABLE paysync.streams IS 'Ways of walking an account''s transactions along one time axis, with what has been covered.';
COMMENT ON COLUMN paysync.streams.account_id IS 'The account.';
COMMENT ON COLUMN paysync.streams.stream IS 'Name of the stream, e.g. created_at.';
COMMENT ON COLUMN paysync.streams.role IS 'history: covered from the account''s start_from; change: covered from when the account was first seen.';
COMMENT ON COLUMN paysync.streams.wanted_from IS 'First instant that must be covered.';
COMMENT ON COLUMN paysync.streams.wanted_until IS 'End of what was wanted when the planner last opened a window: the poll''s now minus the stream''s lag.';
COMMENT ON COLUMN paysync.streams.coverage IS 'Instants that closed windows have covered.';
COMMENT ON COLUMN paysync.streams.window_seconds IS 'Length of the next window, seconds; adapts to the density of rows.';
COMMENT ON COLUMN paysync.streams.expected_lag_seconds IS 'How far behind now the stream may rightly be, seconds: the provider''s lag, a poll interval, and one unit of the API''s time filter.';
COMMENT ON COLUMN paysync.streams.suspended_reason IS 'Why paysync stopped reading the stream by itself, in the provider''s words; null while it reads.';
COMMENT ON COLUMN paysync.streams.hint IS 'What an operator can do about suspended_reason.';
COMMENT ON COLUMN paysync.streams.suspended_at IS 'When the stream was last found to be refused.';
COMMENT ON COLUMN paysync.streams.last_error IS 'What last kept a window from being read; null after a window closed.';
COMMENT ON COLUMN paysync.streams.last_error_hint IS 'What an operator can do about last_error.';
COMMENT ON COLUMN paysync.streams.last_error_at IS 'When last_error happened.';

CREATE TABLE paysync.rescans (
    account_id     text NOT NULL,
    stream         text NOT NULL,
    within_seconds bigint NOT NULL CHECK (within_seconds > 0),
    started_at     timestamptz NOT NULL,
    remaining      tstzmultirange NOT NULL DEFAULT '{}',
    PRIMARY KEY (account_id, stream, within_seconds),
    FOREIGN KEY (account_id, stream) REFERENCES paysync.streams
) WITH (fillfactor = 50);

COMMENT ON TABLE paysync.rescans IS 'Re-reading of young windows, one row per stream and tier of age.';
COMMENT ON COLUMN paysync.rescans.account_id IS 'The account.';
COMMENT ON COLUMN paysync.rescans.stream IS 'The stream.';
COMMENT ON COLUMN paysync.rescans.within_seconds IS 'The tier: instants younger than this many seconds are read again.';
COMMENT ON COLUMN paysync.rescans.started_at IS 'When the latest pass over the tier began.';
COMMENT ON COLUMN paysync.rescans.remaining IS 'Instants that the latest pass has not read yet.';

CREATE TABLE paysync.windows (
    account_id     text NOT NULL,
    window_id      bigint GENERATED ALWAYS AS IDENTITY,
    stream         text NOT NULL,
    lane           text NOT NULL CHECK (lane IN ('live', 'rescan', 'backfill')),
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
) WITH (fillfactor = 70);

CREATE INDEX windows_open ON paysync.windows (account_id, stream) WHERE outcome IS NULL;

COMMENT ON TABLE paysync.windows IS 'The ledger: every window opened, with what was found in it. Half-open: window_start is in it, window_end is not.';
COMMENT ON COLUMN paysync.windows.account_id IS 'The account.';
COMMENT ON COLUMN paysync.windows.window_id IS 'Number of the window.';
COMMENT ON COLUMN paysync.windows.stream IS 'The stream.';
COMMENT ON COLUMN paysync.windows.lane IS 'Why it is read: live (the newest day), backfill (older), rescan (read again).';
COMMENT ON COLUMN paysync.windows.within_seconds IS 'The tier of a rescan window.';
COMMENT ON COLUMN paysync.windows.window_start IS 'First instant of the window.';
COMMENT ON COLUMN paysync.windows.window_end IS 'First instant after the window.';
COMMENT ON COLUMN paysync.windows.checkpoint IS 'Where its next page starts; null for the first page.';
COMMENT ON COLUMN paysync.windows.outcome IS 'closed (read to the end), split (its halves are read instead), dropped (taken back by an operator); null while open.';
COMMENT ON COLUMN paysync.windows.pages IS 'Pages stored.';
COMMENT ON COLUMN paysync.windows.items IS 'Items in those pages = inserted + updated + unchanged + stale + duplicate + quarantined.';
COMMENT ON COLUMN paysync.windows.inserted IS 'Items that were new.';
COMMENT ON COLUMN paysync.windows.updated IS 'Items that replaced an older version.';
COMMENT ON COLUMN paysync.windows.unchanged IS 'Items that were stored already, just so.';
COMMENT ON COLUMN paysync.windows.stale IS 'Items older than the version stored.';
COMMENT ON COLUMN paysync.windows.duplicate IS 'Items that occurred again later in the same page.';
COMMENT ON COLUMN paysync.windows.quarantined IS 'Items put into quarantine.';
COMMENT ON COLUMN paysync.windows.outside IS 'Items whose time lies outside the window; they are stored and counted above as well.';
COMMENT ON COLUMN paysync.windows.provider_count IS 'The provider''s own count, where it gives one.';
COMMENT ON COLUMN paysync.windows.failures IS 'Times in a row that reading it failed.';
COMMENT ON COLUMN paysync.windows.error IS 'Why reading it last failed; null after a page was stored.';
COMMENT ON COLUMN paysync.windows.hint IS 'What an operator can do about error.';
COMMENT ON COLUMN paysync.windows.retry_at IS 'Not read again before this instant.';
COMMENT ON COLUMN paysync.windows.opened_at IS 'When it was opened.';
COMMENT ON COLUMN paysync.windows.closed_at IS 'When it got its outcome.';
