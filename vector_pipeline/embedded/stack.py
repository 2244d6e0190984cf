"""The embedded stack, from outside: bring it up, take it down, ask how it is.

A stack is a PostgreSQL with pgvector and, unless a MySQL is named in the environment, a MariaDB, both on
private ports of 127.0.0.1, in a folder. `up` leaves it running for whoever comes; `temporary_stack` binds it
to this process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from dotenv import dotenv_values

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.embedded import mariadb, mariadb_programs, postgres
from vector_pipeline.embedded.folder import (
    ServerState,
    StackError,
    StackFolder,
    StackState,
    default_folder,
    write_private,
)
from vector_pipeline.embedded.server import open_log
from vector_pipeline.embedded.supervisor import START_SECONDS, STOP_SECONDS
from vector_pipeline.project_folder import PACKAGE_PARENT

__all__ = [
    "NamedServers",
    "StackAddresses",
    "StackError",
    "StackStatus",
    "default_folder",
    "down",
    "named_servers",
    "read_environment",
    "status",
    "temporary_stack",
    "up",
]


@dataclass(frozen=True)
class NamedServers:
    """Which servers the environment names that are not the stack's own."""

    mysql: bool
    postgres: bool


@dataclass(frozen=True)
class StackAddresses:
    """Where the servers are and how to log in.

    Attributes:
        source: the MySQL server; the environment's where the stack has none of its own.
        source_administrator: an account that may do anything on it; None if it is not the stack's own.
        target: PostgreSQL; its user may do anything there.
        dagster_database: database of the same PostgreSQL for Dagster's own storage.
    """

    source: SourceSettings
    source_administrator: SourceSettings | None
    target: TargetSettings
    dagster_database: str

    def environment(self) -> dict[str, str]:
        """The environment variables that lead every part of vector-pipeline to this stack."""
        return {
            "DB_HOST": self.source.host,
            "DB_PORT": str(self.source.port),
            "DB_USER": self.source.user,
            "DB_PASSWORD": self.source.password,
            "DB_NAME": self.source.database,
            "PG_HOST": self.target.host,
            "PG_PORT": str(self.target.port),
            "PG_USER": self.target.user,
            "PG_PASSWORD": self.target.password,
            "PGVECTOR_DB_NAME": self.target.database,
            "PG_DB_NAME": self.dagster_database,
        }

    def environment_besides(self, named: NamedServers) -> dict[str, str]:
        """The same for the servers that the environment does not name."""
        left_out = (*(["DB_"] if named.mysql else []), *(["PG"] if named.postgres else []))
        return {name: value for name, value in self.environment().items() if not name.startswith(left_out)}


@dataclass(frozen=True)
class StackStatus:
    """How a stack is at this moment.

    Attributes:
        phase: `absent`, `stopped`, `starting`, `ready` or `failed`.
        pid: of the supervisor, None if there is none.
        servers: name → port, pid and number of restarts.
        healthy: all servers accept connections.
    """

    folder: Path
    phase: str
    message: str
    pid: int | None
    healthy: bool
    servers: dict[str, ServerState] = field(default_factory=dict)


def named_servers(folder: Path) -> NamedServers:
    """What the environment names beside the stack in that folder."""
    own = read_environment(folder.resolve())
    return NamedServers(*(_names_another(prefix, own) for prefix in ("DB", "PG")))


def _names_another(prefix: str, own: Mapping[str, str]) -> bool:
    names = [f"{prefix}_{name}" for name in ("HOST", "PORT", "USER")]
    return bool(os.environ.get(names[0])) and any(os.environ.get(name) != own.get(name) for name in names)


def read_environment(folder: Path) -> dict[str, str]:
    """What `up` wrote for others; empty if there is no stack."""
    return {name: value for name, value in dotenv_values(StackFolder(folder).environment).items() if value}


