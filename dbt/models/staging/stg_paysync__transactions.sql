-- Real transactions, one row each, under a key of one column.
select
    account_id || ':' || provider_transaction_id as transaction_key,
    account_id,
    provider,
    provider_transaction_id,
    payment_group_id,
    parent_transaction_id,
    merchant_reference,
    kind,
    status,
    provider_status,
    amount,
    currency,
    paid_amount,
    created_at,
    paid_at,
    settled_at,
    payment_method,
    card_brand,
    card_bin,
    card_issuer_country,
    error_code,
    changed_at,
    erased_at
from {{ source('paysync', 'transactions') }}
where is_test is not true
