"""Taking rows out of what Dagster's event log shows of an index: previews, refused texts, hits of searches.

Whatever shows texts of rows is a Markdown table with a column `key`; the table stays, without the rows of those keys.
Beside these a provider may have quoted what was sent to it, in an error that doesn't say of which row: of all such
errors of the index its words go, and of offline batches. What such a run has printed repeats them: it is removed.

Dagster has no way to change an event, so the tables of its storage are edited: events are JSON, and stand in the log
itself, in the last materialization of an asset and in the last evaluation of a check.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg
import sqlalchemy as db
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from vector_pipeline.core.errors import ProviderError, VectorPipelineError, without_words
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.metadata import cell

_EVENTS_AT_ONCE = 200
_TABLE = "MarkdownMetadataEntryData"  # as Dagster serialises dg.MarkdownMetadataValue
_ERROR = "SerializableErrorInfo"
_BAR = re.compile(r"(?<!\\)\|")


def _names_of(error: type[ProviderError]) -> Set[str]:
    return {error.__name__}.union(*map(_names_of, error.__subclasses__()))


_PROVIDER_ERRORS = _names_of(ProviderError)

Connect = Callable[[], AbstractContextManager[db.Connection]]


@dataclass(frozen=True)
class _Place:
    """A column of Dagster's tables that holds events."""

    table: db.Table
    column: str

    @property
    def event(self) -> db.Column[str]:
        return self.table.c[self.column]


_PLACES = (
    _Place(SqlEventLogStorageTable, "event"),
    _Place(AssetKeyTable, "last_materialization"),
    _Place(AssetCheckExecutionsTable, "evaluation_event"),
)


def erase_from_event_log(instance: dg.DagsterInstance, index: IndexContext, keys: Sequence[str]) -> int:
    """Removes the rows with these keys from all tables that the log shows of the index, and the words of its provider
    from errors. Returns how many events had such.

    Raises:
        VectorPipelineError: the instance keeps its events where they can't be edited.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise VectorPipelineError(
            f"Dagster keeps its events in a {type(storage).__name__}, which can't be edited: previews may still show "
            "the rows; wipe the materializations of the index's assets in the UI"
        )
    eraser = _Eraser(instance, index, {cell(key) for key in keys}, set(instance.get_run_ids(_runs_of(index))))
    erased = 0
    for connect, places in _databases(storage):
        changed = sum(_erase_in(connect, place, eraser) for place in places)
        erased += changed
        if changed:
            _clear_out(connect, places)
    return erased


def _runs_of(index: IndexContext) -> dg.RunsFilter:
    return dg.RunsFilter(tags=index.run_tags)


@dataclass(frozen=True)
class _Eraser:
    """What is erased of an index. `keys` are as tables show them, `runs` those of the index's jobs."""

    instance: dg.DagsterInstance
    index: IndexContext
    keys: Set[str]
    runs: Set[str]

    def without_texts(self, stored: str) -> str | None:
        """The event without the rows of these keys; None where it has none, or is not of the index.

        What the event's run has printed is removed if the event has words of a provider.
        """
        event = json.loads(stored)
        found = list(_objects(event))
        run_id = event.get("run_id")
        if run_id not in self.runs and not any(_names(part, self.index) for part in found):
            return None
        # All of them: each is changed where it stands.
        rows = [_erase_rows_from(part, self.keys) for part in found]
        words = [_erase_words_from(part) for part in found]
        if any(words) and run_id:
            # Before the event is changed, by which it would be found again if this breaks off.
            self.instance.compute_log_manager.delete_logs(prefix=[run_id])
        return json.dumps(event) if any(rows + words) else None


def _databases(storage: SqlEventLogStorage) -> Iterator[tuple[Connect, Sequence[_Place]]]:
    """SQLite's storage has a database for each run beside the one for all."""
    yield storage.index_connection, _PLACES
    if isinstance(storage, SqliteEventLogStorage):
        for run_id in storage.get_all_run_ids():
            yield partial(storage.run_connection, run_id), _PLACES[:1]


def _erase_in(connect: Connect, place: _Place, eraser: _Eraser) -> int:
    changed, last = 0, 0
    while True:
        # A transaction for some events: whoever else writes events waits for no more.
        with connect() as connection:
            rows = connection.execute(
                db.select(place.table.c.id, place.event)
                .where(place.table.c.id > last)
                .where(place.event.contains(_TABLE) | place.event.contains(_ERROR))
                .where(place.event.contains(eraser.index.prefix, autoescape=True))
                .order_by(place.table.c.id)
                .limit(_EVENTS_AT_ONCE)
            ).fetchall()
            for row_id, stored in rows:
                without = eraser.without_texts(stored)
                if without is not None:
                    # A newer event that has come in its place meanwhile is another one.
                    same = db.and_(place.table.c.id == row_id, place.event == stored)
                    changed += connection.execute(
                        db.update(place.table).where(same).values({place.column: without})
                    ).rowcount
        if len(rows) < _EVENTS_AT_ONCE:
            return changed
        last = rows[-1][0]


def _erase_rows_from(part: dict[str, Any], keys: Set[str]) -> bool:
    """Changes a table of an event. Returns whether there was anything to change."""
    if part.get("__class__") != _TABLE or not isinstance(part.get("md_str"), str):
        return False
    return _replace(part, "md_str", _table_without(part["md_str"], keys))


def _erase_words_from(part: dict[str, Any]) -> bool:
    """Changes an error of an event. Returns whether there was anything to change."""
    if part.get("__class__") != _ERROR or part.get("cls_name") not in _PROVIDER_ERRORS:
        return False
    return _replace(part, "message", without_words(part["message"]))


def _replace(part: dict[str, Any], name: str, value: str) -> bool:
    changed = bool(part[name] != value)
    part[name] = value
    return changed


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _names(part: dict[str, Any], index: IndexContext) -> bool:
    """Whether a part of an event says that it is of the index: its asset, the step of one, or metadata `index`."""
    if part.get("__class__") == "AssetKey":
        return bool(part.get("path", [])[:1] == [index.prefix])
    if str(part.get("step_key")).startswith(f"{index.prefix}__"):
        return True
    return part.get("label") == "index" and part.get("entry_data", {}).get("text") == index.declaration.spec.name


def _table_without(markdown: str, keys: Set[str]) -> str:
    head, *lines = markdown.split("\n")
    columns = _cells(head)
    if "key" in columns:
        place = columns.index("key")
        lines = [line for line in lines if keys.isdisjoint(_cells(line)[place : place + 1])]
    elif columns[-1:] == ["message"]:  # of offline batches, below a rule
        lines[1:] = ["|".join([*_BAR.split(line)[:-2], " ", ""]) for line in lines[1:]]
    return "\n".join([head, *lines])


def _cells(line: str) -> list[str]:
    return [one.strip() for one in _BAR.split(line.strip())[1:-1]]


def _clear_out(connect: Connect, places: Sequence[_Place]) -> None:
    """Has the database clear what was replaced out of its files, as far as it can be told to."""
    with connect() as connection:
        engine = connection.engine
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(db.text("VACUUM"))
            connection.execute(db.text("PRAGMA wal_checkpoint(TRUNCATE)"))
        elif engine.dialect.name == "postgresql":
            for place in places:
                # The statistics as well: they quote values.
                connection.execute(db.text(f"VACUUM (ANALYZE) {place.table.name}"))
