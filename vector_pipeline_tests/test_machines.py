"""Machines of killed sessions are removed, those of others left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from vector_pipeline_tests.machines import machine

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="machines have networks of their own only where this is root")

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
SESSION = """
import os, sys, time
from pathlib import Path
from vector_pipeline_tests.machines import machine
folder = Path(sys.argv[1])
with machine("one", folder / "cluster", folder / "hidden", []) as one:
    worker = one.start([sys.executable, "-c", "import time; time.sleep(600)"], os.environ)
    print(worker.pid, one.gateway.split(".")[2], flush=True)
    time.sleep(600)
"""


def test_what_a_killed_session_left_is_removed_by_the_next(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    with subprocess.Popen([sys.executable, "-c", SESSION, str(tmp_path)], stdout=subprocess.PIPE) as session:
        assert session.stdout is not None
        pid, number = map(int, session.stdout.readline().split())
        worker, [relay] = psutil.Process(pid), relays_of(session.pid)
        session.kill()
    assert worker.is_running()
    assert f"vp-machine{number}" in namespaces()
    with machine("two", tmp_path / "next", hidden, []):
        pass
    _, alive = psutil.wait_procs([worker, relay], timeout=10)
    assert all(process.status() == psutil.STATUS_ZOMBIE for process in alive)
    assert f"vp-machine{number}" not in namespaces()


def test_machines_that_are_in_use_are_left_alone(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    with machine("one", tmp_path / "cluster", hidden, []) as one:
        process = one.start(SLEEP, os.environ)
        with machine("two", tmp_path / "cluster", hidden, []) as two:
            assert two.gateway != one.gateway
            assert process.poll() is None
        assert process.poll() is None
        process.kill()


def relays_of(session: int) -> list[psutil.Process]:
    children = psutil.Process(session).children()
    return [child for child in children if "vector_pipeline_tests.relay" in child.cmdline()]


def namespaces() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True)
    return [line.split()[0] for line in listed.stdout.splitlines()]
