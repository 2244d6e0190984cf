"""Real servers for the tests: one stack for the session, a fresh database for each test.

Everything ends with the session, even with one that is killed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import psutil
import pymysql
import pytest
from psycopg import sql

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import schema
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.embedded.stack import StackAddresses, temporary_stack
from vector_pipeline_tests.dagster_instances import (
    PASSWORD_VARIABLE,
    DagsterHome,
    DagsterStorage,
    FreshStorage,
    InFiles,
    InPostgres,
    fill_storage,
    new_home,
)
from vector_pipeline_tests.server_folders import server_folder
from vector_pipeline_tests.servers import mysql_administrator, postgres

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared"
ORACLE_MYSQL = SHARED / "tools" / "oracle-mysql"
CANNOT_BE_HAD = 69  # exit status of that tool where its packages cannot be had

# Stops Oracle MySQL when the test session is gone, whichever way it went.
WATCH = """
import os, subprocess, sys, time
owner, tool, data = int(sys.argv[1]), sys.argv[2], sys.argv[3]
while os.getppid() == owner:
    time.sleep(0.2)
subprocess.run([tool, "stop", data])
"""


# Where MariaDB cannot be installed it is unpacked, once for all stacks of the tests and of all sessions.
os.environ.setdefault("VECTOR_PIPELINE_PACKAGES", str(PROJECT / ".stack" / "packages"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--dagster-storage",  # to be given with "=": a value apart is taken for a path before this option is known
        choices=["files", "postgres"],
        default="files",
        help="where Dagster instances of tests keep their history: SQLite's files (the default), or PostgreSQL",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that have a Dagster instance can be chosen by `-m dagster`."""
    for item in items:
        if isinstance(item, pytest.Function) and "fresh_dagster_storage" in item.fixturenames:
            item.add_marker("dagster")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackAddresses]:
    """MariaDB and PostgreSQL with pgvector, for the whole session."""
    with server_folder(tmp_path_factory, "stack") as folder, temporary_stack(folder) as addresses:
        _leave_writing_to_the_system(addresses)
        yield addresses


@pytest.fixture(scope="session")
def mariadb(stack: StackAddresses) -> SourceSettings:
    """An account of the session's MariaDB that may do anything."""
    assert stack.source_administrator is not None
    return stack.source_administrator


@pytest.fixture(scope="session")
def oracle_mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SourceSettings]:
    """An account of an Oracle MySQL that may do anything; skips where there is none to be had."""
    packages = _oracle_mysql_packages()
    with server_folder(tmp_path_factory, "oracle-mysql") as data:
        yield from _started_oracle_mysql(packages, data)


def _started_oracle_mysql(packages: Path, data: Path) -> Iterator[SourceSettings]:
    port = choose_port()
    watch = [sys.executable, "-c", WATCH, str(os.getpid()), str(ORACLE_MYSQL), str(data)]
    watchdog = subprocess.Popen(watch, start_new_session=True)
    try:
        started = _oracle_mysql("start", packages, data, str(port))
        if started.returncode != 0:
            pytest.fail(f"Oracle MySQL does not start: {started.stderr}")
        server = SourceSettings("127.0.0.1", port, "root", "", "mysql")
        _commit_to_memory(server)
        yield server
    finally:
        pid_file = data / "mysql.pid"
        process = psutil.Process(int(pid_file.read_text())) if pid_file.exists() else None
        _oracle_mysql("stop", data)
        watchdog.kill()
        watchdog.wait()
        if process is not None:
            _wait_until_ended(process)


@pytest.fixture
def mysql_database(mariadb: SourceSettings) -> Iterator[SourceSettings]:
    """A fresh database on MariaDB, and an account that may do anything."""
    with fresh_mysql_database(mariadb) as database:
        yield database


@pytest.fixture
def oracle_mysql_database(oracle_mysql: SourceSettings) -> Iterator[SourceSettings]:
    """A fresh database on Oracle MySQL, and an account that may do anything."""
    with fresh_mysql_database(oracle_mysql) as database:
        yield database


@pytest.fixture(params=["mariadb", "oracle"])
def any_mysql_database(request: pytest.FixtureRequest) -> SourceSettings:
    """A fresh database, once on each of the two kinds of server."""
    name = {"mariadb": "mysql_database", "oracle": "oracle_mysql_database"}[request.param]
    database: SourceSettings = request.getfixturevalue(name)
    return database


@pytest.fixture(scope="session")
def pg_template(stack: StackAddresses) -> TargetSettings:
    """A database to copy: nothing in it but the extension."""
    template = replace(stack.target, database="template_with_vector")
    _execute(stack.target, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(template.database)))
    _execute(template, sql.SQL("CREATE EXTENSION vector"))
    return template


@pytest.fixture(scope="session")
def pg_template_with_registry(pg_template: TargetSettings) -> TargetSettings:
    """A database to copy that has our own tables: making them anew takes a tenth of a second each time."""
    template = _copy_of(pg_template, "template_with_registry")
    with store_connection.connect(template) as connection:
        schema.create_registry(connection)
    return template


@pytest.fixture
def pg_database(pg_template_with_registry: TargetSettings) -> Iterator[TargetSettings]:
    """A fresh PostgreSQL database with pgvector and our own tables, empty; its user may do anything."""
    with fresh_pg_database(pg_template_with_registry) as database:
        yield database


@pytest.fixture
def bare_pg_database(pg_template: TargetSettings) -> Iterator[TargetSettings]:
    """The same that our project has never seen."""
    with fresh_pg_database(pg_template) as database:
        yield database


