-- How the tables are kept: room for new versions where rows change, and a vacuum that keeps up with large tables.

-- A version that changes no indexed column is written beside the old one, without touching seven indexes, if its page has
-- room. With a tenth of each page left free, 99 of 100 such changes are; without, 29. It costs 4 % of disk.
ALTER TABLE paysync.transactions SET (fillfactor = 90);

-- A fifth of a table, the default, is too late for tables of a hundred million rows.
ALTER TABLE paysync.transactions SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);
ALTER TABLE paysync.raw_transactions SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);
ALTER TABLE paysync.transaction_history SET (
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);

-- Few rows, changed with every page and every lease.
ALTER TABLE paysync.accounts SET (fillfactor = 50);
ALTER TABLE paysync.streams SET (fillfactor = 50);
ALTER TABLE paysync.windows SET (fillfactor = 80);
