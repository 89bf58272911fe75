-- The totals that are kept are those of the rows.
select kept.account_id, kept.transactions as kept, held.transactions as held
from (select account_id, sum(transactions) as transactions from {{ ref('stg_paysync__daily_totals') }} group by 1) as kept
full join (select account_id, count(*) as transactions from {{ ref('stg_paysync__transactions') }} group by 1) as held using (account_id)
where kept.transactions is distinct from held.transactions
