"""Programs that know variables only get their secrets from files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

SHOW = "import os; print(os.environ.get('PG_PASSWORD'))"


def test_a_program_finds_what_stands_in_the_file_in_its_variable(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    ran = _run([sys.executable, "-c", SHOW], PG_PASSWORD_FILE=str(tmp_path / "password"))
    assert (ran.returncode, ran.stdout) == (0, "hunter2\n")


def test_nothing_is_started_without_its_secret() -> None:
    ran = _run([sys.executable, "-c", SHOW], PG_PASSWORD_FILE="/no/such/file")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "error: PG_PASSWORD_FILE names /no/such/file, which can't be read: No such file" in ran.stderr


def test_a_program_that_is_not_there_is_named() -> None:
    ran = _run(["no-such-program"])
    assert (ran.returncode, ran.stderr) == (2, "error: no-such-program can't be started: No such file or directory\n")


def test_the_program_takes_its_place_so_that_signals_reach_it() -> None:
    # One that whoever runs the tests doesn't ignore, as a shell's job in the background does some.
    ran = _run(["sh", "-c", "kill -USR1 $$"])
    assert ran.returncode == -signal.SIGUSR1


def _run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG_")}
    through = [sys.executable, "-m", "vector_pipeline.with_secrets", *command]
    return subprocess.run(through, env=kept | variables, capture_output=True, text=True, check=False)
