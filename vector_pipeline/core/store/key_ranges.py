"""The key ranges of an index and how each stands. PostgreSQL is the authority on both.

Ranges are ordered by `position`, never by key: PostgreSQL does not know MySQL's collations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import psycopg
from psycopg import sql

from vector_pipeline.core.reports import RangeState
from vector_pipeline.core.source.digest import Digest
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.store.registry import RegisteredIndex

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
_PARTITION_DIGITS = 20  # of the largest BIGINT UNSIGNED


def load_ranges(connection: psycopg.Connection, index: RegisteredIndex) -> list[KeyRange]:
    """All ranges in key order; empty before the first cut."""
    rows = connection.execute(
        """
        SELECT range_id, partition, lower_key, lead(lower_key) OVER (ORDER BY position)
        FROM vector_pipeline.key_ranges
        WHERE index_id = %s
        ORDER BY position
        """,
        (index.index_id,),
    ).fetchall()
    return [KeyRange(*row) for row in rows]


def load_range(connection: psycopg.Connection, range_id: int) -> KeyRange:
    """One range with the bounds that it has now."""
    row = connection.execute(
        """
        SELECT r.range_id, r.partition, r.lower_key,
               (SELECT next.lower_key FROM vector_pipeline.key_ranges next
                WHERE next.index_id = r.index_id AND next.position > r.position
                ORDER BY next.position LIMIT 1)
        FROM vector_pipeline.key_ranges r
        WHERE r.range_id = %s
        """,
        (range_id,),
    ).fetchone()
    assert row is not None, f"key range {range_id} is not in the registry"
    return KeyRange(*row)


def clock(connection: psycopg.Connection) -> datetime:
    """PostgreSQL's time at this moment: take it before looking at the source."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def load_states(connection: psycopg.Connection, index: RegisteredIndex) -> list[RangeState]:
    """How each range stands in the served generation, in key order."""
    rows = connection.execute(
        """
        SELECT r.range_id, r.partition, r.lower_key, lead(r.lower_key) OVER (ORDER BY r.position),
               coalesce(s.rows, 0), r.source_digest, s.digest, coalesce(s.vectors_complete, false),
               r.reported_digest, r.attempts, r.next_attempt_at, s.synced_at
        FROM vector_pipeline.key_ranges r
        LEFT JOIN vector_pipeline.range_states s ON s.range_id = r.range_id AND s.generation = %s
        WHERE r.index_id = %s
        ORDER BY r.position
        """,
        (index.generation.number, index.index_id),
    ).fetchall()
    return [RangeState(*row) for row in rows]


