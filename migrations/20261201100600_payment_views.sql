-- Views for BI. They are a contract: columns are only ever added, at the end; a column that changes its meaning gets another
-- name. Base tables may change. This is version 1 of the contract; tests/it/views.rs has the columns and types of every view.
--
-- Money is never summed over currencies and never converted. Test transactions (is_test) are left out, except in
-- transaction_timeline. What a provider does not tell is null, and so is every sum of which a part is not known.

-- What a step does to the payment's money. A void that names no step is loose: the other steps tell what it undoes.
CREATE FUNCTION paysync.effect_of(kind text, status text, provider_kind text, follows text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN status = 'authorized' AND kind = 'payment' THEN 'authorization'
        WHEN status <> 'succeeded' THEN 'none'
        WHEN kind = 'payment' THEN 'capture'
        WHEN kind <> 'void' THEN kind
        WHEN follows IN ('payment', 'capture') THEN 'reversal'
        WHEN follows IS NOT NULL THEN 'void'
        WHEN lower(provider_kind) = 'reversal' THEN 'loose reversal'
        ELSE 'loose void'
    END
$$;

COMMENT ON FUNCTION paysync.effect_of(text, text, text, text)
    IS 'What a step does to the money of its payment; follows is the kind of the step that it follows from. Within the view payments.';

-- Each row of the span that is asked for computes its payment by one index lookup, and stays if it is the first step.
CREATE VIEW paysync.payments AS
SELECT
    account_id,
    provider,
    provider_transaction_id AS payment_id,
    payment_group_id,
    merchant_reference,
    shop_id,
    CASE
        WHEN chargebacks > 0 THEN 'charged_back'
        WHEN captures > 0 AND refunds + reversals > 0 THEN
            CASE
                WHEN captured_amount - refunded_amount - reversed_amount > 0 THEN 'partially_refunded'
                WHEN refunds = 0 AND captured_amount - reversed_amount <= 0 THEN 'voided'
                WHEN captured_amount - refunded_amount - reversed_amount <= 0 THEN 'refunded'
                ELSE 'unknown'
            END
        WHEN captures > 0 THEN CASE WHEN captured_amount < authorized_amount THEN 'partially_captured' ELSE 'captured' END
        WHEN voids > 0 THEN 'voided'
        WHEN refunds > 0 THEN 'unknown'
        WHEN authorizations > 0 THEN 'authorized'
        WHEN is_pending THEN 'pending'
        WHEN has_failed THEN 'failed'
        WHEN is_canceled THEN 'canceled'
        ELSE 'unknown'
    END AS state,
    CASE WHEN kind IN ('payment', 'authorization') THEN amount END AS amount,
    currency,
    authorized_amount,
    captured_amount,
    reversed_amount,
    refunded_amount,
    charged_back_amount,
    captured_amount - reversed_amount - refunded_amount - charged_back_amount AS net_amount,
    (created_at AT TIME ZONE time_zone)::date AS day,
    created_at,
    captured_at,
    last_step_at,
    steps,
    kind IN ('payment', 'authorization') AS has_origin,
    payment_method,
    card_brand,
    card_bin,
    card_last4,
    card_issuer_country,
    customer_id,
    gateway,
    error_code,
    error_message
FROM (
    SELECT
        -- By name: the view, which runs with its owner's rights, touches no personal data.
        origin.account_id,
        origin.provider,
        origin.provider_transaction_id,
        origin.payment_group_id,
        origin.merchant_reference,
        origin.shop_id,
        origin.kind,
        origin.amount,
        origin.currency,
        origin.created_at,
        origin.payment_method,
        origin.card_brand,
        origin.card_bin,
        origin.card_last4,
        origin.card_issuer_country,
        origin.customer_id,
        origin.gateway,
        origin.error_code,
        origin.error_message,
        coalesce(accounts.time_zone, 'UTC') AS time_zone,
        step.steps,
        step.authorizations,
        step.captures,
        step.refunds,
        step.chargebacks,
        step.voids,
        step.is_pending,
        step.has_failed,
        step.is_canceled,
        step.captured_at,
        step.last_step_at,
        step.authorized_amount,
        step.refunded_amount,
        step.charged_back_amount,
        CASE
            -- Money was given back that was taken before anything that is stored.
            WHEN step.captures > 0 OR origin.kind NOT IN ('refund', 'chargeback') THEN step.captured_amount
        END AS captured_amount,
        -- A loose void undoes what was captured if there was no hold to undo, or if the provider calls it a reversal.
        step.reversals + CASE
            WHEN step.captures = 0 THEN 0
            WHEN step.authorizations = 0 THEN step.loose_reversals + step.loose_voids
            ELSE step.loose_reversals
        END AS reversals,
        step.reversed_amount + CASE
            WHEN step.captures = 0 THEN 0
            WHEN step.authorizations = 0 THEN step.loosely_reversed + step.loosely_voided
            ELSE step.loosely_reversed
        END AS reversed_amount
    FROM paysync.transactions AS origin
    LEFT JOIN paysync.accounts USING (account_id)
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS steps,
            (array_agg(id ORDER BY kind NOT IN ('payment', 'authorization'), kind <> 'capture', created_at, id))[1] AS first_id,
            count(*) FILTER (WHERE effect = 'authorization') AS authorizations,
            count(*) FILTER (WHERE effect = 'capture') AS captures,
            count(*) FILTER (WHERE effect = 'refund') AS refunds,
            count(*) FILTER (WHERE effect = 'chargeback') AS chargebacks,
            count(*) FILTER (WHERE effect IN ('void', 'reversal', 'loose reversal', 'loose void')) AS voids,
            count(*) FILTER (WHERE effect = 'reversal') AS reversals,
            count(*) FILTER (WHERE effect = 'loose reversal') AS loose_reversals,
            count(*) FILTER (WHERE effect = 'loose void') AS loose_voids,
            CASE WHEN bool_and(moved IS NOT NULL) FILTER (WHERE effect = 'authorization')
                THEN sum(moved) FILTER (WHERE effect = 'authorization') END AS authorized_amount,
            CASE WHEN count(*) FILTER (WHERE effect = 'capture' AND moved IS NULL) = 0
                THEN coalesce(sum(moved) FILTER (WHERE effect = 'capture'), 0) END AS captured_amount,
            CASE WHEN count(*) FILTER (WHERE effect = 'refund' AND moved IS NULL) = 0
                THEN coalesce(sum(moved) FILTER (WHERE effect = 'refund'), 0) END AS refunded_amount,
            CASE WHEN count(*) FILTER (WHERE effect = 'chargeback' AND moved IS NULL) = 0
                THEN coalesce(sum(moved) FILTER (WHERE effect = 'chargeback'), 0) END AS charged_back_amount,
            CASE WHEN count(*) FILTER (WHERE effect = 'reversal' AND moved IS NULL) = 0
                THEN coalesce(sum(moved) FILTER (WHERE effect = 'reversal'), 0) END AS reversed_amount,
            CASE WHEN count(*) FILTER (WHERE effect = 'loose reversal' AND moved IS NULL) = 0
                THEN coalesce(sum(moved) FILTER (WHERE effect = 'loose reversal'), 0) END AS loosely_reversed,
            CASE WHEN count(*) FILTER (WHERE effect = 'loose void' AND moved IS NULL) = 0
                THEN coalesce(sum(moved) FILTER (WHERE effect = 'loose void'), 0) END AS loosely_voided,
            min(coalesce(paid_at, created_at)) FILTER (WHERE effect = 'capture') AS captured_at,
            max(created_at) AS last_step_at,
            coalesce(bool_or(is_attempt AND status = 'pending'), false) AS is_pending,
            coalesce(bool_or(is_attempt AND status = 'failed'), false) AS has_failed,
            coalesce(bool_or(is_attempt AND status = 'canceled'), false) AS is_canceled
        FROM (
            SELECT
                step.provider_transaction_id AS id,
                step.kind,
                step.status,
                step.created_at,
                step.paid_at,
                step.kind IN ('payment', 'authorization') AS is_attempt,
                paysync.effect_of(
                    step.kind, step.status, step.provider_kind,
                    CASE WHEN step.kind = 'void' THEN (
                        SELECT parent.kind FROM paysync.transactions AS parent
                        WHERE parent.account_id = step.account_id AND parent.provider_transaction_id = step.parent_transaction_id
                    ) END
                ) AS effect,
                -- Another currency is not converted: then the sum is not known.
                CASE
                    WHEN step.currency IS NOT DISTINCT FROM origin.currency
                        THEN paysync.summed_amount(step.status, step.paid_amount, step.amount)
                END AS moved
            FROM paysync.transactions AS step
            WHERE step.account_id = origin.account_id AND step.payment_key = origin.payment_key
              AND step.kind IN ('payment', 'authorization', 'capture', 'void', 'refund', 'chargeback')
              AND step.is_test IS NOT TRUE
            -- Keeps the effect of a step from being found once for each sum that depends on it,
            OFFSET 0
        ) AS effects
        -- and the sums from being made once for each column that shows them.
        OFFSET 0
    ) AS step
    WHERE origin.kind IN ('payment', 'authorization', 'capture', 'void', 'refund', 'chargeback')
      AND origin.is_test IS NOT TRUE
      AND step.first_id = origin.provider_transaction_id
) AS payment;

