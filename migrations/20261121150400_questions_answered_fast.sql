-- Questions answered sooner: an index for spans of time over all accounts, and no JIT.

-- A span of time over all accounts. Rows lie about in the order in which they were made, window by window: a few pages of
-- index find them. The hour is what approval_rates and declines are asked by.
CREATE INDEX transactions_time ON paysync.transactions USING brin (
    created_at timestamptz_minmax_multi_ops,
    (date_bin('1 hour', created_at, 'epoch'::timestamptz)) timestamptz_minmax_multi_ops
) WITH (pages_per_range = 32, autosummarize = on);

-- PostgreSQL takes the large estimates of these views for a reason to compile them (JIT): seconds for what takes
-- milliseconds. Where the database is paysync's own, it does not from the next connection on, unless somebody has decided.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_database
        WHERE datname = current_database() AND pg_get_userbyid(datdba) = current_user
          AND NOT EXISTS (
              SELECT FROM pg_db_role_setting, unnest(setconfig) AS setting
              WHERE setdatabase = pg_database.oid AND setrole = 0 AND setting LIKE 'jit=%'
          )
    ) THEN
        EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
    END IF;
END
$$;
