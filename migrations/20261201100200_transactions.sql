-- Transactions, their raw payloads, replaced versions, and the quarantine.
--
-- No bulk table refers to another, none has a trigger, and each primary key starts with account_id: so the tables can be
-- distributed by it, restored and replicated. Ids and references are compared byte by byte (COLLATE "C"): an order of
-- letters belongs to the operating system, and an index built in another order stores a row twice.

CREATE TABLE paysync.transactions (
    account_id              text COLLATE "C" NOT NULL,
    provider                text NOT NULL,
    provider_transaction_id text COLLATE "C" NOT NULL,
    parent_transaction_id   text COLLATE "C",
    payment_group_id        text COLLATE "C",
    payment_key             text COLLATE "C" NOT NULL DEFAULT '',
    merchant_reference      text COLLATE "C",
    shop_id                 text COLLATE "C",
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
    customer_id             text COLLATE "C",
    customer_email          text,
    customer_ip             text,
    error_code              text,
    error_message           text,
    rrn                     text COLLATE "C",
    arn                     text COLLATE "C",
    auth_code               text COLLATE "C",
    provider_reference      text COLLATE "C",
    gateway                 text,
    description             text,
    is_test                 boolean,
    payload_hash            uuid NOT NULL,
    columns_hash            bigint,
    version                 bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    version_from            timestamptz NOT NULL DEFAULT now(),
    first_seen_at           timestamptz NOT NULL DEFAULT now(),
    observed_at             timestamptz NOT NULL,
    changed_at              timestamptz NOT NULL DEFAULT now(),
    erased_at               timestamptz
) WITH (
    -- A version that changes no indexed column is written beside the old one, without touching the indexes, if its page has
    -- room. With a tenth of each page left free, 99 of 100 such changes are; without, 29. It costs 4 % of disk.
    fillfactor = 90,
    -- A fifth of a table, the default, is too late for tables of a hundred million rows.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);

-- The planner takes an account that is missing from the statistics for empty, and then scans the table. Without statistics
-- of this column it expects the same of all accounts.
ALTER TABLE paysync.transactions ALTER COLUMN account_id SET STATISTICS 0;

-- Reports read a span of time of an account.
CREATE INDEX transactions_created ON paysync.transactions (account_id, created_at);
-- All steps of a payment.
CREATE INDEX transactions_payment ON paysync.transactions (account_id, payment_key);
-- The steps that follow from a row; most rows follow from none.
CREATE INDEX transactions_parent ON paysync.transactions (account_id, parent_transaction_id) WHERE parent_transaction_id IS NOT NULL;
-- Few rows are not final, and people and the repoll lane read them again and again.
CREATE INDEX transactions_open ON paysync.transactions (account_id, created_at) WHERE status IN ('pending', 'authorized');
-- A merchant knows its own reference, and nothing else of a payment; a second charge has the same one.
CREATE INDEX transactions_reference ON paysync.transactions (account_id, merchant_reference) WHERE merchant_reference IS NOT NULL;
-- A span of time over all accounts. Rows lie about in the order in which they were made, window by window: a few pages of
-- index find them. approval_rates and declines are filtered by the hour.
CREATE INDEX transactions_time ON paysync.transactions USING brin (
    created_at timestamptz_minmax_multi_ops,
    (date_bin('1 hour', created_at, 'epoch'::timestamptz)) timestamptz_minmax_multi_ops
) WITH (pages_per_range = 32, autosummarize = on);

-- Comments say which field of each API a column is read from. ECP is ECommPay, BGR beGateway's report, DWH beGateway's data
-- warehouse, CG ConvergeGate, FK FireKassa; a provider that is not named does not have the field.
COMMENT ON TABLE paysync.transactions IS
    'One row per step of a payment, normalized. Amounts are in major units; times are instants.';