COMMENT ON VIEW paysync.payments IS
    'One row per payment, with what became of it: the rows of one payment_key in transactions. Filter by account_id and created_at.';
COMMENT ON COLUMN paysync.payments.account_id IS 'The account.';
COMMENT ON COLUMN paysync.payments.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.payments.payment_id IS 'The provider''s id of the payment''s first step; provider_transaction_id in transactions.';
COMMENT ON COLUMN paysync.payments.payment_group_id IS 'What the provider says all steps share; null where it says nothing.';
COMMENT ON COLUMN paysync.payments.merchant_reference IS 'The merchant''s own reference.';
COMMENT ON COLUMN paysync.payments.shop_id IS 'The provider''s shop or project.';
COMMENT ON COLUMN paysync.payments.state IS 'State of the payment: pending, failed, canceled, authorized (held, not captured), captured, partially_captured (less than was authorized), voided (the hold was released, or all that was captured was taken back), partially_refunded, refunded, charged_back (at least one chargeback), unknown.';
COMMENT ON COLUMN paysync.payments.amount IS 'Amount of the first step, major units of currency; null if has_origin is false.';
COMMENT ON COLUMN paysync.payments.currency IS 'Currency of all amounts of the row.';
COMMENT ON COLUMN paysync.payments.authorized_amount IS 'Sum of successful authorizations, major units; null if there is none of its own. ConvergeGate: what is held now.';
COMMENT ON COLUMN paysync.payments.captured_amount IS 'Sum of successful payments and captures, what was really paid where the provider tells it; major units. 0: no money was taken.';
COMMENT ON COLUMN paysync.payments.reversed_amount IS 'Captured money that a void or reversal took back, major units.';
COMMENT ON COLUMN paysync.payments.refunded_amount IS 'Sum of successful refunds, major units.';
COMMENT ON COLUMN paysync.payments.charged_back_amount IS 'Sum of successful chargebacks, major units.';
COMMENT ON COLUMN paysync.payments.net_amount IS 'captured_amount less reversed_amount, refunded_amount and charged_back_amount, major units: what is left. Null if one of them is not known, e.g. because a step is in another currency.';
COMMENT ON COLUMN paysync.payments.day IS 'Day of created_at in the account''s time zone. Filter by created_at, which is faster.';
COMMENT ON COLUMN paysync.payments.created_at IS 'When its first step was made at the provider.';
COMMENT ON COLUMN paysync.payments.captured_at IS 'When money was first taken: paid_at of the first successful payment or capture, else its created_at.';
COMMENT ON COLUMN paysync.payments.last_step_at IS 'When its latest step was made at the provider.';
COMMENT ON COLUMN paysync.payments.steps IS 'Transactions that it consists of.';
COMMENT ON COLUMN paysync.payments.has_origin IS 'Whether its first step is stored. If not, only later steps are: the payment was made before the account''s start_from, or the provider does not tell what they follow from.';
COMMENT ON COLUMN paysync.payments.payment_method IS 'Payment method, the provider''s word.';
COMMENT ON COLUMN paysync.payments.card_brand IS 'Card brand, the provider''s word.';
COMMENT ON COLUMN paysync.payments.card_bin IS 'First six to eight digits of the card.';
COMMENT ON COLUMN paysync.payments.card_last4 IS 'Last four digits of the card.';
COMMENT ON COLUMN paysync.payments.card_issuer_country IS 'Country of the card''s issuer, ISO 3166-1 alpha-2.';
COMMENT ON COLUMN paysync.payments.customer_id IS 'The customer''s id.';
COMMENT ON COLUMN paysync.payments.gateway IS 'Gateway or terminal that handled the first step.';
COMMENT ON COLUMN paysync.payments.error_code IS 'Why the first step failed, a code.';
COMMENT ON COLUMN paysync.payments.error_message IS 'Why the first step failed, in the provider''s words.';

