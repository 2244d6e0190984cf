"""The scrub: it finds whatever changed, bit by bit, and says how old its oldest comparison is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vector_pipeline.core.detection.round import Budget
from vector_pipeline.core.index import VectorIndex
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all

NO_TIME = Budget(look_seconds=1e-6, scrub_seconds=1e-6)
SPEC = faq_spec(range_size=10)


def _dirty(index: VectorIndex) -> list[str]:
    return [state.partition for state in index.ranges() if state.dirty]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE faq SET answer = 'changed' WHERE id = 25",
        "UPDATE faq SET link = NULL WHERE id = 25",
        "DELETE FROM faq WHERE id = 25",
        "UPDATE faq SET id = -id WHERE id = 25",
    ],
)
def test_finds_what_no_other_detector_tells_of(any_workbench: Workbench, change: str) -> None:
    any_workbench.create_faq(50)
    with any_workbench.index(SPEC) as index:
        sync_all(index)
        any_workbench.mysql(change)
        index.detect()
        assert index.ranges()[2].partition in _dirty(index)
        sync_all(index)
        assert index.verify().equal


def test_goes_on_where_the_last_look_stopped_and_round_and_round(workbench: Workbench) -> None:
    workbench.create_faq(50)
    with workbench.index(SPEC) as index:
        sync_all(index)
    rounds: list[bool] = []
    for _ in range(11):
        with workbench.index(SPEC) as index:  # another process each time
            look = index.detect(NO_TIME)
            assert look.ranges_checked == 1
            rounds.append(look.round_complete)
    # The syncs have compared all ranges since the round before them.
    assert rounds == [True] + [False, False, False, False, True] * 2


def test_finds_a_change_within_one_round_of_short_looks(workbench: Workbench) -> None:
    workbench.create_faq(50)
    with workbench.index(SPEC) as index:
        sync_all(index)
        workbench.mysql("UPDATE faq SET answer = 'changed' WHERE id = 35")
        found = [index.detect(NO_TIME).ranges_dirty for _ in range(5)]
        assert found[-1] == 1
        assert sync_all(index).updated == 1


def test_the_age_of_the_oldest_comparison_is_known(workbench: Workbench) -> None:
    workbench.create_faq(50)
    with workbench.index(SPEC) as index:
        sync_all(index)
        before = datetime.now(UTC)
        for _ in range(4):
            index.detect(NO_TIME)
        oldest = index.status().oldest_check_at
        assert oldest is not None and oldest < before
        index.detect(NO_TIME)
        oldest = index.status().oldest_check_at
        assert oldest is not None and oldest >= before


def test_a_suspected_range_is_compared_before_all_others(workbench: Workbench) -> None:
    workbench.create_faq(50)
    with workbench.index(SPEC) as index:
        sync_all(index)
        workbench.add_faq([51])
        assert index.detect(NO_TIME).ranges_dirty == 1
