"""What every detector is: something that names key ranges which may differ from the source.

Detectors only name ranges. Whether a named range really differs is told by its digest, and the way in which it is
synced is one and the same; so a detector that names too much costs a digest, and one that names too little leaves the
rest to the scrub.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg

from vector_pipeline.core.source.connection import Connection as SourceConnection
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.store.registry import RegisteredIndex

State = dict[str, Any]
"""Where a detector's next look goes on, as JSON; only the detector itself reads it."""


@dataclass(frozen=True)
class View:
    """What a detector looks at. `deadline` is a moment of `time.monotonic`, None for a look that may take its time."""

    source: SourceConnection
    target: psycopg.Connection
    index: RegisteredIndex
    plan: ReadingPlan
    deadline: float | None


@dataclass(frozen=True)
class Finding:
    """Ranges that may differ, by id, and where the detector goes on once they are noted.

    The two are stored in one transaction: a look that is broken off loses nothing and repeats little. `problem` tells
    of changes that the detector may have missed, so that only the scrub will find them.
    """

    state: State
    suspects: frozenset[int] = field(default_factory=frozenset)
    problem: str | None = None


class Detector(Protocol):
    """One way to get to know of changes."""

    @property
    def name(self) -> str:
        """Under which its state is kept and its troubles are told."""

    def look(self, view: View, ranges: Sequence[KeyRange], state: State | None) -> Iterator[Finding]:
        """Yields what it finds, bit by bit, in bounded memory; stops at the deadline.

        Args:
            ranges: all ranges in key order.
            state: of its last finding; None at its first look, which starts at the present and names no range.
        """
