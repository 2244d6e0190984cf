"""Removing old runs and events from Dagster's own storage, which keeps all of them for ever.

Partitions, checks and plots are what Dagster reads out of events, and deleting a run deletes its events (`delete_run`,
`delete_events`): a partition whose latest materialization goes is shown as missing. So a run stays, whatever its age,
as long as one of the latest events of an asset, a partition or a check is its own; there are no more of those than
there are partitions. What sensors report belongs to no run, and goes by its age, less the latest of each kind.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import sqlalchemy as db
from dagster._core.events import ASSET_EVENTS
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.dagster_run import FINISHED_STATUSES, RunRecord
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.tags import BACKFILL_ID_TAG, ROOT_RUN_ID_TAG

from vector_pipeline.core.errors import ConfigurationError, VectorPipelineError

_EVENTS, _CHECKS, _ASSETS = SqlEventLogStorageTable, AssetCheckExecutionsTable, AssetKeyTable
_AT_ONCE = 500
# The sensors still look at runs that ended a moment ago.
_LEAST_AGE = timedelta(hours=1)
_LATEST_OF = [kind.value for kind in ASSET_EVENTS]
_EVALUATED = [AssetCheckExecutionRecordStatus.SUCCEEDED.value, AssetCheckExecutionRecordStatus.FAILED.value]


@dataclass(frozen=True)
class Retention:
    """What is kept; 0 keeps all.

    Attributes:
        runs_days: finished runs, with their events, their logs and their points in plots.
        runs: the most of them, if there are more within those days.
        events_days: what sensors report without a run: lag, changed ranges, what checks showed.
    """

    runs_days: int = 30
    runs: int = 10_000
    events_days: int = 90


def read_retention(environment: Mapping[str, str]) -> Retention:
    """Reads VECTOR_PIPELINE_KEEP_RUNS_DAYS, …_KEEP_RUNS and …_KEEP_EVENTS_DAYS.

    Raises:
        ConfigurationError: naming the one that is unusable.
    """
    usual = Retention()
    return Retention(
        _number(environment, "KEEP_RUNS_DAYS", usual.runs_days),
        _number(environment, "KEEP_RUNS", usual.runs),
        _number(environment, "KEEP_EVENTS_DAYS", usual.events_days),
    )


def _number(environment: Mapping[str, str], ending: str, usual: int) -> int:
    name = f"VECTOR_PIPELINE_{ending}"
    text = environment.get(name)
    if not text:
        return usual
    if not text.isdecimal() or int(text) > 1_000_000:
        raise ConfigurationError(f"{name} is {text!r}: give a whole number up to 1000000, 0 to keep all")
    return int(text)


@dataclass(frozen=True)
class Pruned:
    """What was removed and what is left. `kept_for_latest` are runs past their time that hold what is shown; `finished`
    says that the time sufficed."""

    runs: int
    runs_left: int
    kept_for_latest: int
    events: int
    events_left: int
    check_results: int
    oldest_run: datetime | None
    finished: bool
    seconds: float


def prune(instance: dg.DagsterInstance, retention: Retention, seconds: float, now: datetime | None = None) -> Pruned:
    """Removes what is past its time, oldest first, for so many seconds at most; the next call goes on.

    Raises:
        VectorPipelineError: the instance keeps its events where they can't be edited.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise VectorPipelineError(
            f"Dagster keeps its events in a {type(storage).__name__}, which can't be pruned: unset its schedule"
        )
    started = time.monotonic()
    pruner = _Pruner(instance, storage, retention, now or datetime.now(UTC), started + seconds)
    runs, kept = pruner.prune_runs()
    events, check_results = pruner.prune_events()
    records = instance.get_run_records(limit=1, ascending=True)
    return Pruned(
        runs=runs,
        runs_left=instance.get_runs_count(),
        kept_for_latest=kept,
        events=events,
        events_left=pruner.count_events(),
        check_results=check_results,
        oldest_run=records[0].create_timestamp if records else None,
        finished=not pruner.is_late(),
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Pruner:
    instance: dg.DagsterInstance
    storage: SqlEventLogStorage
    retention: Retention
    now: datetime
    until: float

    def is_late(self) -> bool:
        return time.monotonic() >= self.until

    def prune_runs(self) -> tuple[int, int]:
        """Returns how many runs were removed, and how many past their time had to stay."""
        needed = self._runs_with_the_latest() | self._roots_of_retries()
        backfills = self._backfills_under_way()
        first_kept, oldest = self._first_of_the_newest(), self._oldest()
        removed = kept = 0
        for record in self._finished_runs():
            one_too_many = record.storage_id < first_kept
            if self.is_late() or not (one_too_many or _in_utc(record.create_timestamp) < oldest):
                break
            # One that took long stays for its time, and those that began after it need not.
            if not one_too_many and _ended(record) >= oldest:
                continue
            run = record.dagster_run
            if run.run_id in needed or run.tags.get(BACKFILL_ID_TAG) in backfills:
                kept += 1
                continue
            self._remove(run.run_id)
            removed += 1
        return removed, kept

    def _first_of_the_newest(self) -> int:
        """The place in the storage of the oldest of as many runs as are kept: those that have to stay besides take no
        room of theirs."""
        newest = self.instance.get_run_ids(limit=self.retention.runs) if self.retention.runs else []
        first = self.instance.get_run_record_by_id(newest[-1]) if newest else None
        return first.storage_id if first is not None else 0

    def _oldest(self) -> datetime:
        """When a run has to have ended to be kept."""
        days = self.retention.runs_days
        return self.now - timedelta(days=days) if days else datetime.min.replace(tzinfo=UTC)

    def _finished_runs(self) -> Iterator[RunRecord]:
        """Oldest first. A page is read before the runs of the one before are removed: its last is the next one's
        beginning."""
        filters = dg.RunsFilter(statuses=list(FINISHED_STATUSES), created_before=self.now - _LEAST_AGE)
        page = self.instance.get_run_records(filters, limit=_AT_ONCE, ascending=True)
        while page:
            following = self.instance.get_run_records(
                filters, limit=_AT_ONCE, ascending=True, cursor=page[-1].dagster_run.run_id
            )
            yield from (record for record in page if _ended(record) < self.now - _LEAST_AGE)
            page = following

    def _remove(self, run_id: str) -> None:
        """The run last, by which all else of it is found again if this breaks off."""
        self.instance.compute_log_manager.delete_logs(prefix=[run_id])
        with self.storage.index_connection() as connection:
            connection.execute(_CHECKS.delete().where(_CHECKS.c.run_id == run_id))
        self.storage.delete_events(run_id)
        self.instance.run_storage.delete_run(run_id)
        if isinstance(self.storage, SqliteEventLogStorage):
            file = self.storage.path_for_shard(run_id)
            for ending in ("", "-wal", "-shm"):
                Path(file + ending).unlink(missing_ok=True)

    def _runs_with_the_latest(self) -> set[str]:
        with self.storage.index_connection() as connection:
            of_events = connection.execute(
                db.select(_EVENTS.c.run_id).distinct().where(_EVENTS.c.id.in_(_latest_events()))
            ).fetchall()
            of_checks = connection.execute(
                db.select(_CHECKS.c.run_id).distinct().where(_CHECKS.c.id.in_(_latest_checks()))
            ).fetchall()
            of_assets = connection.execute(db.select(_ASSETS.c.last_run_id).distinct()).fetchall()
        return {run_id for (run_id,) in (*of_events, *of_checks, *of_assets) if run_id}

    def _roots_of_retries(self) -> set[str]:
        """The page of a run that was tried again asks for the run that it all began with."""
        return {run_id for _, ids in self.instance.get_run_tags([ROOT_RUN_ID_TAG]) for run_id in ids}

    def _backfills_under_way(self) -> set[str]:
        under_way = [
            BulkActionStatus.REQUESTED,
            BulkActionStatus.CANCELING,
            BulkActionStatus.FAILING,
        ]
        return {one.backfill_id for one in self.instance.get_backfills(BulkActionsFilter(statuses=under_way))}

    def prune_events(self) -> tuple[int, int]:
        """Removes what belongs to no run. Returns how many events, and how many results of checks."""
        if not self.retention.events_days:
            return 0, 0
        oldest = (self.now - timedelta(days=self.retention.events_days)).replace(tzinfo=None)
        events = (_EVENTS.c.run_id == RUNLESS_RUN_ID) & (_EVENTS.c.timestamp < oldest)
        results = (_CHECKS.c.run_id == RUNLESS_RUN_ID) & (_CHECKS.c.evaluation_event_timestamp < oldest)
        with self.storage.index_connection() as connection:
            latest_checks = connection.execute(
                db.select(
                    _CHECKS.c.id, _CHECKS.c.evaluation_event_storage_id, _CHECKS.c.materialization_event_storage_id
                ).where(_CHECKS.c.id.in_(_latest_checks()))
            ).fetchall()
            latest_events = {event_id for (event_id,) in connection.execute(_latest_events())}
        shown = latest_events | {event_id for _, *ids in latest_checks for event_id in ids if event_id is not None}
        removed = self._delete(_EVENTS, events, shown)
        return removed, self._delete(_CHECKS, results, {check_id for check_id, *_ in latest_checks})

    def _delete(self, table: db.Table, condition: db.ColumnElement[bool], kept: set[int]) -> int:
        """In small transactions: whoever else writes events waits for no more."""
        removed = last = 0
        while not self.is_late():
            with self.storage.index_connection() as connection:
                found = connection.execute(
                    db.select(table.c.id).where(condition, table.c.id > last).order_by(table.c.id).limit(_AT_ONCE)
                ).fetchall()
                ids = [row_id for (row_id,) in found if row_id not in kept]
                if ids:
                    removed += connection.execute(table.delete().where(table.c.id.in_(ids))).rowcount
                    if table is _EVENTS:
                        tags = AssetEventTagsTable
                        connection.execute(tags.delete().where(tags.c.event_id.in_(ids)))
            if len(found) < _AT_ONCE:
                break
            last = found[-1][0]
        return removed

    def count_events(self) -> int:
        with self.storage.index_connection() as connection:
            return int(connection.execute(db.select(db.func.count()).select_from(_EVENTS)).scalar_one())


def _ended(record: RunRecord) -> datetime:
    """When a run ended, or, where nobody noted it, was last heard of."""
    if record.end_time is not None:
        return datetime.fromtimestamp(record.end_time, UTC)
    return _in_utc(record.update_timestamp)


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _latest_events() -> db.Select[tuple[int]]:
    """The latest event of each kind of each asset and partition: they make what the UI and the sensors read."""
    return (
        db.select(db.func.max(_EVENTS.c.id))
        .where(_EVENTS.c.asset_key.is_not(None), _EVENTS.c.dagster_event_type.in_(_LATEST_OF))
        .group_by(_EVENTS.c.asset_key, _EVENTS.c.partition, _EVENTS.c.dagster_event_type)
    )


def _latest_checks() -> db.CompoundSelect[tuple[int]]:
    """The latest result of each check, and the latest one that was told, where that is still being found out."""
    latest = db.select(db.func.max(_CHECKS.c.id)).group_by(
        _CHECKS.c.asset_key, _CHECKS.c.check_name, _CHECKS.c.partition
    )
    return latest.union(latest.where(_CHECKS.c.execution_status.in_(_EVALUATED)))


def listed(pruned: Pruned) -> Sequence[tuple[str, int | float]]:
    """The numbers that are plotted."""
    return [
        ("runs_removed", pruned.runs),
        ("runs_left", pruned.runs_left),
        ("runs_kept_for_latest", pruned.kept_for_latest),
        ("events_removed", pruned.events),
        ("events_left", pruned.events_left),
        ("check_results_removed", pruned.check_results),
        ("seconds", round(pruned.seconds, 3)),
    ]
