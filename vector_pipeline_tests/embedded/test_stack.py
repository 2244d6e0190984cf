"""The stack comes up, answers, keeps its data, keeps its passwords to itself, and ends when it should."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pymysql
import pytest

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.embedded import stack as embedded
from vector_pipeline.embedded.folder import StackFolder
from vector_pipeline_tests.servers import mysql, postgres
from vector_pipeline_tests.waiting import wait_until

PROJECT = Path(__file__).resolve().parents[2]
SOMEBODY = 64123  # a user id that nothing else has

UP_AND_WAIT = """
import sys, time
from pathlib import Path
from vector_pipeline.embedded.stack import temporary_stack
with temporary_stack(Path(sys.argv[1])) as addresses:
    print("up", flush=True)
    time.sleep(600)
"""

UP_AS_SOMEBODY = """
import os, sys
from pathlib import Path
import psycopg, pymysql
from vector_pipeline.embedded.stack import temporary_stack
with temporary_stack(Path(sys.argv[1])) as addresses:
    target, source = addresses.target, addresses.source
    with psycopg.connect(host=target.host, port=target.port, user=target.user, password=target.password,
                         dbname=target.database) as connection:
        print("vector", connection.execute("SELECT '[3,4]'::vector <-> '[0,0]'").fetchone()[0])
    with pymysql.connect(host=source.host, port=source.port, user=source.user, password=source.password,
                         database=source.database).cursor() as cursor:
        cursor.execute("SELECT 6 * 7")
        print("mysql", cursor.fetchone()[0], "uid", os.getuid())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for a stack that is not below a folder closed to others, as a project's usually is not."""
    parent = Path(tempfile.mkdtemp(prefix="stack-"))
    parent.chmod(0o755)
    yield parent / ".stack"
    embedded.down(parent / ".stack")
    assert _processes_of(parent) == []
    shutil.rmtree(parent)


def test_postgres_answers_with_pgvector(pg_database: TargetSettings) -> None:
    with postgres(pg_database) as connection:
        connection.execute("CREATE TABLE items (embedding vector(3))")
        connection.execute("INSERT INTO items VALUES ('[1,0,0]'), ('[0,1,0]')")
        connection.execute("CREATE INDEX ON items USING hnsw (embedding vector_cosine_ops)")
        nearest = connection.execute("SELECT embedding::text FROM items ORDER BY embedding <=> '[0,2,0]' LIMIT 1")
        assert nearest.fetchone() == ("[0,1,0]",)


def test_mysql_answers_with_utf8mb4(any_mysql_database: SourceSettings) -> None:
    with mysql(any_mysql_database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE words (word TEXT)")
        cursor.execute("INSERT INTO words VALUES ('kesihatan 🏥')")
        cursor.execute("SELECT word FROM words")
        assert cursor.fetchone() == ("kesihatan 🏥",)


def test_mariadb_writes_the_row_log_that_its_user_may_read(stack: embedded.StackAddresses) -> None:
    with mysql(stack.source) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@binlog_format, @@binlog_row_image, @@binlog_row_metadata")
        assert cursor.fetchone() == ("ROW", "FULL", "FULL")
        cursor.execute("SHOW MASTER STATUS")
        assert cursor.fetchone() is not None


def test_nobody_comes_in_without_the_password(stack: embedded.StackAddresses) -> None:
    target, source = stack.target, stack.source
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=target.host, port=target.port, user=target.user, password="", dbname=target.database)
    for user in ("root", source.user, ""):
        with pytest.raises(pymysql.OperationalError, match="denied"):
            pymysql.connect(host=source.host, port=source.port, user=user, password="")


def test_data_and_addresses_are_kept_between_starts(folder: Path) -> None:
    first = embedded.up(folder, with_mysql=True)
    assert embedded.read_environment(folder) == first.environment()
    with postgres(first.target) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    with mysql(first.source) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 1 AS one")
    assert embedded.down(folder)
    assert not embedded.down(folder)
    assert embedded.status(folder).phase == "stopped"
    assert _processes_of(folder) == []

    assert embedded.up(folder, with_mysql=True) == first
    assert embedded.status(folder).healthy
    with postgres(first.target) as connection:
        assert connection.execute("SELECT one FROM kept").fetchall() == [(1,)]
    with mysql(first.source) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT one FROM kept")
        assert cursor.fetchall() == ((1,),)


