"""Covering dirty key ranges with runs: contiguous windows, since a run takes a range of partitions from one to another.

Contiguous in the order in which Dagster lists partitions, which is the order they were added in: a range that was cut
off from another comes last there, wherever its keys are.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import dagster as dg

from vector_pipeline.core.reports import RangeState

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class Window:
    """Partitions from `first` to `last`; `dirty` are those among them that need the run."""

    first: str
    last: str
    dirty: tuple[str, ...]

    @property
    def tags(self) -> dict[str, str]:
        return {RANGE_START: self.first, RANGE_END: self.last}


def choose_windows(
    due: Sequence[RangeState], listed: Sequence[str], longest: int, most: int, avoid: Set[str] = frozenset()
) -> list[Window]:
    """The runs to request now, at most `most` of at most `longest` ranges each, and none over what is to be avoided.

    A range that failed before runs alone. Where more have failed than one run holds, the cause is not in a range but
    in something that all need, such as a provider that was down: a run for each would take days after each outage.
    """
    dirty = {state.partition for state in due}
    failed = {state.partition for state in due if state.attempts > 0}
    if len(failed) > longest:
        failed = set()
    windows = list(cover(dirty, listed, failed, longest, avoid))
    alone = [window for window in windows if window.first in failed]
    together = [window for window in windows if window.first not in failed]
    # Neither starves the other.
    share = max(1, most // 2)
    return [*alone[:share], *together, *alone[share:]][:most]


def cover(
    dirty: Set[str], listed: Sequence[str], alone: Set[str], longest: int, avoid: Set[str] = frozenset()
) -> Iterator[Window]:
    """Covers `dirty` with as few windows of at most `longest` partitions as possible. A window takes clean ones along.

    Args:
        listed: all partitions in Dagster's order.
        alone: dirty ones that failed before: each gets a window of its own, so that it sinks no neighbour.
        avoid: those that no window may take along: others work on them, or they failed and have a pause.
    """
    barred = alone | (avoid - dirty)
    position = {partition: place for place, partition in enumerate(listed)}
    spots = sorted(position[partition] for partition in dirty - alone if partition in position)
    while spots:
        inside = [spot for spot in spots if spot < spots[0] + longest]
        blocked = [spot for spot in range(inside[0], inside[-1] + 1) if listed[spot] in barred]
        if blocked:
            inside = [spot for spot in inside if spot < blocked[0]]
        yield Window(listed[inside[0]], listed[inside[-1]], tuple(listed[spot] for spot in inside))
        spots = spots[len(inside) :]
    for partition in sorted(dirty & alone, key=lambda name: position.get(name, 0)):
        if partition in position:
            yield Window(partition, partition, (partition,))


def covered(run: dg.DagsterRun, listed: Sequence[str]) -> set[str]:
    """The partitions that a run works on."""
    single = run.tags.get("dagster/partition")
    if single is not None:
        return {single}
    first, last = run.tags.get(RANGE_START), run.tags.get(RANGE_END)
    if first not in listed or last not in listed:
        return set()
    return set(listed[listed.index(first) : listed.index(last) + 1])
