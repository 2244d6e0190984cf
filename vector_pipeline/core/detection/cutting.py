"""Cutting a table into key ranges, and ranges that have grown into smaller ones.

Ranges are cut by walking the key's index, so each holds about as many rows whatever the gaps between keys.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice

import psycopg
from psycopg import sql

from vector_pipeline.core.source import key_ranges as source_ranges
from vector_pipeline.core.source.connection import Connection as SourceConnection
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.locate import locate_keys
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.source.size import estimate_rows
from vector_pipeline.core.store import generations, locks
from vector_pipeline.core.store import key_ranges as store_ranges
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.registry import RegisteredIndex

# A range in the middle is cut again when it has grown past this many times its size.
SPLIT_FACTOR = 2
# Dagster's UI and daemon take some ten thousand partitions of an asset with ease, and not many times more.
_MOST_RANGES = 8_000
# Past that many, size doubles with each so many more: where the table turns out larger than it was thought to be.
_RANGES_TO_DOUBLE = 500
_BOUNDS_AT_ONCE = 200


def choose_range_size(declared: int, rows: int, ranges: int) -> int:
    """Rows in a range of a table of `rows` rows, as far as is known, that has been cut into `ranges` so far.

    The declared size, or more where that would make too many ranges.
    """
    fitting = max(declared, -(-rows // _MOST_RANGES))
    doublings: int = max(0, ranges - _MOST_RANGES) // _RANGES_TO_DOUBLE
    return fitting << doublings


def current_range_size(
    source: SourceConnection, target: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan, declared: int
) -> int:
    """The size that a range of this table should have now."""
    rows, ranges = store_ranges.totals(target, index)
    return choose_range_size(declared, max(rows, estimate_rows(source, plan)), ranges)


def extend(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    last: KeyRange,
    declared: int,
    deadline: float | None,
) -> int:
    """Cuts the last range, which is open above, wherever it holds more rows than a range should.

    Returns how many ranges were added.
    """
    if not source_ranges.holds_more_than(source, plan, last, declared):
        return 0
    return _cut(source, target, index, plan, last, declared, deadline)


def split_if_grown(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    range_id: int,
    declared: int,
    deadline: float | None = None,
) -> int:
    """Cuts a range that holds many more rows than a range should. Returns how many ranges were added."""
    key_range = store_ranges.load_range(target, range_id)
    if not source_ranges.holds_more_than(source, plan, key_range, SPLIT_FACTOR * declared):
        return 0
    size = current_range_size(source, target, index, plan, declared)
    if size > declared and not source_ranges.holds_more_than(source, plan, key_range, SPLIT_FACTOR * size):
        return 0
    return _cut(source, target, index, plan, key_range, declared, deadline)


def _cut(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    key_range: KeyRange,
    declared: int,
    deadline: float | None,
) -> int:
    """Cuts a range until the deadline, some bounds at a time; what is not cut by then is cut by a later look, and so is
    a range that is being embedded, or where others are at work and there is a deadline.

    Its documents follow into the new ranges in the transaction that adds them, so that no sync of the old range
    takes them for deleted rows.
    """
    added = 0
    with _held(target, Lock.RANGES, index.index_id, deadline) as alone:
        if not alone:
            return 0
        current = store_ranges.load_range(target, key_range.range_id)  # somebody else may have cut it meanwhile
        while deadline is None or not added or time.monotonic() < deadline:
            size = current_range_size(source, target, index, plan, declared)
            bounds = list(islice(source_ranges.cut(source, plan, current, size), _BOUNDS_AT_ONCE))
            new = _add(source, target, index, plan, current, bounds, deadline) if bounds else []
            added += len(new)
            if len(new) < _BOUNDS_AT_ONCE:
                break
            current = new[-1]
    return added


@contextmanager
def _held(target: psycopg.Connection, lock: Lock, which: int, deadline: float | None) -> Iterator[bool]:
    """Holds the lock; whether it does is yielded, since a look that has little time doesn't wait for it."""
    if deadline is None:
        locks.wait_for(target, lock, which)
    elif not locks.try_hold(target, lock, which):
        yield False
        return
    try:
        yield True
    finally:
        locks.release(target, lock, which)


def _add(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    current: KeyRange,
    bounds: Sequence[str],
    deadline: float | None,
) -> list[KeyRange]:
    """Adds the ranges that start at these bounds; [] where others work on the one that they are cut from."""
    with ExitStack() as held:
        # Texts that are at the provider must not be sent again by whoever embeds the range that they move to.
        for generation in generations.live(target, index):
            lock = generation.embedding_lock(current.range_id)
            if not locks.try_hold(target, Lock.RANGE_EMBEDDING, lock):
                return []
            held.callback(locks.release, target, Lock.RANGE_EMBEDDING, lock)
        if not held.enter_context(_held(target, Lock.RANGE_DOCUMENTS, current.range_id, deadline)):
            return []
        with store_ranges.changing(target, index, range_ids=[current.range_id]):
            new = store_ranges.add_ranges(target, index, current, bounds)
            _move_documents(source, target, index, plan, current, new)
        return new


def _move_documents(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    old: KeyRange,
    new: Sequence[KeyRange],
) -> None:
    documents = sql.Identifier(index.schema, "documents")
    keys = [
        key
        for (key,) in target.execute(
            sql.SQL("SELECT key FROM {} WHERE range_id = %s").format(documents), (old.range_id,)
        )
    ]
    if not keys:
        return
    homes = {key: home for key, home in locate_keys(source, plan, keys, [old, *new]).items() if home != old.range_id}
    target.execute(
        sql.SQL(
            """
            UPDATE {} d SET range_id = moved.range_id
            FROM unnest(%s::text[], %s::integer[]) AS moved(key, range_id)
            WHERE d.key = moved.key
            """
        ).format(documents),
        (list(homes), list(homes.values())),
    )
    store_ranges.recount_rows(target, index, [old.range_id, *(key_range.range_id for key_range in new)])
