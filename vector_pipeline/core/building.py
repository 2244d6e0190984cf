"""Building the next generation: each range's texts, then their vectors, window by window, until it has caught up with
the served one; then the checks, the ANN indexes, and the switch.

The served generation gets its changes from runs of its own meanwhile. Whatever has been built is found again by set
difference, so a build that was killed goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import psycopg

from vector_pipeline.core import generations
from vector_pipeline.core.errors import SourceKeyError, SourceValueError
from vector_pipeline.core.generations import Judge, Reading
from vector_pipeline.core.reports import BuiltGeneration, EmbeddingReport, RangeDocuments
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import key_ranges, offline_batches
from vector_pipeline.core.store.ann_building import Observer
from vector_pipeline.core.store.registry import RegisteredIndex

SyncDocuments = Callable[[Sequence[str], int], Iterator[RangeDocuments]]
Fill = Callable[[RegisteredIndex, Sequence[KeyRange]], EmbeddingReport]

# Rows that change while the last window is embedded leave a little to do: so often it is done at once.
_PASSES = 10


def build(
    target: psycopg.Connection,
    building: RegisteredIndex,
    spec: IndexSpec,
    reading: Reading,
    sync_documents: SyncDocuments,
    fill: Fill,
    on_progress: Callable[[], None],
    observer: Observer | None = None,
    judge: Judge | None = None,
) -> BuiltGeneration:
    """Builds the generation, and serves it if nothing is in the way.

    Args:
        sync_documents: makes documents, and the texts of all generations that follow the source, equal to the rows;
            rows of which the texts of the given generation can't be made are errors.
        fill: embeds what ranges lack in a generation.
        on_progress: called after each window of ranges.
        observer: is told how far the building of ANN indexes is.
        judge: says why answers of a complete generation are not good enough to be served.

    Raises:
        SourceKeyError, SourceValueError: a row can't be taken over; all other ranges are built.
    """
    started, number = time.monotonic(), building.generation.number
    reports: list[EmbeddingReport] = []
    obstacles = [generations.INCOMPLETE]
    paused: str | None = None
    for _ in range(_PASSES):
        about_rows: SourceKeyError | SourceValueError | None = None
        for window in _windows(target, building, spec.automation.ranges_per_run):
            try:
                for _range in sync_documents([key_range.partition for key_range in window], number):
                    pass
            except (SourceKeyError, SourceValueError) as error:
                about_rows = error
            if paused is None:
                reports.append(fill(building, window))
                paused = reports[-1].paused
            on_progress()
            if not generations.is_wanted(target, building):
                break
        if about_rows is not None:
            raise about_rows
        if paused is not None:
            obstacles = [paused]
            break
        obstacles = generations.switch_if_ready(target, building, reading, spec, observer, judge)
        if obstacles == [generations.INCOMPLETE] and (owed := offline_batches.count_owed(target, building)):
            obstacles = [f"{owed:,} of its texts wait for an offline batch"]
        if obstacles != [generations.INCOMPLETE]:
            break
    return BuiltGeneration(
        generation=number,
        switched=not obstacles,
        obstacles=tuple(obstacles),
        texts_embedded=sum(report.texts_embedded for report in reports),
        texts_reused=sum(report.texts_reused for report in reports),
        texts_quarantined=sum(report.texts_quarantined for report in reports),
        requests=sum(report.requests for report in reports),
        tokens=sum(report.tokens for report in reports),
        seconds=time.monotonic() - started,
        tokens_estimated=sum(report.tokens_estimated for report in reports),
        cost=_sum_of_costs(reports),
    )


def _sum_of_costs(reports: Sequence[EmbeddingReport]) -> float | None:
    costs = [report.cost for report in reports if report.cost is not None]
    return sum(costs) if len(costs) == len(reports) else None


def _windows(target: psycopg.Connection, building: RegisteredIndex, size: int) -> Iterator[list[KeyRange]]:
    """The ranges that are not built, whose rows have changed since, or with a quarantined text whose pause is over, so
    many at a time. Not those that lack nothing but what offline batches owe."""
    waiting = offline_batches.waiting_ranges(target, building)
    states = key_ranges.load_states(target, building)
    due = {s.range_id for s in states if s.documents_differ or (s.dirty and s.range_id not in waiting)}
    due |= key_ranges.due_for_retry(target, building)
    ranges = [key_range for key_range in key_ranges.load_ranges(target, building) if key_range.range_id in due]
    for start in range(0, len(ranges), size):
        yield ranges[start : start + size]
