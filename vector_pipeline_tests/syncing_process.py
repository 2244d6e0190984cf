"""A process that syncs one index to the end, as the sensor and its runs do, so that it can be killed or weighed.

`python -m vector_pipeline_tests.syncing_process DECLARATION` takes the declaration as JSON and the settings from the
environment. It prints `ready` when the imports are done and the work begins, and at the end a line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vector_pipeline.core.embedding import openai_compatible  # noqa: F401 - loaded before the work, not within it
from vector_pipeline.core.generations import TO_BE_BUILT
from vector_pipeline.core.index import VectorIndex, open_index
from vector_pipeline.core.settings import Settings, read_settings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.environments import variables_of

READY = "ready"


@dataclass(frozen=True)
class Outcome:
    """What a sync to the end did.

    Attributes:
        embedding_seconds: of `seconds`, those in which the served generation was embedded.
        first_text_seconds: until the first text had its vector stored; None if there was none to embed.
        peak_bytes: the most memory that the process had resident, imports included.
    """

    seconds: float
    embedding_seconds: float
    first_text_seconds: float | None
    ranges: int
    inserted: int
    embedded: int
    peak_bytes: int


def start(spec: IndexSpec, settings: Settings) -> subprocess.Popen[str]:
    """Starts the process; returns when it begins to work."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, spec.model_dump_json()],
        env=os.environ | variables_of(settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != READY:
        process.wait()
        raise RuntimeError(f"the syncing process ended with status {process.returncode} before its work")
    return process


def finish(process: subprocess.Popen[str]) -> Outcome:
    """Waits until the sync is through."""
    said, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the syncing process ended with status {process.returncode}")
    return Outcome(**json.loads(said))


def windows(partitions: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The partitions as runs get them: neighbours together, `size` at most."""
    for first in range(0, len(partitions), size):
        yield partitions[first : first + size]


class _Sync:
    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self._started = time.monotonic()
        self._first_text: float | None = None

    def run(self) -> Outcome:
        self._index.detect()
        due = [state.partition for state in self._index.due_ranges()]
        inserted = embedded = 0
        embedding_seconds = 0.0
        for window in windows(due, self._index.spec.automation.ranges_per_run):
            inserted += sum(facts.inserted for facts in self._index.sync_documents(window))
            report = self._index.embed(window, self._note_progress)
            embedded += report.texts_embedded
            embedding_seconds += report.seconds
        if self._index.next_generation_work() in TO_BE_BUILT:
            embedded += self._index.build_next_generation().texts_embedded
        return Outcome(self._seconds(), embedding_seconds, self._first_text, len(due), inserted, embedded, peak_bytes())

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _note_progress(self, done: int, needed: int) -> None:  # noqa: ARG002 - the shape of OnProgress
        if self._first_text is None:
            self._first_text = self._seconds()


def peak_bytes() -> int:
    """This process's own peak: `ru_maxrss` would start from what its parent had when it forked."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) * 1024


def main(arguments: Sequence[str]) -> None:
    """Syncs the declared index."""
    spec = IndexSpec.model_validate_json(arguments[0])
    settings = read_settings()
    print(READY, flush=True)
    with open_index(spec, settings) as index:
        outcome = _Sync(index).run()
    print(json.dumps(asdict(outcome)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
