"""`make dev` and its end: nothing that it started is left, whichever way it is stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.embedded import dev
from vector_pipeline.embedded import stack as embedded
from vector_pipeline.embedded.demo import bring_up_what_is_not_named
from vector_pipeline.embedded.dev import run_until_stopped

# Like `dagster dev`: it starts others, ends itself when interrupted, and does not see to all of them.
PROGRAM = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
worker = subprocess.Popen([sys.executable, "-c", deaf])
print(worker.pid, flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    sys.exit(3)
"""
OWNER = """
import os, sys
from pathlib import Path
from vector_pipeline.embedded.dev import run_until_stopped
sys.exit(run_until_stopped([[sys.executable, "-c", sys.argv[1]]], Path("/"), os.environ))
"""


def test_databases_that_the_environment_names_are_used_and_no_other_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named = embedded.StackAddresses(
        SourceSettings("mysql.example.org", 3306, "reader", "secret", "shop"),
        None,
        TargetSettings("pg.example.org", 5432, "writer", "secret", "vectors"),
        "dagster",
    ).environment()
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "stack"
    monkeypatch.setenv("VECTOR_PIPELINE_STACK", str(folder))
    console = Console(record=True, width=200)
    assert not bring_up_what_is_not_named(console)
    assert "MySQL at mysql.example.org, PostgreSQL at pg.example.org" in console.export_text()
    assert {name: os.environ[name] for name in named} == named
    assert embedded.status(folder).phase == "absent"


@pytest.mark.parametrize(
    ("number", "in_background"),
    [
        (signal.SIGINT, False),
        pytest.param(signal.SIGINT, True, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, False, marks=pytest.mark.long),
        (signal.SIGTERM, True),
        pytest.param(signal.SIGHUP, False, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, True, marks=pytest.mark.long),
    ],
)
def test_a_signal_ends_the_program_and_all_that_it_started(number: signal.Signals, in_background: bool) -> None:
    with _owner(in_background) as (owner, program, worker):
        owner.send_signal(number)
        assert owner.wait(20) == 0
        assert _ended([program, worker])


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv")
def test_the_program_ends_though_its_owner_was_killed() -> None:
    with _owner() as (owner, program, worker):
        owner.kill()
        owner.wait(20)
        assert _ended([program])
        worker.kill()


def test_a_program_that_ends_by_itself_hands_on_its_status() -> None:
    assert run_until_stopped([[sys.executable, "-c", "raise SystemExit(7)"]], Path("/"), os.environ) == 7


def test_the_end_of_one_program_is_that_of_all() -> None:
    commands = [[sys.executable, "-c", f"import time; time.sleep({seconds}); exit(7)"] for seconds in (600, 0)]
    assert run_until_stopped(commands, Path("/"), os.environ) == 7


def test_a_program_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "_STOP_SECONDS", 0.5)
    monkeypatch.setattr(dev, "_LEFTOVERS_SECONDS", 0.5)
    deaf = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.kill(os.getppid(), signal.SIGTERM); time.sleep(600)"
    )
    started = time.monotonic()
    assert run_until_stopped([[sys.executable, "-c", deaf]], Path("/"), os.environ) == 0
    assert time.monotonic() - started < 10


@contextmanager
def _owner(in_background: bool = False) -> Iterator[tuple[subprocess.Popen[str], psutil.Process, psutil.Process]]:
    """The process that `make dev` is, the program that it runs, and a worker that the program started."""
    # A shell without job control starts its background jobs with SIGINT ignored.
    background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"] if in_background else []
    command = [*background, sys.executable, "-c", OWNER, PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        worker = psutil.Process(int(owner.stdout.readline()))
        program = worker.parent()
        assert program is not None
        try:
            yield owner, program, worker
        finally:
            for process in (owner, program, worker):
                _kill(process)


def _kill(process: subprocess.Popen[str] | psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _ended(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=10)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)
