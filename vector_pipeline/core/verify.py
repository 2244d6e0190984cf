"""The proof of parity: the source's digest of every range against one recomputed from what the target stores, every
passage against the text that its document renders to, and every passage's vector.

Where digests differ, rows are compared one by one to name the keys, under the range's lock, so that a sync at work is
not taken for damage.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
from psycopg import sql

from vector_pipeline.core.documents.rendering import RenderingError
from vector_pipeline.core.reports import ParityReport, RangeDifference
from vector_pipeline.core.source.connection import Connection as SourceConnection
from vector_pipeline.core.source.connection import snapshot
from vector_pipeline.core.source.digest import EMPTY, Digest, digest_range
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.source.rows import read_row_hashes
from vector_pipeline.core.source.throttle import Throttle
from vector_pipeline.core.store import key_ranges, locks, vectors
from vector_pipeline.core.store.contents import count_contents
from vector_pipeline.core.store.documents import PassageKey, StoredPassage
from vector_pipeline.core.store.documents import stored_passages as load_stored_passages
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.means import lacks_a_quarantined_part
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.stored_digest import stored_digests, stored_row_hashes

OnProgress = Callable[[int, int], None]
"""Called with ranges done and ranges in all."""


def verify(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    on_progress: OnProgress | None = None,
    throttle: Throttle | None = None,
) -> ParityReport:
    """Proves that the target equals the source, or names what differs."""
    started = time.monotonic()
    ranges = key_ranges.load_ranges(target, index)
    stored = stored_digests(target, index, plan)
    wrong_vectors = _wrong_vectors(target, index)
    differences: list[RangeDifference] = []
    source_rows = 0
    for done, key_range in enumerate(ranges, start=1):
        if throttle is not None:
            throttle.wait_for_replicas()
        wanted = digest_range(source, plan, key_range)
        source_rows += wanted.rows
        rows_differ = wanted != stored.get(key_range.range_id, EMPTY)
        passages_differ = _differing_passages(target, index, key_range)
        if rows_differ or passages_differ or key_range.range_id in wrong_vectors:
            difference = _examine(source, target, index, plan, key_range)
            if difference is not None:
                differences.append(difference)
        if throttle is not None:
            throttle.spend(wanted.rows)
        if on_progress is not None:
            on_progress(done, len(ranges))
    known = {key_range.range_id for key_range in ranges}
    differences += _strays(target, index, known, stored)
    counts = count_contents(target, index)
    return ParityReport(
        index=index.name,
        ranges=len(ranges),
        source_rows=source_rows,
        target_rows=counts.documents,
        passages=counts.passages,
        vectors=counts.vectors,
        quarantined=counts.quarantined,
        differences=tuple(differences),
        seconds=time.monotonic() - started,
    )


def _examine(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    key_range: KeyRange,
) -> RangeDifference | None:
    """The keys that differ, None where nothing does any more."""
    with locks.held(target, Lock.RANGE_DOCUMENTS, key_range.range_id):
        current = key_ranges.load_range(target, key_range.range_id)
        with snapshot(source):
            rows = list(read_row_hashes(source, plan, current))
        wanted = dict(rows)
        stored = stored_row_hashes(target, index, plan, key_range.range_id)
        passages = _differing_passages(target, index, key_range)
        wrong = _wrong_vectors(target, index, key_range.range_id).get(key_range.range_id, ([], []))
    # Of several rows with one key, as a view can have them, the target holds one at most.
    repeats = Counter(key for key, _ in rows)
    difference = RangeDifference(
        partition=key_range.partition,
        source_rows=len(rows),
        target_rows=len(stored),
        missing=tuple(key for key in wanted if key not in stored),
        stale=tuple(
            key
            for key, row_hash in wanted.items()
            if (key in stored and repeats[key] > 1) or stored.get(key, row_hash) != row_hash
        ),
        orphaned=tuple(key for key in stored if key not in wanted),
        passages=tuple(passages),
        vectors=tuple(wrong[0]),
        dishonest=tuple(wrong[1]),
    )
    return difference if difference.rows else None


def _differing_passages(target: psycopg.Connection, index: RegisteredIndex, key_range: KeyRange) -> list[str]:
    """Keys of a range whose stored passages are not those that their stored texts render to."""
    stored = load_stored_passages(target, index, key_range.range_id)
    wrong = {
        key: None
        for key, rendered in _rendered(target, index, key_range)
        if rendered is None or stored.pop(key, None) != rendered
    }
    return list(dict.fromkeys([key for key, _, _ in wrong] + [key for key, _, _ in stored]))


def _rendered(
    target: psycopg.Connection, index: RegisteredIndex, key_range: KeyRange
) -> Iterator[tuple[PassageKey, StoredPassage | None]]:
    """What is to be stored of each passage; None instead for a document that can't be rendered."""
    rendering = index.generation.rendering
    rows = target.execute(
        sql.SQL("SELECT key, {} FROM {} WHERE range_id = %s").format(
            sql.SQL(", ").join(map(sql.Identifier, index.generation.columns)),
            sql.Identifier(index.schema, "documents"),
        ),
        (key_range.range_id,),
    )
    for key, *texts in rows:
        try:
            for passage in rendering.passages(texts):
                yield (key, passage.field, passage.ordinal), StoredPassage(passage.content_hash, passage.span)
        except RenderingError:
            yield (key, "", 0), None


