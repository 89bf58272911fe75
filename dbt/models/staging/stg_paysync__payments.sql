-- One row per payment; refunds, captures and chargebacks are taken together in state and net_amount.
select
    account_id || ':' || payment_id as payment_key,
    account_id,
    provider,
    payment_id,
    merchant_reference,
    state,
    currency,
    amount,
    captured_amount,
    refunded_amount,
    charged_back_amount,
    net_amount,
    day,
    created_at,
    captured_at,
    has_origin
from {{ source('paysync', 'payments') }}