CREATE VIEW paysync.approval_rates AS
SELECT
    account_id,
    provider,
    date_bin('1 hour', created_at, 'epoch'::timestamptz) AS hour,
    card_brand,
    card_issuer_country,
    card_bin,
    count(*) AS attempts,
    count(*) FILTER (WHERE status IN ('succeeded', 'authorized', 'failed')) AS decided,
    count(*) FILTER (WHERE status IN ('succeeded', 'authorized')) AS approved,
    count(*) FILTER (WHERE status = 'failed') AS declined,
    count(*) FILTER (WHERE status = 'canceled') AS canceled,
    count(*) FILTER (WHERE status IN ('pending', 'unknown')) AS undecided,
    round(
        count(*) FILTER (WHERE status IN ('succeeded', 'authorized'))::numeric
            / nullif(count(*) FILTER (WHERE status IN ('succeeded', 'authorized', 'failed')), 0),
        4
    ) AS approval_rate
FROM paysync.transactions
WHERE kind IN ('payment', 'authorization') AND is_test IS NOT TRUE
GROUP BY account_id, provider, date_bin('1 hour', created_at, 'epoch'::timestamptz), card_brand, card_issuer_country, card_bin;

COMMENT ON VIEW paysync.approval_rates IS
    'Attempts to pay (payments and authorizations) and how many were approved, by hour, card brand, issuer country and BIN. Sum approved and decided before you divide. Filter by hour.';
