-- When the request was sent that brought a quarantined item: what paysync replay needs to tell it from newer versions
-- of its row. Of items from before, the instant they were first met is the nearest that is known.

ALTER TABLE paysync.quarantine ADD COLUMN observed_at timestamptz;
UPDATE paysync.quarantine SET observed_at = first_seen_at;
ALTER TABLE paysync.quarantine ALTER COLUMN observed_at SET NOT NULL;

COMMENT ON COLUMN paysync.quarantine.observed_at IS 'When the request was sent that last brought it.';
