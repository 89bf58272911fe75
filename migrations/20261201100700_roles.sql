-- Three roles to grant to people and programs. None can log in; a superuser, or a user that may create roles, makes users
-- members of them, e.g. GRANT paysync_bi TO grafana. A role that is missing and that this user may not create is left out,
-- with a notice: paysync migrate --print-roles prints these statements for an administrator. They can be repeated.
--
-- paysync_writer    the daemon, where another role owns the tables and migrates
-- paysync_bi        questions: views and normalized tables; no payloads, no quarantine, no e-mail or network addresses
-- paysync_operator  reads everything, and may pause, resume and resync; changes no transaction

DO $$
DECLARE
    role text;
    columns text;
    -- The owner of the tables of later versions.
    owner name := (SELECT rolname FROM pg_namespace JOIN pg_roles ON pg_roles.oid = nspowner WHERE nspname = 'paysync');
    may_create boolean := (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user);
BEGIN
    FOREACH role IN ARRAY ARRAY['paysync_writer', 'paysync_bi', 'paysync_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            IF NOT may_create THEN
                RAISE NOTICE 'the role % does not exist, and % may not create it', role, current_user;
                CONTINUE;
            END IF;
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                -- Roles are the cluster's: another of its databases has created it at this moment.
                NULL;
            END;
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA paysync TO %I', role);
    END LOOP;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'paysync_writer') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA paysync TO paysync_writer;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA paysync TO paysync_writer;
        IF pg_has_role(owner, 'MEMBER') THEN
            EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA paysync GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO paysync_writer', owner);
            EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA paysync GRANT USAGE ON SEQUENCES TO paysync_writer', owner);
        END IF;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'paysync_bi') THEN
        -- What a later version adds is granted by its own migration: nothing is shown by mistake.
        GRANT SELECT ON paysync.payments, paysync.daily_totals, paysync.approval_rates, paysync.declines, paysync.settlement_lag,
            paysync.open_transactions, paysync.transaction_timeline, paysync.duplicate_charges, paysync.data_as_of,
            paysync.sync_health, paysync.coverage_gaps, paysync.ledger, paysync.count_doubts,
            paysync.accounts, paysync.streams, paysync.windows, paysync.window_totals, paysync.daily_sums TO paysync_bi;
        FOREACH role IN ARRAY ARRAY['transactions', 'transaction_history'] LOOP
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
            FROM pg_attribute
            WHERE attrelid = format('paysync.%I', role)::regclass AND attnum > 0 AND NOT attisdropped
              AND attname NOT IN ('customer_email', 'customer_ip');
            EXECUTE format('GRANT SELECT (%s) ON paysync.%I TO paysync_bi', columns, role);
        END LOOP;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'paysync_operator') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA paysync TO paysync_operator;
        GRANT INSERT, UPDATE ON paysync.accounts, paysync.payment_locks, paysync.streams, paysync.windows, paysync.rescans
            TO paysync_operator;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA paysync TO paysync_operator;
        IF pg_has_role(owner, 'MEMBER') THEN
            EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA paysync GRANT SELECT ON TABLES TO paysync_operator', owner);
        END IF;
    END IF;
END
$$;
