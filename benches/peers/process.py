"""What a program takes: time, processor time, and memory together with the processes that it starts."""

import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Usage:
    """Of a whole process, from its start to its end."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def measure(command: list[str], environment: dict[str, str], log: Path) -> Usage:
    """Runs a program and stops with its last words if it fails."""
    start = time.monotonic()
    with log.open("ab") as output:
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    memory = Memory(child.pid)
    memory.start()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    memory.ended.set()
    memory.join()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        last = log.read_text(errors="replace").splitlines()[-20:]
        raise SystemExit("\n".join([*last, f"{' '.join(command)}: exit code {child.returncode}"]))
    return Usage(seconds, usage.ru_utime + usage.ru_stime, memory.peak_kib / 1024)


class Memory(threading.Thread):
    """Looks at a process until it has ended; where there is no /proc it sees nothing."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.pid = pid
        self.ended = threading.Event()
        self.peak_kib = 0

    def run(self) -> None:
        """Asks for the peak of one process; for several there is only what they hold now."""
        pause = 0.0
        while not self.ended.wait(pause):
            children = descendants(self.pid)
            # The kernel counts through all pages for this, so it is not asked often.
            pause = 0.2 if children else 0.02
            now = sum(figure(each, "smaps_rollup", "Pss") for each in [self.pid, *children]) if children else 0
            self.peak_kib = max(self.peak_kib, now, figure(self.pid, "status", "VmHWM"))


def descendants(pid: int) -> list[int]:
    """Children and theirs."""
    try:
        files = list(Path(f"/proc/{pid}/task").glob("*/children"))
        children = [int(child) for file in files for child in file.read_text().split()]
    except OSError:
        return []
    return [each for child in children for each in (child, *descendants(child))]


def figure(pid: int, file: str, name: str) -> int:
    """A line of a file in /proc, KiB; 0 for a process that is gone."""
    try:
        found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
