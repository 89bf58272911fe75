-- Transactions, their raw payloads, replaced versions, and the quarantine.
-- No bulk table refers to another, and each primary key starts with account_id, so that they can be
-- distributed by it.

CREATE TABLE paysync.transactions (
    account_id              text NOT NULL,
    provider                text NOT NULL,
    provider_transaction_id text NOT NULL,
    parent_transaction_id   text,
    payment_group_id        text,
    merchant_reference      text,
    shop_id                 text,
    kind                    text NOT NULL CHECK (kind IN ('payment', 'authorization', 'capture', 'void', 'refund', 'payout', 'chargeback', 'verification', 'other')),
    provider_kind           text,
    status                  text NOT NULL CHECK (status IN ('succeeded', 'authorized', 'pending', 'failed', 'canceled', 'unknown')),
    provider_status         text,
    amount                  numeric,
    currency                text,
    paid_amount             numeric,
    converted_amount        numeric,
    converted_currency      text,
    fee                     numeric,
    fee_currency            text,
    created_at              timestamptz,
    updated_at              timestamptz,
    paid_at                 timestamptz,
    settled_at              timestamptz,
    payment_method          text,
    card_brand              text,
    card_bin                text,
    card_last4              text,
    card_issuer_country     text,
    customer_id             text,
    customer_email          text,
    customer_ip             text,
    error_code              text,
    error_message           text,
    rrn                     text,
    arn                     text,
    auth_code               text,
    provider_reference      text,
    gateway                 text,
    description             text,
    is_test                 boolean,
    payload_hash            uuid NOT NULL,
    first_seen_at           timestamptz NOT NULL DEFAULT now(),
    observed_at             timestamptz NOT NULL,
    changed_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, provider_transaction_id)
);

-- Reports ask for a span of time of an account, and for all steps of a payment.
CREATE INDEX transactions_created ON paysync.transactions (account_id, created_at);
CREATE INDEX transactions_group ON paysync.transactions (account_id, payment_group_id);

