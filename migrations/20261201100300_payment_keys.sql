-- Which rows are one payment.
--
-- Rows belong together if one names the other as its parent, if both name the same parent that is not stored, or if they
-- share a group that the provider itself names. A payment or authorization begins a payment of its own even if it names a
-- parent, as a recurring charge names the first one: only a group joins it to other rows.
--
-- payment_key depends on the stored rows alone, not on the order in which they came. It is `g:` and the smallest group of
-- the payment; without a group `t:` and the id at the top of the chain of parents, stored or only named; in a cycle of
-- parents the smallest id of the cycle.

-- The group that the provider itself names. At the other providers payment_group_id repeats the parent.
CREATE FUNCTION paysync.named_group(provider text, payment_group_id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN provider IN ('ecommpay', 'begateway_report') THEN payment_group_id END
$$;

COMMENT ON FUNCTION paysync.named_group(text, text) IS 'The payment_group_id of a row, if the provider itself names it.';

-- The row that this one follows from within its payment.
CREATE FUNCTION paysync.followed_id(kind text, provider_transaction_id text, parent_transaction_id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN kind NOT IN ('payment', 'authorization') AND parent_transaction_id <> provider_transaction_id
            THEN parent_transaction_id
    END
$$;

COMMENT ON FUNCTION paysync.followed_id(text, text, text) IS 'The parent_transaction_id of a row, unless the row begins a payment of its own.';

CREATE FUNCTION paysync.own_payment_key(
    provider text, kind text, provider_transaction_id text, parent_transaction_id text, payment_group_id text
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        'g:' || paysync.named_group(provider, payment_group_id),
        't:' || paysync.followed_id(kind, provider_transaction_id, parent_transaction_id),
        't:' || provider_transaction_id
    )
$$;

COMMENT ON FUNCTION paysync.own_payment_key(text, text, text, text, text) IS 'The payment_key of a row as far as the row alone determines it.';

-- Whether rows that are stored already may be linked with a row.
CREATE FUNCTION paysync.may_join(provider text, kind text, provider_transaction_id text, parent_transaction_id text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN provider = 'begateway_report' THEN true
        WHEN provider IN ('begateway_dwh', 'convergegate')
            THEN paysync.followed_id(kind, provider_transaction_id, parent_transaction_id) IS NOT NULL
        ELSE false
    END
$$;

COMMENT ON FUNCTION paysync.may_join(text, text, text, text) IS 'Whether a row may belong to the payment of other rows, so that join_payments must see it.';

-- Few rows are in a payment whose key is another group than their own. With the index on payment_key, this one finds all
-- rows of a group.
CREATE INDEX transactions_joined_group ON paysync.transactions (account_id, payment_group_id)
    WHERE paysync.named_group(provider, payment_group_id) IS NOT NULL AND payment_key <> 'g:' || payment_group_id;

-- The primary key comes after all other indexes: while the table is small and not analyzed, the planner expects one row of an
-- account, takes all indexes that begin with it for equal, and uses the newest.
ALTER TABLE paysync.transactions ADD PRIMARY KEY (account_id, provider_transaction_id);

-- Writers join payments one after another: each locks the account's row after its rows are written, and holds it until it
-- commits. So of two that write linked rows at once, the second sees the rows of the first.
CREATE TABLE paysync.payment_locks (
    account_id text COLLATE "C" PRIMARY KEY
);

COMMENT ON TABLE paysync.payment_locks IS 'A row per account; whoever joins rows to payments locks it until the commit.';
COMMENT ON COLUMN paysync.payment_locks.account_id IS 'The account.';

CREATE FUNCTION paysync.lock_payments(account text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM paysync.payment_locks WHERE account_id = account FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO paysync.payment_locks VALUES (account) ON CONFLICT DO NOTHING;
        PERFORM FROM paysync.payment_locks WHERE account_id = account FOR UPDATE;
    END IF;
END
$$;

COMMENT ON FUNCTION paysync.lock_payments(text) IS 'Locks the payments of an account until the end of the transaction.';

-- Every statement below finds its rows by an index, whatever the statistics of a growing table say: OFFSET 0 prevents joins
-- that read all rows of the account.

-- These keys, and those of all rows that are linked with their rows.
CREATE FUNCTION paysync.linked_payment_keys(account text, keys text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE
    checked text[] := '{}';
    added   text[] := keys;
BEGIN
    WHILE cardinality(added) > 0 LOOP
        checked := checked || added;
        WITH member AS MATERIALIZED (
            SELECT rows.*
            FROM unnest(added) AS key
            CROSS JOIN LATERAL (
                SELECT provider_transaction_id AS id,
                       paysync.followed_id(kind, provider_transaction_id, parent_transaction_id) AS follows,
                       paysync.named_group(provider, payment_group_id) AS named_group
                FROM paysync.transactions
                WHERE account_id = account AND payment_key = key
                OFFSET 0
            ) AS rows
        ), linked AS (
            -- A row, and the rows that follow from it.
            SELECT rows.payment_key
            FROM (SELECT id FROM member UNION SELECT follows FROM member WHERE follows IS NOT NULL) AS node
            CROSS JOIN LATERAL (
                (SELECT payment_key FROM paysync.transactions WHERE account_id = account AND provider_transaction_id = node.id OFFSET 0)
                UNION ALL
                (SELECT payment_key FROM paysync.transactions
                 WHERE account_id = account AND parent_transaction_id = node.id AND kind NOT IN ('payment', 'authorization') OFFSET 0)
            ) AS rows
            UNION ALL
            -- Rows of a group: first those whose payment has its name.
            SELECT 'g:' || named_group FROM member WHERE named_group IS NOT NULL
            UNION ALL
            SELECT rows.payment_key
            FROM (SELECT DISTINCT named_group FROM member WHERE named_group IS NOT NULL) AS node
            CROSS JOIN LATERAL (
                SELECT payment_key
                FROM paysync.transactions
                WHERE account_id = account AND payment_group_id = node.named_group
                  AND paysync.named_group(provider, payment_group_id) IS NOT NULL AND payment_key <> 'g:' || payment_group_id
                OFFSET 0
            ) AS rows
        )
        SELECT array_agg(DISTINCT payment_key) INTO added FROM linked WHERE payment_key <> ALL (checked);
    END LOOP;
    RETURN checked;
END
$$;

COMMENT ON FUNCTION paysync.linked_payment_keys(text, text[]) IS 'These payment keys of an account, and those of all rows that are linked with their rows.';

CREATE FUNCTION paysync.rekey_payments(account text, keys text[]) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    ids    text[];
    tops   text[];
    groups text[];
    stored text[];
    pair_tops   text[];
    pair_groups text[];
    labels      text[];
    is_settled  boolean;
    moved  bigint;
BEGIN
    -- The rows, and the top of each row's chain.
    WITH RECURSIVE member AS MATERIALIZED (
        SELECT rows.*
        FROM unnest(paysync.linked_payment_keys(account, keys)) AS key
        CROSS JOIN LATERAL (
            SELECT provider_transaction_id AS id,
                   paysync.followed_id(kind, provider_transaction_id, parent_transaction_id) AS follows,
                   paysync.named_group(provider, payment_group_id) AS named_group,
                   payment_key
            FROM paysync.transactions
            WHERE account_id = account AND payment_key = key
            OFFSET 0
        ) AS rows
    ), above (id, node) AS (
        SELECT id, coalesce(follows, id) FROM member
        UNION
        SELECT above.id, member.follows FROM above JOIN member ON member.id = above.node WHERE member.follows IS NOT NULL
    ), chain AS (
        SELECT above.id,
               -- In a cycle no node is the top; those that are above themselves form it.
               coalesce(min(above.node) FILTER (WHERE member.follows IS NULL), min(above.node) FILTER (WHERE circle.id IS NOT NULL)) AS top
        FROM above
        LEFT JOIN member ON member.id = above.node
        LEFT JOIN above AS circle ON circle.id = above.node AND circle.node = above.node
        GROUP BY above.id
    )
    SELECT array_agg(id), array_agg(top), array_agg(named_group), array_agg(payment_key) INTO ids, tops, groups, stored
    FROM chain JOIN member USING (id);

    -- Chains that share a group are one payment, named by the smallest group.
    SELECT array_agg(top), array_agg(named_group) INTO pair_tops, pair_groups
    FROM (SELECT DISTINCT * FROM unnest(tops, groups) AS pair (top, named_group) WHERE named_group IS NOT NULL) AS pairs;
    labels := pair_groups;
    is_settled := labels IS NULL;
    WHILE NOT is_settled LOOP
        SELECT array_agg(least(of_top, of_group) ORDER BY place), bool_and(label = least(of_top, of_group)) INTO labels, is_settled
        FROM (
            SELECT place, label, min(label) OVER (PARTITION BY top) AS of_top, min(label) OVER (PARTITION BY named_group) AS of_group
            FROM unnest(pair_tops, pair_groups, labels) WITH ORDINALITY AS pair (top, named_group, label, place)
        ) AS pairs;
    END LOOP;

    WITH label AS (
        SELECT top, min(label) AS named_group FROM unnest(pair_tops, labels) AS pair (top, label) GROUP BY top
    ), wanted AS (
        SELECT row.id, coalesce('g:' || label.named_group, 't:' || row.top) AS payment_key
        FROM unnest(ids, tops, stored) AS row (id, top, payment_key)
        LEFT JOIN label USING (top)
        WHERE row.payment_key <> coalesce('g:' || label.named_group, 't:' || row.top)
        ORDER BY row.id
        OFFSET 0
    )
    UPDATE paysync.transactions AS held SET payment_key = wanted.payment_key, changed_at = now()
    FROM wanted
    WHERE held.account_id = account AND held.provider_transaction_id = wanted.id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;

COMMENT ON FUNCTION paysync.rekey_payments(text, text[]) IS
    'Sets payment_key of all rows that have one of these keys or are linked with such rows; returns how many changed. Lock the payments first.';

CREATE FUNCTION paysync.join_payments(account text, ids text[], left_keys text[]) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    keys text[];
BEGIN
    PERFORM paysync.lock_payments(account);
    -- Most rows agree with their neighbours already. All rows but those of ids do so among themselves: one of them is enough.
    WITH written AS MATERIALIZED (
        SELECT rows.*
        FROM unnest(ids) AS written (id)
        CROSS JOIN LATERAL (
            SELECT provider_transaction_id AS id, payment_key,
                   paysync.followed_id(kind, provider_transaction_id, parent_transaction_id) AS follows,
                   paysync.named_group(provider, payment_group_id) AS named_group
            FROM paysync.transactions
            WHERE account_id = account AND provider_transaction_id = written.id
            OFFSET 0
        ) AS rows
    ), linked AS (
        SELECT written.payment_key, rows.payment_key AS other_key
        FROM written
        CROSS JOIN LATERAL (
            (SELECT payment_key FROM paysync.transactions WHERE account_id = account AND provider_transaction_id = written.follows)
            UNION ALL
            (SELECT payment_key FROM paysync.transactions
             WHERE account_id = account AND parent_transaction_id = written.id AND kind NOT IN ('payment', 'authorization')
               AND provider_transaction_id <> ALL (ids)
             LIMIT 1)
            UNION ALL
            (SELECT payment_key FROM paysync.transactions
             WHERE account_id = account AND parent_transaction_id = written.follows AND kind NOT IN ('payment', 'authorization')
               AND provider_transaction_id <> ALL (ids)
             LIMIT 1)
            UNION ALL
            (SELECT payment_key FROM paysync.transactions
             WHERE account_id = account AND payment_group_id = written.named_group
               AND paysync.named_group(provider, payment_group_id) IS NOT NULL AND payment_key <> 'g:' || payment_group_id
             LIMIT 1)
            OFFSET 0
        ) AS rows
        UNION ALL
        SELECT payment_key, min(payment_key) OVER (PARTITION BY follows) FROM written WHERE follows IS NOT NULL
    )
    SELECT array_agg(DISTINCT key) INTO keys
    FROM (
        SELECT unnest(ARRAY[payment_key, other_key]) AS key FROM linked WHERE payment_key <> other_key
        UNION ALL
        SELECT unnest(left_keys)
    ) AS unsettled;
    IF keys IS NULL THEN
        RETURN 0;
    END IF;
    RETURN paysync.rekey_payments(account, keys);
END
$$;

COMMENT ON FUNCTION paysync.join_payments(text, text[], text[]) IS
    'Joins rows that were just written to their payments, and rebuilds the payments with these other keys, which rows may have left; returns how many rows got another payment_key. Holds the lock on the payments until the end of the transaction.';

CREATE FUNCTION paysync.recount_payments(account text, after text, size bigint, OUT last_key text, OUT moved bigint)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    keys text[];
BEGIN
    PERFORM paysync.lock_payments(account);
    -- Rows that were written by hand have no key.
    UPDATE paysync.transactions AS held
    SET payment_key = paysync.own_payment_key(provider, kind, held.provider_transaction_id, parent_transaction_id, payment_group_id),
        changed_at = now()
    FROM (
        SELECT provider_transaction_id FROM paysync.transactions WHERE account_id = account AND payment_key = '' LIMIT size
    ) AS unkeyed
    WHERE held.account_id = account AND held.provider_transaction_id = unkeyed.provider_transaction_id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved > 0 THEN
        last_key := after;
        RETURN;
    END IF;
    -- A payment is in one range, whatever its size.
    SELECT array_agg(DISTINCT payment_key) INTO keys
    FROM (
        SELECT payment_key
        FROM paysync.transactions
        WHERE account_id = account AND payment_key > after
        ORDER BY payment_key
        LIMIT size
    ) AS range;
    IF keys IS NOT NULL THEN
        last_key := keys[cardinality(keys)];
        moved := paysync.rekey_payments(account, keys);
    END IF;
END
$$;

COMMENT ON FUNCTION paysync.recount_payments(text, text, bigint) IS
    'Rebuilds payment_key of about size rows of an account, those with the keys after a key (first: the empty text). Returns the last of these keys, null after the last range, and how many rows got another key. Commit between two calls.';
