"""Runs that meet: on one range, on one text, on one vector, while rows change. The end is right, and nothing fails."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import locks
from vector_pipeline.core.store.locks import Lock
from vector_pipeline_tests.at_once import AtOnce
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.waiting import wait_until
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only, sync_all


def _sync(workbench: Workbench, spec: IndexSpec) -> None:
    with workbench.index(spec) as index:
        sync_all(index)


def _assert_equal(workbench: Workbench, spec: IndexSpec) -> None:
    with workbench.index(spec) as index:
        report = index.verify()
        assert report.equal, report.differences
        assert not any(state.dirty for state in index.ranges())


@pytest.fixture
def pg_database(bare_pg_database: TargetSettings) -> TargetSettings:
    """Our own tables are made by what is tested."""
    return bare_pg_database


@contextmanager
def _range_held(workbench: Workbench, range_id: int) -> Iterator[None]:
    with (
        store_connection.connect(workbench.target) as connection,
        locks.held(connection, Lock.RANGE_DOCUMENTS, range_id),
    ):
        yield


def _waiting(workbench: Workbench, sessions: int) -> bool:
    """Whether so many sessions do nothing but ask for a lock."""
    [(waiting,)] = workbench.postgres(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'"
        " AND application_name = 'vector-pipeline faq' AND query LIKE '%pg_try_advisory_lock%'"
    )
    return bool(waiting >= sessions)


def test_a_run_that_waited_for_its_range_reads_the_rows_of_after_the_wait(workbench: Workbench) -> None:
    spec = question_only()
    workbench.create_faq(50)
    workbench.sync(spec)
    workbench.mysql("UPDATE faq SET question = 'older' WHERE id = 5")
    with workbench.index(spec) as index:
        [state] = index.ranges()
    runs = AtOnce()
    with _range_held(workbench, state.range_id):
        for _ in range(2):
            runs.start(lambda: _sync_documents(workbench, spec, state.partition))
        wait_until(lambda: _waiting(workbench, 2))
        # The two runs were started for the older row; whichever comes last must not bring it back.
        workbench.mysql("UPDATE faq SET question = 'newer' WHERE id = 5")
    runs.finish()
    assert workbench.postgres("SELECT question FROM faq.documents WHERE key = '5'") == [("newer",)]
    _sync(workbench, spec)
    _assert_equal(workbench, spec)


def _sync_documents(workbench: Workbench, spec: IndexSpec, partition: str) -> None:
    with workbench.index(spec) as index:
        list(index.sync_documents([partition]))


def test_a_range_that_a_killed_session_held_is_free(workbench: Workbench) -> None:
    spec = question_only()
    workbench.create_faq(5)
    workbench.sync(spec)
    with workbench.index(spec) as index:
        [state] = index.ranges()
    workbench.add_faq([6])
    runs = AtOnce()
    holder = store_connection.connect(workbench.target)
    holder.execute("SELECT pg_advisory_lock(%s, %s)", (int(Lock.RANGE_DOCUMENTS), state.range_id))
    runs.start(lambda: _sync(workbench, spec))
    wait_until(lambda: _waiting(workbench, 1))
    workbench.postgres("SELECT pg_terminate_backend(%s)", (holder.info.backend_pid,))
    runs.finish()
    holder.close()
    _assert_equal(workbench, spec)


def test_two_first_syncs_at_once_make_one_index_and_pay_each_text_once(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    spec = question_only()
    workbench.create_faq(300)
    provider.delay_seconds = 0.1
    runs = AtOnce()
    for _ in range(3):
        runs.start(lambda: _sync(workbench, spec))
    runs.finish()
    _assert_equal(workbench, spec)
    # Each of the three runs may have measured the model's dimensions by a probe.
    assert provider.stats()["texts"] <= 300 + 3


def test_two_runs_with_the_same_texts_in_other_ranges_pay_each_once(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    spec = question_only(range_size=100)
    workbench.create_faq(200)
    workbench.mysql("UPDATE faq SET question = CONCAT('twin ', MOD(id, 100))")
    with workbench.index(spec) as index:
        index.detect()
        first, second = (state.partition for state in index.due_ranges())
        list(index.sync_documents([first, second]))
    provider.reset()
    provider.delay_seconds = 0.3
    runs = AtOnce()
    for partition in (first, second):
        runs.start(lambda partition=partition: _embed(workbench, spec, partition))  # type: ignore[misc]
    runs.finish()
    _assert_equal(workbench, spec)
    assert provider.stats()["texts"] == 100
    assert workbench.postgres("SELECT count(*) FROM vector_pipeline.text_claims") == [(0,)]
    with workbench.index(spec) as index:
        assert index.verify().vectors == 100


def _embed(workbench: Workbench, spec: IndexSpec, *partitions: str) -> None:
    with workbench.index(spec) as index:
        index.embed(partitions)


def test_two_runs_that_embed_the_same_range_pay_its_texts_once(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    spec = question_only(range_size=50)
    workbench.create_faq(200)
    with workbench.index(spec) as index:
        index.detect()
        partitions = [state.partition for state in index.due_ranges()]
        list(index.sync_documents(partitions))
    provider.reset()
    provider.delay_seconds = 0.2
    runs = AtOnce()
    runs.start(lambda: _embed(workbench, spec, *partitions))
    runs.start(lambda: _embed(workbench, spec, *reversed(partitions)))
    runs.finish()
    assert provider.stats()["texts"] == 200
    _assert_equal(workbench, spec)


def test_a_batch_does_not_wait_for_a_row_that_another_run_is_writing(workbench: Workbench) -> None:
    spec = question_only(range_size=50)
    workbench.create_faq(100)
    workbench.mysql("UPDATE faq SET question = 'twin' WHERE id IN (5, 95)")
    with workbench.index(spec) as index:
        index.detect()
        first, second = (state.partition for state in index.due_ranges())
        list(index.sync_documents([first, second]))
        runs = AtOnce()
        with store_connection.connect(workbench.target) as other, other.transaction():
            # As a run that writes row 95 does, in the middle of its transaction.
            other.execute("SELECT FROM faq.passages_1 WHERE key = '95' FOR UPDATE")
            runs.start(lambda: _embed(workbench, spec, first))
            runs.finish(seconds=10)
        assert "95" in index.verify().differences[0].vectors
        index.embed([second])
        assert index.verify().equal


@pytest.mark.long
def test_shells_that_open_an_index_at_once_do_not_trip_over_its_view(workbench: Workbench) -> None:
    workbench.create_faq(5)

    def open_again_and_again(limit: int) -> None:
        # Each with a view of its own, so that each replaces the other's.
        document = {"text": {"question": "question"}, "metadata": {"link": ["link", "answer"][limit % 2]}}
        for _ in range(8):
            with workbench.index(faq_spec(document=document)) as index:
                index.prepare()
                index.refresh_search_index()

    runs = AtOnce()
    for number in range(4):
        runs.start(lambda number=number: open_again_and_again(number))  # type: ignore[misc]
    runs.finish()


def test_a_refresh_that_waits_for_another_does_not_hinder_its_ann_index(workbench: Workbench) -> None:
    workbench.create_faq(5)
    workbench.sync()
    runs = AtOnce()
    with store_connection.connect(workbench.target) as connection, workbench.index() as index:
        [(index_id,)] = workbench.postgres("SELECT index_id FROM vector_pipeline.embedding_indexes")
        with locks.held(connection, Lock.SEARCH_INDEX, index_id):
            runs.start(index.refresh_search_index)
            wait_until(lambda: _waiting(workbench, 1))
            connection.execute("SET statement_timeout = '20s'")
            connection.execute(
                "CREATE INDEX CONCURRENTLY ann ON faq.vectors_1 USING hnsw (embedding vector_cosine_ops)"
            )
        runs.finish()


def test_a_vector_is_not_retired_from_under_a_sync_that_needs_it(workbench: Workbench) -> None:
    spec = question_only()
    workbench.create_faq(100)
    workbench.sync(spec)
    stop = threading.Event()

    def retire() -> None:
        with workbench.index(spec) as index:
            while not stop.is_set():
                index.refresh_search_index()

    def change() -> None:
        with workbench.index(spec) as index:
            for turn in range(12):
                # Texts go and come back, so that retired vectors are needed again at once.
                workbench.mysql(f"UPDATE faq SET question = CONCAT('text ', MOD(id + {turn}, 100))")
                sync_all(index)
                assert index.verify().equal

    retiring, changing = AtOnce(), AtOnce()
    retiring.start(retire)
    changing.start(change)
    try:
        changing.finish()
    finally:
        stop.set()
        retiring.finish()
    _assert_equal(workbench, spec)


def test_a_range_is_cut_while_runs_sync_it(workbench: Workbench) -> None:
    spec = question_only(range_size=20)
    workbench.create_faq(0)
    workbench.add_faq(range(10, 600, 10))
    workbench.sync(spec)
    runs = AtOnce()
    for start in (1, 2):
        workbench.add_faq([i for i in range(start, 600, 3) if i % 10])
        for _ in range(2):
            runs.start(lambda: _sync(workbench, spec))
    runs.finish()
    _sync(workbench, spec)
    _assert_equal(workbench, spec)
    with workbench.index(spec) as index:
        assert max(state.rows for state in index.ranges()) <= 40
        assert len({state.partition for state in index.ranges()}) == len(index.ranges())


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_many_runs_in_different_orders_while_rows_change_end_equal(
    workbench: Workbench, provider: MisbehavingProvider, seed: int
) -> None:
    spec = faq_spec(range_size=25)
    workbench.create_faq(200)
    workbench.sync(spec)
    provider.delay_seconds = 0.01
    stop = time.monotonic() + 6
    runs = AtOnce()

    def change_rows() -> None:
        dice = random.Random(seed)
        while time.monotonic() < stop:
            # Few different texts, so that runs meet on them; some that the provider refuses.
            text = dice.choice(["poison", *(f"text {n}" for n in range(12))])
            some = ", ".join(str(dice.randrange(1, 260)) for _ in range(15))
            field = dice.choice(["question", "answer"])
            workbench.mysql(f"UPDATE faq SET {field} = '{text}' WHERE id IN ({some})")
            workbench.mysql(f"DELETE FROM faq WHERE id = {dice.randrange(1, 260)}")
            workbench.mysql(f"INSERT IGNORE INTO faq (id, question) VALUES ({dice.randrange(1, 400)}, '{text}')")

    def sync_windows(number: int) -> None:
        dice = random.Random(1000 * seed + number)
        with workbench.index(spec) as index:
            while time.monotonic() < stop:
                _work_on_a_window(index, dice)

    runs.start(change_rows)
    for number in range(4):
        runs.start(lambda number=number: sync_windows(number))  # type: ignore[misc]
    runs.finish()
    workbench.postgres("UPDATE vector_pipeline.quarantine SET next_attempt_at = now()")
    _sync(workbench, spec)
    _assert_equal(workbench, spec)


def _work_on_a_window(index: VectorIndex, dice: random.Random) -> None:
    index.detect()
    partitions = [state.partition for state in index.ranges()]
    start = dice.randrange(len(partitions))
    window = partitions[start : start + 5]
    dice.shuffle(window)
    for partition in window:
        list(index.sync_documents([partition]))
    index.embed(window)
    if dice.random() < 0.2:
        index.refresh_search_index()
    index.retry_quarantine()
    index.search("text 3", limit=5)


def test_a_text_that_another_run_had_refused_is_not_sent_again_by_one_that_waited_for_it(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    spec = question_only(range_size=1)
    workbench.create_faq(2)
    workbench.mysql("UPDATE faq SET question = 'poison'")
    with workbench.index(spec) as index:
        index.detect()
        partitions = [state.partition for state in index.due_ranges()]
        list(index.sync_documents(partitions))
    provider.delay_seconds = 0.3
    runs = AtOnce()
    for partition in partitions:
        runs.start(lambda partition=partition: _embed(workbench, spec, partition))  # type: ignore[misc]
    runs.finish()
    assert provider.times_sent("poison") == 1
    assert workbench.postgres("SELECT attempts FROM vector_pipeline.quarantine") == [(1,)]
    _assert_equal(workbench, spec)
