select
    concat_ws(':', account_id, coalesce(day::text, '-'), coalesce(currency, '-'), kind, status) as total_key,
    account_id,
    provider,
    day,
    currency,
    kind,
    status,
    transactions,
    amount
from {{ source('paysync', 'daily_totals') }}
