-- Totals by day, kept beside the rows: ten million rows cannot be summed up in a second.
--
-- Every statement that changes transactions appends what it changed in the totals to daily_sums, in its own transaction. So
-- the totals are right at every instant, and writers never wait for each other, as they would for a row that all of them
-- update. Entries of a day are folded into one per key by the housekeeping: each is deleted once and its sum stays.
--
-- Days are those of the account's time zone. If it changes, its totals are made anew.

CREATE TABLE paysync.daily_sums (
    account_id      text NOT NULL,
    day             date,
    currency        text,
    kind            text NOT NULL,
    status          text NOT NULL,
    transactions    bigint NOT NULL,
    amount          numeric NOT NULL,
    unknown_amounts bigint NOT NULL,
    is_folded       boolean NOT NULL DEFAULT false
);

CREATE INDEX daily_sums_day ON paysync.daily_sums (account_id, day);
-- Which days are to be folded.
CREATE INDEX daily_sums_new ON paysync.daily_sums (account_id, day) WHERE NOT is_folded;

COMMENT ON TABLE paysync.daily_sums IS 'What daily_totals is made of: entries that add up, several of a key until they are folded. Ask daily_totals instead.';
COMMENT ON COLUMN paysync.daily_sums.account_id IS 'The account.';
COMMENT ON COLUMN paysync.daily_sums.day IS 'Day of created_at in the account''s time zone.';
COMMENT ON COLUMN paysync.daily_sums.currency IS 'Currency of amount.';
COMMENT ON COLUMN paysync.daily_sums.kind IS 'As in transactions.';
COMMENT ON COLUMN paysync.daily_sums.status IS 'As in transactions.';
COMMENT ON COLUMN paysync.daily_sums.transactions IS 'Transactions that came, less those that went.';
COMMENT ON COLUMN paysync.daily_sums.amount IS 'Sum of their known amounts, major units.';
COMMENT ON COLUMN paysync.daily_sums.unknown_amounts IS 'How many of them have no amount.';
COMMENT ON COLUMN paysync.daily_sums.is_folded IS 'Whether it is the sum of entries that were folded.';

CREATE FUNCTION paysync.count_new_transactions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO paysync.daily_sums (account_id, day, currency, kind, status, transactions, amount, unknown_amounts)
    SELECT account_id, day, currency, kind, status, count(*), coalesce(sum(moved), 0), count(*) FILTER (WHERE moved IS NULL)
    FROM (
        SELECT written.account_id, (written.created_at AT TIME ZONE coalesce(accounts.time_zone, 'UTC'))::date AS day,
               written.currency, written.kind, written.status,
               CASE WHEN written.status = 'succeeded' THEN coalesce(written.paid_amount, written.amount) ELSE written.amount END AS moved
        FROM written
        LEFT JOIN paysync.accounts USING (account_id)
        WHERE written.is_test IS NOT TRUE
    ) AS entries
    GROUP BY account_id, day, currency, kind, status;
    RETURN NULL;
END
$$;

CREATE FUNCTION paysync.count_changed_transactions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO paysync.daily_sums (account_id, day, currency, kind, status, transactions, amount, unknown_amounts)
    SELECT account_id, day, currency, kind, status, sum(sign), coalesce(sum(sign * moved), 0),
           coalesce(sum(sign) FILTER (WHERE moved IS NULL), 0)
    FROM (
        SELECT rows.account_id, (rows.created_at AT TIME ZONE coalesce(accounts.time_zone, 'UTC'))::date AS day,
               rows.currency, rows.kind, rows.status, rows.sign,
               CASE WHEN rows.status = 'succeeded' THEN coalesce(rows.paid_amount, rows.amount) ELSE rows.amount END AS moved
        FROM (
            SELECT 1 AS sign, account_id, created_at, currency, kind, status, amount, paid_amount, is_test FROM written
            UNION ALL
            SELECT -1, account_id, created_at, currency, kind, status, amount, paid_amount, is_test FROM replaced
        ) AS rows
        LEFT JOIN paysync.accounts USING (account_id)
        WHERE rows.is_test IS NOT TRUE
    ) AS entries
    GROUP BY account_id, day, currency, kind, status
    -- Most changes move no total.
    HAVING sum(sign) <> 0 OR sum(sign * moved) <> 0 OR sum(sign) FILTER (WHERE moved IS NULL) <> 0;
    RETURN NULL;
END
$$;

CREATE FUNCTION paysync.count_deleted_transactions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM paysync.daily_sums;
        RETURN NULL;
    END IF;
    INSERT INTO paysync.daily_sums (account_id, day, currency, kind, status, transactions, amount, unknown_amounts)
    SELECT account_id, day, currency, kind, status, -count(*), coalesce(-sum(moved), 0), -count(*) FILTER (WHERE moved IS NULL)
    FROM (
        SELECT replaced.account_id, (replaced.created_at AT TIME ZONE coalesce(accounts.time_zone, 'UTC'))::date AS day,
               replaced.currency, replaced.kind, replaced.status,
               CASE WHEN replaced.status = 'succeeded' THEN coalesce(replaced.paid_amount, replaced.amount) ELSE replaced.amount END AS moved
        FROM replaced
        LEFT JOIN paysync.accounts USING (account_id)
        WHERE replaced.is_test IS NOT TRUE
    ) AS entries
    GROUP BY account_id, day, currency, kind, status;
    RETURN NULL;
END
$$;

