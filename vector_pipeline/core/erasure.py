"""Erasing rows: their texts and vectors leave PostgreSQL at once, whatever would keep them for a while otherwise.

A row that is still in MySQL would come back with the next sync, so it is refused. That is looked up under the locks of
the rows' ranges: a sync that read a row before it was deleted has written it by then, and one that comes later does not
read it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import psycopg

from vector_pipeline.core.errors import ErasureError
from vector_pipeline.core.reports import ErasureReport
from vector_pipeline.core.source.connection import Connection as SourceConnection
from vector_pipeline.core.source.connection import snapshot
from vector_pipeline.core.source.locate import locate_keys
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.source.presence import is_key, keys_present
from vector_pipeline.core.store import erasing, key_ranges, locks
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.registry import RegisteredIndex

_MOST_KEYS = 20  # that an error names


def erase(
    source: SourceConnection, target: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan, keys: Sequence[str]
) -> ErasureReport:
    """Erases rows by their keys, all of them or none; what the index hasn't got is reported.

    With them goes every vector whose text no row has any more, searched or retired: which of those were the rows'
    earlier texts nobody knows, nor those of rows that a sync has deleted before.

    Raises:
        ErasureError: a row is still in MySQL, or what is given is no key; nothing is erased.
    """
    started = time.monotonic()
    wanted = list(dict.fromkeys(keys))
    _refuse_what_is_no_key(index, plan, wanted)
    with _ranges_held(source, target, index, plan, wanted):
        with snapshot(source):
            present = keys_present(source, plan, wanted)
        if present:
            raise ErasureError(
                f"index {index.name!r}: {plan.database}.{plan.table} still has {_rows(present)}, and the next sync "
                "would bring back what is erased here: delete it in MySQL first, or have source.where leave it out. "
                "Nothing was erased"
            )
        erased = erasing.erase_documents(target, index, plan, wanted)
    erasing.vacuum(target, index)
    return ErasureReport(
        index=index.name,
        erased=tuple(key for key in wanted if key in erased.keys),
        absent=tuple(key for key in wanted if key not in erased.keys),
        passages=erased.passages,
        vectors=erased.vectors,
        quarantined=erased.quarantined,
        seconds=time.monotonic() - started,
    )


def _refuse_what_is_no_key(index: RegisteredIndex, plan: ReadingPlan, keys: Sequence[str]) -> None:
    wrong = [key for key in keys if not is_key(plan, key)]
    if wrong:
        raise ErasureError(
            f"index {index.name!r} is keyed by {plan.key.source} ({plan.key.source_type}), and "
            f"{', '.join(map(repr, wrong[:_MOST_KEYS]))} can't be such a key; give keys as search shows them. "
            "Nothing was erased"
        )


@contextmanager
def _ranges_held(
    source: SourceConnection, target: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan, keys: Sequence[str]
) -> Iterator[None]:
    """Holds the ranges that the rows are in, or would be in: in the order of their ids, since others may erase too."""
    while True:
        ranges = _ranges_of(source, target, index, plan, keys)
        with ExitStack() as held:
            for range_id in sorted(ranges):
                held.enter_context(locks.held(target, Lock.RANGE_DOCUMENTS, range_id))
            # One of them may have been cut before it was held.
            if _ranges_of(source, target, index, plan, keys) <= ranges:
                yield
                return


def _ranges_of(
    source: SourceConnection, target: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan, keys: Sequence[str]
) -> set[int]:
    ranges = key_ranges.load_ranges(target, index)
    located = locate_keys(source, plan, keys, ranges) if ranges else {}
    return {*located.values(), *erasing.ranges_of_documents(target, index, keys)}


def _rows(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _MOST_KEYS} more" if len(keys) > _MOST_KEYS else ""
    return ("row " if len(keys) == 1 else "rows ") + ", ".join(map(repr, keys[:_MOST_KEYS])) + more
