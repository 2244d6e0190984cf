"""One server of the stack: what the supervisor needs to know of it, and its life as a child process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from vector_pipeline.embedded.accounts import Account
from vector_pipeline.embedded.folder import StackError

LONGEST_LOG = 10_000_000  # bytes


class Server(Protocol):
    """A database server as the supervisor sees it. All methods may be called again and again."""

    @property
    def name(self) -> str:
        """Also the name of its log and of its folder in `data/`."""

    @property
    def stop_signal(self) -> signal.Signals:
        """Ends the server without waiting for its clients, with nothing lost."""

    @property
    def environment(self) -> Mapping[str, str]:
        """All the environment variables of its programs."""

    def initialise(self, account: Account) -> None:
        """Makes the data folder if there is none; one that was left half made is made anew."""

    def remove_stale_lock(self) -> None:
        """Removes what a killed server left and what would keep a new one from starting."""

    def command(self, port: int) -> Sequence[str | Path]:
        """Runs the server in the foreground."""

    def accepts_connections(self, port: int) -> bool:
        """Whether a client can log in right now."""

    def create_databases(self, port: int) -> None:
        """Makes the databases that are not there yet."""


class ServerProcess:
    """A server started by this process, which therefore learns of its end at once."""

    def __init__(self, server: Server, account: Account, port: int, log: Path) -> None:
        self.server = server
        self.port = port
        with open_log(log) as output:
            self._process = subprocess.Popen(
                account.command(server.command(port), signal_when_orphaned=server.stop_signal),
                env=dict(server.environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at a terminal is for the supervisor's owner
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether the process is gone; reaps it."""
        return self._process.poll() is not None

    def ask_to_stop(self) -> None:
        """Returns at once; `wait` follows."""
        if not self.has_ended():
            self._process.send_signal(self.server.stop_signal)

    def wait(self, seconds: float) -> None:
        """Waits for the end; after `seconds` kills."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def open_log(log: Path) -> IO[bytes]:
    """Opens a log for appending, readable by its owner alone; a long one is begun anew."""
    if log.exists() and log.stat().st_size > LONGEST_LOG:
        log.replace(log.with_suffix(".log.old"))
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


def run_to_the_end(
    account: Account, arguments: Sequence[str | Path], environment: Mapping[str, str], purpose: str
) -> None:
    """Runs a program of a server's package; its words are shown only if it fails."""
    ended = subprocess.run(
        account.command(arguments),
        env=dict(environment),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise StackError(f"{purpose} failed (exit status {ended.returncode}):\n{ended.stdout.strip()}")
