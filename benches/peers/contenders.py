"""Who takes part, by the name that `scripts/bench-peers --only` takes."""

from dataclasses import dataclass

SCRIPT = "public.transactions"
DLT = "dlt.transactions"


@dataclass
class Contender:
    """What it is called in the table, what runs it, where its rows end up and of which type the payload is."""

    label: str
    script: tuple[str, ...]
    table: str
    payload: str = "json"


PAYSYNC = "paysync"
CONTENDERS = {
    PAYSYNC: Contender(
        "paysync", (), "paysync.transactions JOIN paysync.raw_transactions USING (account_id, provider_transaction_id)"
    ),
    "executemany": Contender("script, `executemany`", ("script.py", "executemany"), SCRIPT),
    "copy": Contender("script, COPY and merge", ("script.py", "copy"), SCRIPT),
    "changed": Contender("script, COPY, merge of what differs, fetch ahead", ("script.py", "changed"), SCRIPT),
    "dlt": Contender("dlt, as it comes", ("dlt_pipeline.py", "plain", "default"), DLT),
    "dlt-rows": Contender("dlt, tuned", ("dlt_pipeline.py", "rows", "changed"), DLT),
    "dlt-arrow": Contender("dlt, tuned, Arrow and ADBC", ("dlt_pipeline.py", "arrow", "changed"), DLT),
}
# Variants, to see that the ones above are the best of their kind.
OTHERS = {
    "dlt-jsonb": Contender("dlt, as it comes, `jsonb`", ("dlt_pipeline.py", "objects", "default"), DLT),
    **{
        f"{name}-jsonb": Contender(f"{CONTENDERS[name].label}, `jsonb`", CONTENDERS[name].script, SCRIPT, "jsonb")
        for name in ("executemany", "copy")
    },
    **{
        f"{name}-{merge}": Contender(f"{CONTENDERS[name].label}, {merge}", (*CONTENDERS[name].script[:2], merge), DLT)
        for name in ("dlt-rows", "dlt-arrow")
        for merge in ("upsert", "delete-insert")
    },
}
