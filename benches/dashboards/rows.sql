-- Transactions of two years, straight into the table, for measuring dashboards: five accounts, one of each provider, the
-- first with 40 % of the rows. Written as paysync writes them: newest month first, and a tenth of the rows changed later.
-- psql -v rows=10000000 -f rows.sql

SELECT set_config('bench.rows', :'rows', false);

INSERT INTO paysync.accounts (account_id, provider, time_zone) VALUES
    ('bench-dwh', 'begateway_dwh', 'Europe/Berlin'),
    ('bench-report', 'begateway_report', 'UTC'),
    ('bench-convergegate', 'convergegate', 'Asia/Kolkata'),
    ('bench-ecommpay', 'ecommpay', 'UTC'),
    ('bench-firekassa', 'firekassa', 'Europe/Moscow')
ON CONFLICT DO NOTHING;

CREATE PROCEDURE pg_temp.fill() LANGUAGE plpgsql AS $$
DECLARE
    -- About 1.36 rows to a family: a payment and what follows from it.
    families bigint := current_setting('bench.rows')::bigint * 100 / 136;
    days constant int := 730;
    ends constant timestamptz := date_trunc('hour', now());
    part record;
BEGIN
    FOR part IN
        SELECT account_id, provider, CASE provider WHEN 'begateway_dwh' THEN 0.40 ELSE 0.15 END AS share, chunk
        FROM generate_series(0, days / 10 - 1) AS chunk
        CROSS JOIN paysync.accounts
        WHERE account_id LIKE 'bench-%'
        ORDER BY chunk, account_id
    LOOP
        INSERT INTO paysync.transactions (
            account_id, provider, provider_transaction_id, parent_transaction_id, payment_group_id, merchant_reference,
            payment_key, shop_id, kind, provider_kind, status, provider_status, amount, currency, paid_amount, created_at, updated_at, paid_at,
            settled_at, payment_method, card_brand, card_bin, card_last4, card_issuer_country, customer_id,
            customer_email, customer_ip, error_code, error_message, rrn, arn, auth_code, provider_reference, gateway, description,
            is_test, payload_hash, observed_at
        )
        SELECT part.account_id, part.provider, id, CASE WHEN part.provider IN ('ecommpay', 'firekassa') THEN NULL ELSE parent END,
               CASE part.provider WHEN 'firekassa' THEN NULL WHEN 'ecommpay' THEN '11:' || family
                    WHEN 'begateway_report' THEN family ELSE coalesce(parent, id) END,
               'order-' || family,
               CASE part.provider WHEN 'firekassa' THEN 't:' || id WHEN 'ecommpay' THEN 'g:11:' || family
                    WHEN 'begateway_report' THEN 'g:' || family ELSE 't:' || family || '-1' END,
               (die % 7)::text, kind, kind, status, status, amount,
               (ARRAY['EUR', 'EUR', 'USD', 'GBP', 'JPY'])[1 + die % 5],
               CASE WHEN part.provider = 'firekassa' AND status = 'succeeded' THEN amount END,
               created_at, created_at + interval '20 seconds',
               CASE WHEN status = 'succeeded' THEN created_at + interval '20 seconds' END,
               CASE WHEN status = 'succeeded' AND created_at < ends - interval '2 days' THEN created_at + interval '1 day' END,
               'credit_card', (ARRAY['visa', 'visa', 'master', 'amex'])[1 + die % 4], (400000 + die % 800)::text,
               lpad((die % 10000)::text, 4, '0'), (ARRAY['DE', 'GB', 'US', 'CY', 'IT', 'FR', 'PL', 'JP'])[1 + die % 8],
               'customer_' || die % 500000, 'customer' || die % 500000 || '@shop.example', '192.0.2.' || die % 250,
               CASE WHEN status = 'failed' THEN 'F.0' || 100 + die % 30 END,
               CASE WHEN status = 'failed' THEN 'declined for reason ' || die % 30 END,
               lpad((die % 999999999)::text, 12, '0'), NULL, lpad((die % 999999)::text, 6, '0'), 'ref-' || md5(id),
               (die % 12)::text, 'Order ' || family, CASE WHEN part.provider LIKE 'begateway%' THEN die % 33 = 0 END,
               md5(id)::uuid, now()
        FROM (
            SELECT md5(part.account_id || part.chunk || ':' || n) AS family,
                   abs(hashint8extended(n * 1000 + part.chunk, length(part.account_id)) % 1000000007)::int AS die,
                   ends - (part.chunk * 10 + 10) * interval '1 day'
                       + interval '10 days' * (n / (families * part.share / (days / 10))) AS began
            FROM generate_series(0, (families * part.share / (days / 10))::bigint - 1) AS n
        ) AS families
        CROSS JOIN LATERAL (SELECT die % 100 AS life, round(((die % 50000) + 100) / 100.0, 2) AS price) AS chosen
        CROSS JOIN LATERAL (
            VALUES (1, CASE WHEN life < 65 THEN 'payment' WHEN life < 87 THEN 'authorization' WHEN life < 95 THEN 'payout' ELSE 'verification' END,
                    CASE WHEN life < 14 THEN 'failed' WHEN life < 16 THEN 'canceled'
                         WHEN life < 50 AND part.chunk = 0 AND die % 40 = 0 THEN 'pending' ELSE 'succeeded' END, price, interval '0'),
                   (2, CASE WHEN life BETWEEN 55 AND 64 THEN 'refund' WHEN life BETWEEN 65 AND 82 THEN 'capture' WHEN life = 83 THEN 'void' END,
                    'succeeded', CASE WHEN die % 3 = 0 THEN round(price / 2, 2) ELSE price END, interval '3 hours'),
                   (3, CASE WHEN life BETWEEN 65 AND 68 THEN 'refund' WHEN life = 70 THEN 'chargeback' END,
                    'succeeded', round(price / 2, 2), interval '2 days')
        ) AS steps(step, kind, status, amount, later)
        CROSS JOIN LATERAL (
            SELECT family || '-' || step AS id, CASE WHEN step > 1 THEN family || '-' || step - 1 END AS parent,
                   began + later AS created_at
        ) AS named
        -- FireKassa knows single payments and payouts only.
        WHERE steps.kind IS NOT NULL AND created_at < ends AND (step = 1 OR part.provider <> 'firekassa')
        ORDER BY created_at;
        COMMIT;
    END LOOP;
    -- Later changes: a new version of the row, and its old version in the history.
    FOR part IN SELECT account_id FROM paysync.accounts WHERE account_id LIKE 'bench-%' LOOP
        INSERT INTO paysync.transaction_history
        SELECT version_from, now(), * FROM paysync.transactions
        WHERE account_id = part.account_id AND hashtext(provider_transaction_id) % 10 = 0;
        UPDATE paysync.transactions
        SET settled_at = settled_at + interval '1 hour', version = version + 1, version_from = now(), changed_at = now(),
            payload_hash = md5(payload_hash::text)::uuid
        WHERE account_id = part.account_id AND hashtext(provider_transaction_id) % 10 = 0;
        COMMIT;
        PERFORM paysync.recount_daily_sums(part.account_id, '-infinity', 'infinity');
        COMMIT;
    END LOOP;
END
$$;

CALL pg_temp.fill();
VACUUM (ANALYZE) paysync.transactions;
VACUUM (ANALYZE) paysync.transaction_history;
