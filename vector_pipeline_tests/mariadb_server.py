"""Further MariaDB servers, for tests of what one server alone can't show: TLS, and a replica that falls behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.embedded import mariadb_programs
from vector_pipeline.embedded.accounts import Account, choose_account
from vector_pipeline.embedded.folder import StackFolder
from vector_pipeline.embedded.mariadb import MariaDBServer
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.embedded.server import ServerProcess


@dataclass(frozen=True)
class FurtherServer(MariaDBServer):
    """The stack's server with options of its own."""

    options: tuple[str, ...] = ()

    def command(self, port: int) -> Sequence[str | Path]:
        return [*super().command(port), *self.options]


@dataclass(frozen=True)
class ServerTLS:
    """PEM files: the authority, and the server's certificate with its key."""

    ca: str
    cert: str
    key: str


@contextmanager
def further_mariadb(path: Path, *options: str, tls: ServerTLS | None = None) -> Iterator[SourceSettings]:
    """A server of its own in this folder, as long as the block; the account may do anything."""
    folder = StackFolder(path.resolve())
    folder.create()
    programs = mariadb_programs.provide(folder, print)
    account = choose_account(folder.path, {programs.server: programs.environment})
    account.own(folder.data)
    if tls is not None:
        options = (*options, *(f"--ssl-{name}={file}" for name, file in _own_copies(tls, folder, account).items()))
    server = FurtherServer(folder, programs, options)
    server.initialise(account)
    port = choose_port()
    process = ServerProcess(server, account, port, folder.log(server.name))
    try:
        _wait_until_it_accepts(server, process, port)
        yield SourceSettings("127.0.0.1", port, "root", folder.passwords().mysql_root, "mysql")
    finally:
        process.ask_to_stop()
        process.wait(30)


def _own_copies(tls: ServerTLS, folder: StackFolder, account: Account) -> dict[str, Path]:
    """Where the account that runs the server can read them."""
    copies = {}
    for name, file in asdict(tls).items():
        copies[name] = folder.data / f"{name}.pem"
        shutil.copy(file, copies[name])
        os.chown(copies[name], account.uid, account.gid)
    return copies


@retry(stop=stop_after_delay(60), wait=wait_fixed(0.1), retry=retry_if_result(lambda accepts: not accepts))
def _wait_until_it_accepts(server: FurtherServer, process: ServerProcess, port: int) -> bool:
    assert not process.has_ended(), server.folder.log(server.name).read_text()[-2000:]
    return server.accepts_connections(port)
