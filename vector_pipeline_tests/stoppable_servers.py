"""Database servers of a test's own that it stops and starts again, on the same port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.embedded import mariadb_programs
from vector_pipeline.embedded.accounts import Account, choose_account
from vector_pipeline.embedded.folder import StackFolder
from vector_pipeline.embedded.mariadb import MariaDBServer
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.embedded.postgres import DATABASE, USER, PostgresServer, binaries
from vector_pipeline.embedded.server import Server, ServerProcess
from vector_pipeline_tests.waiting import wait_until


class StoppableServer:
    """Runs from when it is made."""

    def __init__(self, server: Server, account: Account, log: Path) -> None:
        self._server = server
        self._account = account
        self._log = log
        self.port = choose_port()
        account.own(log.parent)
        server.initialise(account)
        self.start()

    def start(self) -> None:
        """Returns once clients can log in."""
        self._server.remove_stale_lock()
        self._process = ServerProcess(self._server, self._account, self.port, self._log)
        wait_until(self._accepts, pause=0.1)

    def stop(self) -> None:
        """Returns once it has ended."""
        self._process.ask_to_stop()
        self._process.wait(30)

    def _accepts(self) -> bool:
        assert not self._process.has_ended(), self._log.read_text()[-2000:]
        return self._server.accepts_connections(self.port)


@contextmanager
def stoppable_postgres(path: Path) -> Iterator[tuple[StoppableServer, TargetSettings]]:
    """PostgreSQL with pgvector, in a folder of its own."""
    folder = StackFolder(path.resolve())
    folder.create()
    server = PostgresServer(folder)
    account = choose_account(folder.path, {binaries() / "postgres": server.environment})
    account.own(folder.data)
    running = StoppableServer(server, account, folder.log(server.name))
    try:
        server.create_databases(running.port)
        yield running, TargetSettings("127.0.0.1", running.port, USER, folder.passwords().postgres, DATABASE)
    finally:
        running.stop()


@contextmanager
def stoppable_mariadb(path: Path) -> Iterator[tuple[StoppableServer, SourceSettings]]:
    """MariaDB in a folder of its own, with the account that may do anything."""
    folder = StackFolder(path.resolve())
    folder.create()
    programs = mariadb_programs.provide(folder, print)
    account = choose_account(folder.path, {programs.server: programs.environment})
    account.own(folder.data)
    server = MariaDBServer(folder, programs)
    running = StoppableServer(server, account, folder.log(server.name))
    try:
        server.create_databases(running.port)
        yield running, SourceSettings("127.0.0.1", running.port, "root", folder.passwords().mysql_root, "mysql")
    finally:
        running.stop()