COMMENT ON COLUMN paysync.approval_rates.account_id IS 'The account.';
COMMENT ON COLUMN paysync.approval_rates.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.approval_rates.hour IS 'The UTC hour of created_at, its first instant.';
COMMENT ON COLUMN paysync.approval_rates.card_brand IS 'Card brand, the provider''s word; null: not told, or no card.';
COMMENT ON COLUMN paysync.approval_rates.card_issuer_country IS 'Country of the card''s issuer, ISO 3166-1 alpha-2; null: not told, or no card.';
COMMENT ON COLUMN paysync.approval_rates.card_bin IS 'First six to eight digits of the card; null: not told, or no card.';
COMMENT ON COLUMN paysync.approval_rates.attempts IS 'Attempts = decided + canceled + undecided.';
COMMENT ON COLUMN paysync.approval_rates.decided IS 'Attempts that were approved or declined.';
COMMENT ON COLUMN paysync.approval_rates.approved IS 'Attempts that succeeded, or that the provider holds as authorized.';
COMMENT ON COLUMN paysync.approval_rates.declined IS 'Attempts that failed.';
COMMENT ON COLUMN paysync.approval_rates.canceled IS 'Attempts that the customer gave up or that expired; nobody declined them.';
COMMENT ON COLUMN paysync.approval_rates.undecided IS 'Attempts that are pending, or whose status is not known.';
COMMENT ON COLUMN paysync.approval_rates.approval_rate IS 'approved / decided, 0 to 1, four digits; null if nothing was decided.';

