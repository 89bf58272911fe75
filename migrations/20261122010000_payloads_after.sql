-- A round of housekeeping may end before it has looked at all payloads of an account: the next goes on where it stopped.

ALTER TABLE paysync.accounts ADD COLUMN payloads_after text;

COMMENT ON COLUMN paysync.accounts.payloads_after IS 'The provider_transaction_id up to which payloads older than payloads_from were let go, while that goes on. Null: it is done, the next time begins a day later.';
