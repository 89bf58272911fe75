-- PostgreSQL takes the large estimates of these views for a reason to compile them (JIT): seconds for what takes
-- milliseconds. Where the database is paysync's own, JIT is off from the next connection on, unless it was set before.
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