CREATE VIEW paysync.declines AS
SELECT
    account_id,
    provider,
    date_bin('1 hour', created_at, 'epoch'::timestamptz) AS hour,
    kind,
    status,
    provider_status,
    error_code,
    error_message,
    payment_method,
    card_brand,
    currency,
    count(*) AS transactions,
    CASE WHEN count(*) = count(amount) THEN sum(amount) END AS amount
FROM paysync.transactions
WHERE status IN ('failed', 'canceled') AND is_test IS NOT TRUE
GROUP BY account_id, provider, date_bin('1 hour', created_at, 'epoch'::timestamptz), kind, status, provider_status, error_code,
    error_message, payment_method, card_brand, currency;

COMMENT ON VIEW paysync.declines IS
    'Transactions that failed or were canceled, by hour, in the provider''s words. Filter by hour.';
COMMENT ON COLUMN paysync.declines.account_id IS 'The account.';
COMMENT ON COLUMN paysync.declines.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.declines.hour IS 'The UTC hour of created_at, its first instant.';
COMMENT ON COLUMN paysync.declines.kind IS 'As in transactions.';
COMMENT ON COLUMN paysync.declines.status IS 'failed or canceled.';
COMMENT ON COLUMN paysync.declines.provider_status IS 'The provider''s word for status.';
COMMENT ON COLUMN paysync.declines.error_code IS 'The provider''s code for the reason.';
COMMENT ON COLUMN paysync.declines.error_message IS 'The reason in the provider''s words.';
COMMENT ON COLUMN paysync.declines.payment_method IS 'Payment method, the provider''s word.';
COMMENT ON COLUMN paysync.declines.card_brand IS 'Card brand, the provider''s word.';
COMMENT ON COLUMN paysync.declines.currency IS 'Currency of amount.';
COMMENT ON COLUMN paysync.declines.transactions IS 'How many.';
COMMENT ON COLUMN paysync.declines.amount IS 'Sum of their amounts, major units; null if one is not known.';

CREATE VIEW paysync.settlement_lag AS
SELECT
    account_id,
    provider,
    provider_transaction_id,
    kind,
    coalesce(paid_amount, amount) AS amount,
    currency,
    created_at,
    paid_at,
    settled_at,
    settled_at IS NOT NULL AS is_settled,
    round((extract(epoch FROM coalesce(settled_at, now()) - coalesce(paid_at, created_at)) / 3600)::numeric, 2) AS lag_hours
FROM paysync.transactions
-- The others never tell when a transaction was settled.
WHERE provider NOT IN ('convergegate', 'firekassa')
  AND kind IN ('payment', 'capture', 'refund', 'chargeback') AND status = 'succeeded' AND is_test IS NOT TRUE;

COMMENT ON VIEW paysync.settlement_lag IS
    'Successful payments, captures, refunds and chargebacks, and how long they took to be settled, one row each. Only of providers that tell it: beGateway and ECommPay. Filter by account_id and created_at.';