CREATE FUNCTION paysync.count_transactions_anew(account text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM paysync.daily_sums WHERE account_id = account;
    INSERT INTO paysync.daily_sums (account_id, day, currency, kind, status, transactions, amount, unknown_amounts, is_folded)
    SELECT account_id, day, currency, kind, status, count(*), coalesce(sum(moved), 0), count(*) FILTER (WHERE moved IS NULL), true
    FROM (
        SELECT held.account_id, (held.created_at AT TIME ZONE accounts.time_zone)::date AS day, held.currency, held.kind, held.status,
               CASE WHEN held.status = 'succeeded' THEN coalesce(held.paid_amount, held.amount) ELSE held.amount END AS moved
        FROM paysync.transactions AS held
        JOIN paysync.accounts USING (account_id)
        WHERE held.account_id = account AND held.is_test IS NOT TRUE
    ) AS entries
    GROUP BY account_id, day, currency, kind, status;
END
$$;

CREATE FUNCTION paysync.check_time_zone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A zone that this server does not know is refused here, not on every page.
    PERFORM now() AT TIME ZONE NEW.time_zone;
    RETURN NEW;
END
$$;

CREATE FUNCTION paysync.count_by_new_time_zone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- What others are writing was counted by the days of the old zone: it is waited for, and counted anew as well.
    LOCK TABLE paysync.transactions IN SHARE MODE;
    PERFORM paysync.count_transactions_anew(NEW.account_id);
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION paysync.count_new_transactions() IS 'Appends what new transactions add to daily_sums.';
COMMENT ON FUNCTION paysync.count_changed_transactions() IS 'Appends what changed transactions change in daily_sums.';
COMMENT ON FUNCTION paysync.count_deleted_transactions() IS 'Appends what deleted transactions take from daily_sums.';
COMMENT ON FUNCTION paysync.count_transactions_anew(text) IS 'Makes the daily_sums of an account anew from its transactions; nobody may be writing them meanwhile.';
COMMENT ON FUNCTION paysync.check_time_zone() IS 'Refuses a time zone of an account that the server does not know.';
COMMENT ON FUNCTION paysync.count_by_new_time_zone() IS 'Makes the daily_sums of an account anew when its time zone changes.';

CREATE TRIGGER count_new_transactions
AFTER INSERT ON paysync.transactions
REFERENCING NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION paysync.count_new_transactions();

CREATE TRIGGER count_changed_transactions
AFTER UPDATE ON paysync.transactions
REFERENCING OLD TABLE AS replaced NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION paysync.count_changed_transactions();

CREATE TRIGGER count_deleted_transactions
AFTER DELETE ON paysync.transactions
REFERENCING OLD TABLE AS replaced
FOR EACH STATEMENT EXECUTE FUNCTION paysync.count_deleted_transactions();

CREATE TRIGGER count_emptied_transactions
AFTER TRUNCATE ON paysync.transactions
FOR EACH STATEMENT EXECUTE FUNCTION paysync.count_deleted_transactions();

CREATE TRIGGER check_time_zone
BEFORE INSERT OR UPDATE OF time_zone ON paysync.accounts
FOR EACH ROW EXECUTE FUNCTION paysync.check_time_zone();

CREATE TRIGGER count_by_new_time_zone
AFTER UPDATE OF time_zone ON paysync.accounts
FOR EACH ROW WHEN (OLD.time_zone IS DISTINCT FROM NEW.time_zone)
EXECUTE FUNCTION paysync.count_by_new_time_zone();

-- What is stored already. The triggers above hold the table's lock until this has been committed.
SELECT paysync.count_transactions_anew(account_id) FROM paysync.accounts;

CREATE VIEW paysync.daily_totals AS
SELECT
    sums.account_id,
    accounts.provider,
    sums.day,
    sums.currency,
    sums.kind,
    sums.status,
    sum(sums.transactions)::bigint AS transactions,
    CASE WHEN sum(sums.unknown_amounts) = 0 THEN sum(sums.amount) END AS amount,
    sum(sums.unknown_amounts)::bigint AS unknown_amounts
FROM paysync.daily_sums AS sums
LEFT JOIN paysync.accounts USING (account_id)
GROUP BY sums.account_id, accounts.provider, sums.day, sums.currency, sums.kind, sums.status
HAVING sum(sums.transactions) <> 0;

COMMENT ON VIEW paysync.daily_totals IS
    'Transactions and their amounts by day, kind and status. Always up to date. A row is one currency: do not add rows of different currencies. Refunds and chargebacks count on the day they were made, with positive amounts.';
COMMENT ON COLUMN paysync.daily_totals.account_id IS 'The account.';
COMMENT ON COLUMN paysync.daily_totals.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.daily_totals.day IS 'Day of created_at in the account''s time zone; null: the provider tells no time.';
COMMENT ON COLUMN paysync.daily_totals.currency IS 'Currency of amount, as the provider writes it.';
COMMENT ON COLUMN paysync.daily_totals.kind IS 'As in transactions.';
COMMENT ON COLUMN paysync.daily_totals.status IS 'As in transactions.';
COMMENT ON COLUMN paysync.daily_totals.transactions IS 'How many.';
COMMENT ON COLUMN paysync.daily_totals.amount IS 'Sum of their amounts, major units of currency; of successful ones what was really paid where the provider tells it. Null if unknown_amounts is not 0.';
COMMENT ON COLUMN paysync.daily_totals.unknown_amounts IS 'How many of them have no amount.';
