"""Comparing ranges with the source by their digests: the one place that tells what is dirty."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from vector_pipeline.core.detection import cutting
from vector_pipeline.core.source.connection import Connection as SourceConnection
from vector_pipeline.core.source.digest import Digest, digest_range
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.source.throttle import Throttle
from vector_pipeline.core.source.time_limit import StatementTookTooLong, naming_the_limit
from vector_pipeline.core.store import key_ranges as store_ranges
from vector_pipeline.core.store.registry import RegisteredIndex

# Digests are noted some at a time, since a commit costs about as much as the digest of a small range.
_RANGES_AT_ONCE = 20
_LONGEST_BATCH_SECONDS = 0.5


@dataclass
class Comparison:
    """Compares ranges, for as long as a look has time; counts what it did.

    A range that takes too long is passed over, and not tried again in the same look.
    """

    source: SourceConnection
    target: psycopg.Connection
    index: RegisteredIndex
    plan: ReadingPlan
    declared_size: int
    throttle: Throttle
    added: int = 0
    passed_over: set[int] = field(default_factory=set)
    _compared: set[int] = field(default_factory=set)
    _size: int | None = None

    @property
    def checked(self) -> int:
        return len(self._compared)

    def compare_suspects(self, deadline: float | None) -> None:
        """Compares what is suspected or was never looked at, until there is none left or the deadline has passed."""
        before: set[int] = set()
        while suspects := store_ranges.suspects(self.target, self.index, self.passed_over):
            named = {suspect.range_id for suspect in suspects}
            if named == before:
                return  # others name them as fast as they are compared
            before = named
            self._compared -= named
            if self.compare(suspects, deadline) < len(suspects) or (
                deadline is not None and time.monotonic() >= deadline
            ):
                return

    def compare(self, ranges: Sequence[KeyRange], deadline: float | None) -> int:
        """Compares ranges in turn, at least one, each once a look. Returns how many were reached by the deadline."""
        reached = 0
        while reached < len(ranges):
            reached += self._compare_some(ranges[reached : reached + _RANGES_AT_ONCE], deadline)
            if deadline is not None and time.monotonic() >= deadline:
                break
        return reached

    def _compare_some(self, ranges: Sequence[KeyRange], deadline: float | None) -> int:
        started, looked_at = time.monotonic(), store_ranges.clock(self.target)
        # Others may have cut them since they were named.
        current = store_ranges.load_some(self.target, self.index, [key_range.range_id for key_range in ranges])
        digests: dict[int, Digest] = {}
        reached = 0
        try:
            for named in ranges:
                reached += 1
                key_range = current[named.range_id]
                if key_range.range_id in self._compared or key_range.range_id in self.passed_over:
                    continue
                self.throttle.wait_for_replicas(deadline)
                digest = self._digest_as_cut(key_range, deadline)
                if digest is not None:
                    digests[key_range.range_id] = digest
                    self.throttle.spend(digest.rows, deadline)
                now = time.monotonic()
                if now - started > _LONGEST_BATCH_SECONDS or (deadline is not None and now >= deadline):
                    break
        finally:
            store_ranges.note_source_digests(self.target, self.index, digests, looked_at)
        self._compared |= digests.keys()
        for range_id, digest in digests.items():
            if digest.rows > cutting.SPLIT_FACTOR * self._range_size():
                self._split(range_id, deadline)
        return reached

    def _digest_as_cut(self, key_range: KeyRange, deadline: float | None) -> Digest | None:
        """None where there was no time for it."""
        try:
            with naming_the_limit():
                if key_range.upper is None:
                    return self._digest_last(key_range, deadline)
                return digest_range(self.source, self.plan, key_range)
        except StatementTookTooLong:
            self.passed_over.add(key_range.range_id)
        # What takes too long may have grown since it was cut.
        self._split(key_range.range_id, deadline)
        return None

    def _digest_last(self, key_range: KeyRange, deadline: float | None) -> Digest:
        """The last range is where new keys come: it is cut before it is read."""
        added = cutting.extend(self.source, self.target, self.index, self.plan, key_range, self.declared_size, deadline)
        self._note_added(added)
        current = store_ranges.load_range(self.target, key_range.range_id) if added else key_range
        return digest_range(self.source, self.plan, current)

    def _split(self, range_id: int, deadline: float | None) -> None:
        try:
            with naming_the_limit():
                added = cutting.split_if_grown(
                    self.source, self.target, self.index, self.plan, range_id, self.declared_size, deadline
                )
        except StatementTookTooLong:
            self.passed_over.add(range_id)
            return
        self._note_added(added)
        if added:
            self.passed_over.discard(range_id)

    def _note_added(self, added: int) -> None:
        if added:
            self.added += added
            self._size = None

    def _range_size(self) -> int:
        if self._size is None:
            self._size = cutting.current_range_size(self.source, self.target, self.index, self.plan, self.declared_size)
        return self._size
