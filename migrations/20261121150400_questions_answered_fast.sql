-- The same answers, sooner: an index for spans of time over all accounts, payments without what slowed them down, and no
-- JIT. The view reads its columns by name, so that it touches no personal data.

-- A span of time over all accounts. Rows lie about in the order in which they were made, window by window: a few pages of
-- index find them. The hour is what approval_rates and declines are asked by.
CREATE INDEX transactions_time ON paysync.transactions USING brin (
    created_at timestamptz_minmax_multi_ops,
    (date_bin('1 hour', created_at, 'epoch'::timestamptz)) timestamptz_minmax_multi_ops
) WITH (pages_per_range = 32, autosummarize = on);

-- Existence is asked by scalar subqueries: EXISTS may be planned as a hash of the whole table.
CREATE OR REPLACE VIEW paysync.payments AS
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
        (told.sums).steps,
        (told.sums).captures,
        (told.sums).refunds,
        (told.sums).chargebacks,
        (told.sums).authorizations,
        (told.sums).voids,
        (told.sums).is_pending,
        (told.sums).has_failed,
        (told.sums).is_canceled,
        (told.sums).captured_at,
        (told.sums).last_step_at,
        (told.sums).authorized_amount,
        (told.sums).refunded_amount,
        (told.sums).charged_back_amount,
        CASE
            -- Money was given back that was taken before anything that is stored.
            WHEN (told.sums).captures > 0 OR origin.kind NOT IN ('refund', 'chargeback') THEN (told.sums).captured_amount
        END AS captured_amount,
        -- A loose void undoes what was captured if there was no hold to undo, or if the provider calls it a reversal.
        (told.sums).reversals + CASE
            WHEN (told.sums).captures = 0 THEN 0
            WHEN (told.sums).authorizations = 0 THEN (told.sums).loose_reversals + (told.sums).loose_voids
            ELSE (told.sums).loose_reversals
        END AS reversals,
        (told.sums).reversed_amount + CASE
            WHEN (told.sums).captures = 0 THEN 0
            WHEN (told.sums).authorizations = 0 THEN (told.sums).loosely_reversed + (told.sums).loosely_voided
            ELSE (told.sums).loosely_reversed
        END AS reversed_amount
    FROM paysync.transactions AS origin
    LEFT JOIN paysync.accounts USING (account_id)
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN origin.parent_transaction_id IS NOT NULL
                  OR (
                      SELECT true FROM paysync.transactions AS next
                      WHERE next.account_id = origin.account_id AND next.parent_transaction_id = origin.provider_transaction_id
                      LIMIT 1
                  ) IS NOT NULL
                  OR (origin.payment_group_id <> origin.provider_transaction_id
                      AND (
                          SELECT true FROM paysync.transactions AS mate
                          WHERE mate.account_id = origin.account_id
                            AND mate.payment_group_id = origin.payment_group_id
                            AND mate.parent_transaction_id IS NULL
                            AND mate.provider_transaction_id <> origin.provider_transaction_id
                          LIMIT 1
                      ) IS NOT NULL)
                THEN (
                    WITH RECURSIVE members AS (
                        (
                            SELECT origin.provider_transaction_id AS id, origin.kind, origin.provider_kind, origin.status, origin.currency,
                                   origin.amount, origin.paid_amount, origin.created_at, origin.paid_at, NULL::text AS follows
                            UNION ALL
                            -- Providers that name no parent: what shares the group.
                            SELECT mate.provider_transaction_id, mate.kind, mate.provider_kind, mate.status, mate.currency,
                                   mate.amount, mate.paid_amount, mate.created_at, mate.paid_at, NULL
                            FROM paysync.transactions AS mate
                            WHERE origin.parent_transaction_id IS NULL
                              AND origin.payment_group_id <> origin.provider_transaction_id
                              AND mate.account_id = origin.account_id
                              AND mate.payment_group_id = origin.payment_group_id
                              AND mate.parent_transaction_id IS NULL
                              AND mate.provider_transaction_id <> origin.provider_transaction_id
                            UNION ALL
                            -- Steps of a payment that is not stored.
                            SELECT mate.provider_transaction_id, mate.kind, mate.provider_kind, mate.status, mate.currency,
                                   mate.amount, mate.paid_amount, mate.created_at, mate.paid_at, NULL
                            FROM paysync.transactions AS mate
                            WHERE mate.account_id = origin.account_id
                              AND mate.parent_transaction_id = origin.parent_transaction_id
                              AND mate.provider_transaction_id <> origin.provider_transaction_id
                        )
                        UNION ALL
                        SELECT next.provider_transaction_id, next.kind, next.provider_kind, next.status, next.currency,
                               next.amount, next.paid_amount, next.created_at, next.paid_at, members.kind
                        FROM members
                        JOIN paysync.transactions AS next
                            ON next.account_id = origin.account_id AND next.parent_transaction_id = members.id
                    )
                    SELECT ROW(
                        count(*),
                        count(*) FILTER (WHERE effect = 'authorization'),
                        count(*) FILTER (WHERE effect = 'capture'),
                        count(*) FILTER (WHERE effect = 'refund'),
                        count(*) FILTER (WHERE effect = 'chargeback'),
                        count(*) FILTER (WHERE effect IN ('void', 'reversal', 'loose reversal', 'loose void')),
                        count(*) FILTER (WHERE effect = 'reversal'),
                        count(*) FILTER (WHERE effect = 'loose reversal'),
                        count(*) FILTER (WHERE effect = 'loose void'),
                        CASE WHEN bool_and(moved IS NOT NULL) FILTER (WHERE effect = 'authorization')
                            THEN sum(moved) FILTER (WHERE effect = 'authorization') END,
                        CASE WHEN count(*) FILTER (WHERE effect = 'capture' AND moved IS NULL) = 0
                            THEN coalesce(sum(moved) FILTER (WHERE effect = 'capture'), 0) END,
                        CASE WHEN count(*) FILTER (WHERE effect = 'refund' AND moved IS NULL) = 0
                            THEN coalesce(sum(moved) FILTER (WHERE effect = 'refund'), 0) END,
                        CASE WHEN count(*) FILTER (WHERE effect = 'chargeback' AND moved IS NULL) = 0
                            THEN coalesce(sum(moved) FILTER (WHERE effect = 'chargeback'), 0) END,
                        CASE WHEN count(*) FILTER (WHERE effect = 'reversal' AND moved IS NULL) = 0
                            THEN coalesce(sum(moved) FILTER (WHERE effect = 'reversal'), 0) END,
                        CASE WHEN count(*) FILTER (WHERE effect = 'loose reversal' AND moved IS NULL) = 0
                            THEN coalesce(sum(moved) FILTER (WHERE effect = 'loose reversal'), 0) END,
                        CASE WHEN count(*) FILTER (WHERE effect = 'loose void' AND moved IS NULL) = 0
                            THEN coalesce(sum(moved) FILTER (WHERE effect = 'loose void'), 0) END,
                        min(coalesce(paid_at, created_at)) FILTER (WHERE effect = 'capture'),
                        max(created_at),
                        coalesce(bool_or(is_attempt AND status = 'pending'), false),
                        coalesce(bool_or(is_attempt AND status = 'failed'), false),
                        coalesce(bool_or(is_attempt AND status = 'canceled'), false)
                    )::paysync.payment_sums
                    FROM (
                        SELECT
                            paysync.effect_of(members.kind, members.status, members.provider_kind, members.follows) AS effect,
                            -- Another currency is not converted: then the sum is not known.
                            CASE
                                WHEN members.currency IS DISTINCT FROM origin.currency THEN NULL
                                WHEN members.status = 'succeeded' THEN coalesce(members.paid_amount, members.amount)
                                ELSE members.amount
                            END AS moved,
                            members.kind IN ('payment', 'authorization') AS is_attempt,
                            members.status,
                            members.created_at,
                            members.paid_at
                        FROM members
                        WHERE members.kind IN ('payment', 'authorization', 'capture', 'void', 'refund', 'chargeback')
                    ) AS effects
                )
                -- Most payments are one step, which is told at a tenth of the cost.
                ELSE ROW(
                    1,
                    (own.effect = 'authorization')::int,
                    (own.effect = 'capture')::int,
                    (own.effect = 'refund')::int,
                    (own.effect = 'chargeback')::int,
                    (own.effect IN ('loose reversal', 'loose void'))::int,
                    0,
                    (own.effect = 'loose reversal')::int,
                    (own.effect = 'loose void')::int,
                    CASE WHEN own.effect = 'authorization' THEN own.moved END,
                    CASE WHEN own.effect = 'capture' THEN own.moved ELSE 0 END,
                    CASE WHEN own.effect = 'refund' THEN own.moved ELSE 0 END,
                    CASE WHEN own.effect = 'chargeback' THEN own.moved ELSE 0 END,
                    0,
                    CASE WHEN own.effect = 'loose reversal' THEN own.moved ELSE 0 END,
                    CASE WHEN own.effect = 'loose void' THEN own.moved ELSE 0 END,
                    CASE WHEN own.effect = 'capture' THEN coalesce(origin.paid_at, origin.created_at) END,
                    origin.created_at,
                    own.is_attempt AND origin.status = 'pending',
                    own.is_attempt AND origin.status = 'failed',
                    own.is_attempt AND origin.status = 'canceled'
                )::paysync.payment_sums
            END AS sums
        FROM (
            SELECT
                paysync.effect_of(origin.kind, origin.status, origin.provider_kind, NULL) AS effect,
                CASE
                    WHEN origin.currency IS NULL THEN NULL
                    WHEN origin.status = 'succeeded' THEN coalesce(origin.paid_amount, origin.amount)
                    ELSE origin.amount
                END AS moved,
                origin.kind IN ('payment', 'authorization') AS is_attempt
        ) AS own
        -- Keeps the sums from being made once for each column that shows them.
        OFFSET 0
    ) AS told
    WHERE origin.kind IN ('payment', 'authorization', 'capture', 'void', 'refund', 'chargeback')
      AND origin.is_test IS NOT TRUE
      -- The first step: it follows from none that is stored, and comes first of those that could stand for the payment.
      AND CASE
          WHEN origin.parent_transaction_id IS NOT NULL THEN
              (
                  SELECT true FROM paysync.transactions AS parent
                  WHERE parent.account_id = origin.account_id
                    AND parent.provider_transaction_id = origin.parent_transaction_id
                  LIMIT 1
              ) IS NULL
              AND (
                  SELECT true FROM paysync.transactions AS mate
                  WHERE mate.account_id = origin.account_id
                    AND mate.parent_transaction_id = origin.parent_transaction_id
                    AND mate.kind IN ('payment', 'authorization', 'capture', 'void', 'refund', 'chargeback')
                    AND (mate.kind NOT IN ('payment', 'authorization', 'capture'), coalesce(mate.created_at, 'infinity'), mate.provider_transaction_id)
                      < (origin.kind NOT IN ('payment', 'authorization', 'capture'), coalesce(origin.created_at, 'infinity'), origin.provider_transaction_id)
                  LIMIT 1
              ) IS NULL
          WHEN origin.payment_group_id <> origin.provider_transaction_id THEN
              (
                  SELECT true FROM paysync.transactions AS mate
                  WHERE mate.account_id = origin.account_id
                    AND mate.payment_group_id = origin.payment_group_id
                    AND mate.parent_transaction_id IS NULL
                    AND mate.kind IN ('payment', 'authorization', 'capture', 'void', 'refund', 'chargeback')
                    AND (mate.kind NOT IN ('payment', 'authorization'), mate.kind <> 'capture', coalesce(mate.created_at, 'infinity'), mate.provider_transaction_id)
                      < (origin.kind NOT IN ('payment', 'authorization'), origin.kind <> 'capture', coalesce(origin.created_at, 'infinity'), origin.provider_transaction_id)
                  LIMIT 1
              ) IS NULL
          ELSE true
      END
) AS payment;

-- PostgreSQL takes the large estimates of these views for a reason to compile them (JIT): seconds for what takes
-- milliseconds. Where the database is paysync's own, it does not from the next connection on, unless somebody has decided.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_database
        WHERE datname = current_database() AND pg_get_userbyid(datdba) = current_user
          AND NOT EXISTS (
              SELECT FROM pg_db_role_setting, unnest(setconfig) AS setting
              WHERE setdatabase = pg_database.oid AND setrole = 0 AND setting LIKE 'jit=%'
          )
    ) THEN
        EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
    END IF;
END
$$;
