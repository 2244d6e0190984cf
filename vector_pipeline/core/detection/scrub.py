"""Every range in turn, round and round: what makes the promise that nothing is lost, whatever changed a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vector_pipeline.core.detection.detector import Finding, State, View
from vector_pipeline.core.source.key_ranges import KeyRange


class Scrub:
    """Names all ranges one by one in key order, from after the one named last; a look goes round once at most."""

    name = "scrub"

    def look(self, view: View, ranges: Sequence[KeyRange], state: State | None) -> Iterator[Finding]:  # noqa: ARG002
        start = _place_after(ranges, state)
        for key_range in (*ranges[start:], *ranges[:start]):
            yield Finding({"named_last": key_range.range_id}, frozenset({key_range.range_id}))


def _place_after(ranges: Sequence[KeyRange], state: State | None) -> int:
    """Where the look goes on; at the first range where the one named last is not there."""
    named_last = None if state is None else state["named_last"]
    return next((place + 1 for place, r in enumerate(ranges) if r.range_id == named_last), 0)
