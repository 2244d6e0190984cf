"""New keys past the greatest one: one lookup in the key's index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vector_pipeline.core.detection.detector import Finding, State, View
from vector_pipeline.core.source.key_ranges import KeyRange, hash_of_greatest_key


class Tail:
    """Names the last range when the greatest key is another one than at the last look.

    Catches appended rows, and the deletion of the last one. All else is left to the other detectors: changes of rows
    that are there, deletions elsewhere, and keys that come in below the greatest, as late commits do.
    """

    name = "tail"

    def look(self, view: View, ranges: Sequence[KeyRange], state: State | None) -> Iterator[Finding]:
        greatest = hash_of_greatest_key(view.source, view.plan)
        if state is None:
            yield Finding({"key_hash": greatest})
        elif state["key_hash"] != greatest:
            yield Finding({"key_hash": greatest}, frozenset({ranges[-1].range_id}))
