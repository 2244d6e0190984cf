"""The one process per stack that is the parent of its servers.

Being their parent is the point: it learns at once that a server died, leaves no zombie that would keep a new
PostgreSQL from starting, and its own death, however sudden, takes the servers along (see `accounts`). It
holds the lock of the folder as long as it lives and writes what it does into the folder's state.

With an owner it ends when the owner does: that is how a test session leaves nothing behind even if killed.
Without, it detaches itself and works until it gets SIGTERM.

    python -m vector_pipeline.embedded.supervisor FOLDER [--mysql] (--detach | --owner PID)
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from vector_pipeline.embedded import mariadb_programs
from vector_pipeline.embedded.accounts import BARE_ENVIRONMENT, Account, choose_account
from vector_pipeline.embedded.folder import Phase, ServerState, StackError, StackFolder, StackState
from vector_pipeline.embedded.mariadb import MariaDBServer
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.embedded.postgres import PostgresServer, binaries
from vector_pipeline.embedded.server import Server, ServerProcess, open_log

START_SECONDS = 120.0  # recovery after a crash has taken 60 s on a slow disk
STOP_SECONDS = 60.0
TRIES_TO_START = 20
LOOK_SECONDS = 0.1
LONGEST_PAUSE = 30.0  # seconds between two restarts of a server that keeps crashing
WELL_AGAIN_SECONDS = 60.0  # a server that has run for so long starts over with the shortest pause


class StopRequested(Exception):
    """SIGTERM came, or the owner is gone."""


class Supervisor:
    """Starts the servers, keeps them running, stops them."""

    def __init__(self, folder: StackFolder, with_mysql: bool, owner: int | None) -> None:
        self._folder = folder
        self._with_mysql = with_mysql
        self._owner = owner
        self._stop_requested = False
        self._processes: dict[str, ServerProcess] = {}
        previous = folder.read_state()
        self._state = StackState(pid=os.getpid(), servers=previous.servers if previous else {})
        for server in self._state.servers.values():
            server.pid, server.restarts = None, 0

    def run(self) -> int:
        """Works until told to stop; the exit status."""
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGINT, self._request_stop)
        phase: Phase = "stopped"
        message = ""
        try:
            account, servers = self._prepare()
            for server in servers:
                self._start_first(server, account)
            for server in servers:
                server.create_databases(self._state.servers[server.name].port)
            self._say("ready", f"servers run {account.description}")
            self._keep_running(servers, account)
        except StopRequested:
            pass
        except Exception as error:
            phase, message = "failed", str(error)
            if not isinstance(error, StackError):
                traceback.print_exc()
        self._stop_all()
        self._say(phase, message)
        return 0 if phase == "stopped" else 1

    def _request_stop(self, *_: object) -> None:
        self._stop_requested = True

    def _say(self, phase: Phase, message: str) -> None:
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {phase}: {message}", flush=True)
        self._state.phase, self._state.message = phase, message
        self._folder.write_state(self._state)

    def _prepare(self) -> tuple[Account, list[Server]]:
        self._say("starting", "looking for a way to run the servers")
        servers: list[Server] = [PostgresServer(self._folder)]
        programs = {binaries() / name: BARE_ENVIRONMENT for name in ("postgres", "initdb")}
        if self._with_mysql:
            found = mariadb_programs.find(self._folder)
            if found is None:
                raise StackError("there is no MariaDB here")
            servers.append(MariaDBServer(self._folder, found))
            programs[found.server] = found.environment
        account = choose_account(self._folder.path, programs)
        self._folder.passwords()
        account.own(self._folder.data)
        for server in servers:
            self._say("starting", f"preparing {server.name} {account.description}")
            server.initialise(account)
        return account, servers

    def _start_first(self, server: Server, account: Account) -> None:
        """Starts a server whose port nobody knows yet, so that another may be taken if this one is lost."""
        known = self._state.servers.get(server.name)
        port = known.port if known else None
        pause = 0.1
        for _ in range(TRIES_TO_START):
            others = {state.port for name, state in self._state.servers.items() if name != server.name}
            port = choose_port(port, besides=others)
            self._state.servers[server.name] = ServerState(port)
            self._say("starting", f"starting {server.name} on port {port}")
            if self._start(server, account):
                return
            self._sleep(pause)
            pause = min(pause * 2, 3.0)
        raise StackError(f"{server.name} does not start; its last words:\n{self._last_words(server)}")

    def _start(self, server: Server, account: Account) -> bool:
        """Whether the server came up; False if it ended by itself."""
        server.remove_stale_lock()
        state = self._state.servers[server.name]
        process = ServerProcess(server, account, state.port, self._folder.log(server.name))
        self._processes[server.name] = process
        state.pid = process.pid
        deadline = time.monotonic() + START_SECONDS
        while not process.has_ended():
            if server.accepts_connections(state.port) and not process.has_ended():
                return True
            if time.monotonic() > deadline:
                raise StackError(
                    f"{server.name} accepts no connection after {START_SECONDS:.0f} s; its last words:\n"
                    f"{self._last_words(server)}"
                )
            self._sleep(LOOK_SECONDS)
        state.pid = None
        return False

    def _keep_running(self, servers: Sequence[Server], account: Account) -> None:
        pauses = {server.name: 1.0 for server in servers}
        started = {server.name: time.monotonic() for server in servers}
        while True:
            self._sleep(LOOK_SECONDS)
            for server in servers:
                if not self._processes[server.name].has_ended():
                    continue
                if time.monotonic() - started[server.name] > WELL_AGAIN_SECONDS:
                    pauses[server.name] = 1.0
                self._restart(server, account, pauses[server.name])
                started[server.name] = time.monotonic()
                pauses[server.name] = min(pauses[server.name] * 2, LONGEST_PAUSE)

    def _restart(self, server: Server, account: Account, pause: float) -> None:
        """One try, on the same port, since clients know it by now."""
        state = self._state.servers[server.name]
        state.pid = None
        self._say("starting", f"{server.name} ended by itself; starting it again in {pause:.0f} s")
        self._sleep(pause)
        state.restarts += 1
        if self._start(server, account):
            self._say("ready", f"{server.name} is back")

    def _sleep(self, seconds: float) -> None:
        """Sleeps, unless this process is to stop."""
        until = time.monotonic() + seconds
        while True:
            if self._stop_requested or (self._owner is not None and os.getppid() != self._owner):
                raise StopRequested
            rest = until - time.monotonic()
            if rest <= 0:
                return
            time.sleep(min(rest, LOOK_SECONDS))

    def _stop_all(self) -> None:
        for process in self._processes.values():
            process.ask_to_stop()
        for name, process in self._processes.items():
            process.wait(STOP_SECONDS)
            self._state.servers[name].pid = None

    def _last_words(self, server: Server) -> str:
        try:
            return "\n".join(self._folder.log(server.name).read_text(errors="replace").splitlines()[-8:])
        except FileNotFoundError:
            return "(none)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Takes the folder's lock, detaches if asked to, and supervises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mysql", action="store_true")
    bound = parser.add_mutually_exclusive_group(required=True)
    bound.add_argument("--detach", action="store_true")
    bound.add_argument("--owner", type=int)
    options = parser.parse_args(arguments)

    os.umask(0o077)
    folder = StackFolder(options.folder)
    lock = folder.take_supervision()
    if lock is None:
        print(f"another supervisor works on {folder.path}", file=sys.stderr)
        return 1
    if options.detach:
        # The lock is the parent's and the child's alike: whoever waits for the parent finds it held.
        folder.write_state(_announced(folder))
        if os.fork() != 0:
            os._exit(0)
        os.setsid()
        with open_log(folder.log("supervisor")) as log, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
    return Supervisor(folder, options.mysql, options.owner).run()


def _announced(folder: StackFolder) -> StackState:
    """The state until the supervisor itself writes it: what a former one said is true no more."""
    previous = folder.read_state()
    return StackState(pid=0, message="starting", servers=previous.servers if previous else {})


if __name__ == "__main__":
    sys.exit(main())
