"""A real PgBouncer before a PostgreSQL: this machine's, or one that is fetched and unpacked, which runs no service."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import psycopg
import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.embedded import debian_packages
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline_tests.servers import postgres

PROGRAM = "VECTOR_PIPELINE_PGBOUNCER"
"""Names it where it is not on the path."""


@contextmanager
def pgbouncer(
    target: TargetSettings,
    mode: Literal["session", "transaction"],
    *,
    takes_options: bool = True,
    goes_round: int = 0,
) -> Iterator[TargetSettings]:
    """Leads to the target.

    Args:
        takes_options: it passes over the options that a client gives, rather than refuse them.
        goes_round: keeps so many sessions, and gives each transaction the next one.
    """
    # It refuses to run as root, and pytest closes its folders to everybody else.
    user = "nobody" if os.getuid() == 0 else None
    with TemporaryDirectory(prefix="pgbouncer-") as name:
        folder = Path(name)
        program, environment = _provided(folder)
        reached = replace(target, host="127.0.0.1", port=choose_port())
        database = f"host={target.host} port={target.port} dbname={target.database} password={target.password}"
        settings = [
            "[databases]",
            f"{target.database} = {database}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {reached.port}",
            "unix_socket_dir =",
            "auth_type = trust",
            f"auth_file = {folder / 'users'}",
            f"pool_mode = {mode}",
            f"logfile = {folder / 'pgbouncer.log'}",
            *(["ignore_startup_parameters = options"] if takes_options else []),
            *(["server_round_robin = 1", f"min_pool_size = {goes_round}"] if goes_round else []),
        ]
        (folder / "users").write_text(f'"{target.user}" "{target.password}"\n')
        (folder / "pgbouncer.ini").write_text("\n".join(settings) + "\n")
        if user is not None:
            for path in (folder, *folder.iterdir()):
                os.chown(path, pwd.getpwnam(user).pw_uid, -1)
        process = subprocess.Popen(
            [program, "-q", folder / "pgbouncer.ini"], user=user, env=environment, stderr=subprocess.DEVNULL
        )
        try:
            _wait_until_it_answers(replace(reached, password=target.password), process, folder)
            yield reached
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()


def _provided(folder: Path) -> tuple[str | Path, dict[str, str]]:
    """The program, and the environment that it needs."""
    found = os.environ.get(PROGRAM) or shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is not None:
        return found, dict(os.environ)
    packages = Path(os.environ["VECTOR_PIPELINE_PACKAGES"])
    root = packages / "pgbouncer"
    if not root.is_dir():
        if not debian_packages.can_be_had():
            pytest.skip(f"NOT TESTED: there is no pgbouncer here, and no apt-get to bring it; {PROGRAM} may name one")
        packages.mkdir(mode=0o755, parents=True, exist_ok=True)
        with (packages / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not root.is_dir():
                debian_packages.unpack(["pgbouncer"], root)
    # The project may be below a folder that only its owner enters, and root's pgbouncer runs as somebody else.
    copied = shutil.copytree(root, folder / "programs", dirs_exist_ok=True, symlinks=True)
    return copied / "usr/sbin/pgbouncer", {**os.environ, "LD_LIBRARY_PATH": debian_packages.libraries(copied)}


@retry(stop=stop_after_delay(20), wait=wait_fixed(0.1), retry=retry_if_exception_type(psycopg.OperationalError))
def _wait_until_it_answers(reached: TargetSettings, process: subprocess.Popen[bytes], folder: Path) -> None:
    log = folder / "pgbouncer.log"
    assert process.poll() is None, log.read_text() if log.exists() else "pgbouncer has ended"
    postgres(reached).close()