COMMENT ON TABLE paysync.transactions IS 'One row per step of a payment, normalized. Amounts are in major units; times are instants.';
COMMENT ON COLUMN paysync.transactions.account_id IS 'The account it was read through.';
COMMENT ON COLUMN paysync.transactions.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.transactions.provider_transaction_id IS 'The provider''s id of this row, unique within the account.';
COMMENT ON COLUMN paysync.transactions.parent_transaction_id IS 'The row this one follows from, e.g. the payment of a refund.';
COMMENT ON COLUMN paysync.transactions.payment_group_id IS 'What all rows of one payment share.';
COMMENT ON COLUMN paysync.transactions.merchant_reference IS 'The merchant''s own reference.';
COMMENT ON COLUMN paysync.transactions.shop_id IS 'The provider''s shop or project.';
COMMENT ON COLUMN paysync.transactions.kind IS 'What the row does: payment, authorization, capture, void, refund, payout, chargeback, verification, other.';
COMMENT ON COLUMN paysync.transactions.provider_kind IS 'The provider''s word for kind.';
COMMENT ON COLUMN paysync.transactions.status IS 'How this step ended: succeeded, authorized (held by the provider), pending, failed, canceled, unknown.';
COMMENT ON COLUMN paysync.transactions.provider_status IS 'The provider''s word for status.';
COMMENT ON COLUMN paysync.transactions.amount IS 'Amount, major units of currency, exact.';
COMMENT ON COLUMN paysync.transactions.currency IS 'Currency of amount and paid_amount, as the provider writes it.';
COMMENT ON COLUMN paysync.transactions.paid_amount IS 'Amount really paid where the provider tells it apart, major units of currency.';
COMMENT ON COLUMN paysync.transactions.converted_amount IS 'Amount in the other currency of a conversion, major units.';
COMMENT ON COLUMN paysync.transactions.converted_currency IS 'Currency of converted_amount.';
COMMENT ON COLUMN paysync.transactions.fee IS 'The provider''s fee, major units of fee_currency.';
COMMENT ON COLUMN paysync.transactions.fee_currency IS 'Currency of fee.';
COMMENT ON COLUMN paysync.transactions.created_at IS 'When the provider made the row.';
COMMENT ON COLUMN paysync.transactions.updated_at IS 'When the provider last changed it, where the API shows it.';
COMMENT ON COLUMN paysync.transactions.paid_at IS 'When it was paid in the provider''s words; no proof of success.';
COMMENT ON COLUMN paysync.transactions.settled_at IS 'When it was settled.';
COMMENT ON COLUMN paysync.transactions.payment_method IS 'Payment method, the provider''s word.';
COMMENT ON COLUMN paysync.transactions.card_brand IS 'Card brand, the provider''s word.';
COMMENT ON COLUMN paysync.transactions.card_bin IS 'First six to eight digits of the card.';
COMMENT ON COLUMN paysync.transactions.card_last4 IS 'Last four digits of the card.';
COMMENT ON COLUMN paysync.transactions.card_issuer_country IS 'Country of the card''s issuer, ISO 3166-1 alpha-2.';
COMMENT ON COLUMN paysync.transactions.customer_id IS 'The customer''s id.';
COMMENT ON COLUMN paysync.transactions.customer_email IS 'The customer''s e-mail address.';
COMMENT ON COLUMN paysync.transactions.customer_ip IS 'The customer''s network address.';
COMMENT ON COLUMN paysync.transactions.error_code IS 'Why it failed, a code; only on failed and canceled rows.';
COMMENT ON COLUMN paysync.transactions.error_message IS 'Why it failed, in words; only on failed and canceled rows.';
COMMENT ON COLUMN paysync.transactions.rrn IS 'Retrieval reference number.';
COMMENT ON COLUMN paysync.transactions.arn IS 'Acquirer reference number.';
COMMENT ON COLUMN paysync.transactions.auth_code IS 'Authorization code.';
COMMENT ON COLUMN paysync.transactions.provider_reference IS 'Reference of the acquirer or payment method.';
COMMENT ON COLUMN paysync.transactions.gateway IS 'Gateway or terminal that handled it.';
COMMENT ON COLUMN paysync.transactions.description IS 'Free text.';
COMMENT ON COLUMN paysync.transactions.is_test IS 'Whether it moved no real money, where the API tells.';
COMMENT ON COLUMN paysync.transactions.payload_hash IS 'XXH3-128 of the redacted payload: a change detector, not a seal.';
COMMENT ON COLUMN paysync.transactions.first_seen_at IS 'When paysync first stored the row.';
COMMENT ON COLUMN paysync.transactions.observed_at IS 'When the request was sent that brought this version.';
COMMENT ON COLUMN paysync.transactions.changed_at IS 'When paysync stored this version.';

CREATE TABLE paysync.raw_transactions (
    account_id              text NOT NULL,
    provider_transaction_id text NOT NULL,
    payload                 json NOT NULL,
    PRIMARY KEY (account_id, provider_transaction_id)
);

-- json, not jsonb: the text as sent, twice as fast to load, and it keeps what jsonb refuses.
DO $$
BEGIN
    ALTER TABLE paysync.raw_transactions ALTER COLUMN payload SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'this server has no lz4; payloads are compressed with pglz';
END
$$;

COMMENT ON TABLE paysync.raw_transactions IS 'The payload of each transaction''s current version: the text as the provider sent it, redacted.';
COMMENT ON COLUMN paysync.raw_transactions.account_id IS 'The account it was read through.';
COMMENT ON COLUMN paysync.raw_transactions.provider_transaction_id IS 'The provider''s id.';
COMMENT ON COLUMN paysync.raw_transactions.payload IS 'The item as sent, card numbers cut and secrets dropped.';

