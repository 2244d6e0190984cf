"""The search index is renewed when that is worth it, whatever single ranges do."""

from __future__ import annotations

from typing import Any

import pytest

from vector_pipeline_tests.workbench import Workbench, question_only


def _is_due(workbench: Workbench) -> bool:
    with workbench.index(question_only()) as index:
        return index.search_index_is_due()


def _refresh(workbench: Workbench) -> None:
    with workbench.index(question_only()) as index:
        index.refresh_search_index()


def _make_dirty(workbench: Workbench, ranges: int, attempts: int) -> None:
    workbench.postgres("UPDATE vector_pipeline.key_ranges SET attempts = %s", [attempts])
    workbench.postgres(
        "UPDATE vector_pipeline.range_states SET digest = NULL WHERE range_id IN"
        " (SELECT range_id FROM vector_pipeline.key_ranges ORDER BY position LIMIT %s)",
        [ranges],
    )


def test_a_first_load_makes_it_due_when_it_is_complete(workbench: Workbench) -> None:
    workbench.create_faq(300)
    workbench.sync(question_only())
    _make_dirty(workbench, ranges=1, attempts=1)
    assert not _is_due(workbench)
    workbench.sync(question_only())
    assert _is_due(workbench)
    _refresh(workbench)
    assert not _is_due(workbench)


@pytest.mark.parametrize(
    ("rows", "dirty", "attempts"),
    [
        pytest.param(1000, 1, 1, id="one range of ten is dirty"),
        pytest.param(300, 1, 5, id="a range fails again and again"),
    ],
)
def test_a_range_that_is_never_in_step_does_not_keep_it_from_being_due(
    workbench: Workbench, rows: int, dirty: int, attempts: int
) -> None:
    workbench.create_faq(rows)
    workbench.sync(question_only())
    _make_dirty(workbench, dirty, attempts)
    assert _is_due(workbench)


def test_it_is_due_after_a_day_even_if_all_ranges_are_dirty(workbench: Workbench) -> None:
    workbench.create_faq(300)
    workbench.sync(question_only())
    _refresh(workbench)
    _make_dirty(workbench, ranges=3, attempts=1)
    assert not _is_due(workbench)
    workbench.postgres("UPDATE vector_pipeline.embedding_indexes SET search_refreshed_at = now() - interval '25 hours'")
    assert _is_due(workbench)


@pytest.mark.parametrize(
    "search", [{"ann_from_vectors": 1}, {"ann_prefix": 4}, {"filters": []}, {"text": {"language": "english"}}], ids=str
)
def test_indexes_are_as_declared_until_others_are_and_again_after_the_refresh(
    workbench: Workbench, search: dict[str, Any]
) -> None:
    workbench.create_faq(3)
    workbench.sync(question_only())
    with workbench.index(question_only()) as index:
        assert index.search_index_is_as_declared()  # there are none yet
        index.refresh_search_index()
        assert index.search_index_is_as_declared()
    with workbench.index(question_only(search=search)) as index:
        assert not index.search_index_is_as_declared()
        index.refresh_search_index()
        assert index.search_index_is_as_declared()
    with workbench.index(question_only(search=search | {"limit": 7})) as index:
        assert index.search_index_is_as_declared()