def _wrong_vectors(
    target: psycopg.Connection, index: RegisteredIndex, range_id: int | None = None
) -> dict[int, tuple[list[str], list[str]]]:
    """By range: keys with a passage that has neither vector nor quarantine entry or is not found by the vector that it
    has; and keys with a vector that is not honest."""
    rows = target.execute(
        sql.SQL(
            """
            SELECT d.range_id, d.key, v.content_hash IS NOT NULL AND NOT ({honest})
            FROM {documents} d
            JOIN {passages} p ON p.key = d.key
            LEFT JOIN {vectors} v ON v.content_hash = p.content_hash AND v.field = p.field
            LEFT JOIN vector_pipeline.quarantine q
                ON q.index_id = %(index)s AND q.space = %(space)s AND q.content_hash = p.content_hash
            WHERE (%(range)s::integer IS NULL OR d.range_id = %(range)s)
              AND CASE WHEN v.content_hash IS NULL THEN q.content_hash IS NULL AND NOT {lacks_a_part}
                       ELSE p.served_hash IS DISTINCT FROM p.content_hash OR NOT ({honest}) END
            ORDER BY d.sort_key
            """
        ).format(
            honest=vectors.honest_condition(index),
            lacks_a_part=lacks_a_quarantined_part(index),
            documents=sql.Identifier(index.schema, "documents"),
            passages=sql.Identifier(index.schema, index.passages),
            vectors=sql.Identifier(index.schema, index.vectors),
        ),
        {"index": index.index_id, "space": index.generation.space.number, "range": range_id},
    ).fetchall()
    found: dict[int, tuple[list[str], list[str]]] = {}
    for owner, key, dishonest in rows:
        keys = found.setdefault(owner, ([], []))[1 if dishonest else 0]
        if key not in keys[-1:]:
            keys.append(key)
    return found


def wrong_generation(target: psycopg.Connection, index: RegisteredIndex) -> list[str]:
    """Keys whose passages in the index's generation are not those that their texts render to, or have no honest vector
    and no quarantine entry.

    A range that is being synced is waited for, so that its work is not taken for damage.
    """
    wrong = _wrong_vectors(target, index)
    keys: list[str] = []
    for key_range in key_ranges.load_ranges(target, index):
        if key_range.range_id not in wrong and not _differing_passages(target, index, key_range):
            continue
        with locks.held(target, Lock.RANGE_DOCUMENTS, key_range.range_id):
            keys += _differing_passages(target, index, key_range)
            lacking, dishonest = _wrong_vectors(target, index, key_range.range_id).get(key_range.range_id, ([], []))
            keys += [*lacking, *dishonest]
    return list(dict.fromkeys(keys))


def dishonest_keys(target: psycopg.Connection, index: RegisteredIndex) -> list[str]:
    """Keys with a stored vector that is not an honest one, in key order."""
    return [key for _, dishonest in _wrong_vectors(target, index).values() for key in dishonest]


def _strays(
    target: psycopg.Connection, index: RegisteredIndex, known: set[int], stored: dict[int, Digest]
) -> Iterator[RangeDifference]:
    """Documents of a range that is not in the registry: no sync of a range would ever find them."""
    for range_id in sorted(stored.keys() - known):
        if any(r.range_id == range_id for r in key_ranges.load_ranges(target, index)):
            continue  # cut off from another range since the proof began
        keys = target.execute(
            sql.SQL("SELECT key FROM {} WHERE range_id = %s ORDER BY sort_key").format(
                sql.Identifier(index.schema, "documents")
            ),
            (range_id,),
        ).fetchall()
        yield RangeDifference(f"unknown range {range_id}", 0, len(keys), orphaned=tuple(key for (key,) in keys))


def make_repairable(target: psycopg.Connection, index: RegisteredIndex, report: ParityReport) -> None:
    """Brings whatever differs within reach of the next sync: the ranges are dirty, and what no sync looks at is out of
    its way (documents of unknown ranges, dishonest vectors)."""
    if any(difference.dishonest for difference in report.differences):
        vectors.discard_dishonest(target, index)
    partitions = [difference.partition for difference in report.differences]
    first = key_ranges.load_ranges(target, index)[0]
    if _adopt_strays(target, index, first):
        key_ranges.recount_rows(target, index, [first.range_id])
        partitions.append(first.partition)
    key_ranges.forget_digest(target, index, partitions)


def _adopt_strays(target: psycopg.Connection, index: RegisteredIndex, first: KeyRange) -> bool:
    """Gives documents of unknown ranges to the first range, whose sync then removes them or leaves them to theirs."""
    # One statement, so that a range that is being cut off at this moment is known with its documents or not at all.
    cursor = target.execute(
        sql.SQL(
            """
            UPDATE {} d SET range_id = %s
            WHERE NOT EXISTS (
                SELECT FROM vector_pipeline.key_ranges r WHERE r.range_id = d.range_id AND r.index_id = %s)
            """
        ).format(sql.Identifier(index.schema, "documents")),
        (first.range_id, index.index_id),
    )
    return cursor.rowcount > 0