-- The version's own columns come first: a column added to both tables later lands in the same place.
CREATE TABLE paysync.transaction_history (
    version_id bigint GENERATED BY DEFAULT AS IDENTITY,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    LIKE paysync.transactions INCLUDING COMMENTS,
    PRIMARY KEY (account_id, provider_transaction_id, version_id)
);

COMMENT ON TABLE paysync.transaction_history IS 'Versions of transactions that a newer one replaced.';
COMMENT ON COLUMN paysync.transaction_history.version_id IS 'Number of the version.';
COMMENT ON COLUMN paysync.transaction_history.valid_from IS 'When this version was stored.';
COMMENT ON COLUMN paysync.transaction_history.valid_to IS 'When the next version replaced it.';

-- One statement-level trigger sees exactly the rows that a statement replaced, whichever lane wrote
-- them, in one bulk insert. A new mapping of the same payload (replay) is no new version.
CREATE FUNCTION paysync.keep_replaced_versions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO paysync.transaction_history
    SELECT nextval('paysync.transaction_history_version_id_seq'), replaced.changed_at, written.changed_at, replaced.*
    FROM replaced
    JOIN written USING (account_id, provider_transaction_id)
    WHERE replaced.payload_hash <> written.payload_hash;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION paysync.keep_replaced_versions() IS 'Copies replaced versions of transactions into transaction_history.';

CREATE TRIGGER keep_replaced_versions
AFTER UPDATE ON paysync.transactions
REFERENCING OLD TABLE AS replaced NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION paysync.keep_replaced_versions();

-- The version rule, in one place: the provider's stamp decides, then when the request was sent.
CREATE FUNCTION paysync.is_older(
    updated_at timestamptz, observed_at timestamptz, held_updated_at timestamptz, held_observed_at timestamptz
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN updated_at <> held_updated_at THEN updated_at < held_updated_at
                ELSE observed_at < held_observed_at END
$$;

COMMENT ON FUNCTION paysync.is_older(timestamptz, timestamptz, timestamptz, timestamptz)
    IS 'Whether a version of a transaction is older than the one held: by the provider''s stamp, else by when the request was sent.';

CREATE TABLE paysync.quarantine (
    account_id              text NOT NULL,
    stream                  text NOT NULL,
    payload_hash            uuid NOT NULL,
    provider_transaction_id text,
    reason                  text NOT NULL,
    detail                  text NOT NULL,
    payload                 text NOT NULL,
    window_start            timestamptz NOT NULL,
    window_end              timestamptz NOT NULL,
    times_seen              bigint NOT NULL DEFAULT 1,
    first_seen_at           timestamptz NOT NULL DEFAULT now(),
    last_seen_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, stream, payload_hash)
);

COMMENT ON TABLE paysync.quarantine IS 'Items that could not be normalized or stored; nothing is dropped.';
COMMENT ON COLUMN paysync.quarantine.account_id IS 'The account.';
COMMENT ON COLUMN paysync.quarantine.stream IS 'The stream it was met in.';
COMMENT ON COLUMN paysync.quarantine.payload_hash IS 'XXH3-128 of payload.';
COMMENT ON COLUMN paysync.quarantine.provider_transaction_id IS 'The provider''s id, where it could be read.';
COMMENT ON COLUMN paysync.quarantine.reason IS 'Why, one word, e.g. unknown_currency.';
COMMENT ON COLUMN paysync.quarantine.detail IS 'Why, in words; names the field.';
COMMENT ON COLUMN paysync.quarantine.payload IS 'The item as sent, redacted.';
COMMENT ON COLUMN paysync.quarantine.window_start IS 'Start of the window it was last met in.';
COMMENT ON COLUMN paysync.quarantine.window_end IS 'End of the window it was last met in.';
COMMENT ON COLUMN paysync.quarantine.times_seen IS 'How often it was met.';
COMMENT ON COLUMN paysync.quarantine.first_seen_at IS 'When it was first met.';
COMMENT ON COLUMN paysync.quarantine.last_seen_at IS 'When it was last met.';
