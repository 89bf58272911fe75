"""The Markdown table of lines that run.py printed, medians of the rounds.

usage: table.py RESULTS
"""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from contenders import CONTENDERS, OTHERS, PAYSYNC

COLUMNS = (
    "",
    "load, rows/s",
    "re-scan, rows/s",
    "WAL on re-scan, B/row",
    "client CPU, s",
    "peak, MiB",
    "paysync's load",
    "paysync's re-scan",
)


def main(path: Path) -> None:
    """Stops if not all stored the same."""
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    for run in runs:
        if run["held"] != runs[0]["held"]:
            raise SystemExit(f"{run['contender']} stored {run['held']}, {runs[0]['contender']} {runs[0]['held']}")
    rows = runs[0]["held"]["rows"]
    by_name = {}
    for run in runs:
        by_name.setdefault(run["contender"], []).append(run)
    ours = {phase: rows / of(by_name[PAYSYNC], phase, "seconds") for phase in ("load", "rescan")}
    rounds = len(by_name[PAYSYNC])
    print(
        f"{rows} rows, {'one round' if rounds == 1 else f'medians of {rounds} rounds'};",
        f"{os.cpu_count()} cores, PostgreSQL {runs[0]['server']}, Python {platform.python_version()},",
        f"{datetime.now(UTC):%-d %B %Y}. CPU and peak: load / re-scan.\n",
    )
    print_row(COLUMNS)
    print_row(["---", *["--:"] * (len(COLUMNS) - 1)])
    for name, contender in (CONTENDERS | OTHERS).items():
        if found := by_name.get(name):
            print_row([contender.label, *figures(found, rows, ours)])


def figures(runs: list[dict], rows: int, ours: dict[str, float]) -> list[str]:
    """One contender's cells after its name."""
    rates = {phase: rows / of(runs, phase, "seconds") for phase in ("load", "rescan")}

    def both(what: str, digits: int) -> str:
        return " / ".join(f"{of(runs, phase, what):.{digits}f}" for phase in rates)

    return [
        *(f"{rate:.0f}" for rate in rates.values()),
        f"{of(runs, 'rescan', 'wal_bytes') / rows:.0f}",
        both("cpu_seconds", 1),
        both("peak_mib", 0),
        *(f"{ours[phase] / rate:.1f} ×" for phase, rate in rates.items()),
    ]


def of(runs: list[dict], phase: str, what: str) -> float:
    """The median of a figure."""
    return median(run[phase][what] for run in runs)


def print_row(cells: list[str]) -> None:
    """A line of the table."""
    print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
