-- Accounts and the processes that work on them.

CREATE SCHEMA IF NOT EXISTS paysync;

CREATE TABLE paysync.accounts (
    account_id       text COLLATE "C" PRIMARY KEY,
    provider         text NOT NULL,
    time_zone        text NOT NULL DEFAULT 'UTC',
    first_seen_at    timestamptz NOT NULL DEFAULT now(),
    paused           boolean NOT NULL DEFAULT false,
    suspended_reason text,
    hint             text,
    suspended_at     timestamptz,
    lease_holder     text COLLATE "C",
    lease_token      bigint NOT NULL DEFAULT 0,
    lease_until      timestamptz,
    left_at          timestamptz,
    payloads_from    timestamptz,
    payloads_after   text COLLATE "C"
) WITH (fillfactor = 50);

COMMENT ON TABLE paysync.accounts IS 'One set of credentials at a provider: an [[accounts]] entry of the configuration.';
COMMENT ON COLUMN paysync.accounts.account_id IS 'The account''s id in the configuration; on every row read through it.';
COMMENT ON COLUMN paysync.accounts.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.accounts.time_zone IS 'IANA zone of the account''s reporting day.';
COMMENT ON COLUMN paysync.accounts.first_seen_at IS 'When paysync first started with this account; change streams are covered from here.';
COMMENT ON COLUMN paysync.accounts.paused IS 'Stopped by an operator (paysync pause).';
COMMENT ON COLUMN paysync.accounts.suspended_reason IS 'Why paysync suspended the account, in the provider''s words; null while it reads.';
COMMENT ON COLUMN paysync.accounts.hint IS 'What an operator can do about suspended_reason.';
COMMENT ON COLUMN paysync.accounts.suspended_at IS 'When the account was last found to be refused.';
COMMENT ON COLUMN paysync.accounts.lease_holder IS 'Process that works on the account.';
COMMENT ON COLUMN paysync.accounts.lease_token IS 'Fencing token: grows with each acquisition; a page is stored only under the newest one.';
COMMENT ON COLUMN paysync.accounts.lease_until IS 'End of the lease by this database''s clock; null when released.';
COMMENT ON COLUMN paysync.accounts.left_at IS 'When a process last released the account, by this database''s clock.';
COMMENT ON COLUMN paysync.accounts.payloads_from IS 'Rows whose version is older than this instant may have no payload: retention deletes them. Null: none was deleted.';
COMMENT ON COLUMN paysync.accounts.payloads_after IS 'The provider_transaction_id up to which payloads older than payloads_from were deleted, while that goes on. Null: it is done; the next expiry begins a day later.';

CREATE TABLE paysync.processes (
    holder      text COLLATE "C" PRIMARY KEY,
    alive_until timestamptz NOT NULL
) WITH (fillfactor = 50);

COMMENT ON TABLE paysync.processes IS 'Running daemons; each takes its share of the accounts.';
COMMENT ON COLUMN paysync.processes.holder IS 'Host and process id; the lease_holder of its accounts.';
COMMENT ON COLUMN paysync.processes.alive_until IS 'End of its last sign of life by this database''s clock; a row past it no longer counts.';

CREATE TABLE paysync.forgotten_accounts (
    account_id  text COLLATE "C" NOT NULL,
    begun_at    timestamptz NOT NULL,
    ended_at    timestamptz,
    removed     jsonb NOT NULL DEFAULT '{}',
    lease_token bigint NOT NULL,
    PRIMARY KEY (account_id, begun_at)
) WITH (fillfactor = 50);

-- A run that was stopped is resumed by the next one.
CREATE UNIQUE INDEX forgotten_accounts_unfinished ON paysync.forgotten_accounts (account_id) WHERE ended_at IS NULL;

COMMENT ON TABLE paysync.forgotten_accounts IS 'What paysync forget removed, and when: one row each time that an account was forgotten.';
COMMENT ON COLUMN paysync.forgotten_accounts.account_id IS 'The account.';
COMMENT ON COLUMN paysync.forgotten_accounts.begun_at IS 'When its coverage was removed, and so the first of its data.';
COMMENT ON COLUMN paysync.forgotten_accounts.ended_at IS 'When the last of its data was removed. Null: not all of it is removed yet, and the account cannot be resumed; run paysync forget again.';
COMMENT ON COLUMN paysync.forgotten_accounts.removed IS 'Rows removed, by table.';
COMMENT ON COLUMN paysync.forgotten_accounts.lease_token IS 'The account''s lease_token at that time. If the account comes back, its tokens continue from here, so that no process can use an old one.';
