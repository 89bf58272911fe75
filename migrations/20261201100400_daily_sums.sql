-- Totals by day, kept beside the rows: ten million rows cannot be summed up in a second.
--
-- Every transaction that writes rows appends what it changes in the totals to daily_sums. So the totals are right at every
-- instant, and writers never wait for each other, as they would for a row that all of them update. Maintenance folds the
-- entries of a day into one per key. Days are those of the account's time zone; if it changes, the sums are rebuilt.

CREATE TABLE paysync.daily_sums (
    account_id      text COLLATE "C" NOT NULL,
    day             date NOT NULL,
    currency        text,
    kind            text NOT NULL,
    status          text NOT NULL,
    transactions    bigint NOT NULL,
    amount          numeric NOT NULL,
    unknown_amounts bigint NOT NULL,
    is_folded       boolean NOT NULL DEFAULT false,
    entry_id        uuid NOT NULL DEFAULT gen_random_uuid(),
    PRIMARY KEY (account_id, day, entry_id)
);

-- The days that are to be folded.
CREATE INDEX daily_sums_new ON paysync.daily_sums (account_id, day) WHERE NOT is_folded;

COMMENT ON TABLE paysync.daily_sums IS
    'The entries behind daily_totals: they add up, several of a key until they are folded. Query daily_totals instead.';
COMMENT ON COLUMN paysync.daily_sums.account_id IS 'The account.';
COMMENT ON COLUMN paysync.daily_sums.day IS 'Day of created_at in the account''s time zone; infinity: the provider tells no time.';
COMMENT ON COLUMN paysync.daily_sums.currency IS 'Currency of amount.';
COMMENT ON COLUMN paysync.daily_sums.kind IS 'As in transactions.';
COMMENT ON COLUMN paysync.daily_sums.status IS 'As in transactions.';
COMMENT ON COLUMN paysync.daily_sums.transactions IS 'Transactions added, less those removed.';
COMMENT ON COLUMN paysync.daily_sums.amount IS 'Sum of their known amounts, major units.';
COMMENT ON COLUMN paysync.daily_sums.unknown_amounts IS 'How many of them have no amount.';
COMMENT ON COLUMN paysync.daily_sums.is_folded IS 'Whether it is the sum of entries that were folded.';
COMMENT ON COLUMN paysync.daily_sums.entry_id IS 'Identifies the entry.';

-- What a row adds to the sum of its day: of a successful one what was really paid, where the provider tells it.
CREATE FUNCTION paysync.summed_amount(status text, paid_amount numeric, amount numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN status = 'succeeded' THEN coalesce(paid_amount, amount) ELSE amount END
$$;

COMMENT ON FUNCTION paysync.summed_amount(text, numeric, numeric) IS 'What a row adds to daily_totals.amount.';

CREATE FUNCTION paysync.counted_daily_sums(account text, first_day date, last_day date)
RETURNS TABLE (day date, currency text, kind text, status text, transactions bigint, amount numeric, unknown_amounts bigint)
LANGUAGE sql STABLE AS $$
    WITH zone AS (
        SELECT coalesce((SELECT time_zone FROM paysync.accounts WHERE account_id = account), 'UTC') AS name
    )
    SELECT day, currency, kind, status, count(*), coalesce(sum(amount), 0), count(*) FILTER (WHERE amount IS NULL)
    FROM (
        SELECT (created_at AT TIME ZONE zone.name)::date AS day, currency, kind, status,
               paysync.summed_amount(status, paid_amount, amount) AS amount
        FROM paysync.transactions, zone
        WHERE account_id = account AND is_test IS NOT TRUE
          -- No zone is a whole day from UTC.
          AND created_at >= first_day - interval '1 day' AND created_at < last_day + interval '2 days'
        UNION ALL
        SELECT 'infinity', currency, kind, status, paysync.summed_amount(status, paid_amount, amount)
        FROM paysync.transactions
        WHERE account_id = account AND is_test IS NOT TRUE AND created_at IS NULL AND last_day = 'infinity'
    ) AS rows
    WHERE day BETWEEN first_day AND last_day
    GROUP BY day, currency, kind, status
$$;

COMMENT ON FUNCTION paysync.counted_daily_sums(text, date, date) IS
    'The sums of an account for a span of days, counted from its rows; rows that have no time are of the day infinity.';

CREATE FUNCTION paysync.recount_daily_sums(account text, first_day date, last_day date) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- Entries that are folded meanwhile would be counted twice.
    PERFORM paysync.lock_payments(account);
    -- One statement, one snapshot: rows and their entries are seen together or not at all.
    WITH gone AS (
        DELETE FROM paysync.daily_sums WHERE account_id = account AND day BETWEEN first_day AND last_day
    )
    INSERT INTO paysync.daily_sums (account_id, day, currency, kind, status, transactions, amount, unknown_amounts, is_folded)
    SELECT account, counted.*, true FROM paysync.counted_daily_sums(account, first_day, last_day) AS counted;
END
$$;

COMMENT ON FUNCTION paysync.recount_daily_sums(text, date, date) IS
    'Rebuilds the daily_sums of an account for a span of days, as counted_daily_sums.';

CREATE FUNCTION paysync.register_account(account text, code text, zone text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    old_zone text;
BEGIN
    -- A zone that this server does not know is refused here, not on every page.
    PERFORM now() AT TIME ZONE zone;
    -- An account that was forgotten must not repeat a fencing token: a process may still hold an old one.
    INSERT INTO paysync.accounts (account_id, provider, time_zone, lease_token)
    SELECT account, code, zone, coalesce(max(lease_token), 0) FROM paysync.forgotten_accounts WHERE account_id = account
    ON CONFLICT DO NOTHING;
    INSERT INTO paysync.payment_locks VALUES (account) ON CONFLICT DO NOTHING;
    IF NOT EXISTS (SELECT FROM paysync.accounts WHERE account_id = account AND (provider, time_zone) <> (code, zone)) THEN
        RETURN;
    END IF;
    -- Pages that are being written have read the old zone: this lock waits for them, and later pages wait for it.
    SELECT time_zone INTO old_zone FROM paysync.accounts WHERE account_id = account FOR UPDATE;
    UPDATE paysync.accounts SET provider = code, time_zone = zone WHERE account_id = account;
    IF old_zone <> zone THEN
        PERFORM paysync.recount_daily_sums(account, '-infinity', 'infinity');
    END IF;
END
$$;

COMMENT ON FUNCTION paysync.register_account(text, text, text) IS
    'Adds an account, or updates its provider and time zone; in another time zone its daily_sums are rebuilt.';

CREATE FUNCTION paysync.recount_account(account text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    after text := '';
BEGIN
    WHILE after IS NOT NULL LOOP
        SELECT last_key INTO after FROM paysync.recount_payments(account, after, 1000);
    END LOOP;
    PERFORM paysync.recount_daily_sums(account, '-infinity', 'infinity');
END
$$;

COMMENT ON FUNCTION paysync.recount_account(text) IS
    'Rebuilds payment_key and daily_sums of an account from its rows, in one transaction: for rows that were written by hand. paysync recount does the same in small transactions.';
