"""Cutting tables into ranges: few enough for Dagster, whatever the table's size, and never past a look's time."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest

from vector_pipeline.core.detection import round as look_at_source
from vector_pipeline.core.detection.cutting import choose_range_size
from vector_pipeline.core.detection.round import Budget
from vector_pipeline.core.errors import SourceKeyError
from vector_pipeline.core.source.digest import Digest
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import key_ranges, locks
from vector_pipeline.core.store.locks import Lock
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


@pytest.mark.long
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
    assert max(gaps) <= 25_000


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


@pytest.mark.long
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


def test_documents_follow_into_the_ranges_that_are_cut_from_theirs(workbench: Workbench) -> None:
    workbench.create_faq(100)
    spec = faq_spec(range_size=20)
    with workbench.index(spec) as index:
        sync_all(index)
        workbench.mysql("UPDATE faq SET id = id + 1000 WHERE id > 80")
        workbench.add_faq(range(2000, 2030))
        sync_all(index)
        before = _homes(workbench)
        with workbench.index(faq_spec(range_size=5)) as smaller:
            smaller.detect()
            homes = _homes(workbench)
            assert homes != before
            for state in smaller.ranges():
                within = [key for key, home in homes.items() if home == state.range_id]
                assert all(int(state.lower or key) <= key < int(state.upper or key + 1) for key in within)
                assert state.rows == len(within)


def _homes(workbench: Workbench) -> dict[int, int]:
    return dict(workbench.postgres("SELECT key::integer, range_id FROM faq.documents"))


def test_a_key_that_cannot_be_kept_stops_its_own_range_alone(any_workbench: Workbench) -> None:
    any_workbench.mysql("CREATE TABLE faq (id VARCHAR(20) CHARACTER SET utf8mb4 PRIMARY KEY, question TEXT)")
    any_workbench.mysql("INSERT INTO faq VALUES (%s, 'q')", [(f"key {number:03}",) for number in range(50)])
    any_workbench.mysql("INSERT INTO faq VALUES (%s, 'q')", [("key 009x\0",), ("key 010x\0",), ("zy\0",)])
    spec = faq_spec(document={"text": {"question": "question"}}, range_size=10)
    with any_workbench.index(spec) as index:
        index.detect()
        with pytest.raises(SourceKeyError, match="NUL character"):
            list(index.sync_documents([state.partition for state in index.ranges()]))
        any_workbench.mysql("INSERT INTO faq VALUES ('zz', 'new')")
        index.detect()
        with suppress(SourceKeyError):
            list(index.sync_documents([state.partition for state in index.due_ranges()]))
    assert any_workbench.postgres("SELECT count(*) FROM faq.documents")[0][0] >= 30


def test_a_middle_range_can_be_split_for_ever(workbench: Workbench) -> None:
    workbench.create_faq(10)
    with workbench.index(faq_spec(range_size=5)) as index:
        sync_all(index)
        registered, target = index._ready(), index._target
        first, _ = key_ranges.load_ranges(target, registered)
        for lower in range(1_000_000, 999_700, -1):
            with target.transaction():
                key_ranges.add_ranges(target, registered, first, [str(lower)])
        lowers = [key_range.lower for key_range in key_ranges.load_ranges(target, registered)]
    assert lowers == [None, *(str(lower) for lower in range(999_701, 1_000_001)), "6"]


def test_a_look_does_not_wait_for_those_who_cut_or_sync(workbench: Workbench) -> None:
    workbench.create_faq(50)
    spec = faq_spec(range_size=10)
    with workbench.index(spec) as index, workbench.index(spec) as other:
        sync_all(index)
        workbench.add_faq(range(51, 100))
        with locks.held(other._target, Lock.RANGES, other._ready().index_id):
            assert index.detect(SHORT).ranges_added == 0
        assert index.detect(LONG).ranges_added > 0


def test_a_look_ends_where_the_targets_clock_was_put_back(workbench: Workbench) -> None:
    workbench.create_faq(5)
    spec = faq_spec(range_size=10)
    with workbench.index(spec) as index:
        sync_all(index)
        workbench.postgres(
            "UPDATE vector_pipeline.key_ranges SET suspected_at = now() + interval '2 hours',"
            " source_checked_at = now() + interval '2 hours'"
        )
        workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 3")
        assert index.detect(SHORT).ranges_dirty == 1
        assert sync_all(index).updated == 1
        assert index.detect(SHORT).ranges_dirty == 0
