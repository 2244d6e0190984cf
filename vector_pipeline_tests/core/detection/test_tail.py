"""The greatest key: which changes it tells of, and which are left to the scrub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vector_pipeline.core.detection.tail import Tail
from vector_pipeline_tests.core.detection.watching import Watch, watching
from vector_pipeline_tests.workbench import Workbench, faq_spec


@contextmanager
def _watched(workbench: Workbench) -> Iterator[Watch]:
    workbench.create_faq(50)
    with watching(workbench, faq_spec(range_size=10), Tail()) as watch:
        yield watch


@pytest.mark.parametrize("change", ["INSERT INTO faq (id) VALUES (51)", "DELETE FROM faq WHERE id = 50"])
def test_names_the_last_range_when_rows_are_appended_or_the_last_one_is_gone(
    any_workbench: Workbench, change: str
) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql(change)
        assert watch.look() == {watch.ranges[-1].range_id}
        assert watch.look() == set()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE faq SET question = 'changed' WHERE id = 50",
        "DELETE FROM faq WHERE id = 25",
        "INSERT INTO faq (id) VALUES (-1)",
    ],
    ids=["update", "deletion elsewhere", "key below, as a late commit has"],
)
def test_leaves_all_else_to_the_scrub(any_workbench: Workbench, change: str) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql(change)
        assert watch.look() == set()
    with any_workbench.index(faq_spec(range_size=10)) as index:
        index.detect()
        assert index.detect().ranges_dirty


def test_a_table_that_has_lost_all_its_rows_is_noticed(workbench: Workbench) -> None:
    with _watched(workbench) as watch:
        workbench.mysql("DELETE FROM faq")
        assert watch.look() == {watch.ranges[-1].range_id}
