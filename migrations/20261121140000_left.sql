-- When an account was last given back: whoever takes it next goes on with what is left of its budget
-- of requests, instead of starting with a burst that the last holder may have just had.

ALTER TABLE paysync.accounts ADD COLUMN left_at timestamptz;

COMMENT ON COLUMN paysync.accounts.left_at IS 'When a process last gave the account back, by this database''s clock.';
