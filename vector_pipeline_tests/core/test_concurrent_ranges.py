"""Backfills, the sensor and the source's own changes at once, over ranges that grow and are cut: the end is right,
nothing fails, and no text is paid for twice."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pytest

from vector_pipeline.core.embedding.requesting import HARMLESS_TEXT
from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests import syncing_process
from vector_pipeline_tests.at_once import AtOnce
from vector_pipeline_tests.keyed_tables import KEYED_TABLES
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.provider_process import provider_process
from vector_pipeline_tests.row_by_row import RowByRow
from vector_pipeline_tests.servers import mysql, postgres
from vector_pipeline_tests.syncing_process import windows
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all

RANGE_SIZE = 20
ROWS = 900
GAP = 100
"""Between two ids at first, so that there is room for a range to grow."""
WINDOW = 5
TURNS = 25
TEXTS_PER_REQUEST = 10
REQUESTS_IN_FLIGHT = 4


def _spec() -> IndexSpec:
    block = {"type": "openai", "texts_per_request": TEXTS_PER_REQUEST, "requests_in_flight": REQUESTS_IN_FLIGHT}
    return question_only(range_size=RANGE_SIZE, embedding={"provider": block}, automation={"ranges_per_run": WINDOW})


class Changes:
    """Changes of the table; each text is written once, so that whatever is paid twice is paid in vain."""

    def __init__(self, workbench: Workbench, seed: int) -> None:
        self._workbench = workbench
        self._dice = random.Random(seed)
        self._texts = 0

    def turn(self) -> None:
        """Updates, deletes, and so many rows in one place that a range there grows past twice its size."""
        self._workbench.mysql(
            "UPDATE faq SET question = %s WHERE id = %s", [(self._text(), self._some_id()) for _ in range(10)]
        )
        self._workbench.mysql("DELETE FROM faq WHERE id = %s", [(self._some_id(),) for _ in range(10)])
        start = self._some_id()
        self._workbench.mysql(
            "INSERT IGNORE INTO faq (id, question) VALUES (%s, %s)",
            [(start + step, self._text()) for step in range(1, 3 * RANGE_SIZE)],
        )

    def _some_id(self) -> int:
        return GAP * self._dice.randrange(1, ROWS + 1)

    def _text(self) -> str:
        self._texts += 1
        return f"changed text {self._texts}"


def _fill_table(workbench: Workbench) -> None:
    workbench.create_faq()
    workbench.add_faq(range(GAP, GAP * ROWS + 1, GAP))


def _backfill(workbench: Workbench) -> None:
    with workbench.index(_spec()) as index:
        partitions = [state.partition for state in index.ranges()]
        assert len(partitions) >= 40
        for window in windows(partitions, WINDOW):
            list(index.sync_documents(window))
            index.embed(window)


def _reconcile(workbench: Workbench, stop: threading.Event) -> None:
    with workbench.index(_spec()) as index:
        while not stop.is_set():
            sync_all(index)


def _sync_to_the_end(workbench: Workbench) -> None:
    with workbench.index(_spec()) as index:
        for _ in range(3):
            if not sync_all(index).documents:
                return
        raise AssertionError(f"still due: {index.due_ranges()}")


def _assert_right(workbench: Workbench) -> None:
    with workbench.index(_spec()) as index:
        report = index.verify()
        assert report.equal, report.differences
        ranges = index.ranges()
    assert max(state.rows for state in ranges) <= 2 * RANGE_SIZE
    with closing(mysql(workbench.source, autocommit=False)) as source, postgres(workbench.target) as target:
        RowByRow(source, target, "faq", KEYED_TABLES["integer"], "faq").assert_in_their_ranges(ranges)
    [(deadlocks,)] = workbench.postgres("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert deadlocks == 0
    assert _advisory_locks(workbench) == 0


def _advisory_locks(workbench: Workbench) -> int:
    [(held,)] = workbench.postgres(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return int(held)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 12))])
def test_two_backfills_and_the_sensor_at_once_while_ranges_grow_end_equal_and_pay_each_text_once(
    workbench: Workbench, provider: MisbehavingProvider, seed: int
) -> None:
    _fill_table(workbench)
    with workbench.index(_spec()) as index:
        index.detect()
        before = len(index.ranges())
    provider.delay_seconds = 0.02
    changes, over = Changes(workbench, seed), threading.Event()
    working, sensor = AtOnce(), AtOnce()
    working.start(lambda: [changes.turn() for _ in range(TURNS)])
    for _ in range(2):
        working.start(lambda: _backfill(workbench))
    sensor.start(lambda: _reconcile(workbench, over))
    try:
        working.finish()
    finally:
        over.set()
        sensor.finish()
    _sync_to_the_end(workbench)
    _assert_right(workbench)
    with workbench.index(_spec()) as index:
        assert len(index.ranges()) > before
    probes = provider.times_sent(HARMLESS_TEXT)
    stats = provider.stats()
    assert stats["texts"] - probes == stats["distinct_texts"] - bool(probes)


@pytest.mark.long
def test_of_two_syncs_at_once_one_is_killed_and_the_other_goes_on(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    with provider_process(dimensions=8, delay_ms=100) as provider:
        workbench = Workbench(mysql_database, pg_database, EmbeddingSettings(host=provider.url, model="numbers"))
        _fill_table(workbench)
        with workbench.index(_spec()) as index:
            index.detect()
        provider.reset()
        changes = Changes(workbench, seed=3)
        with _two_syncs(workbench) as (first, second):
            while provider.stats()["texts"] < ROWS / 4:
                changes.turn()
            first.kill()
            first.wait()
            changes.turn()
            syncing_process.finish(second)
        _sync_to_the_end(workbench)
        _assert_right(workbench)
        stats = provider.stats()
        assert stats["texts"] - stats["distinct_texts"] <= TEXTS_PER_REQUEST * (REQUESTS_IN_FLIGHT + 1)


@contextmanager
def _two_syncs(workbench: Workbench) -> Iterator[Sequence[subprocess.Popen[str]]]:
    processes = [syncing_process.start(_spec(), workbench.settings) for _ in range(2)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
