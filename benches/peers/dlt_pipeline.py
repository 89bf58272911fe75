"""The same job with dlt: rows with typed columns go to a staging table and are merged on the primary key.

usage: dlt_pipeline.py plain | rows | arrow | objects  default | delete-insert | upsert | changed
  plain  rows as dictionaries, with dlt's own settings
  rows   the same, tuned: CSV for COPY, nothing compressed on the way, as many processes as cores
  arrow  pages as Arrow tables, which dlt hands on as Parquet to ADBC
  objects  as plain, but the payload is the object that was sent, of dlt's type json, which is jsonb in PostgreSQL
  delete-insert, upsert  dlt's strategies of a merge; changed is upsert with skip_unchanged_rows
"""

import os
import sys
from collections.abc import Iterator

import dlt
import pyarrow as pa
from dlt.destinations import postgres
from normalize import AMOUNTS, COLUMNS, KEY, TIMES, row
from source import PAGE_SIZE, pages

SETTINGS = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    # The server asks for none, dlt insists on one.
    "CREDENTIALS__PASSWORD": "none",
}
TUNED = {
    "NORMALIZE__WORKERS": str(os.cpu_count()),
    # A file is what one process takes at once.
    "SOURCES__DATA_WRITER__FILE_MAX_ITEMS": str(10 * PAGE_SIZE),
    "SOURCES__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
}
MERGES = {
    "default": "merge",
    "delete-insert": {"disposition": "merge", "strategy": "delete-insert", "deduplicated": True},
    "upsert": {"disposition": "merge", "strategy": "upsert"},
    "changed": {"disposition": "merge", "strategy": "upsert", "skip_unchanged_rows": True},
}
# The payload is text but for objects: dlt does not compare columns of type json.
TYPES = {
    **dict.fromkeys(COLUMNS, "text"),
    **dict.fromkeys(AMOUNTS, "decimal"),
    **dict.fromkeys(TIMES, "timestamp"),
    "is_test": "bool",
}
ARROW = {
    "text": pa.string(),
    "decimal": pa.decimal128(38, 9),
    "timestamp": pa.timestamp("us", "UTC"),
    "bool": pa.bool_(),
}


def rows() -> Iterator[list[dict]]:
    """Pages of rows."""
    for page in pages():
        yield [dict(zip(COLUMNS, row(item), strict=True)) for item in page]


def objects() -> Iterator[list[dict]]:
    """Pages of rows with the payload as an object."""
    for page in pages():
        yield [dict(zip(COLUMNS, row(item), strict=True), payload=item) for item in page]


def tables() -> Iterator[pa.Table]:
    """Pages as Arrow tables."""
    for page in pages():
        columns = zip(*(row(item) for item in page), strict=True)
        yield pa.table({name: array(name, values) for name, values in zip(COLUMNS, columns, strict=True)})


def array(name: str, values: tuple) -> pa.Array:
    """One column of a page; Arrow reads all its times at once."""
    kind = ARROW[TYPES[name]]
    if name in TIMES:
        return pa.array(values, pa.string()).cast(kind)
    return pa.array(values, kind)


VARIANTS = {
    "plain": (rows, TYPES, None, {}),
    "objects": (objects, TYPES | {"payload": "json"}, None, {}),
    "rows": (rows, TYPES, "csv", TUNED),
    "arrow": (tables, TYPES, "parquet", TUNED),
}


def main(variant: str, merge: str) -> None:
    """Reads, normalizes, loads and merges everything as one package."""
    read, types, file_format, settings = VARIANTS[variant]
    os.environ.update(SETTINGS | settings)
    transactions = dlt.resource(
        read,
        name="transactions",
        primary_key=KEY,
        columns={name: {"data_type": kind} for name, kind in types.items()},
        write_disposition=MERGES[merge],
    )
    pipeline = dlt.pipeline(
        "peer",
        destination=postgres(os.environ["DATABASE_URL"]),
        dataset_name="dlt",
        pipelines_dir=os.environ["PEER_DIRECTORY"],
    )
    pipeline.run(transactions, loader_file_format=file_format).raise_on_failed_jobs()
    print(pipeline.last_trace)


if __name__ == "__main__":
    main(*sys.argv[1:])
