"""The script that a team writes by hand: read a page, upsert it, commit, go on.

usage: script.py executemany | copy | changed
  executemany  INSERT … ON CONFLICT DO UPDATE, row by row in one pipeline
  copy         COPY to a stage, one INSERT … SELECT … ON CONFLICT DO UPDATE
  changed      the same, only for rows whose payload differs, while a thread fetches the next page
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
from normalize import COLUMNS, KEY, row
from source import pages

NAMES = ", ".join(COLUMNS)
ON_CONFLICT = f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET observed_at = now(), " + ", ".join(
    f"{column} = EXCLUDED.{column}" for column in COLUMNS if column not in KEY
)
UPSERT = f"INSERT INTO transactions ({NAMES}) VALUES ({', '.join(['%s'] * len(COLUMNS))}) {ON_CONFLICT}"
STAGE = f"CREATE TEMPORARY TABLE stage ON COMMIT DELETE ROWS AS SELECT {NAMES} FROM transactions LIMIT 0"
COPY = f"COPY stage ({NAMES}) FROM STDIN"
MERGE = f"INSERT INTO transactions ({NAMES}) SELECT {NAMES} FROM stage {ON_CONFLICT}"
MERGE_CHANGED = f"""
    INSERT INTO transactions ({NAMES})
    SELECT {", ".join(f"stage.{column}" for column in COLUMNS)}
    FROM stage
    LEFT JOIN transactions AS held USING ({", ".join(KEY)})
    WHERE held.payload::text IS DISTINCT FROM stage.payload::text
    {ON_CONFLICT}"""


def main(variant: str) -> None:
    """Copies everything, a commit per page."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        if variant == "executemany":
            for page in pages():
                cursor.executemany(UPSERT, [row(item) for item in page])
                connection.commit()
            return
        cursor.execute(STAGE)
        connection.commit()
        changed = variant == "changed"
        for page in ahead(pages()) if changed else pages():
            with cursor.copy(COPY) as copy:
                for item in page:
                    copy.write_row(row(item))
            # Planned anew each time: a plan for the first, small table would read the whole of the later one.
            cursor.execute(MERGE_CHANGED if changed else MERGE, prepare=False)
            connection.commit()


def ahead(pages: Iterator[list[dict]]) -> Iterator[list[dict]]:
    """The same pages, each fetched while the one before is stored."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, pages, None)
        while (page := coming.result()) is not None:
            coming = pool.submit(next, pages, None)
            yield page


if __name__ == "__main__":
    main(sys.argv[1])
