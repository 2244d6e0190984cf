"""`make dev`: Dagster with its UI and daemon, and the HTTP API, until interrupted. They work on the databases that the
environment names; those that it leaves out are the embedded stack's, with the demo's rows.

Dagster is many processes: webserver, daemon, code servers, runs. They get a session of their own, so that Ctrl-C
reaches this process alone, which asks `dagster dev` to end in its own way and sees to it that nothing of it is left.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.embedded.demo import bring_up_what_is_not_named
from vector_pipeline.local_instance import ensure_dagster_home
from vector_pipeline.log_level import read_log_level
from vector_pipeline.project_folder import DEFS_VARIABLE, PACKAGE_PARENT, SHIPPED, defs_folder
from vector_pipeline.serving.settings import ServingSettings

_USUAL_PORT = 3000
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOP_SECONDS = 20.0  # `dagster dev` itself gives its webserver and its daemon five seconds each
_LEFTOVERS_SECONDS = 5.0
_LOOK_SECONDS = 0.2

# Nothing that a user could do anything about: `dagster dev` recommends `dg dev`, and its own code uses its own betas.
_SILENCED = (
    "Function `dev_command` is superseded",
    "Parameter `execution_type` of function `AssetsDefinition.__init__`",
)


def run_dev(console: Console, port: int | None, api_port: int | None) -> int:
    """Runs `dagster dev` and `vector-pipeline serve` until it is asked to stop. The stack, if it is used, stays up
    afterwards.

    Raises:
        ConfigurationError: a port is taken, or a variable is missing beside others.
    """
    port, api_port = _choose_port(port, _USUAL_PORT), _choose_port(api_port, ServingSettings().port)
    log_level = read_log_level("INFO").lower()
    home = ensure_dagster_home()
    embedded = bring_up_what_is_not_named(console)
    stays = " The databases stay up; `vector-pipeline stack down` (make stack-down) ends them." if embedded else ""
    _set_pool_limits()
    console.print(
        f"\n[bold]Dagster's UI: http://127.0.0.1:{port}[/]\n[bold]HTTP API:     http://127.0.0.1:{api_port}[/]"
        f"\nCtrl-C ends it.{stays}\n",
        highlight=False,
        soft_wrap=True,
    )
    dagster = str(Path(sys.executable).parent / "dagster")
    dagster_dev = [dagster, "dev", "-w", str(SHIPPED / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port)]
    serve = [sys.executable, "-m", "vector_pipeline.cli", "serve", "--host", "127.0.0.1", "--port", str(api_port)]
    environment = _environment() | {"VECTOR_PIPELINE_DAGSTER_URL": f"http://127.0.0.1:{port}"}
    # Not in the project's folder: Dagster would warn of the dagster.yaml there, from which the one in use is made.
    status = run_until_stopped([[*dagster_dev, "--log-level", log_level], serve], home, environment)
    console.print(f"Dagster has ended{'; the databases are still up' if embedded else ''}.", highlight=False)
    return status


def _environment() -> dict[str, str]:
    """Our own variables, which lead every process that Dagster starts to the databases, to this package, and to what is
    declared."""
    return {
        **os.environ,
        DEFS_VARIABLE: str(defs_folder()),
        "PYTHONPATH": _joined(os.pathsep, str(PACKAGE_PARENT), os.environ.get("PYTHONPATH")),
        "PYTHONWARNINGS": _joined(",", os.environ.get("PYTHONWARNINGS"), *(f"ignore:{text}" for text in _SILENCED)),
    }


def _joined(separator: str, *parts: str | None) -> str:
    return separator.join(part for part in parts if part)


def run_until_stopped(commands: Sequence[Sequence[str]], folder: Path, environment: Mapping[str, str]) -> int:
    """Runs programs, which may start others, until one of them ends; none outlives this call, or this process.

    Returns:
        The exit status of the one that ended; 0 if they were stopped by a signal to this process.
    """
    with _noting_stop_signals() as asked:
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for command in commands:
                started = [*_told_when_orphaned(), *command]
                processes.append(subprocess.Popen(started, cwd=folder, env=dict(environment), start_new_session=True))
            while not asked and all(process.poll() is None for process in processes):
                time.sleep(_LOOK_SECONDS)
            statuses = [process.returncode for process in processes if process.returncode is not None]
            _ask_to_stop(processes, asked)
        finally:
            for process in processes:
                _end_group(process)
    return 0 if asked or not statuses else statuses[0]


def _ask_to_stop(processes: Sequence[subprocess.Popen[bytes]], asked: Sequence[int]) -> None:
    """Gives them their time, unless somebody asks again."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _STOP_SECONDS
    while any(process.poll() is None for process in processes) and len(asked) < 2 and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


@contextmanager
def _noting_stop_signals() -> Iterator[list[int]]:
    """Collects signals that ask this process to stop, instead of stopping it.

    A handler of ours also undoes, for the programs we start, that a shell's background jobs ignore SIGINT.
    """
    asked: list[int] = []
    before = {number: signal.signal(number, lambda given, _: asked.append(given)) for number in _STOP_SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _told_when_orphaned() -> list[str]:
    """Should this process be killed with no chance to say so, the program gets a SIGTERM (Linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends what is left of the program's session: politely, then for good."""
    for number, seconds in ((signal.SIGTERM, _LEFTOVERS_SECONDS), (signal.SIGKILL, 1.0)):
        deadline = time.monotonic() + seconds
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
            while time.monotonic() < deadline:
                process.poll()  # reaps it: a zombie would count as left
                os.killpg(process.pid, 0)
                time.sleep(0.05)
    process.wait()


def _set_pool_limits() -> None:
    from vector_pipeline.orchestration.pools import (  # noqa: PLC0415 - Dagster takes seconds
        set_pool_limits_of_declared_indexes,
    )

    set_pool_limits_of_declared_indexes()


def _choose_port(wanted: int | None, usual: int) -> int:
    """The wanted port; else the usual one if it is free; else any."""
    for candidate in (wanted,) if wanted else (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closing connections don't hold it
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigurationError(f"port {wanted} is taken; name another, or leave it out")