ADDRESSES = embedded.StackAddresses(
    SourceSettings("127.0.0.1", 20001, "vector_pipeline", "secret", "vector_pipeline"),
    SourceSettings("127.0.0.1", 20001, "root", "secret", "vector_pipeline"),
    TargetSettings("127.0.0.1", 20002, "vector_pipeline", "secret", "vector_pipeline"),
    "dagster",
)


@pytest.mark.parametrize(
    ("environment", "mysql", "postgres"),
    [
        ({}, False, False),
        (ADDRESSES.environment(), False, False),
        ({"PG_HOST": "pg.example.org", "PG_USER": "writer"}, False, True),
        ({"PG_HOST": "127.0.0.1"}, False, True),
        (ADDRESSES.environment() | {"DB_PORT": "3306"}, True, False),
    ],
)
def test_a_server_that_the_environment_names_is_told_from_the_stacks_own(
    environment: dict[str, str], mysql: bool, postgres: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = "\n".join(f"{name}={value}" for name, value in ADDRESSES.environment().items())
    StackFolder(tmp_path).environment.write_text(written)
    for name in ADDRESSES.environment():
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    named = embedded.named_servers(tmp_path)
    assert named == embedded.NamedServers(mysql, postgres)
    led = {name.split("_")[0] for name in ADDRESSES.environment_besides(named)}
    assert led == {*([] if mysql else ["DB"]), *([] if postgres else ["PG", "PGVECTOR"])}


@pytest.mark.long
def test_two_that_bring_it_up_at_once_get_the_same_stack(folder: Path) -> None:
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(embedded.up, folder, with_mysql=True) for _ in range(2)]
    assert both[0].result() == both[1].result()
    assert embedded.status(folder).healthy


@pytest.mark.long
def test_a_server_that_was_killed_comes_back_on_its_port(folder: Path) -> None:
    addresses = embedded.up(folder, with_mysql=True)
    for server in ("postgres", "mariadb"):
        pid = embedded.status(folder).servers[server].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda server=server: embedded.status(folder).servers[server].restarts >= 1)  # type: ignore[misc]
        wait_until(lambda: embedded.status(folder).healthy)
    with postgres(addresses.target) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with mysql(addresses.source) as connection:
        connection.ping(reconnect=False)


@pytest.mark.long
def test_when_everything_was_killed_it_comes_up_again(folder: Path) -> None:
    first = embedded.up(folder, with_mysql=True)
    with postgres(first.target) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    for process in _processes_of(folder):
        process.kill()
    # At once: the dead supervisor's state still says that all is well.
    with postgres(embedded.up(folder, with_mysql=True).target) as connection:
        assert connection.execute("SELECT one FROM kept").fetchall() == [(1,)]


@pytest.mark.long
def test_a_lock_whose_number_another_process_has_by_now_is_overcome(folder: Path) -> None:
    embedded.up(folder, with_mysql=False)
    embedded.down(folder)
    lock = StackFolder(folder).data / "postgres" / "postmaster.pid"
    owner = lock.parent.stat()
    # A process of the very account, so that PostgreSQL takes it for a living postmaster.
    stranger = subprocess.Popen(["/bin/sleep", "600"], user=owner.st_uid if os.geteuid() == 0 else None)
    try:
        lock.write_text(f"{stranger.pid}\n{lock.parent}\n1700000000\n5432\n\n127.0.0.1\n         0         0\nready\n")
        embedded.up(folder, with_mysql=False)
        assert embedded.status(folder).healthy
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.long
def test_a_port_that_was_taken_meanwhile_is_avoided(folder: Path) -> None:
    first = embedded.up(folder, with_mysql=True)
    embedded.down(folder)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", first.target.port))
        taken.listen()
        second = embedded.up(folder, with_mysql=True)
        assert second.target.port != first.target.port
        assert second.source.port == first.source.port
        assert embedded.read_environment(folder)["PG_PORT"] == str(second.target.port)


@pytest.mark.long
def test_nothing_is_left_when_the_owner_is_killed(folder: Path) -> None:
    with _owner(folder) as owner:
        owner.kill()
        owner.wait()
    wait_until(lambda: _processes_of(folder) == [])


