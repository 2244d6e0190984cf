"""Covering dirty ranges with runs: whatever is dirty, each range once, and nothing that is not to be touched."""

from __future__ import annotations

import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from vector_pipeline.orchestration.windows import Window, cover, covered

LISTED = [f"{number:03}" for number in range(60)]
some = st.sets(st.sampled_from(LISTED))


def windows(dirty: set[str], alone: set[str], longest: int, avoid: set[str]) -> list[tuple[Window, list[str]]]:
    """The windows, each with all partitions that its run would cover."""
    found = []
    for window in cover(dirty, LISTED, alone, longest, avoid):
        run = dg.DagsterRun("job", tags=window.tags)
        found.append((window, [name for name in LISTED if name in covered(run, LISTED)]))
    return found


@given(dirty=some, alone=some, longest=st.integers(1, 70), avoid=some)
def test_every_dirty_range_is_covered_exactly_once(
    dirty: set[str], alone: set[str], longest: int, avoid: set[str]
) -> None:
    found = windows(dirty, alone, longest, avoid)
    inside = [name for _, names in found for name in names]
    assert len(inside) == len(set(inside))
    assert set(inside) >= dirty
    assert sorted(name for window, _ in found for name in window.dirty) == sorted(dirty)


@given(dirty=some, alone=some, longest=st.integers(1, 70), avoid=some)
def test_windows_are_no_longer_than_a_run_may_be_and_begin_and_end_with_a_dirty_range(
    dirty: set[str], alone: set[str], longest: int, avoid: set[str]
) -> None:
    for window, names in windows(dirty, alone, longest, avoid):
        assert len(names) <= longest
        assert (window.first, window.last) == (window.dirty[0], window.dirty[-1])


@given(dirty=some, alone=some, longest=st.integers(1, 70), avoid=some)
def test_failed_ranges_run_alone_and_those_to_avoid_not_at_all(
    dirty: set[str], alone: set[str], longest: int, avoid: set[str]
) -> None:
    for window, names in windows(dirty, alone, longest, avoid):
        if alone & set(names):
            assert names == [window.first]
        assert not (avoid - dirty) & set(names)


def test_ranges_that_dagster_does_not_list_are_left_for_later() -> None:
    assert windows({"unknown", "003"}, {"nowhere"}, 5, set()) == [(Window("003", "003", ("003",)), ["003"])]


def test_a_window_takes_clean_ranges_along_rather_than_start_another_run() -> None:
    assert [names for _, names in windows({"001", "003"}, set(), 5, set())] == [["001", "002", "003"]]
