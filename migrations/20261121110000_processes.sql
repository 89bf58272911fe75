-- Which processes there are, so that they share the accounts evenly.

CREATE TABLE paysync.processes (
    holder      text PRIMARY KEY,
    alive_until timestamptz NOT NULL
) WITH (fillfactor = 50);

COMMENT ON TABLE paysync.processes IS 'Running daemons; each takes its share of the accounts.';
COMMENT ON COLUMN paysync.processes.holder IS 'Host and process id; the lease_holder of its accounts.';
COMMENT ON COLUMN paysync.processes.alive_until IS 'End of its last sign of life by this database''s clock; a row past it counts no more.';
