"""The processes of runs: which they are, and the most memory that each had."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import dagster as dg


class RunWorkers:
    """Looks at the processes of runs that work at the moment, and remembers the peak of each."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._processes: dict[str, int] = {}
        self.peak_bytes: dict[str, int] = {}
        """By run id. A look a moment before the end of a run may miss its last rise."""

    def look(self) -> None:
        for run in self._instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            process = self._process_of(run.run_id)
            with suppress(OSError, LookupError):  # it has ended meanwhile
                if process is not None:
                    self.peak_bytes[run.run_id] = _peak_bytes(process)

    def _process_of(self, run_id: str) -> int | None:
        """As the launcher tells it in the run's log."""
        if run_id not in self._processes:
            told = [re.search(r"\(pid: (\d+)\)", entry.user_message) for entry in self._instance.all_logs(run_id)]
            for found in filter(None, told):
                self._processes[run_id] = int(found.group(1))
        return self._processes.get(run_id)


def _peak_bytes(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", status) or [None]
    if kilobytes is None:
        raise LookupError("a zombie has no memory")
    return int(kilobytes) * 1024