COMMENT ON COLUMN paysync.settlement_lag.account_id IS 'The account.';
COMMENT ON COLUMN paysync.settlement_lag.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.settlement_lag.provider_transaction_id IS 'The provider''s id.';
COMMENT ON COLUMN paysync.settlement_lag.kind IS 'As in transactions.';
COMMENT ON COLUMN paysync.settlement_lag.amount IS 'Amount, what was really paid where the provider tells it; major units of currency.';
COMMENT ON COLUMN paysync.settlement_lag.currency IS 'Currency of amount.';
COMMENT ON COLUMN paysync.settlement_lag.created_at IS 'When the provider made it.';
COMMENT ON COLUMN paysync.settlement_lag.paid_at IS 'When it was paid, in the provider''s words.';
COMMENT ON COLUMN paysync.settlement_lag.settled_at IS 'When it was settled; null: not yet.';
COMMENT ON COLUMN paysync.settlement_lag.is_settled IS 'Whether it was settled.';
COMMENT ON COLUMN paysync.settlement_lag.lag_hours IS 'Hours from paid_at (else created_at) to settled_at, or to now if it is not settled.';

CREATE VIEW paysync.open_transactions AS
SELECT
    account_id,
    provider,
    provider_transaction_id,
    payment_group_id,
    merchant_reference,
    kind,
    status,
    provider_status,
    amount,
    currency,
    payment_method,
    created_at,
    round((extract(epoch FROM now() - created_at) / 3600)::numeric, 2) AS age_hours,
    CASE
        WHEN created_at >= now() - interval '1 hour' THEN '1: under an hour'
        WHEN created_at >= now() - interval '1 day' THEN '2: under a day'
        WHEN created_at >= now() - interval '7 days' THEN '3: under a week'
        WHEN created_at >= now() - interval '30 days' THEN '4: under 30 days'
        WHEN created_at IS NOT NULL THEN '5: 30 days and more'
    END AS age,
    version_from AS last_change_at
FROM paysync.transactions
WHERE status IN ('pending', 'authorized') AND is_test IS NOT TRUE;

COMMENT ON VIEW paysync.open_transactions IS 'Transactions that are not final: pending, or authorized and held by the provider.';
COMMENT ON COLUMN paysync.open_transactions.account_id IS 'The account.';
COMMENT ON COLUMN paysync.open_transactions.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.open_transactions.provider_transaction_id IS 'The provider''s id.';
COMMENT ON COLUMN paysync.open_transactions.payment_group_id IS 'What all rows of one payment share.';
COMMENT ON COLUMN paysync.open_transactions.merchant_reference IS 'The merchant''s own reference.';
COMMENT ON COLUMN paysync.open_transactions.kind IS 'As in transactions.';
COMMENT ON COLUMN paysync.open_transactions.status IS 'pending or authorized.';
COMMENT ON COLUMN paysync.open_transactions.provider_status IS 'The provider''s word for status.';
COMMENT ON COLUMN paysync.open_transactions.amount IS 'Amount, major units of currency.';
COMMENT ON COLUMN paysync.open_transactions.currency IS 'Currency of amount.';
COMMENT ON COLUMN paysync.open_transactions.payment_method IS 'Payment method, the provider''s word.';
COMMENT ON COLUMN paysync.open_transactions.created_at IS 'When the provider made it.';
COMMENT ON COLUMN paysync.open_transactions.age_hours IS 'Hours since created_at.';
COMMENT ON COLUMN paysync.open_transactions.age IS 'The same as one of five words, which sort by age.';
COMMENT ON COLUMN paysync.open_transactions.last_change_at IS 'When paysync stored its current version.';

CREATE VIEW paysync.transaction_timeline AS
SELECT
    account_id,
    provider,
    provider_transaction_id,
    kind,
    status,
    provider_status,
    amount,
    currency,
    provider_updated_at,
    stored_from AS status_from,
    lead(stored_from) OVER (PARTITION BY account_id, provider_transaction_id ORDER BY place) AS status_to,
    is_test
FROM (
    SELECT
        *,
        lag(concat_ws(E'\t', status, provider_status)) OVER (PARTITION BY account_id, provider_transaction_id ORDER BY place)
            IS DISTINCT FROM concat_ws(E'\t', status, provider_status) AS is_news
    FROM (
        SELECT account_id, provider, provider_transaction_id, kind, status, provider_status, amount, currency,
               updated_at AS provider_updated_at, valid_from AS stored_from, is_test, version AS place
        FROM paysync.transaction_history
        UNION ALL
        SELECT account_id, provider, provider_transaction_id, kind, status, provider_status, amount, currency,
               updated_at, version_from, is_test, version
        FROM paysync.transactions
    ) AS versions
) AS changes
WHERE is_news;

