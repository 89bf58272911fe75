-- paysync replay reads stored payloads again and corrects rows that it used to read otherwise. Reports have shown the
-- row as it was, so it is kept like any version that was replaced: whatever gives a row another changed_at makes one.

CREATE OR REPLACE FUNCTION paysync.keep_replaced_versions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO paysync.transaction_history
    SELECT nextval('paysync.transaction_history_version_id_seq'), replaced.changed_at, written.changed_at, replaced.*
    FROM replaced
    JOIN written USING (account_id, provider_transaction_id)
    WHERE (replaced.payload_hash, replaced.changed_at) <> (written.payload_hash, written.changed_at);
    RETURN NULL;
END
$$;

COMMENT ON TABLE paysync.transaction_history IS
    'Versions of transactions that a newer one replaced. If the next version has the same payload_hash, the provider changed nothing: paysync replay corrected how the payload was read.';
COMMENT ON COLUMN paysync.transactions.changed_at IS 'When paysync stored this version, or last corrected it.';
