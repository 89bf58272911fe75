"""One contender's load and unchanged re-scan, in the empty database of DATABASE_URL; prints a line of JSON.

usage: run.py CONTENDER SIMULATED.toml DIRECTORY   (PAYSYNC is the program; the DIRECTORY is for its files)
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import psycopg
from contenders import CONTENDERS, DLT, OTHERS, PAYSYNC, SCRIPT
from job import Job
from normalize import AMOUNTS, COLUMNS, KEY
from process import measure

HERE = Path(__file__).parent
PROGRAM = os.environ["PAYSYNC"]
DATABASE_URL = os.environ["DATABASE_URL"]
# What paysync fills, without what only paysync keeps, and with the payload beside the columns.
SCRIPT_TABLE = """
    CREATE TABLE transactions (LIKE paysync.transactions INCLUDING ALL);
    ALTER TABLE transactions
        DROP COLUMN payload_hash,
        DROP COLUMN first_seen_at,
        DROP COLUMN changed_at,
        DROP COLUMN version,
        DROP COLUMN version_from,
        DROP COLUMN payment_key,
        ALTER COLUMN observed_at SET DEFAULT now(),
        ADD COLUMN payload {payload} NOT NULL"""


def main(name: str, simulated: Path, directory: Path) -> None:
    """Loads, looks, re-scans, looks again."""
    contender = (CONTENDERS | OTHERS)[name]
    job = Job(simulated)
    configuration = directory / "paysync.toml"
    configuration.write_text(job.configuration(DATABASE_URL))
    paysync = [PROGRAM, "--config", str(configuration)]
    # For paysync the file names the database.
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    command = [*paysync, "sync"]
    if name != PAYSYNC:
        environment |= {"DATABASE_URL": DATABASE_URL, "PEER_DIRECTORY": str(directory), **job.environment()}
        script, *arguments = contender.script
        command = [sys.executable, str(HERE / script), *arguments]

    def phase() -> dict:
        before = wal(connection)
        usage = measure(command, environment, directory / "log")
        return {**asdict(usage), "wal_bytes": wal(connection) - before}

    with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
        use_lz4(connection)
        # That tables get made is not measured, except for dlt, which makes them as it goes.
        if contender.table != DLT:
            operate([*paysync, "migrate"])
        if contender.table == SCRIPT:
            connection.execute(SCRIPT_TABLE.format(payload=contender.payload))
        load = phase()
        held = digest(connection, contender.table)
        if held["rows"] != job.count():
            raise SystemExit(f"{name} stored {held['rows']} rows, the provider has {job.count()}")
        connection.execute("VACUUM ANALYZE")
        if name == PAYSYNC:
            operate([*paysync, "resync", "--account", "peer", "--from", job.start, "--to", job.end, "--yes"])
        rescan = phase()
        if digest(connection, contender.table) != held:
            raise SystemExit(f"{name}: the re-scan changed what is stored")
        server = connection.execute("SHOW server_version").fetchone()[0].split()[0]
    print(json.dumps({"contender": name, "server": server, "held": held, "load": load, "rescan": rescan}))


def operate(command: list[str]) -> None:
    """Runs a command of paysync that is not measured."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def use_lz4(connection: psycopg.Connection) -> None:
    """For everybody's payloads, as paysync chooses it for its own; a server may have been built without."""
    with suppress(psycopg.errors.InvalidParameterValue):
        connection.execute("ALTER DATABASE postgres SET default_toast_compression = lz4")


def wal(connection: psycopg.Connection) -> int:
    """Bytes of log written since the cluster was made."""
    [bytes_written] = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    return bytes_written


def digest(connection: psycopg.Connection, table: str) -> dict:
    """What is stored: the number of rows and keys, the sum of amounts, and a sum over all columns."""
    # Equal values, however they are written.
    as_written = {"payload": "payload::jsonb", **{column: f"trim_scale({column})" for column in AMOUNTS}}
    columns = [as_written.get(column, column) for column in COLUMNS]
    rows, keys, amounts, everything = connection.execute(f"""
        SELECT count(*), count(DISTINCT ({", ".join(KEY)})), sum(amount),
               sum(hashtextextended(ROW({", ".join(columns)})::text, 0))
        FROM {table}""").fetchone()
    if rows != keys:
        raise SystemExit(f"{table} holds {rows} rows of {keys} transactions")
    return {"rows": rows, "amounts": f"{amounts.normalize():f}", "everything": str(everything)}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
