"""A source that has lost its rows does not take the index with it, until somebody says that it may."""

from __future__ import annotations

from contextlib import suppress

import pytest

from vector_pipeline.core.detection.round import Budget
from vector_pipeline.core.errors import MassDeletionHeldError
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all

ROWS = 400
# As many rows as before in each range, so that no count tells: another server's UUIDs look like this.
OTHER_KEYS = "UPDATE faq SET id = id + 1"


def guarded(**guard: float) -> IndexSpec:
    return question_only(deletion_guard={"share": 0.2, "rows": 50} | guard, range_size=20)


def _documents(workbench: Workbench) -> int:
    return int(workbench.postgres("SELECT count(*) FROM faq.documents")[0][0])


@pytest.fixture
def synced(workbench: Workbench) -> Workbench:
    workbench.create_faq(ROWS)
    workbench.sync(guarded())
    return workbench


def _assert_held(index: VectorIndex) -> None:
    with pytest.raises(MassDeletionHeldError, match="vector-pipeline deletions faq --approve"):
        sync_all(index)
    assert index.guarded_deletions().held


@pytest.fixture
def with_gaps(workbench: Workbench) -> Workbench:
    workbench.create_faq()
    workbench.add_faq(range(2, 2 * ROWS + 1, 2))
    workbench.sync(guarded())
    return workbench


@pytest.mark.parametrize("loss", ["DELETE FROM faq", "TRUNCATE TABLE faq", "DELETE FROM faq WHERE id % 4 = 0"])
def test_a_mass_deletion_is_held_before_anything_is_deleted_and_search_goes_on(synced: Workbench, loss: str) -> None:
    synced.mysql(loss)
    with synced.index(guarded()) as index:
        _assert_held(index)
        assert _documents(synced) == ROWS
        assert [hit.key for hit in index.search("question number 8?", limit=1).hits] == ["8"]


def test_fewer_deletions_than_the_share_or_the_least_number_pass(synced: Workbench) -> None:
    synced.mysql("DELETE FROM faq WHERE id <= 80")
    assert synced.sync(guarded()).deleted == 80
    synced.mysql("DELETE FROM faq")
    assert synced.sync(guarded(rows=ROWS + 1)).deleted == ROWS - 80


def test_a_share_of_one_switches_the_guard_off(synced: Workbench) -> None:
    synced.mysql("DELETE FROM faq")
    assert synced.sync(guarded(share=1)).deleted == ROWS


def test_rows_replaced_within_their_ranges_are_counted_where_they_are_deleted(with_gaps: Workbench) -> None:
    with_gaps.mysql(OTHER_KEYS)
    with with_gaps.index(guarded()) as index:
        _assert_held(index)
    assert _documents(with_gaps) >= ROWS * 0.8


def test_approved_deletions_go_through_and_only_they(synced: Workbench) -> None:
    synced.mysql("DELETE FROM faq WHERE id > 100")
    with synced.index(guarded()) as index:
        _assert_held(index)
        assert index.approve_deletions() == 300
        assert sync_all(index).deleted == 300
        assert index.verify().equal
        index.detect()
        synced.mysql("DELETE FROM faq")
        _assert_held(index)


def test_a_rejected_deletion_stays_held_until_the_rows_are_back_and_then_syncing_goes_on(synced: Workbench) -> None:
    synced.mysql("CREATE TABLE backup AS SELECT * FROM faq")
    synced.mysql("DELETE FROM faq WHERE id > 100")
    with synced.index(guarded()) as index:
        _assert_held(index)
        index.reject_deletions()
        with pytest.raises(MassDeletionHeldError, match="were rejected"):
            sync_all(index)
        synced.mysql("INSERT INTO faq SELECT * FROM backup WHERE id > 100")
        synced.mysql("UPDATE faq SET question = 'changed meanwhile' WHERE id = 7")
        done = sync_all(index)
        assert (done.updated, done.deleted) == (1, 0)
        assert not index.guarded_deletions().held
        assert index.verify().equal


def _old_documents(workbench: Workbench) -> int:
    return int(workbench.postgres("SELECT count(*) FROM faq.documents WHERE key::int % 2 = 0")[0][0])


