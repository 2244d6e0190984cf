"""Texts that leave the table: their vectors are kept for a while, come back free of charge, and then go."""

from __future__ import annotations

import threading

import pytest

from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store.locks import Lock
from vector_pipeline_tests.at_once import AtOnce
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.waiting import wait_until
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all


def keeping(days: float) -> IndexSpec:
    return question_only(embedding={"keep_vectors_days": days})


def _vectors(workbench: Workbench) -> tuple[int, int]:
    """Searched and retired ones."""
    [counts] = workbench.postgres(
        "SELECT (SELECT count(*) FROM faq.vectors_1), (SELECT count(*) FROM faq.retired_vectors_1)"
    )
    return counts


def _retired_days_ago(workbench: Workbench, days: int) -> None:
    workbench.postgres("UPDATE faq.retired_vectors_1 SET retired_at = now() - %s * interval '1 day'", [days])


def _one_text_gone(workbench: Workbench, spec: IndexSpec) -> None:
    """Ten rows, one of which is deleted; its vector is retired."""
    workbench.create_faq(10)
    workbench.sync(spec)
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    with workbench.index(spec) as index:
        sync_all(index)
        report = index.refresh_search_index()
    assert (report.vectors_retired, report.vectors_removed) == (1, 0)
    assert _vectors(workbench) == (9, 1)


def test_a_text_that_comes_back_within_the_time_costs_nothing(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    _one_text_gone(workbench, keeping(30))
    _retired_days_ago(workbench, 29)
    with workbench.index(keeping(30)) as index:
        assert index.refresh_search_index().vectors_removed == 0
    provider.reset()
    workbench.add_faq([3])
    workbench.sync(keeping(30))
    assert provider.stats()["texts"] == 0
    with workbench.index(keeping(30)) as index:
        assert index.verify().equal


def test_a_vector_that_nothing_needed_for_longer_is_removed_by_the_refresh_of_the_search_index(
    workbench: Workbench,
) -> None:
    _one_text_gone(workbench, keeping(30))
    _retired_days_ago(workbench, 31)
    with workbench.index(keeping(30)) as index:
        assert index.refresh_search_index().vectors_removed == 1
        assert index.verify().equal
    assert _vectors(workbench) == (9, 0)


def test_another_time_to_keep_vectors_asks_for_no_other_generation(workbench: Workbench) -> None:
    workbench.create_faq(2)
    workbench.sync(keeping(30))
    with workbench.index(keeping(0)) as index:
        sync_all(index)
        assert index.generations().asked_for is None


def test_a_vector_that_a_returning_text_waits_for_is_not_removed_however_old_it_is(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    _one_text_gone(workbench, keeping(1))
    _retired_days_ago(workbench, 100)
    workbench.add_faq([3])
    with workbench.index(keeping(1)) as index:
        index.detect()
        partitions = [state.partition for state in index.due_ranges()]
        list(index.sync_documents(partitions))
        assert index.refresh_search_index().vectors_removed == 0
        provider.reset()
        index.embed(partitions)
        assert provider.stats()["texts"] == 0
        assert index.verify().equal


def test_a_vector_that_goes_between_being_found_and_being_taken_over_is_embedded_again(workbench: Workbench) -> None:
    spec = keeping(30)
    _one_text_gone(workbench, spec)
    workbench.add_faq([3])
    with workbench.index(spec) as index, store_connection.connect(workbench.target) as remover:
        index.detect()
        partitions = [state.partition for state in index.due_ranges()]
        list(index.sync_documents(partitions))
        runs = AtOnce()
        with remover.transaction():
            remover.execute("SELECT pg_advisory_xact_lock(%s, 1)", (int(Lock.VECTORS),))
            runs.start(lambda: index.embed(partitions))
            wait_until(lambda: _waits_for_vectors(workbench))
            remover.execute("DELETE FROM faq.retired_vectors_1")
        runs.finish()
        assert any(state.dirty for state in index.ranges()) or index.verify().equal
        sync_all(index)
        assert index.verify().equal
        assert [hit.key for hit in index.search("question number 3?", limit=1).hits] == ["3"]


def _waits_for_vectors(workbench: Workbench) -> bool:
    [(waiting,)] = workbench.postgres(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid::bigint = %s"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [int(Lock.VECTORS)],
    )
    return bool(waiting)


@pytest.mark.long
def test_texts_that_go_and_come_back_while_vectors_are_retired_and_removed_end_with_their_vectors(
    workbench: Workbench,
) -> None:
    spec = keeping(0)
    workbench.create_faq(60)
    workbench.sync(spec)
    stop = threading.Event()

    def remove() -> None:
        with workbench.index(spec) as index:
            while not stop.is_set():
                index.refresh_search_index()

    def change() -> None:
        with workbench.index(spec) as index:
            for turn in range(8):
                workbench.mysql(f"UPDATE faq SET question = CONCAT('text ', MOD(id + {turn}, 60))")
                sync_all(index)
                sync_all(index)
                assert index.verify().equal

    removing, changing = AtOnce(), AtOnce()
    removing.start(remove)
    changing.start(change)
    try:
        changing.finish()
    finally:
        stop.set()
        removing.finish()
