-- One person can be erased (paysync erase): the columns that name a person are emptied, the payload is deleted, the sums
-- stay. The row is marked, so that what the provider sends of it later fills none of these columns again.

ALTER TABLE paysync.transactions ADD COLUMN erased_at timestamptz;
-- At the same place: replaced versions are copied as they are.
ALTER TABLE paysync.transaction_history ADD COLUMN erased_at timestamptz;

COMMENT ON COLUMN paysync.transactions.erased_at IS
    'When the person was erased from the row (paysync erase): card_bin, card_last4, customer_id, customer_email, customer_ip, description and the payload are gone and do not come back. Null: not erased.';
COMMENT ON COLUMN paysync.transaction_history.erased_at IS
    'When the person was erased from the row (paysync erase): card_bin, card_last4, customer_id, customer_email, customer_ip, description and the payload are gone and do not come back. Null: not erased.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'paysync_bi') THEN
        GRANT SELECT (erased_at) ON paysync.transactions, paysync.transaction_history TO paysync_bi;
    END IF;
END
$$;
