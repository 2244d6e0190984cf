"""`dagster dev`: webserver, daemon and one code server for both, as `make dev` starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from vector_pipeline.embedded.ports import choose_port
from vector_pipeline_tests.orchestration.webserver import wait_until_it_answers

_STOP_SECONDS = 30


@contextmanager
def dagster_dev(project: Path, home: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yields the webserver's address once it answers; nothing of it outlives the block.

    Args:
        project: the folder with `workspace.yaml`.
        home: the folder of the instance.
        environment: instead of ours.
    """
    port = choose_port()
    program = str(Path(sys.executable).parent / "dagster")
    with (home / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "dev", "-w", str(project / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port)],
            cwd=home,
            env=dict(os.environ if environment is None else environment)
            | {"DAGSTER_HOME": str(home), "PYTHONPATH": str(project)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_it_answers(address)
            yield address
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
