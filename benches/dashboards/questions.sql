-- Questions as dashboards ask them, each with a usual filter; rows.sql makes the rows.
-- psql -f questions.sql prints the time of each.
\set QUIET on
\pset format unaligned
\pset tuples_only on
\timing on
\echo '# payments: states and net amounts of a day, all accounts'
SELECT state, currency, count(*), sum(net_amount) FROM paysync.payments WHERE created_at >= now() - interval '2 days' AND created_at < now() - interval '1 day' GROUP BY 1, 2 \g /dev/null
\echo '# payments: net revenue by day of a week, one account'
SELECT day, currency, sum(net_amount) FROM paysync.payments WHERE account_id = 'bench-report' AND created_at >= now() - interval '7 days' GROUP BY 1, 2 \g /dev/null
\echo '# payments: net revenue by day of 30 days, one account'
SELECT day, currency, sum(net_amount) FROM paysync.payments WHERE account_id = 'bench-report' AND created_at >= now() - interval '30 days' GROUP BY 1, 2 \g /dev/null
\echo '# payments: one order'
SELECT * FROM paysync.payments WHERE account_id = 'bench-dwh' AND merchant_reference = (SELECT max(merchant_reference) FROM paysync.transactions WHERE account_id = 'bench-dwh') \g /dev/null
\echo '# daily_totals: two years by month, all accounts'
SELECT date_trunc('month', day), currency, kind, sum(amount) FROM paysync.daily_totals WHERE status = 'succeeded' GROUP BY 1, 2, 3 \g /dev/null
\echo '# daily_totals: 30 days, all accounts'
SELECT day, currency, kind, status, sum(amount) FROM paysync.daily_totals WHERE day >= current_date - 30 GROUP BY 1, 2, 3, 4 \g /dev/null
\echo '# approval_rates: by issuer country, 7 days, all accounts'
SELECT card_issuer_country, sum(approved) / sum(decided) FROM paysync.approval_rates WHERE hour >= now() - interval '7 days' GROUP BY 1 \g /dev/null
\echo '# approval_rates: by issuer country, 30 days, one account'
SELECT card_issuer_country, sum(approved) / sum(decided) FROM paysync.approval_rates WHERE account_id = 'bench-report' AND hour >= now() - interval '30 days' GROUP BY 1 \g /dev/null
\echo '# declines: by code, 7 days, all accounts'
SELECT error_code, sum(transactions) FROM paysync.declines WHERE hour >= now() - interval '7 days' GROUP BY 1 \g /dev/null
\echo '# settlement_lag: 30 days, one account'
SELECT is_settled, count(*), avg(lag_hours), max(lag_hours) FROM paysync.settlement_lag WHERE account_id = 'bench-report' AND created_at >= now() - interval '30 days' GROUP BY 1 \g /dev/null
\echo '# open_transactions: all, by age'
SELECT age, currency, count(*), sum(amount) FROM paysync.open_transactions GROUP BY 1, 2 \g /dev/null
\echo '# transaction_timeline: one transaction'
SELECT * FROM paysync.transaction_timeline WHERE account_id = 'bench-dwh' AND provider_transaction_id = (SELECT max(provider_transaction_id) FROM paysync.transactions WHERE account_id = 'bench-dwh') \g /dev/null
\echo '# duplicate_charges: a day, all accounts'
SELECT * FROM paysync.duplicate_charges WHERE created_at >= now() - interval '1 day' \g /dev/null
\echo '# duplicate_charges: 7 days, one account'
SELECT * FROM paysync.duplicate_charges WHERE account_id = 'bench-report' AND created_at >= now() - interval '7 days' \g /dev/null