COMMENT ON COLUMN paysync.transactions.account_id IS 'The account it was read through.';
COMMENT ON COLUMN paysync.transactions.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.transactions.provider_transaction_id IS 'The provider''s id of this row, unique within the account. ECP operation_id, BGR uid, DWH uid, CG id, FK id.';
COMMENT ON COLUMN paysync.transactions.parent_transaction_id IS 'The row this one follows from, e.g. the payment of a refund. BGR parent_uid (undocumented), DWH parent_uid, CG parentPaymentId.';
COMMENT ON COLUMN paysync.transactions.payment_group_id IS 'What rows of one payment share. ECP project_id:payment_id, BGR order_id, DWH parent_uid or else uid, CG parentPaymentId or else id.';
COMMENT ON COLUMN paysync.transactions.payment_key IS 'The payment that the row belongs to: all rows of an account with the same key are one payment. g: and the provider''s group, or t: and the id of the first row. Empty: written by hand, see paysync recount.';
COMMENT ON COLUMN paysync.transactions.merchant_reference IS 'The merchant''s own reference. ECP payment_id, BGR tracking_id, DWH tracking_id, CG referenceId, FK order_id.';
COMMENT ON COLUMN paysync.transactions.shop_id IS 'The provider''s shop or project. ECP project_id, BGR shop.id, DWH shop_id or else shop.id, CG shopName.';
COMMENT ON COLUMN paysync.transactions.kind IS 'What the row does: payment, authorization, capture, void, refund, payout, chargeback, verification, other. Made of provider_kind.';
COMMENT ON COLUMN paysync.transactions.provider_kind IS 'The provider''s word for kind. ECP operation_type, BGR type, DWH type, CG paymentType, FK action.';
COMMENT ON COLUMN paysync.transactions.status IS 'How this step ended: succeeded, authorized (held by the provider), pending, failed, canceled, unknown. A refunded payment stays succeeded: see the view payments. Made of provider_status.';
COMMENT ON COLUMN paysync.transactions.provider_status IS 'The provider''s word for status. ECP operation_status, BGR status, DWH status, CG state, FK status.';
COMMENT ON COLUMN paysync.transactions.amount IS 'Amount, major units of currency, exact. ECP sum_initial.amount, BGR amount, DWH amount (minor units there), CG amount, FK amount.';
COMMENT ON COLUMN paysync.transactions.currency IS 'Currency of amount and paid_amount, as the provider writes it. ECP sum_initial.currency, the others currency.';
COMMENT ON COLUMN paysync.transactions.paid_amount IS 'Amount really paid where the provider tells it apart, major units of currency. FK payment_amount.';
COMMENT ON COLUMN paysync.transactions.converted_amount IS 'Amount in the other currency of a conversion, major units of converted_currency. ECP sum_converted.amount, DWH converted_amount, CG customerAmount.';
COMMENT ON COLUMN paysync.transactions.converted_currency IS 'Currency of converted_amount. ECP sum_converted.currency, DWH converted_currency, CG customerCurrency.';
COMMENT ON COLUMN paysync.transactions.fee IS 'The provider''s fee, major units of fee_currency. BGR transaction_fee (as written, its unit is not documented), CG externalFeeAmount, FK commission.';
COMMENT ON COLUMN paysync.transactions.fee_currency IS 'Currency of fee. BGR currency, CG externalFeeCurrency, FK currency.';
COMMENT ON COLUMN paysync.transactions.created_at IS 'When the provider made the row. ECP operation_created_at, CG created (UTC), the others created_at.';
COMMENT ON COLUMN paysync.transactions.updated_at IS 'When the provider last changed it, where the API shows it. ECP operation_completed_at, BGR manually_corrected_at, DWH updated_at, FK updated_at.';
COMMENT ON COLUMN paysync.transactions.paid_at IS 'When it was paid in the provider''s words; no proof of success. ECP provider_date of successful rows, BGR paid_at, DWH paid_at.';
COMMENT ON COLUMN paysync.transactions.settled_at IS 'When it was settled. ECP shipment_date, BGR settled_at, DWH settled_at.';
COMMENT ON COLUMN paysync.transactions.payment_method IS 'Payment method, the provider''s word. ECP payment_method_name, BGR payment_method_type, DWH method.type, CG paymentMethod, FK method.';
COMMENT ON COLUMN paysync.transactions.card_brand IS 'Card brand, the provider''s word. ECP payment_method_type, BGR credit_card.brand or else product, DWH method.credit_card.brand, CG paymentMethodDetails.cardBrand.';
COMMENT ON COLUMN paysync.transactions.card_bin IS 'First six to eight digits of the card. ECP bin or else account_number, BGR credit_card.bin, DWH bin_8 or else bin, CG customerAccountNumber.';
COMMENT ON COLUMN paysync.transactions.card_last4 IS 'Last four digits of the card. ECP account_number, BGR credit_card.last_4, DWH last_4, CG customerAccountNumber, FK card_number or else account.';
COMMENT ON COLUMN paysync.transactions.card_issuer_country IS 'Country of the card''s issuer, ISO 3166-1 alpha-2. ECP country_by_bin, BGR and DWH issuer_country, CG cardIssuingCountryCode.';
COMMENT ON COLUMN paysync.transactions.customer_id IS 'The customer''s id. ECP customer_id, DWH customer.id, CG customer.referenceId, FK account unless it is a card.';
COMMENT ON COLUMN paysync.transactions.customer_email IS 'The customer''s e-mail address; not for paysync_bi. ECP customer_email, the others customer.email.';
COMMENT ON COLUMN paysync.transactions.customer_ip IS 'The customer''s network address; not for paysync_bi. ECP customer_ip, BGR and DWH customer.ip.';
COMMENT ON COLUMN paysync.transactions.error_code IS 'Why it failed, a code; only on failed and canceled rows. ECP payment_provider_code, BGR payment.bank_code, DWH code, CG errorCode, FK payment_error_code.';
COMMENT ON COLUMN paysync.transactions.error_message IS 'Why it failed, in the provider''s words; only on failed and canceled rows. ECP payment_provider_message, BGR message, DWH message, CG errorMessage, FK payment_error.';
COMMENT ON COLUMN paysync.transactions.rrn IS 'Retrieval reference number. ECP rrn, BGR payment.rrn, DWH provider_raw.rrn.';
COMMENT ON COLUMN paysync.transactions.arn IS 'Acquirer reference number. ECP arn.';
COMMENT ON COLUMN paysync.transactions.auth_code IS 'Authorization code. ECP auth_code, BGR payment.auth_code, DWH provider_raw.auth_code.';
COMMENT ON COLUMN paysync.transactions.provider_reference IS 'Reference of the acquirer or payment method. ECP provider_payment_id, BGR payment.ref_id, DWH provider_raw.ref_id, CG terminalName, FK payment_code.';
COMMENT ON COLUMN paysync.transactions.gateway IS 'Gateway or terminal that handled it. BGR payment.gateway_id, DWH gateway.id, CG terminalName.';
COMMENT ON COLUMN paysync.transactions.description IS 'Free text. ECP payment_description, CG description, FK comment, the others description.';
COMMENT ON COLUMN paysync.transactions.is_test IS 'Whether it moved no real money, where the API tells: BGR test, DWH test. Null elsewhere, where tests are told by project or host.';
COMMENT ON COLUMN paysync.transactions.payload_hash IS 'XXH3-128 of the redacted payload: it detects changes and proves nothing.';
COMMENT ON COLUMN paysync.transactions.columns_hash IS 'XXH3-64 of the columns that are read from the payload and name no person, as paysync wrote them: paysync verify finds rows that were changed by others. Null: written by hand.';
COMMENT ON COLUMN paysync.transactions.version IS 'Number of the version, from 1: counts the changes at the provider. A new reading of the same payload makes none.';
COMMENT ON COLUMN paysync.transactions.version_from IS 'When paysync stored this version.';
COMMENT ON COLUMN paysync.transactions.first_seen_at IS 'When paysync first stored the row.';
COMMENT ON COLUMN paysync.transactions.observed_at IS 'When the request was sent that brought this version.';
COMMENT ON COLUMN paysync.transactions.changed_at IS 'When paysync last wrote the row, whatever for: a version, a new reading, another payment_key, an erasure.';
COMMENT ON COLUMN paysync.transactions.erased_at IS 'When the person was erased from the row (paysync erase): card_bin, card_last4, customer_id, customer_email, customer_ip, description and the payload are gone and do not come back. Null: not erased.';