def up(folder: Path, *, with_mysql: bool | None = None, progress: Callable[[str], None] = print) -> StackAddresses:
    """Brings the stack up, or finds it up, and leaves it running.

    Args:
        folder: where the stack lies; made if absent.
        with_mysql: whether it has a MySQL-protocol server; None: only if the environment names none.
        progress: gets a line for each step.
    """
    stack = StackFolder(folder.resolve())
    stack.create()
    with stack.being_changed():
        wanted = _named_mysql(stack) is None if with_mysql is None else with_mysql
        running = _wait_while_unwell(stack)
        if running is not None:
            if _has_mysql(running) or not wanted:
                return _addresses(stack, running, wanted)
            progress("Stopping the stack to start it again with MariaDB")
            _stop(stack)
        if wanted:
            mariadb_programs.provide(stack, progress)
        progress(f"Starting the stack in {stack.path}")
        _supervise(stack, wanted, "--detach").wait()
        state = _wait_until_ready(stack, progress)
        addresses = _addresses(stack, state, wanted)
        _write_environment(stack, addresses)
        for name, server in state.servers.items():
            if server.pid is not None:
                progress(f"{name} is ready on 127.0.0.1:{server.port}")
        return addresses


def down(folder: Path) -> bool:
    """Stops the stack; all data stay. Whether there was anything to stop."""
    stack = StackFolder(folder.resolve())
    if not stack.path.is_dir():
        return False
    with stack.being_changed():
        return _stop(stack)


def status(folder: Path) -> StackStatus:
    """How the stack is; asks each server."""
    stack = StackFolder(folder.resolve())
    state = stack.read_state()
    if state is None:
        return StackStatus(stack.path, "absent", "", None, False)
    if not stack.supervised():
        phase = "failed" if state.phase == "failed" else "stopped"
        ended = {name: ServerState(server.port) for name, server in state.servers.items()}
        return StackStatus(stack.path, phase, state.message, None, False, ended)
    return StackStatus(stack.path, state.phase, state.message, state.pid, _healthy(stack, state), state.servers)


@contextmanager
def temporary_stack(
    folder: Path, *, with_mysql: bool = True, progress: Callable[[str], None] = print
) -> Iterator[StackAddresses]:
    """A stack that lives as long as this block, and ends with this process however that ends."""
    stack = StackFolder(folder.resolve())
    stack.create()
    if with_mysql:
        mariadb_programs.provide(stack, progress)
    if stack.supervised():
        raise StackError(f"the stack in {stack.path} is up already")
    stack.write_state(StackState(pid=0, message="starting"))
    supervisor = _supervise(stack, with_mysql, f"--owner={os.getpid()}")
    try:
        state = _wait_until_ready(stack, progress, supervisor)
        yield _addresses(stack, state, with_mysql)
    finally:
        supervisor.terminate()
        try:
            supervisor.wait(STOP_SECONDS + 10)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()


