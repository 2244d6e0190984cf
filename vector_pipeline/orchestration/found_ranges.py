"""Telling Dagster of the ranges that a look has found, from outside of the sensor."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.reports import RangeState
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.sensors import changed_digests, new_partitions, rows_events


@dataclass(frozen=True)
class FoundRanges:
    """How all ranges stand in key order, and the partitions of those that are to be synced."""

    states: Sequence[RangeState]
    dirty: frozenset[str]


def tell_of_ranges(instance: dg.DagsterInstance, index: IndexContext, opened: VectorIndex) -> FoundRanges:
    """Adds new partitions and reports changed rows. Pauses of ranges that failed are not waited for: whoever syncs by
    hand has mended something."""
    name = index.ranges.name
    assert name is not None
    states = opened.ranges()
    new = new_partitions(states, instance.get_dynamic_partitions(name))
    if new:
        instance.add_dynamic_partitions(name, new)
    changed = changed_digests(states, new)
    for event in rows_events(index, changed):
        instance.report_runless_asset_event(event)
    opened.note_reported({state.partition: state.source_digest for state in changed if state.source_digest})
    return FoundRanges(states, dirty_partitions(opened, states))


def dirty_partitions(opened: VectorIndex, states: Sequence[RangeState]) -> frozenset[str]:
    """The partitions that differ, and those with a quarantined text to be tried again."""
    due = (state.partition for state in opened.due_ranges(states))
    return frozenset(due) | {state.partition for state in states if state.dirty}