CREATE TABLE paysync.raw_transactions (
    account_id              text COLLATE "C" NOT NULL,
    provider_transaction_id text COLLATE "C" NOT NULL,
    payload                 json NOT NULL,
    PRIMARY KEY (account_id, provider_transaction_id)
) WITH (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);

ALTER TABLE paysync.raw_transactions ALTER COLUMN account_id SET STATISTICS 0;

-- json, not jsonb: it keeps the text as sent, loads twice as fast, and accepts what jsonb refuses.
DO $$
BEGIN
    ALTER TABLE paysync.raw_transactions ALTER COLUMN payload SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'this server has no lz4; payloads are compressed with pglz';
END
$$;

COMMENT ON TABLE paysync.raw_transactions IS
    'The payload of each transaction''s current version: the text as the provider sent it, redacted. A row whose payload expired (raw.retention) or was erased (paysync erase) has none.';
COMMENT ON COLUMN paysync.raw_transactions.account_id IS 'The account it was read through.';
COMMENT ON COLUMN paysync.raw_transactions.provider_transaction_id IS 'The provider''s id.';
COMMENT ON COLUMN paysync.raw_transactions.payload IS 'The item as sent, card numbers cut and secrets dropped.';

-- Its own columns come first, then those of transactions in their order: a version is copied as it was.
CREATE TABLE paysync.transaction_history (
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    LIKE paysync.transactions INCLUDING COMMENTS,
    PRIMARY KEY (account_id, provider_transaction_id, version)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);