@contextmanager
def fresh_pg_database(pg_template: TargetSettings) -> Iterator[TargetSettings]:
    """A copy of the template, dropped at the end of the block."""
    fresh = _copy_of(pg_template, f"test_{uuid.uuid4().hex[:12]}")
    yield fresh
    _execute(
        replace(fresh, database="postgres"),
        sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(fresh.database)),
    )


@pytest.fixture(scope="session")
def empty_dagster_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a Dagster instance with nothing in it."""
    home = new_home(tmp_path_factory.mktemp("instance"), InFiles())
    fill_storage(home)
    return home.folder


@pytest.fixture(scope="session")
def dagster_template(stack: StackAddresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TargetSettings]:
    """A database to copy: with Dagster's tables, empty."""
    template = replace(stack.target, database="template_of_dagster")
    _execute(stack.target, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(template.database)))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(PASSWORD_VARIABLE, template.password or "")
        fill_storage(new_home(tmp_path_factory.mktemp("instance"), InPostgres(template)))
        yield template


@pytest.fixture(scope="session")
def fresh_dagster_storage(request: pytest.FixtureRequest) -> FreshStorage:
    """Makes storages of Dagster: where the command line says, or where the one who asks is marked to have it."""

    @contextmanager
    def fresh(asking: pytest.FixtureRequest) -> Iterator[DagsterStorage]:
        chosen = request.config.getoption("--dagster-storage")
        if chosen == "postgres" or asking.node.get_closest_marker("dagster_in_postgres"):
            with fresh_pg_database(asking.getfixturevalue("dagster_template")) as database:
                yield InPostgres(database)
        else:
            yield InFiles(asking.getfixturevalue("empty_dagster_files"))

    return fresh


@pytest.fixture
def dagster_storage(request: pytest.FixtureRequest, fresh_dagster_storage: FreshStorage) -> Iterator[DagsterStorage]:
    """A storage of Dagster with nothing in it."""
    with fresh_dagster_storage(request) as storage:
        yield storage


@pytest.fixture
def dagster_home(tmp_path: Path, dagster_storage: DagsterStorage) -> DagsterHome:
    """A Dagster instance for the test's process."""
    return new_home(tmp_path / "dagster", dagster_storage)


@pytest.fixture
def instance(dagster_home: DagsterHome) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance, which is DAGSTER_HOME's."""
    with dagster_home.instance() as instance:
        yield instance


def _leave_writing_to_the_system(stack: StackAddresses) -> None:
    """Lets the servers wait for no disk: what they wrote outlives their being killed, though not a loss of power."""
    with postgres(stack.target) as connection:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(name)))
        connection.execute("SELECT pg_reload_conf()")
    assert stack.source_administrator is not None
    _commit_to_memory(stack.source_administrator)


def _commit_to_memory(server: SourceSettings) -> None:
    with mysql_administrator(server) as connection, connection.cursor() as cursor:
        cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
        cursor.execute("SET GLOBAL sync_binlog = 0")


@contextmanager
def fresh_mysql_database(server: SourceSettings) -> Iterator[SourceSettings]:
    fresh = replace(server, database=f"test_{uuid.uuid4().hex[:12]}")
    with mysql_administrator(server) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {fresh.database} CHARACTER SET utf8mb4")
    yield fresh
    with mysql_administrator(server) as connection, connection.cursor() as cursor:
        # A connection that a test left open in a transaction would make the DROP wait for ever.
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (fresh.database,))
        for (connection_id,) in cursor.fetchall():
            try:
                cursor.execute(f"KILL {connection_id}")
            except pymysql.MySQLError:
                continue  # gone by itself
        cursor.execute(f"DROP DATABASE {fresh.database}")


def _copy_of(template: TargetSettings, name: str) -> TargetSettings:
    _execute(
        replace(template, database="postgres"),
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
            sql.Identifier(name), sql.Identifier(template.database)
        ),
    )
    return replace(template, database=name)


def _execute(target: TargetSettings, statement: sql.SQL | sql.Composed) -> None:
    with postgres(target) as connection:
        connection.execute(statement)


def _wait_until_ended(server: psutil.Process) -> None:
    """Its files must not be taken away before: Oracle MySQL then spins for ever."""
    _, alive = psutil.wait_procs([server], timeout=60)
    for process in alive:
        process.kill()


def _oracle_mysql_packages() -> Path:
    """The folder with the unpacked server: kept from one session to the next, since it is 60 MB to fetch."""
    if not ORACLE_MYSQL.exists():
        pytest.skip(f"NOT TESTED ON ORACLE MYSQL: there is no {ORACLE_MYSQL}")
    packages = PROJECT / ".stack" / "oracle-mysql"
    if packages.is_dir():
        return packages
    packages.parent.mkdir(mode=0o711, exist_ok=True)
    fetching = packages.with_suffix(f".fetching-{os.getpid()}")
    try:
        fetched = _oracle_mysql("fetch", fetching)
        if fetched.returncode == CANNOT_BE_HAD:
            pytest.skip(f"NOT TESTED ON ORACLE MYSQL: {fetched.stderr.strip()}")
        if fetched.returncode != 0:
            pytest.fail(f"Oracle MySQL cannot be fetched: {fetched.stderr}")
        if not packages.is_dir():
            fetching.rename(packages)
    finally:
        shutil.rmtree(fetching, ignore_errors=True)
    return packages


def _oracle_mysql(action: str, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ORACLE_MYSQL, action, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
