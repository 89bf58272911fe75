-- Payloads may be kept for a time only ([raw] retention). Which of them were let go is remembered, so that paysync verify
-- can tell a payload that was let go from one that was lost.

ALTER TABLE paysync.accounts ADD COLUMN payloads_from timestamptz;

COMMENT ON COLUMN paysync.accounts.payloads_from IS 'Rows that last changed before this instant may have no payload: retention lets them go. Null: nothing was let go.';
COMMENT ON TABLE paysync.raw_transactions IS
    'The payload of each transaction''s current version: the text as the provider sent it, redacted. A row whose payload was let go (raw.retention) or that was erased (paysync erase) has none.';