ALTER TABLE paysync.transaction_history ALTER COLUMN account_id SET STATISTICS 0;

-- Versions only ever come at the end: a few pages of index find those that retention.history deletes.
CREATE INDEX transaction_history_valid_to ON paysync.transaction_history USING brin (valid_to);

COMMENT ON TABLE paysync.transaction_history IS 'Versions of transactions that a newer one replaced.';
COMMENT ON COLUMN paysync.transaction_history.valid_from IS 'When this version was stored.';
COMMENT ON COLUMN paysync.transaction_history.valid_to IS 'When the next version replaced it.';

-- The version rule, in one place.
CREATE FUNCTION paysync.is_older(
    updated_at timestamptz, observed_at timestamptz, held_updated_at timestamptz, held_observed_at timestamptz
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN updated_at <> held_updated_at THEN updated_at < held_updated_at
                ELSE observed_at < held_observed_at END
$$;

COMMENT ON FUNCTION paysync.is_older(timestamptz, timestamptz, timestamptz, timestamptz)
    IS 'Whether a version of a transaction is older than the stored one: by the provider''s stamp, else by when the request was sent.';

CREATE TABLE paysync.quarantine (
    account_id              text COLLATE "C" NOT NULL,
    stream                  text COLLATE "C" NOT NULL,
    payload_hash            uuid NOT NULL,
    provider_transaction_id text COLLATE "C",
    reason                  text NOT NULL,
    detail                  text NOT NULL,
    payload                 text NOT NULL,
    window_start            timestamptz NOT NULL,
    window_end              timestamptz NOT NULL,
    times_seen              bigint NOT NULL DEFAULT 1,
    first_seen_at           timestamptz NOT NULL DEFAULT now(),
    last_seen_at            timestamptz NOT NULL DEFAULT now(),
    observed_at             timestamptz NOT NULL,
    PRIMARY KEY (account_id, stream, payload_hash)
);

COMMENT ON TABLE paysync.quarantine IS 'Items that could not be normalized or stored; each is kept.';
COMMENT ON COLUMN paysync.quarantine.account_id IS 'The account.';
COMMENT ON COLUMN paysync.quarantine.stream IS 'The stream it was read in.';
COMMENT ON COLUMN paysync.quarantine.payload_hash IS 'XXH3-128 of payload.';
COMMENT ON COLUMN paysync.quarantine.provider_transaction_id IS 'The provider''s id, where it could be read.';
COMMENT ON COLUMN paysync.quarantine.reason IS 'Why, one word, e.g. unknown_currency.';
COMMENT ON COLUMN paysync.quarantine.detail IS 'Why, in words; names the field.';
COMMENT ON COLUMN paysync.quarantine.payload IS 'The item as sent, redacted.';
COMMENT ON COLUMN paysync.quarantine.window_start IS 'Start of the window it was last read in.';
COMMENT ON COLUMN paysync.quarantine.window_end IS 'End of the window it was last read in.';
COMMENT ON COLUMN paysync.quarantine.times_seen IS 'How often it was read.';
COMMENT ON COLUMN paysync.quarantine.first_seen_at IS 'When it was first read.';
COMMENT ON COLUMN paysync.quarantine.last_seen_at IS 'When it was last read.';
COMMENT ON COLUMN paysync.quarantine.observed_at IS 'When the request was sent that last brought it.';
