"""A history as production writes it: an index loaded range by range, changed many times since, and proven now and then.

All runs are real ones, in this process, as the reconciling sensor requests them. A daemon's differ by some ten events
of queue and launcher each.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
from psycopg import sql

from benchmarks.workplace import Workplace, fill_faq, questions
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.orchestration.pools import set_pool_limits
from vector_pipeline_tests.components.declared import faq_attributes
from vector_pipeline_tests.dagster_instances import PASSWORD_VARIABLE, InPostgres
from vector_pipeline_tests.environments import variables_of
from vector_pipeline_tests.orchestration.location import QUIET, Location
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.workbench import Workbench

PARTITIONS = 1_000
RUNS = 200
ROWS_PER_PARTITION = 10
PARTITIONS_PER_CHANGE = 5
VERIFICATIONS = 3
INDEX = "faq"
DECLARED: Mapping[str, Any] = faq_attributes(
    INDEX,
    range_size=ROWS_PER_PARTITION,
    search={"threshold": -1.0},
    automation={"ranges_per_run": 50},
)
# A run writes so many events at a time, or the load of 1,000 partitions takes minutes.
_BATCHED = {"DAGSTER_EVENT_BATCH_SIZE": "200"}
# Dagster connects anew for each statement, unless it is told that it serves the UI: half of the time of a short run.
_KEPT_CONNECTIONS = {"statement_timeout": 60_000, "pool_recycle": 3_600, "max_overflow": 20}
_TICKS_TO_SETTLE = 50


@dataclass(frozen=True)
class History:
    """What is in the storage.

    Attributes:
        runs: their ids, the latest first.
        seconds: that writing it took.
    """

    partitions: tuple[str, ...]
    runs: tuple[str, ...]
    seconds: float


@contextmanager
def storage_in_postgres(place: Workplace) -> Iterator[InPostgres]:
    """An empty database for Dagster on the workplace's server, which processes that begin within the block reach."""
    server = place.stack.target
    database = replace(server, database="dagster_history")
    name = sql.Identifier(database.database)
    with postgres(server) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        # What is measured only reads.
        connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
    with mock.patch.dict(os.environ, {PASSWORD_VARIABLE: server.password or ""}):
        yield InPostgres(database)
    with postgres(server) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def write_history(workbench: Workbench, home: Path) -> History:
    """Fills the table, loads the index, and has it follow changes until there are RUNS runs."""
    fill_faq(workbench, questions(PARTITIONS * ROWS_PER_PARTITION))
    environment = variables_of(workbench.settings) | _BATCHED | {"DAGSTER_HOME": str(home)}
    started = time.monotonic()
    with (
        redirect_stderr(StringIO()),  # Dagster's log and its warnings of betas
        mock.patch.dict(os.environ, environment),
        dg.DagsterInstance.get() as instance,
    ):
        instance.optimize_for_webserver(**_KEPT_CONNECTIONS)
        set_pool_limits(instance)
        location = Location(workbench, instance, IndexSpec.model_validate(DECLARED))
        _settle(location)
        for change in _changes():
            if instance.get_runs_count() >= RUNS - VERIFICATIONS:
                break
            workbench.mysql(change)
            _tick_and_run(location)
        verify = location.definitions.resolve_job_def(f"{INDEX}_verify")
        for _ in range(VERIFICATIONS):
            assert verify.execute_in_process(instance=instance, run_config=QUIET).success
        runs = tuple(run.run_id for run in instance.get_runs())
        return History(tuple(location.partitions()), runs, time.monotonic() - started)


def _settle(location: Location) -> None:
    for _ in range(_TICKS_TO_SETTLE):
        if not _tick_and_run(location):
            return
    raise AssertionError("the sensor never comes to rest, though nothing changes")


def _tick_and_run(location: Location) -> bool:
    """Looks once, and runs what is requested. Returns whether there was anything to tell or to do."""
    told = location.tick()
    for request in told.run_requests or []:
        assert location.run(request).success
    return bool(told.run_requests or told.asset_events)


def _changes() -> Iterator[str]:
    """Statements that change neighbouring rows anywhere in the table, the same ones each time."""
    numbers = random.Random(8)
    rows = PARTITIONS_PER_CHANGE * ROWS_PER_PARTITION
    for number in range(RUNS):
        first = numbers.randrange(PARTITIONS * ROWS_PER_PARTITION - rows)
        yield (
            f"UPDATE faq SET question = CONCAT(question, ' ({number})') WHERE id BETWEEN {first} AND {first + rows - 1}"
        )
