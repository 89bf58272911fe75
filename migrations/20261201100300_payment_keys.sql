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

-- The payment_key of each of these rows, which are all rows of some payments.
CREATE FUNCTION paysync.derived_payment_keys(ids text[], followed_ids text[], named_groups text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    tops        text[];
    pair_tops   text[];
    pair_groups text[];
    labels      text[];
    is_settled  boolean;
BEGIN
    -- The top of each row's chain.
    WITH RECURSIVE member AS MATERIALIZED (
        SELECT * FROM unnest(ids, followed_ids) WITH ORDINALITY AS row (id, follows, place)
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
    SELECT array_agg(top ORDER BY place) INTO tops FROM chain JOIN member USING (id);

    -- Chains that share a group are one payment, named by the smallest group.
    SELECT array_agg(top), array_agg(named_group) INTO pair_tops, pair_groups
    FROM (SELECT DISTINCT * FROM unnest(tops, named_groups) AS pair (top, named_group) WHERE named_group IS NOT NULL) AS pairs;
    labels := pair_groups;
    is_settled := labels IS NULL;
    WHILE NOT is_settled LOOP
        SELECT array_agg(least(of_top, of_group) ORDER BY place), bool_and(label = least(of_top, of_group)) INTO labels, is_settled
        FROM (
            SELECT place, label, min(label) OVER (PARTITION BY top) AS of_top, min(label) OVER (PARTITION BY named_group) AS of_group
            FROM unnest(pair_tops, pair_groups, labels) WITH ORDINALITY AS pair (top, named_group, label, place)
        ) AS pairs;
    END LOOP;

    RETURN (
        WITH label AS (
            SELECT top, min(label) AS named_group FROM unnest(pair_tops, labels) AS pair (top, label) GROUP BY top
        )
        SELECT array_agg(coalesce('g:' || label.named_group, 't:' || top) ORDER BY place)
        FROM unnest(tops) WITH ORDINALITY AS row (top, place)
        LEFT JOIN label USING (top)
    );
END
$$;

COMMENT ON FUNCTION paysync.derived_payment_keys(text[], text[], text[]) IS
    'The payment_key of each of these rows, in their order: all rows of some payments, by their id, followed_id and named_group.';

-- The functions below find their rows by an index. OFFSET 0 prevents joins that read all rows of the account, and each call
-- plans anew: a plan that is made while a table is nearly empty takes any index of an account for as good as the right one,
-- and would be kept while the table grows.

-- These keys, and those of all rows that are linked with their rows.
CREATE FUNCTION paysync.linked_payment_keys(account text, keys text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET plan_cache_mode = force_custom_plan AS $$
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

-- Rows with another payment_key than the rule says, among all rows that have one of these keys, which are those of all rows
-- that they are linked with.
CREATE FUNCTION paysync.misplaced_rows(account text, keys text[]) RETURNS TABLE (id text, payment_key text)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    ids          text[];
    followed_ids text[];
    named_groups text[];
    stored_keys  text[];
BEGIN
    SELECT array_agg(rows.id), array_agg(rows.follows), array_agg(rows.named_group), array_agg(rows.stored_key)
    INTO ids, followed_ids, named_groups, stored_keys
    FROM (SELECT DISTINCT key FROM unnest(keys) AS key) AS sought
    CROSS JOIN LATERAL (
        SELECT provider_transaction_id AS id,
               paysync.followed_id(kind, provider_transaction_id, parent_transaction_id) AS follows,
               paysync.named_group(provider, payment_group_id) AS named_group,
               held.payment_key AS stored_key
        FROM paysync.transactions AS held
        WHERE account_id = account AND held.payment_key = key
        OFFSET 0
    ) AS rows;
    RETURN QUERY
        SELECT row.id, row.wanted
        FROM unnest(ids, stored_keys, paysync.derived_payment_keys(ids, followed_ids, named_groups)) AS row (id, stored, wanted)
        WHERE row.stored <> row.wanted
        ORDER BY row.id;
END
$$;

COMMENT ON FUNCTION paysync.misplaced_rows(text, text[]) IS
    'Rows of an account, among those with these keys, whose payment_key should be another one, and which.';

CREATE FUNCTION paysync.rekey_payments(account text, keys text[]) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    misplaced record;
    moved     bigint := 0;
BEGIN
    -- Row by row: as one statement, it may read all rows of the account.
    FOR misplaced IN SELECT * FROM paysync.misplaced_rows(account, keys) LOOP
        UPDATE paysync.transactions SET payment_key = misplaced.payment_key, changed_at = now()
        WHERE account_id = account AND provider_transaction_id = misplaced.id;
        moved := moved + 1;
    END LOOP;
    RETURN moved;
END
$$;

COMMENT ON FUNCTION paysync.rekey_payments(text, text[]) IS
    'Sets payment_key of all rows that have one of these keys, which are those of all rows that they are linked with; returns how many changed. Lock the payments first.';

CREATE FUNCTION paysync.join_payments(
    account text, ids text[], followed_ids text[], named_groups text[], left_keys text[]
) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    own_keys text[];
    keys     text[];
BEGIN
    PERFORM paysync.lock_payments(account);
    -- Most rows agree with their neighbours already. All rows but those of ids do so among themselves: one of them is enough.
    own_keys := ARRAY(
        SELECT coalesce('g:' || named_group, 't:' || follows, 't:' || id)
        FROM unnest(ids, followed_ids, named_groups) AS row (id, follows, named_group)
    );
    keys := left_keys || ARRAY(
        SELECT unnest(ARRAY[own_key, other_key])
        FROM (
            SELECT own_key, payment_key AS other_key
            FROM unnest(ids, followed_ids, own_keys) AS written (id, follows, own_key)
            CROSS JOIN LATERAL (
                (SELECT payment_key FROM paysync.transactions WHERE account_id = account AND provider_transaction_id = follows)
                UNION ALL
                (SELECT payment_key FROM paysync.transactions
                 WHERE account_id = account AND parent_transaction_id = id AND kind NOT IN ('payment', 'authorization')
                   AND provider_transaction_id <> ALL (ids)
                 LIMIT 1)
                OFFSET 0
            ) AS rows
            UNION ALL
            SELECT own_key, min(own_key) OVER (PARTITION BY follows)
            FROM unnest(followed_ids, own_keys) AS written (follows, own_key)
            WHERE follows IS NOT NULL
        ) AS linked
        WHERE own_key <> other_key
    );
    -- Without groups, rows of a parent that is not stored have the same key of their own.
    IF named_groups IS NOT NULL THEN
        keys := keys || ARRAY(
            SELECT unnest(ARRAY[own_key, payment_key])
            FROM unnest(followed_ids, named_groups, own_keys) AS written (follows, named_group, own_key)
            CROSS JOIN LATERAL (
                (SELECT payment_key FROM paysync.transactions
                 WHERE account_id = account AND parent_transaction_id = follows AND kind NOT IN ('payment', 'authorization')
                   AND provider_transaction_id <> ALL (ids)
                 LIMIT 1)
                UNION ALL
                (SELECT payment_key FROM paysync.transactions
                 WHERE account_id = account AND payment_group_id = named_group
                   AND paysync.named_group(provider, payment_group_id) IS NOT NULL AND payment_key <> 'g:' || payment_group_id
                 LIMIT 1)
                OFFSET 0
            ) AS rows
            WHERE own_key <> payment_key
        );
    END IF;
    IF cardinality(keys) = 0 THEN
        RETURN 0;
    END IF;
    -- A row that left its payment may be linked with others now.
    IF cardinality(left_keys) > 0 THEN
        keys := paysync.linked_payment_keys(account, keys);
    END IF;
    RETURN paysync.rekey_payments(account, keys);
END
$$;

COMMENT ON FUNCTION paysync.join_payments(text, text[], text[], text[], text[]) IS
    'Joins rows that were just written, each with its followed_id and named_group (null if the provider names none), to their payments, and rebuilds the payments with these other keys, which rows may have left; returns how many rows got another payment_key. Holds the lock on the payments until the end of the transaction.';

CREATE FUNCTION paysync.next_payment_keys(account text, after text, size bigint) RETURNS text[]
LANGUAGE sql STABLE SET enable_seqscan = off AS $$
    -- A payment is in one range, whatever its size.
    SELECT array_agg(DISTINCT payment_key)
    FROM (
        SELECT payment_key
        FROM paysync.transactions
        WHERE account_id = account AND payment_key > after
        ORDER BY payment_key
        LIMIT size
    ) AS range
$$;

COMMENT ON FUNCTION paysync.next_payment_keys(text, text, bigint) IS
    'The payment keys, after this one, of about size rows of an account; null after the last.';

CREATE FUNCTION paysync.check_payments(account text, after text, size bigint, OUT last_key text, OUT misplaced bigint, OUT example text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    keys text[] := paysync.next_payment_keys(account, after, size);
BEGIN
    last_key := keys[cardinality(keys)];
    SELECT count(*), min(id) INTO misplaced, example
    FROM (
        SELECT id FROM paysync.misplaced_rows(account, paysync.linked_payment_keys(account, keys))
        UNION ALL
        SELECT provider_transaction_id FROM paysync.transactions WHERE account_id = account AND payment_key = '' AND after = ''
    ) AS rows;
END
$$;

COMMENT ON FUNCTION paysync.check_payments(text, text, bigint) IS
    'Counts, of about size rows of an account, those with the keys after a key (first: the empty text), the rows that have another payment_key than they should have, and names one. Returns the last of these keys, null after the last range.';

CREATE FUNCTION paysync.recount_payments(account text, after text, size bigint, OUT last_key text, OUT moved bigint)
LANGUAGE plpgsql SET enable_seqscan = off SET plan_cache_mode = force_custom_plan AS $$
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
    keys := paysync.next_payment_keys(account, after, size);
    IF keys IS NOT NULL THEN
        last_key := keys[cardinality(keys)];
        moved := paysync.rekey_payments(account, paysync.linked_payment_keys(account, keys));
    END IF;
END
$$;

COMMENT ON FUNCTION paysync.recount_payments(text, text, bigint) IS
    'Rebuilds payment_key of about size rows of an account, those with the keys after a key (first: the empty text). Returns the last of these keys, null after the last range, and how many rows got another key. Commit between two calls.';
