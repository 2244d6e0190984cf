"""Dagster instances for tests: each with a storage of its own, in files or in PostgreSQL, and nothing in its history.

`pytest --dagster-storage=postgres` has all of them in the session's PostgreSQL, as production has; tests marked with
`dagster_in_postgres` are there anyway. See the fixtures `dagster_storage`, `dagster_home` and `instance`.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from psycopg import sql
from sqlalchemy import event
from sqlalchemy.engine import Engine

from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.project_folder import PACKAGE_PARENT
from vector_pipeline_tests.servers import postgres

PASSWORD_VARIABLE = "DAGSTER_STORAGE_PASSWORD"
"""The environment variable from which instances take PostgreSQL's password: no file of theirs has it."""


class DagsterStorage(ABC):
    """Where one instance keeps its runs, events and ticks."""

    @abstractmethod
    def configuration(self, folder: Path) -> dict[str, Any]:
        """As it stands in `dagster.yaml`, for an instance in the folder that is used by the test's process."""

    @abstractmethod
    def configuration_of_processes(self) -> dict[str, Any]:
        """The same as it is where Dagster's own programs use the instance."""

    @abstractmethod
    def begin(self, folder: Path) -> None:
        """Puts into the folder what has to be there before it is used by the test's process."""

    @abstractmethod
    def tables_with(self, text: str) -> list[str]:
        """The tables of a database server that have the text somewhere."""


@dataclass(frozen=True)
class InFiles(DagsterStorage):
    """SQLite's files in the instance's folder.

    In the test's process events go to one database, as they do in production's PostgreSQL. The storage that Dagster
    makes unasked has one for each run, and making one takes longer than most of the runs here.

    Attributes:
        empty: the files of an instance with nothing in it: copying them takes a tenth of the time of making them.
    """

    empty: Path | None = None

    def configuration(self, folder: Path) -> dict[str, Any]:
        events = {
            "module": "dagster._core.storage.event_log",
            "class": "ConsolidatedSqliteEventLogStorage",
            "config": {"base_dir": str(folder / "events")},
        }
        return {"event_log_storage": events}

    def configuration_of_processes(self) -> dict[str, Any]:
        return {}

    def begin(self, folder: Path) -> None:
        if self.empty:
            shutil.copytree(self.empty, folder)
        else:
            folder.mkdir(exist_ok=True)

    def tables_with(self, text: str) -> list[str]:  # noqa: ARG002 - there is no server
        return []


@dataclass(frozen=True)
class InPostgres(DagsterStorage):
    """A database with Dagster's tables; whoever uses it has its password in PASSWORD_VARIABLE."""

    database: TargetSettings

    def configuration(self, folder: Path) -> dict[str, Any]:  # noqa: ARG002 - nothing is in the folder
        return self.configuration_of_processes()

    def configuration_of_processes(self) -> dict[str, Any]:
        address = {
            "hostname": self.database.host,
            "port": self.database.port,
            "username": self.database.user,
            "password": {"env": PASSWORD_VARIABLE},
            "db_name": self.database.database,
            "scheme": "postgresql+psycopg2",  # as in docker/dagster.yaml
        }
        return {"storage": {"postgres": {"postgres_db": address}}}

    def begin(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)

    def tables_with(self, text: str) -> list[str]:
        return tables_with(self.database, text)


FreshStorage = Callable[[pytest.FixtureRequest], AbstractContextManager[DagsterStorage]]
"""Makes a storage with nothing in it, which ends with the block; it is told by which test or fixture it is asked."""


@dataclass(frozen=True)
class DagsterHome:
    """The folder of an instance, which can be named as DAGSTER_HOME."""

    folder: Path
    storage: DagsterStorage

    @contextmanager
    def instance(self, overrides: Mapping[str, Any] | None = None) -> Iterator[dg.DagsterInstance]:
        """The instance; `overrides` are of its configuration. DAGSTER_HOME leads to it within the block."""
        configuration = {**self.storage.configuration(self.folder), **(overrides or {})}
        with dg.instance_for_test(temp_dir=str(self.folder), overrides=configuration) as instance:
            yield instance

    def places_with(self, text: str) -> list[str]:
        """The files and tables that have the text somewhere."""
        files = [file for file in self.folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]
        return [*map(str, files), *self.storage.tables_with(text)]


def new_home(folder: Path, storage: DagsterStorage) -> DagsterHome:
    """A home for the test's process."""
    storage.begin(folder)
    configuration = {"telemetry": {"enabled": False}, **storage.configuration(folder)}
    (folder / "dagster.yaml").write_text(yaml.safe_dump(configuration))
    return DagsterHome(folder, storage)


def new_home_of_processes(
    folder: Path, storage: DagsterStorage, configuration: Mapping[str, Any] | None = None
) -> Path:
    """A home for Dagster's own programs, with this configuration, or with the project's."""
    if configuration is None:
        configuration = yaml.safe_load((PACKAGE_PARENT / "dagster.yaml").read_text())
    folder.mkdir(exist_ok=True)
    (folder / "dagster.yaml").write_text(yaml.safe_dump({**configuration, **storage.configuration_of_processes()}))
    return folder


def fill_storage(home: DagsterHome) -> None:
    """Has Dagster make what it makes when it is used for the first time."""
    with home.instance() as instance:
        instance.get_runs()
        instance.get_dynamic_partitions("none")
        instance.schedule_storage.all_instigator_state()


def tables_with(database: TargetSettings, text: str) -> list[str]:
    """The tables, and the statistics of tables, that have the text somewhere."""
    with postgres(database) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT LIKE 'pg_%'"
            " AND schemaname <> 'information_schema'"
        ).fetchall()
        found = []
        for name in [*tables, ("pg_catalog", "pg_stats")]:
            statement = sql.SQL("SELECT 1 FROM {} t WHERE strpos(t::text, {}) > 0 LIMIT 1")
            if connection.execute(statement.format(sql.Identifier(*name), text)).fetchone():
                found.append(".".join(name))
    return found


@event.listens_for(Engine, "connect")
def _write_without_waiting(connection: Any, _: object) -> None:
    """SQLite's files outlive the process, though not a loss of power."""
    if type(connection).__module__ == "sqlite3":
        connection.execute("PRAGMA synchronous = OFF")