def _as_the_sensor_does(workbench: Workbench) -> None:
    """A look, and a try of each range that is due; pauses are over at once."""
    with workbench.index(guarded()) as index:
        index.detect()
        if not index.guarded_deletions().held:
            due = [state.partition for state in index.due_ranges()]
            index.note_attempt(due)
            for partition in due:
                with suppress(MassDeletionHeldError):
                    list(index.sync_documents([partition]))
    workbench.postgres("UPDATE vector_pipeline.key_ranges SET next_attempt_at = NULL")


def test_a_wrong_server_does_not_wipe_an_index_bit_by_bit_in_many_rounds(with_gaps: Workbench) -> None:
    with_gaps.mysql(OTHER_KEYS)
    for number in range(12):
        with_gaps.mysql(f"UPDATE faq SET answer = 'moving on {number}'")
        _as_the_sensor_does(with_gaps)
    assert _old_documents(with_gaps) >= ROWS * 0.8
    with with_gaps.index(guarded()) as index:
        assert index.guarded_deletions().held


@pytest.mark.long
def test_rows_that_come_at_the_same_time_do_not_hide_those_that_go(with_gaps: Workbench) -> None:
    with_gaps.mysql(OTHER_KEYS)
    with_gaps.add_faq(range(-5001, -1, 2))
    with with_gaps.index(guarded()) as index:
        _assert_held(index)
    assert _old_documents(with_gaps) >= ROWS * 0.8


def test_a_deletion_in_the_midst_of_a_round_is_counted_in_both_rounds_that_find_it(synced: Workbench) -> None:
    slowly = Budget(look_seconds=1e-6, scrub_seconds=1e-6)
    with synced.index(guarded()) as index:
        while not index.detect(slowly).round_complete:
            pass
        for _ in range(10):
            index.detect(slowly)
        synced.mysql("DELETE FROM faq WHERE id % 10 < 3")
        for _ in range(30):
            index.detect(slowly)
            with suppress(MassDeletionHeldError):
                list(index.sync_documents([state.partition for state in index.due_ranges()] or [_first(index)]))
        assert index.guarded_deletions().held
    assert _documents(synced) >= ROWS * 0.8


def _first(index: VectorIndex) -> str:
    return index.ranges()[0].partition


def test_documents_that_cutting_has_moved_can_be_approved_too(workbench: Workbench) -> None:
    spec = guarded().model_copy(update={"range_size": 1000})
    workbench.create_faq()
    workbench.add_faq(range(10_000, 10_000 + ROWS))
    workbench.sync(spec)
    workbench.mysql("DELETE FROM faq")
    workbench.add_faq(range(1, 1201))
    small = guarded().model_copy(update={"range_size": 100})
    with workbench.index(small) as index:
        with pytest.raises(MassDeletionHeldError):
            sync_all(index)
        assert index.approve_deletions() == ROWS
        sync_all(index)
        sync_all(index)
        assert index.verify().equal
        assert _documents(workbench) == 1200


def test_a_range_that_is_always_busy_holds_up_nothing_and_its_lag_does_not_grow(workbench: Workbench) -> None:
    workbench.create_faq(100)
    workbench.sync(guarded(rows=10))
    with workbench.index(guarded(rows=10)) as index:
        lags = []
        for number in range(8):
            workbench.mysql(f"DELETE FROM faq WHERE id BETWEEN {number * 3 + 1} AND {number * 3 + 3}")
            workbench.add_faq([1000 + number])
            index.detect()
            due = [state.partition for state in index.due_ranges()]
            list(index.sync_documents(due))
            workbench.add_faq([2000 + number])
            index.detect()
            index.embed(due)
            lags.append(index.status().lag.seconds)
        assert not index.guarded_deletions().held
        assert max(lags[4:]) < 3 * max(lags[:4])


def test_an_approved_range_is_tried_at_once(synced: Workbench) -> None:
    synced.mysql("DELETE FROM faq")
    with synced.index(guarded()) as index:
        index.detect()
        index.note_attempt([state.partition for state in index.due_ranges()])
        assert index.due_ranges() == []
        index.approve_deletions()
        assert len(index.due_ranges()) == 20


def test_what_splitting_moves_to_another_range_is_no_deletion(synced: Workbench) -> None:
    synced.mysql("UPDATE faq SET id = id + 100000 WHERE id > 20")
    with synced.index(guarded(share=1)) as index:
        sync_all(index)
    synced.add_faq(range(30, 330))
    with synced.index(guarded()) as index:
        done = sync_all(index)
        assert (done.inserted, done.deleted) == (300, 0)
        assert index.verify().equal