@pytest.mark.long
def test_no_server_is_left_when_the_supervisor_is_killed(folder: Path) -> None:
    embedded.up(folder, with_mysql=True)
    pid = embedded.status(folder).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _processes_of(folder) == [])
    assert embedded.status(folder).phase == "stopped"


def test_a_mysql_named_in_the_environment_is_used_instead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "db.example", "PORT": "3307", "USER": "u", "PASSWORD": "s3cret", "NAME": "n"}.items():
        monkeypatch.setenv(f"DB_{name}", value)
    addresses = embedded.up(folder)
    assert addresses.source == SourceSettings("db.example", 3307, "u", "s3cret", "n")
    assert set(embedded.status(folder).servers) == {"postgres"}
    assert "s3cret" not in (folder / "environment").read_text()


@pytest.mark.long
def test_the_addresses_that_a_stack_gave_do_not_hide_its_ownmysql(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embedded.up(folder, with_mysql=True)
    for name, value in first.environment().items():
        monkeypatch.setenv(name, value)
    embedded.down(folder)
    assert embedded.up(folder) == first


def test_what_holds_a_password_is_closed_and_no_socket_is_open_to_all(folder: Path) -> None:
    addresses = embedded.up(folder, with_mysql=True)
    admin = addresses.source_administrator
    assert admin is not None
    secrets = [password.encode() for password in (addresses.target.password, addresses.source.password, admin.password)]
    for path in (path for path in folder.rglob("*") if not path.is_dir()):
        mode = path.lstat().st_mode
        assert not stat.S_ISSOCK(mode), path
        if stat.S_ISREG(mode) and any(secret in path.read_bytes() for secret in secrets):
            assert stat.S_IMODE(mode) & 0o077 == 0 or path.is_relative_to(folder / "data"), path
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700
    for process in _processes_of(folder):
        shown = " ".join(process.cmdline()).encode()
        assert not any(secret in shown for secret in secrets), "a password on a command line is everybody's"


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_runs_the_servers_as_somebody_without_rights(folder: Path) -> None:
    embedded.up(folder, with_mysql=True)
    for server in embedded.status(folder).servers.values():
        assert psutil.Process(server.pid).uids().effective != 0


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a closed home that its servers cannot enter")
def test_below_a_closed_folder_it_works_and_the_folder_stays_closed(folder: Path) -> None:
    folder.parent.chmod(0o700)
    embedded.up(folder, with_mysql=True)
    assert embedded.status(folder).healthy
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test of this file is that of an ordinary user then")
def test_an_ordinary_user_can_have_a_stack(folder: Path) -> None:
    python = _python_for_somebody()
    if python is None:
        pytest.skip("NOT TESTED AS AN ORDINARY USER: no Python here that another user may run with these packages")
    os.chown(folder.parent, SOMEBODY, SOMEBODY)
    ran = _as_somebody([*python, "-c", UP_AS_SOMEBODY, str(folder)], home=folder.parent)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "vector 5.0" in ran.stdout
    assert f"mysql 42 uid {SOMEBODY}" in ran.stdout
    assert _processes_of(folder) == []


def _python_for_somebody() -> list[str] | None:
    """This Python, or the system's of the same version with the same packages, whichever others may run."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        probe = _as_somebody([python, "-c", "import vector_pipeline.embedded.stack"], home=Path("/"))
        if probe.returncode == 0:
            return [python]
    return None


def _as_somebody(command: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    packages = Path(psycopg.__file__).resolve().parents[1]
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{packages}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        return subprocess.run(
            command,
            user=SOMEBODY,
            group=SOMEBODY,
            extra_groups=[],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 126, "", str(error))


def _owner(folder: Path) -> subprocess.Popen[str]:
    owner = subprocess.Popen(
        [sys.executable, "-c", UP_AND_WAIT, str(folder)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    while (line := owner.stdout.readline()) and line != "up\n":
        pass
    assert line, "the owner ended before its stack was up"
    return owner


def _processes_of(folder: Path) -> list[psutil.Process]:
    """Supervisor and servers: all have their folder on their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(folder) in word for word in words):
            found.append(process)
    return [process for process in found if process.pid != os.getpid()]
