"""How far an index is behind its table, as the ranges' digests tell."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from vector_pipeline.core.reports import Lag, RangeState


def measure_lag(states: Iterable[RangeState], now: datetime) -> Lag:
    """The lag of an index whose ranges stand like that."""
    dirty = [state for state in states if state.dirty]
    since = [state.dirty_since for state in dirty if state.dirty_since is not None]
    return Lag(
        ranges=len(dirty),
        rows=sum(_rows_behind(state) for state in dirty),
        seconds=max(0.0, (now - min(since)).total_seconds()) if since else 0.0,
    )


def _rows_behind(state: RangeState) -> int:
    """Rows of a dirty range that are behind, at least: digests tell that rows differ, their counts how many came."""
    if state.synced_digest is None and not state.rows:
        return state.source_rows or 0
    came_or_went = 0 if state.source_rows is None else abs(state.source_rows - state.rows)
    return max(1, came_or_went)
