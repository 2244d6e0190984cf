"""Dagster instances for tests in this process: on disk, but made once, copied for each test, and waiting for no disk.

Events go to one database, as they do in production's PostgreSQL. The SQLite storage that Dagster makes unasked has one
for each run, and making one takes longer than most of the runs here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import event
from sqlalchemy.engine import Engine


@contextmanager
def instance_in(folder: Path, overrides: Mapping[str, Any] | None = None) -> Iterator[dg.DagsterInstance]:
    """The instance whose files are in the folder, or a new one there; `overrides` are of its configuration."""
    storage = {
        "module": "dagster._core.storage.event_log",
        "class": "ConsolidatedSqliteEventLogStorage",
        "config": {"base_dir": str(folder / "events")},
    }
    with dg.instance_for_test(
        temp_dir=str(folder), overrides={"event_log_storage": storage, **(overrides or {})}
    ) as instance:
        yield instance


def make_empty_instance(folder: Path) -> Path:
    """The files of an instance with nothing in it: copying them takes a tenth of the time of making them."""
    with instance_in(folder) as instance:
        instance.get_runs()
        instance.get_dynamic_partitions("none")
        instance.schedule_storage.all_instigator_state()
    return folder


def copy_instance(empty: Path, folder: Path) -> Path:
    """A copy that can be named as DAGSTER_HOME."""
    shutil.copytree(empty, folder)
    configuration = folder / "dagster.yaml"
    configuration.write_text(configuration.read_text().replace(str(empty), str(folder)))
    return folder


@event.listens_for(Engine, "connect")
def _write_without_waiting(connection: Any, _: object) -> None:
    """SQLite's files outlive the process, though not a loss of power."""
    if type(connection).__module__ == "sqlite3":
        connection.execute("PRAGMA synchronous = OFF")
