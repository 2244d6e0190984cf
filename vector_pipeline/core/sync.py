"""One range from the source to documents and passages.

The range's lock is taken before the snapshot of MySQL is opened, so that an older reading can never overwrite a newer
one, whoever started the run. Documents, passages and the digest of exactly the rows read are one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import psycopg

from vector_pipeline.core import deletion_guard
from vector_pipeline.core.deletion_guard import TooManyDeletions
from vector_pipeline.core.detection.cutting import split_if_grown
from vector_pipeline.core.reports import RangeDocuments
from vector_pipeline.core.source.connection import Connection as SourceConnection
from vector_pipeline.core.source.connection import snapshot
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.source.rows import read_rows
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import key_ranges, locks
from vector_pipeline.core.store.documents import compare, passages_of_range, write_changes
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.stored_digest import stored_row_hashes


def sync_range(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    live: Sequence[RegisteredIndex],
    plan: ReadingPlan,
    spec: IndexSpec,
    range_id: int,
) -> RangeDocuments:
    """Makes the documents and passages of one range equal to its rows; writes nothing where they are.

    Args:
        index: by its served generation.
        live: the same index by each generation that the rows go to.

    A range that has grown far past its size since it was looked at is cut first, so that no more than its first piece
    is read at once; the other pieces are dirty ranges of their own.

    Raises:
        SourceValueError: texts of the first of the `live` can't be made of a row; nothing is written. What can't be
            made of another one is left to who asks for that.
        MassDeletionHeldError: the source lacks so many rows that somebody has to approve it; nothing is written.
    """
    started = time.monotonic()
    split_if_grown(source, target, index, plan, range_id, spec.range_size)
    with locks.held(target, Lock.RANGE_DOCUMENTS, range_id):
        # Read under the lock: the range may have been cut since the run was asked for.
        key_range = key_ranges.load_range(target, range_id)
        looked_at = key_ranges.clock(target)
        stored = stored_row_hashes(target, index, plan, range_id)
        passages = [passages_of_range(target, generation, plan, range_id) for generation in live]
        with snapshot(source):
            changes = compare(read_rows(source, plan, key_range), stored, passages)
        if changes.passages and changes.passages[0].error is not None:
            raise changes.passages[0].error
        key_ranges.note_source_digest(target, index, key_range, changes.digest, looked_at)
        try:
            with target.transaction():
                deletion_guard.admit(target, index, spec.deletion_guard, len(changes.gone))
                write_changes(target, index, plan, range_id, changes)
        except TooManyDeletions:
            raise deletion_guard.hold_range(
                target, index, spec.deletion_guard, range_id, changes.digest, len(changes.gone)
            ) from None
    return RangeDocuments(
        partition=key_range.partition,
        rows_read=changes.digest.rows,
        inserted=changes.inserted,
        updated=changes.updated,
        deleted=len(changes.gone),
        passages_written=changes.passages_written,
        digest=str(changes.digest),
        seconds=time.monotonic() - started,
    )
