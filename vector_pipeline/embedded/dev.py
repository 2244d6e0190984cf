"""`make dev`: the embedded stack, the demo's rows, and Dagster with its UI and daemon, until interrupted."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from vector_pipeline.declarations import PACKAGE_PARENT
from vector_pipeline.embedded.demo import bring_up
from vector_pipeline.local_instance import ensure_dagster_home

_USUAL_PORT = 3000


def run_dev(console: Console, port: int | None) -> int:
    """Runs `dagster dev` over the stack. The stack stays up afterwards."""
    ensure_dagster_home()
    bring_up(console)
    _set_pool_limits()
    port = port or _free_port()
    console.print(f"\nDagster's UI: http://127.0.0.1:{port}  (Ctrl-C ends it; the databases go on: make stack-down)")
    command = [str(Path(sys.executable).parent / "dagster"), "dev", "-w", "workspace.yaml"]
    arguments = ["-h", "127.0.0.1", "-p", str(port)]
    # Our own variables lead every process that Dagster starts to the stack.
    try:
        return subprocess.run([*command, *arguments], cwd=PACKAGE_PARENT, env=os.environ, check=False).returncode
    except KeyboardInterrupt:
        return 0


def _set_pool_limits() -> None:
    from dagster import DagsterInstance  # noqa: PLC0415 - takes seconds

    from vector_pipeline.orchestration.pools import set_pool_limits  # noqa: PLC0415

    with DagsterInstance.get() as instance:
        set_pool_limits(instance)


def _free_port() -> int:
    for candidate in (_USUAL_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return _USUAL_PORT
