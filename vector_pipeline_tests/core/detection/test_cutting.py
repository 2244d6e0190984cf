"""Cutting tables into ranges: few enough for Dagster, whatever the table's size, and never past a look's time."""

from __future__ import annotations

import itertools

import pytest

from vector_pipeline.core.detection import round as look_at_source
from vector_pipeline.core.detection.cutting import choose_range_size
from vector_pipeline.core.detection.round import Budget
from vector_pipeline.core.source.digest import Digest
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all

SHORT = Budget(look_seconds=0.5, scrub_seconds=0.1)
LONG = Budget(look_seconds=10, scrub_seconds=10)


def _numbers() -> IndexSpec:
    """An index over a view of MariaDB's table of the numbers to `rows`, which takes no place and is indexed all the
    same."""
    return faq_spec(
        source={"table": "numbers", "primary_key": "seq"},
        document={"text": {"question": "seq"}},
        range_size=1000,
    )


@pytest.mark.parametrize(
    ("rows", "ranges", "size"),
    [(0, 0, 1000), (5_000_000, 5_000, 1000), (100_000_000, 0, 12_500), (0, 8_499, 1000), (0, 9_000, 4_000)],
)
def test_a_range_is_as_large_as_declared_or_as_the_table_needs(rows: int, ranges: int, size: int) -> None:
    assert choose_range_size(1000, rows, ranges) == size


def test_a_table_that_turns_out_larger_than_estimated_still_gets_few_ranges() -> None:
    ranges = rows = 0
    while rows < 1_000_000_000:
        ranges, rows = ranges + 1, rows + choose_range_size(1000, 0, ranges)
    assert ranges < 15_000


@pytest.mark.parametrize("rows", [3_000_000, pytest.param(100_000_000, marks=pytest.mark.long)])
def test_a_large_table_is_cut_in_looks_that_keep_to_their_time(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    # A digest of such ranges is not what is looked at here.
    monkeypatch.setattr("vector_pipeline.core.detection.comparing.digest_range", lambda *_: Digest(1, 1))
    workbench.mysql(f"CREATE VIEW numbers AS SELECT seq FROM seq_1_to_{rows}")
    with workbench.index(_numbers()) as index:
        index.prepare()
        looks = 0
        while looks < 2000:
            looks += 1
            look = index.detect(SHORT)
            last = look.ranges[-1].lower
            if last is not None and rows - int(last) < 25_000 and look.round_complete:
                break
        lowers = [int(state.lower) for state in look.ranges if state.lower is not None]
    assert looks > 1
    assert lowers == sorted(set(lowers))
    assert len(lowers) <= 12_000
    gaps = [after - before for before, after in itertools.pairwise(lowers)]
    assert max(gaps) <= 70_000


def test_an_emptied_range_stays(workbench: Workbench) -> None:
    workbench.create_faq(50)
    with workbench.index(faq_spec(range_size=10)) as index:
        sync_all(index)
        before = [state.partition for state in index.ranges()]
        workbench.mysql("DELETE FROM faq WHERE id BETWEEN 11 AND 20")
        sync_all(index)
        after = index.ranges()
        assert [state.partition for state in after] == before
        assert after[1].rows == 0
        assert index.verify().equal


def test_a_range_that_was_filled_beyond_what_can_be_digested_is_cut_all_the_same(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_at_source, "_LONGEST_STATEMENT_SECONDS", 0.5)
    workbench.create_faq(20)
    workbench.add_faq([1000])
    workbench.mysql("CREATE VIEW faq_view AS SELECT id, question, SLEEP(0.006) AS link FROM faq")
    spec = faq_spec(
        source={"table": "faq_view", "primary_key": "id"},
        document={"text": {"question": "question"}, "metadata": {"link": "link"}},
        range_size=10,
    )
    with workbench.index(spec) as index:
        index.detect(LONG)
        workbench.add_faq(range(21, 141))
        for _ in range(3):
            look = index.detect(LONG)
        assert look.round_complete
        assert max(state.source_rows or 0 for state in look.ranges) <= 20