def add_first_range(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """The range that covers all keys, from which all others are cut."""
    connection.execute(
        """
        INSERT INTO vector_pipeline.key_ranges (index_id, partition, position)
        VALUES (%s, %s, 0)
        ON CONFLICT DO NOTHING
        """,
        (index.index_id, "0" * _PARTITION_DIGITS),
    )


def add_range(connection: psycopg.Connection, index: RegisteredIndex, after: KeyRange, lower: str) -> KeyRange:
    """Adds the range that starts at `lower`, between `after` and the range that follows it."""
    # A tenth of the gap or less, as a power of ten: exact, where a quotient is rounded and ends up on its neighbour,
    # and ranges that are cut off one after the other take a digit more only every ninety times.
    row = connection.execute(
        """
        INSERT INTO vector_pipeline.key_ranges (index_id, partition, position, lower_key)
        SELECT %(index)s, %(partition)s,
               before.position
                   + coalesce(('1e' || floor(log(next.position - before.position)) - 1)::numeric, 1),
               %(lower)s
        FROM vector_pipeline.key_ranges before
        LEFT JOIN LATERAL (
            SELECT position FROM vector_pipeline.key_ranges
            WHERE index_id = %(index)s AND position > before.position
            ORDER BY position LIMIT 1) next ON true
        WHERE before.range_id = %(after)s
        RETURNING range_id, partition
        """,
        {
            "index": index.index_id,
            "partition": _partition_name(connection, index, lower),
            "lower": lower,
            "after": after.range_id,
        },
    ).fetchone()
    assert row is not None
    return KeyRange(row[0], row[1], lower, after.upper)


def _partition_name(connection: psycopg.Connection, index: RegisteredIndex, lower: str) -> str:
    """A zero-padded integer key, so that names sort as keys do; else an opaque name, since keys may be personal."""
    if re.fullmatch(r"[1-9][0-9]{0,19}", lower):
        return lower.zfill(_PARTITION_DIGITS)
    row = connection.execute(
        "SELECT count(*) FROM vector_pipeline.key_ranges WHERE index_id = %s", (index.index_id,)
    ).fetchone()
    assert row is not None
    return f"range-{row[0]:08d}"


def note_source_digest(
    connection: psycopg.Connection, key_range: KeyRange, digest: Digest, looked_at: datetime
) -> None:
    """Keeps what the source looked like at or after `looked_at`, unless a later look has been kept meanwhile."""
    connection.execute(
        """
        UPDATE vector_pipeline.key_ranges
        SET source_rows = %(rows)s, source_digest = %(digest)s, source_checked_at = %(looked_at)s
        WHERE range_id = %(range)s AND (source_checked_at IS NULL OR source_checked_at <= %(looked_at)s)
        """,
        {
            "rows": digest.rows,
            "digest": str(digest),
            "looked_at": looked_at,
            "range": key_range.range_id,
        },
    )


def note_round_complete(connection: psycopg.Connection, index: RegisteredIndex) -> bool:
    """Notes that a round has come to its end. False where a range was last looked at before the round began: it was
    passed over, in this look or in an earlier one."""
    cursor = connection.execute(
        """
        UPDATE vector_pipeline.embedding_indexes i
        SET round_completed_at = now()
        WHERE i.index_id = %s
          AND NOT EXISTS (
              SELECT FROM vector_pipeline.key_ranges r
              WHERE r.index_id = i.index_id AND r.source_checked_at < i.round_completed_at)
        """,
        (index.index_id,),
    )
    return cursor.rowcount > 0


def note_reported(connection: psycopg.Connection, index: RegisteredIndex, digests: Mapping[str, str]) -> None:
    """Keeps which digest of each partition Dagster has been told of."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE vector_pipeline.key_ranges SET reported_digest = %s WHERE index_id = %s AND partition = %s",
            [(digest, index.index_id, partition) for partition, digest in digests.items()],
        )


def note_attempt(connection: psycopg.Connection, index: RegisteredIndex, partitions: Sequence[str]) -> None:
    """Counts a try and sets the pause before the next: FIRST_PAUSE doubled with each try, LONGEST_PAUSE at most."""
    connection.execute(
        """
        UPDATE vector_pipeline.key_ranges
        SET attempts = attempts + 1,
            next_attempt_at = now() + least(%s * power(2, least(attempts, 20)), %s)
        WHERE index_id = %s AND partition = ANY(%s)
        """,
        (FIRST_PAUSE, LONGEST_PAUSE, index.index_id, list(partitions)),
    )


def forget_digest(connection: psycopg.Connection, index: RegisteredIndex, partitions: Sequence[str]) -> None:
    """Makes ranges dirty, whatever the source says: what the target holds has been found wrong."""
    connection.execute(
        """
        UPDATE vector_pipeline.range_states s
        SET digest = NULL
        FROM vector_pipeline.key_ranges r
        WHERE r.range_id = s.range_id AND s.generation = %s AND r.index_id = %s AND r.partition = ANY(%s)
        """,
        (index.generation.number, index.index_id, list(partitions)),
    )


def due_for_retry(connection: psycopg.Connection, index: RegisteredIndex) -> set[int]:
    """Ranges with a quarantined text whose pause is over, or whose pauses are over and that failed before."""
    rows = connection.execute(
        sql.SQL(
            """
            SELECT DISTINCT d.range_id
            FROM vector_pipeline.quarantine q
            JOIN {passages} p ON p.content_hash = q.content_hash
                             AND p.served_hash IS DISTINCT FROM p.content_hash
            JOIN {documents} d ON d.key = p.key
            WHERE q.index_id = %s AND q.space = %s AND q.next_attempt_at <= now()
            """
        ).format(
            passages=sql.Identifier(index.schema, index.passages),
            documents=sql.Identifier(index.schema, "documents"),
        ),
        (index.index_id, index.generation.space.number),
    ).fetchall()
    return {range_id for (range_id,) in rows}
