"""Finding out which ranges differ from the source: new keys are cut into ranges, ranges are digested in turn.

Whatever changed a row (insert, update, delete, late commit, repair), its range's digest is another one. A look is
bounded in time and goes on where the last one stopped; the last range, where new keys come, is looked at each time. A
range that takes too long is passed over, and the round is not complete until it has been looked at.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

import psycopg
from psycopg import sql

from vector_pipeline.core.reports import Detection
from vector_pipeline.core.source import key_ranges as source_ranges
from vector_pipeline.core.source.connection import Connection as SourceConnection
from vector_pipeline.core.source.digest import digest_range
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.source.time_limit import StatementTookTooLong, limited_statements, naming_the_limit
from vector_pipeline.core.store import key_ranges as store_ranges
from vector_pipeline.core.store import locks
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.registry import RegisteredIndex

# A range in the middle is cut again when it has grown past this many times its size.
_SPLIT_FACTOR = 2
# Of a look with a budget. Few statements run past the budget, and Dagster ends a sensor's tick after 60 seconds.
_LONGEST_STATEMENT_SECONDS = 10.0


def detect(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    range_size: int,
    *,
    budget_seconds: float | None,
    resume_after: int | None,
) -> Detection:
    """Cuts new ranges and digests ranges from after `resume_after` on, until the budget is spent or all are done.

    Args:
        budget_seconds: None for a whole round.
        resume_after: id of the last range that the look before reached.
    """
    deadline = None if budget_seconds is None else time.monotonic() + budget_seconds
    longest = None if budget_seconds is None else max(budget_seconds, _LONGEST_STATEMENT_SECONDS)
    added = done = reached = 0
    resume, at_the_end = resume_after, True
    with limited_statements(source, longest):
        store_ranges.add_first_range(target, index)
        with suppress(StatementTookTooLong), naming_the_limit():
            added += _extend(source, target, index, plan, range_size, deadline)
        ranges = store_ranges.load_ranges(target, index)
        for key_range in (ranges[-1], *_from(ranges[:-1], resume_after)):
            # One beside the last, or a budget that this alone uses up would keep the round where it is for ever.
            if deadline is not None and reached > 1 and time.monotonic() >= deadline:
                at_the_end = False
                break
            with suppress(StatementTookTooLong), naming_the_limit():
                rows = _check(source, target, plan, key_range)
                done += 1
                added += _split_grown(source, target, index, plan, key_range, rows, range_size)
            reached += 1
            if reached > 1:
                resume = key_range.range_id
    complete = at_the_end and done == reached and store_ranges.note_round_complete(target, index)
    if at_the_end:
        resume = None
    states = store_ranges.load_states(target, index)
    return Detection(
        ranges_total=len(states),
        ranges_added=added,
        ranges_checked=done,
        ranges_dirty=sum(state.dirty for state in states),
        resume_after=resume,
        round_complete=complete,
    )


def _from(ranges: Sequence[KeyRange], resume_after: int | None) -> Sequence[KeyRange]:
    """The ranges after the one reached last; all of them where that one is not there."""
    for position, key_range in enumerate(ranges):
        if key_range.range_id == resume_after:
            return ranges[position + 1 :]
    return ranges


def _check(source: SourceConnection, target: psycopg.Connection, plan: ReadingPlan, key_range: KeyRange) -> int:
    looked_at = store_ranges.clock(target)
    digest = digest_range(source, plan, key_range)
    store_ranges.note_source_digest(target, key_range, digest, looked_at)
    return digest.rows


def _extend(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    range_size: int,
    deadline: float | None,
) -> int:
    """Cuts the last range, which is open above, wherever it holds more than `range_size` rows."""
    last = store_ranges.load_ranges(target, index)[-1]
    return split(source, target, index, plan, last, range_size, deadline)


def _split_grown(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    key_range: KeyRange,
    rows: int,
    range_size: int,
) -> int:
    if rows <= _SPLIT_FACTOR * range_size:
        return 0
    return split(source, target, index, plan, key_range, range_size, None)


def split_if_grown(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    range_id: int,
    range_size: int,
) -> int:
    """Cuts a range that holds more rows now than a range should. Returns how many ranges were added."""
    key_range = store_ranges.load_range(target, range_id)
    if not source_ranges.holds_more_than(source, plan, key_range, _SPLIT_FACTOR * range_size):
        return 0
    return split(source, target, index, plan, key_range, range_size, None)


def split(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    key_range: KeyRange,
    range_size: int,
    deadline: float | None,
) -> int:
    """Cuts a range every `range_size` rows. Returns how many ranges were added.

    Its documents follow into the new ranges in the transaction that adds them, so that no sync of the old range
    takes them for deleted rows.
    """
    added = 0
    with locks.held(target, Lock.RANGES, index.index_id):
        current = store_ranges.load_range(target, key_range.range_id)  # somebody else may have cut it meanwhile
        for lower in source_ranges.cut(source, plan, current, range_size):
            with locks.held(target, Lock.RANGE_DOCUMENTS, current.range_id), target.transaction():
                new = store_ranges.add_range(target, index, current, lower)
                _move_documents(source, target, index, plan, current, new)
            current, added = new, added + 1
            if deadline is not None and time.monotonic() >= deadline:
                break
        if added and deadline is None:
            # What was digested as one range is now several, each with a digest of its own.
            _check(source, target, plan, store_ranges.load_range(target, key_range.range_id))
    return added


def _move_documents(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    old: KeyRange,
    new: KeyRange,
) -> None:
    documents = sql.Identifier(index.schema, "documents")
    keys = [
        key
        for (key,) in target.execute(
            sql.SQL("SELECT key FROM {} WHERE range_id = %s").format(documents), (old.range_id,)
        )
    ]
    if not keys or new.lower is None:
        return
    moving = source_ranges.keys_at_or_above(source, plan, keys, new.lower)
    target.execute(
        sql.SQL("UPDATE {} SET range_id = %s WHERE key = ANY(%s) AND range_id = %s").format(documents),
        (new.range_id, moving, old.range_id),
    )
