"""Sees to it that nothing that a benchmark has started outlives it, also where it is killed and cannot clean up.

python -m benchmarks.guardian PID
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

_LOOK_SECONDS = 0.2
_POLITE_SECONDS = 20.0


@contextmanager
def guarded() -> Iterator[None]:
    """Has this process watched for as long as the block."""
    command = [sys.executable, "-m", "benchmarks.guardian", str(psutil.Process().pid)]
    guardian = subprocess.Popen(command, start_new_session=True)
    try:
        yield
    finally:
        guardian.kill()
        guardian.wait()


def watch(owner: psutil.Process) -> None:
    """Ends what the owner has started, and what that has started, once the owner is gone."""
    known: dict[int, psutil.Process] = {}
    while owner.is_running() and owner.status() != psutil.STATUS_ZOMBIE:
        with contextlib.suppress(psutil.NoSuchProcess):
            known |= {child.pid: child for child in owner.children(recursive=True)}
        known.pop(psutil.Process().pid, None)
        time.sleep(_LOOK_SECONDS)
    # psutil compares the time of birth: a number that another process has by now is not taken for ours.
    left = [process for process in known.values() if process.is_running()]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=_POLITE_SECONDS)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def main(arguments: Sequence[str]) -> None:
    """Watches the process with this number."""
    with contextlib.suppress(psutil.NoSuchProcess):
        watch(psutil.Process(int(arguments[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