COMMENT ON VIEW paysync.transaction_timeline IS
    'Every status a transaction had, and from when to when, as paysync saw it: one row per status in a row. Test transactions are in it. Filter by account_id and provider_transaction_id.';
COMMENT ON COLUMN paysync.transaction_timeline.account_id IS 'The account.';
COMMENT ON COLUMN paysync.transaction_timeline.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.transaction_timeline.provider_transaction_id IS 'The provider''s id.';
COMMENT ON COLUMN paysync.transaction_timeline.kind IS 'As in transactions, at that time.';
COMMENT ON COLUMN paysync.transaction_timeline.status IS 'The status it had.';
COMMENT ON COLUMN paysync.transaction_timeline.provider_status IS 'The provider''s word for it.';
COMMENT ON COLUMN paysync.transaction_timeline.amount IS 'Amount when it got the status, major units of currency.';
COMMENT ON COLUMN paysync.transaction_timeline.currency IS 'Currency of amount.';
COMMENT ON COLUMN paysync.transaction_timeline.provider_updated_at IS 'When the provider says it last changed it, as of status_from; null where the API does not show it.';
COMMENT ON COLUMN paysync.transaction_timeline.status_from IS 'When paysync stored the first version with this status.';
COMMENT ON COLUMN paysync.transaction_timeline.status_to IS 'When paysync stored the next status; null: it still has it.';
COMMENT ON COLUMN paysync.transaction_timeline.is_test IS 'Whether it moved no real money, where the API tells.';

CREATE VIEW paysync.duplicate_charges AS
SELECT
    charge.account_id,
    charge.provider,
    charge.provider_transaction_id,
    earlier.provider_transaction_id AS duplicate_of,
    charge.merchant_reference,
    charge.amount,
    charge.currency,
    charge.created_at,
    earlier.created_at AS duplicate_of_created_at,
    round(extract(epoch FROM charge.created_at - earlier.created_at)::numeric, 0)::bigint AS seconds_apart,
    charge.card_bin,
    charge.card_last4,
    charge.customer_id,
    -- A subquery each: they are looked up for what is found, whatever is found.
    (
        SELECT payments.state FROM paysync.payments
        WHERE payments.account_id = charge.account_id AND payments.payment_id = charge.provider_transaction_id
    ) AS state,
    (
        SELECT payments.state FROM paysync.payments
        WHERE payments.account_id = charge.account_id AND payments.payment_id = earlier.provider_transaction_id
    ) AS duplicate_of_state
FROM paysync.transactions AS charge
CROSS JOIN LATERAL (
    SELECT other.provider_transaction_id, other.created_at
    FROM paysync.transactions AS other
    WHERE other.account_id = charge.account_id
      AND other.merchant_reference = charge.merchant_reference
      AND other.kind IN ('payment', 'authorization') AND other.status IN ('succeeded', 'authorized') AND other.is_test IS NOT TRUE
      AND other.currency = charge.currency AND other.amount = charge.amount
      AND (other.created_at, other.provider_transaction_id) < (charge.created_at, charge.provider_transaction_id)
      AND other.created_at >= charge.created_at - interval '1 day'
    ORDER BY other.created_at DESC, other.provider_transaction_id DESC
    LIMIT 1
) AS earlier
WHERE charge.kind IN ('payment', 'authorization') AND charge.status IN ('succeeded', 'authorized') AND charge.is_test IS NOT TRUE;

COMMENT ON VIEW paysync.duplicate_charges IS
    'Payments that were approved although the same account had approved another with the same merchant_reference, amount and currency in the 24 hours before. Candidates, not verdicts: see both states. Filter by account_id and created_at.';