def _supervise(stack: StackFolder, with_mysql: bool, bound: str) -> subprocess.Popen[bytes]:
    """Starts the supervisor. Its environment finds this package, wherever it was imported from."""
    command = [sys.executable, "-m", "vector_pipeline.embedded.supervisor", str(stack.path), bound]
    path = os.pathsep.join(filter(None, (str(PACKAGE_PARENT), os.environ.get("PYTHONPATH"))))
    with open_log(stack.log("supervisor")) as log:
        return subprocess.Popen(
            [*command, *(["--mysql"] if with_mysql else [])],
            env={**os.environ, "PYTHONPATH": path},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_while_unwell(stack: StackFolder) -> StackState | None:
    """The state of a stack that is up, or None if there is none, or no longer.

    What the supervisor last wrote is not enough: it may be dying, or restarting a server.
    """
    deadline = time.monotonic() + START_SECONDS
    while stack.supervised():
        state = stack.read_state()
        if state is not None and _healthy(stack, state):
            return state
        if time.monotonic() > deadline:
            raise StackError(f"the stack in {stack.path} is not well: {_last_words(stack)}")
        time.sleep(0.1)
    return None


def _wait_until_ready(
    stack: StackFolder,
    progress: Callable[[str], None],
    supervisor: subprocess.Popen[bytes] | None = None,
) -> StackState:
    deadline = time.monotonic() + 2 * START_SECONDS + 30
    told = ""
    while time.monotonic() < deadline:
        # In this order: a supervisor writes its last state before it lets go of its lock.
        ended = supervisor.poll() is not None if supervisor else not stack.supervised()
        state = stack.read_state()
        if state is not None and state.phase == "ready" and not ended:
            return state
        if ended:
            reason = state.message if state is not None and state.phase == "failed" else ""
            raise StackError(f"the stack did not start: {reason or _last_words(stack)}")
        if state is not None and state.message != told:
            told = state.message
            progress(f"  {told}")
        time.sleep(0.05)
    raise StackError(f"the stack in {stack.path} does not get ready: {told}")


def _stop(stack: StackFolder) -> bool:
    deadline = time.monotonic() + STOP_SECONDS + 10
    asked: int | None = None
    while stack.supervised():
        state = stack.read_state()
        if state is not None and state.pid and asked is None and _is_supervisor(state.pid):
            os.kill(state.pid, signal.SIGTERM)
            asked = state.pid
        if time.monotonic() > deadline and asked is not None:
            os.kill(asked, signal.SIGKILL)  # the servers get their stop signal when it dies
            asked = None
        time.sleep(0.05)
    return asked is not None


def _is_supervisor(pid: int) -> bool:
    try:
        return "vector_pipeline.embedded.supervisor" in psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return False


def _has_mysql(state: StackState) -> bool:
    server = state.servers.get(mariadb.MariaDBServer.name)
    return server is not None and server.pid is not None


def _named_mysql(stack: StackFolder) -> SourceSettings | None:
    """The MySQL that the environment names, unless that is this stack's own."""
    variables = os.environ
    if not named_servers(stack.path).mysql:
        return None
    return SourceSettings(
        host=variables["DB_HOST"],
        port=int(variables.get("DB_PORT") or 3306),
        user=variables.get("DB_USER", ""),
        password=variables.get("DB_PASSWORD", ""),
        database=variables.get("DB_NAME", ""),
    )


def _addresses(stack: StackFolder, state: StackState, with_mysql: bool) -> StackAddresses:
    passwords = stack.passwords()
    target = TargetSettings(
        host="127.0.0.1",
        port=state.servers[postgres.PostgresServer.name].port,
        user=postgres.USER,
        password=passwords.postgres,
        database=postgres.DATABASE,
    )
    if not with_mysql:
        named = _named_mysql(stack) or SourceSettings("", 3306, "", "", "")
        return StackAddresses(named, None, target, postgres.DAGSTER_DATABASE)
    port = state.servers[mariadb.MariaDBServer.name].port
    source = SourceSettings("127.0.0.1", port, mariadb.USER, passwords.mysql, mariadb.DATABASE)
    root = SourceSettings("127.0.0.1", port, "root", passwords.mysql_root, mariadb.DATABASE)
    return StackAddresses(source, root, target, postgres.DAGSTER_DATABASE)


def _write_environment(stack: StackFolder, addresses: StackAddresses) -> None:
    """Only what is the stack's own: another server's password is not ours to copy."""
    own = {
        name: value
        for name, value in addresses.environment().items()
        if not name.startswith("DB_") or addresses.source_administrator is not None
    }
    lines = ["# Written by `vector-pipeline stack up`; it is written anew each time."]
    write_private(stack.environment, "\n".join([*lines, *(f"{name}={value}" for name, value in own.items()), ""]))


def _healthy(stack: StackFolder, state: StackState) -> bool:
    return state.phase == "ready" and all(
        _accepts_connections(stack, name, server.port)
        for name, server in state.servers.items()
        if server.pid is not None
    )


def _accepts_connections(stack: StackFolder, name: str, port: int) -> bool:
    if name == mariadb.MariaDBServer.name:
        programs = mariadb_programs.find(stack)
        return programs is not None and mariadb.MariaDBServer(stack, programs).accepts_connections(port)
    return postgres.PostgresServer(stack).accepts_connections(port)


def _last_words(stack: StackFolder) -> str:
    try:
        return "\n".join(stack.log("supervisor").read_text(errors="replace").splitlines()[-8:])
    except FileNotFoundError:
        return "its supervisor did not even start"