COMMENT ON COLUMN paysync.duplicate_charges.account_id IS 'The account.';
COMMENT ON COLUMN paysync.duplicate_charges.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.duplicate_charges.provider_transaction_id IS 'The provider''s id of the later one.';
COMMENT ON COLUMN paysync.duplicate_charges.duplicate_of IS 'The provider''s id of the last one before it.';
COMMENT ON COLUMN paysync.duplicate_charges.merchant_reference IS 'The merchant''s own reference, of both.';
COMMENT ON COLUMN paysync.duplicate_charges.amount IS 'Amount of both, major units of currency.';
COMMENT ON COLUMN paysync.duplicate_charges.currency IS 'Currency of both.';
COMMENT ON COLUMN paysync.duplicate_charges.created_at IS 'When the provider made the later one.';
COMMENT ON COLUMN paysync.duplicate_charges.duplicate_of_created_at IS 'When the provider made the one before.';
COMMENT ON COLUMN paysync.duplicate_charges.seconds_apart IS 'Seconds between the two.';
COMMENT ON COLUMN paysync.duplicate_charges.card_bin IS 'First six to eight digits of the later one''s card.';
COMMENT ON COLUMN paysync.duplicate_charges.card_last4 IS 'Last four digits of the later one''s card.';
COMMENT ON COLUMN paysync.duplicate_charges.customer_id IS 'The later one''s customer.';
COMMENT ON COLUMN paysync.duplicate_charges.state IS 'State of the later one, as in payments; null: it is a further attempt of the same payment.';
COMMENT ON COLUMN paysync.duplicate_charges.duplicate_of_state IS 'State of the one before, as in payments.';

CREATE VIEW paysync.daily_totals AS
SELECT
    sums.account_id,
    accounts.provider,
    sums.day,
    sums.currency,
    sums.kind,
    sums.status,
    sum(sums.transactions)::bigint AS transactions,
    CASE WHEN sum(sums.unknown_amounts) = 0 THEN sum(sums.amount) END AS amount,
    sum(sums.unknown_amounts)::bigint AS unknown_amounts
FROM (
    -- Two parts, so that a span of days is found by the primary key.
    SELECT account_id, day, currency, kind, status, transactions, amount, unknown_amounts
    FROM paysync.daily_sums
    WHERE day <> 'infinity'
    UNION ALL
    SELECT account_id, NULL, currency, kind, status, transactions, amount, unknown_amounts
    FROM paysync.daily_sums
    WHERE day = 'infinity'
) AS sums
LEFT JOIN paysync.accounts USING (account_id)
GROUP BY sums.account_id, accounts.provider, sums.day, sums.currency, sums.kind, sums.status
HAVING sum(sums.transactions) <> 0;

COMMENT ON VIEW paysync.daily_totals IS
    'Transactions and their amounts by day, kind and status. Always up to date. A row is one currency: do not add rows of different currencies. Refunds and chargebacks count on the day they were made, with positive amounts.';
COMMENT ON COLUMN paysync.daily_totals.account_id IS 'The account.';
COMMENT ON COLUMN paysync.daily_totals.provider IS 'Code of the provider''s API.';
COMMENT ON COLUMN paysync.daily_totals.day IS 'Day of created_at in the account''s time zone; null: the provider tells no time.';
COMMENT ON COLUMN paysync.daily_totals.currency IS 'Currency of amount, as the provider writes it.';
COMMENT ON COLUMN paysync.daily_totals.kind IS 'As in transactions.';
COMMENT ON COLUMN paysync.daily_totals.status IS 'As in transactions.';
COMMENT ON COLUMN paysync.daily_totals.transactions IS 'How many.';
COMMENT ON COLUMN paysync.daily_totals.amount IS 'Sum of their amounts, major units of currency; of successful ones what was really paid where the provider tells it. Null if unknown_amounts is not 0.';
COMMENT ON COLUMN paysync.daily_totals.unknown_amounts IS 'How many of them have no amount.';
