"""The key ranges of an index and how each stands. PostgreSQL is the authority on both.

Ranges are ordered by `position`, never by key: PostgreSQL does not know MySQL's collations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

import psycopg
from psycopg import sql

from vector_pipeline.core.reports import RangeState
from vector_pipeline.core.source.digest import Digest
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.store.registry import RegisteredIndex

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
_PARTITION_DIGITS = 20  # of the largest BIGINT UNSIGNED
# Of a position, behind the point: each split of the same range takes one more.
_MOST_DIGITS = 100
_PRECISION = 2 * _MOST_DIGITS


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


def load_some(connection: psycopg.Connection, index: RegisteredIndex, range_ids: Sequence[int]) -> dict[int, KeyRange]:
    """Some ranges, by id, with the bounds that they have now."""
    rows = connection.execute(
        """
        SELECT r.range_id, r.partition, r.lower_key,
               (SELECT next.lower_key FROM vector_pipeline.key_ranges next
                WHERE next.index_id = r.index_id AND next.position > r.position
                ORDER BY next.position LIMIT 1)
        FROM vector_pipeline.key_ranges r
        WHERE r.index_id = %s AND r.range_id = ANY(%s)
        """,
        (index.index_id, list(range_ids)),
    ).fetchall()
    return {row[0]: KeyRange(*row) for row in rows}


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
               coalesce(s.rows, 0), r.source_rows, r.source_digest, r.source_checked_at, s.digest,
               coalesce(s.vectors_complete, false), r.reported_digest, r.attempts, r.next_attempt_at,
               s.synced_at, r.dirty_since
        FROM vector_pipeline.key_ranges r
        LEFT JOIN vector_pipeline.range_states s ON s.range_id = r.range_id AND s.generation = %s
        WHERE r.index_id = %s
        ORDER BY r.position
        """,
        (index.generation.number, index.index_id),
    ).fetchall()
    return [RangeState(*row) for row in rows]


def suspects(connection: psycopg.Connection, index: RegisteredIndex, but: Set[int]) -> list[KeyRange]:
    """Ranges that a detector has named or that were never compared: the former first, each in key order."""
    rows = connection.execute(
        """
        SELECT range_id, partition, lower_key, upper_key
        FROM (
            SELECT range_id, partition, lower_key, lead(lower_key) OVER (ORDER BY position) AS upper_key,
                   position, suspected_at, source_checked_at
            FROM vector_pipeline.key_ranges
            WHERE index_id = %s) r
        WHERE (suspected_at IS NOT NULL OR source_checked_at IS NULL) AND range_id <> ALL(%s)
        ORDER BY suspected_at IS NULL, position
        """,
        (index.index_id, list(but)),
    ).fetchall()
    return [KeyRange(*row) for row in rows]


def totals(connection: psycopg.Connection, index: RegisteredIndex) -> tuple[int, int]:
    """Rows in the source as far as they have been counted, and ranges."""
    row = connection.execute(
        "SELECT coalesce(sum(source_rows), 0)::bigint, count(*) FROM vector_pipeline.key_ranges WHERE index_id = %s",
        (index.index_id,),
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def add_first_range(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """The range that covers all keys, from which all others are cut."""
    connection.execute(
        """
        INSERT INTO vector_pipeline.key_ranges (index_id, partition, position, dirty_since)
        SELECT %(index)s, %(partition)s, 0, now()
        WHERE NOT EXISTS (SELECT FROM vector_pipeline.key_ranges WHERE index_id = %(index)s)
        ON CONFLICT DO NOTHING
        """,
        {"index": index.index_id, "partition": "0" * _PARTITION_DIGITS},
    )


def add_ranges(
    connection: psycopg.Connection, index: RegisteredIndex, after: KeyRange, bounds: Sequence[str]
) -> list[KeyRange]:
    """Adds a range that starts at each bound, between `after` and the range that follows it; `after` ends at the first
    bound then, and is suspected. Call it in a transaction."""
    row = connection.execute(
        """
        SELECT before.position,
               (SELECT min(next.position) FROM vector_pipeline.key_ranges next
                WHERE next.index_id = before.index_id AND next.position > before.position),
               (SELECT count(*) FROM vector_pipeline.key_ranges r WHERE r.index_id = before.index_id)
        FROM vector_pipeline.key_ranges before
        WHERE before.range_id = %s
        """,
        (after.range_id,),
    ).fetchone()
    assert row is not None
    position, next_position, ranges = row
    step = _step(position, next_position, len(bounds))
    if step.adjusted() < -_MOST_DIGITS:
        _renumber(connection, index)
        return add_ranges(connection, index, after, bounds)
    with localcontext(prec=_PRECISION):
        positions = [position + step * place for place in range(1, len(bounds) + 1)]
    partitions = [_partition_name(lower, ranges + place) for place, lower in enumerate(bounds)]
    added = connection.execute(
        """
        INSERT INTO vector_pipeline.key_ranges (index_id, partition, position, lower_key, dirty_since)
        SELECT %s, partition, position, lower_key, now()
        FROM unnest(%s::text[], %s::numeric[], %s::text[]) AS new(partition, position, lower_key)
        ORDER BY position
        RETURNING range_id, partition, lower_key
        """,
        (index.index_id, partitions, positions, list(bounds)),
    ).fetchall()
    connection.execute(
        "UPDATE vector_pipeline.key_ranges SET suspected_at = clock_timestamp() WHERE range_id = %s", (after.range_id,)
    )
    uppers = [*bounds[1:], after.upper]
    return [
        KeyRange(range_id, partition, lower, upper)
        for (range_id, partition, lower), upper in zip(added, uppers, strict=True)
    ]


def _step(position: Decimal, next_position: Decimal | None, count: int) -> Decimal:
    """The distance between new positions: a power of ten, which is exact where a quotient would be rounded and could
    end up on a neighbour."""
    if next_position is None:
        return Decimal(1)
    with localcontext(prec=_PRECISION):
        largest = (next_position - position) / (count + 1)
        step = Decimal(1).scaleb(largest.adjusted())
    return step if step * (count + 1) <= next_position - position else step / 10


def _renumber(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Gives all ranges whole positions again, in the same order; greater ones, so that none meets an old one."""
    connection.execute(
        """
        UPDATE vector_pipeline.key_ranges r SET position = anew.position
        FROM (
            SELECT range_id,
                   ceil(max(position) OVER ()) + row_number() OVER (ORDER BY position) AS position
            FROM vector_pipeline.key_ranges WHERE index_id = %(index)s) anew
        WHERE r.range_id = anew.range_id
        """,
        {"index": index.index_id},
    )


def _partition_name(lower: str, ranges: int) -> str:
    """A zero-padded integer key, so that names sort as keys do; else an opaque name, since keys may be personal."""
    if re.fullmatch(r"[1-9][0-9]{0,19}", lower):
        return lower.zfill(_PARTITION_DIGITS)
    return f"range-{ranges:08d}"


def note_source_digest(
    connection: psycopg.Connection, index: RegisteredIndex, key_range: KeyRange, digest: Digest, looked_at: datetime
) -> None:
    """As `note_source_digests`, of one range."""
    note_source_digests(connection, index, {key_range.range_id: digest}, looked_at)


def note_source_digests(
    connection: psycopg.Connection, index: RegisteredIndex, digests: Mapping[int, Digest], looked_at: datetime
) -> None:
    """Keeps what the source looked like at or after `looked_at`, unless a later look has been kept meanwhile.

    Args:
        digests: by range id.
    """
    if not digests:
        return
    with changing(connection, index, range_ids=list(digests)):
        _note_source_digests(connection, index, digests, looked_at)


def _note_source_digests(
    connection: psycopg.Connection, index: RegisteredIndex, digests: Mapping[int, Digest], looked_at: datetime
) -> None:
    connection.execute(
        """
        UPDATE vector_pipeline.key_ranges r
        SET source_rows = new.rows, source_digest = new.digest, source_checked_at = %(looked_at)s,
            suspected_at = CASE WHEN r.suspected_at > %(looked_at)s AND r.suspected_at <= clock_timestamp()
                                THEN r.suspected_at END,
            dirty_since = CASE WHEN s.vectors_complete AND s.digest = new.digest THEN NULL
                               ELSE coalesce(r.dirty_since, %(looked_at)s) END
        FROM unnest(%(ranges)s::integer[], %(rows)s::bigint[], %(digests)s::text[]) AS new(range_id, rows, digest)
        LEFT JOIN vector_pipeline.range_states s ON s.range_id = new.range_id AND s.generation = %(generation)s
        WHERE r.range_id = new.range_id
          -- A look in the future was before the clock was put back, or on another server.
          AND (r.source_checked_at IS NULL OR r.source_checked_at <= %(looked_at)s
               OR r.source_checked_at > clock_timestamp())
        """,
        {
            "ranges": list(digests),
            "rows": [digest.rows for digest in digests.values()],
            "digests": [str(digest) for digest in digests.values()],
            "looked_at": looked_at,
            "generation": index.generation.number,
        },
    )


def recount_rows(connection: psycopg.Connection, index: RegisteredIndex, range_ids: Sequence[int]) -> None:
    """Brings the states of ranges in line with the documents that they have now; those that have no state get one.

    What has moved from one range to another is not what the guard against mass deletion is to miss.
    """
    connection.execute(
        sql.SQL(
            """
            INSERT INTO vector_pipeline.range_states AS s (range_id, generation, rows, vectors_complete)
            SELECT r.range_id, %(generation)s, count(d.key), false
            FROM unnest(%(ranges)s::integer[]) AS r(range_id)
            LEFT JOIN {} d ON d.range_id = r.range_id
            GROUP BY r.range_id
            ON CONFLICT (range_id, generation) DO UPDATE SET rows = excluded.rows
            """
        ).format(sql.Identifier(index.schema, "documents")),
        {"ranges": list(range_ids), "generation": index.generation.number},
    )


def take_up(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Brings the ranges in line with a generation that is served again: its documents have come and gone without it."""
    names = {
        "index": index.index_id,
        "generation": index.generation.number,
        "behind_since": index.generation.behind_since,
    }
    connection.execute(
        sql.SQL(
            """
            INSERT INTO vector_pipeline.range_states AS s (range_id, generation, rows, vectors_complete)
            SELECT r.range_id, %(generation)s, count(d.key), false
            FROM vector_pipeline.key_ranges r
            LEFT JOIN {} d ON d.range_id = r.range_id
            WHERE r.index_id = %(index)s
            GROUP BY r.range_id
            ORDER BY r.range_id
            ON CONFLICT (range_id, generation) DO UPDATE SET rows = excluded.rows
            """
        ).format(sql.Identifier(index.schema, "documents")),
        names,
    )
    connection.execute(
        """
        SELECT FROM vector_pipeline.key_ranges WHERE index_id = %(index)s ORDER BY range_id FOR NO KEY UPDATE
        """,
        names,
    )
    connection.execute(
        """
        UPDATE vector_pipeline.key_ranges r
        SET attempts = 0, next_attempt_at = NULL,
            dirty_since = CASE WHEN s.vectors_complete AND s.digest = r.source_digest THEN NULL
                               ELSE coalesce(%(behind_since)s, r.dirty_since, now()) END
        FROM vector_pipeline.range_states s
        WHERE s.range_id = r.range_id AND s.generation = %(generation)s AND r.index_id = %(index)s
        """,
        names,
    )


def note_round_complete(connection: psycopg.Connection, index: RegisteredIndex) -> bool:
    """Notes that a round is complete if it is: every range has been compared since the last one was."""
    cursor = connection.execute(
        """
        UPDATE vector_pipeline.embedding_indexes i
        SET round_completed_at = clock_timestamp()
        WHERE i.index_id = %s
          AND NOT EXISTS (
              SELECT FROM vector_pipeline.key_ranges r
              WHERE r.index_id = i.index_id
                AND (r.source_checked_at IS NULL OR r.source_checked_at < i.round_completed_at))
        """,
        (index.index_id,),
    )
    return cursor.rowcount > 0


def note_reported(connection: psycopg.Connection, index: RegisteredIndex, digests: Mapping[str, str]) -> None:
    """Keeps which digest of each partition Dagster has been told of."""
    with changing(connection, index, partitions=list(digests)):
        connection.execute(
            """
            UPDATE vector_pipeline.key_ranges r SET reported_digest = told.digest
            FROM unnest(%s::text[], %s::text[]) AS told(partition, digest)
            WHERE r.index_id = %s AND r.partition = told.partition
            """,
            (list(digests), list(digests.values()), index.index_id),
        )


def note_attempt(connection: psycopg.Connection, index: RegisteredIndex, partitions: Sequence[str]) -> None:
    """Counts a try and sets the pause before the next: FIRST_PAUSE doubled with each try, LONGEST_PAUSE at most."""
    with changing(connection, index, partitions=partitions):
        connection.execute(
            """
            UPDATE vector_pipeline.key_ranges
            SET attempts = attempts + 1,
                next_attempt_at = now() + least(%s * power(2, least(attempts, 20)), %s)
            WHERE index_id = %s AND partition = ANY(%s)
            """,
            (FIRST_PAUSE, LONGEST_PAUSE, index.index_id, list(partitions)),
        )


def forgive(connection: psycopg.Connection, index: RegisteredIndex, partitions: Sequence[str]) -> None:
    """Forgets the tries of ranges that did not fail but were put off: what changes in them must not wait."""
    with changing(connection, index, partitions=partitions):
        connection.execute(
            """
            UPDATE vector_pipeline.key_ranges SET attempts = 0, next_attempt_at = NULL
            WHERE index_id = %s AND partition = ANY(%s)
            """,
            (index.index_id, list(partitions)),
        )


def forget_digest(connection: psycopg.Connection, index: RegisteredIndex, partitions: Sequence[str]) -> None:
    """Makes ranges dirty, whatever the source says: what the target holds has been found wrong."""
    with changing(connection, index, partitions=partitions):
        connection.execute(
            """
            WITH forgotten AS (
                UPDATE vector_pipeline.range_states s
                SET digest = NULL
                FROM vector_pipeline.key_ranges r
                WHERE r.range_id = s.range_id AND s.generation = %s AND r.index_id = %s AND r.partition = ANY(%s)
                RETURNING s.range_id)
            UPDATE vector_pipeline.key_ranges r SET dirty_since = coalesce(r.dirty_since, now())
            FROM forgotten WHERE forgotten.range_id = r.range_id
            """,
            (index.generation.number, index.index_id, list(partitions)),
        )


def have_looked_at_again(connection: psycopg.Connection, index: RegisteredIndex, keys: Sequence[str]) -> None:
    """Makes the ranges of these documents dirty in the index's generation, which need not be the served one."""
    connection.execute(
        sql.SQL(
            """
            UPDATE vector_pipeline.range_states s SET digest = NULL
            FROM (
                SELECT range_id FROM vector_pipeline.range_states
                WHERE generation = %(generation)s
                  AND range_id IN (SELECT d.range_id FROM {} d WHERE d.key = ANY(%(keys)s))
                ORDER BY range_id
                FOR NO KEY UPDATE) wrong
            WHERE s.range_id = wrong.range_id AND s.generation = %(generation)s
            """
        ).format(sql.Identifier(index.schema, "documents")),
        {"generation": index.generation.number, "keys": list(keys)},
    )


@contextmanager
def changing(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    *,
    range_ids: Sequence[int] = (),
    partitions: Sequence[str] = (),
) -> Iterator[None]:
    """A transaction that changes these ranges and their states. All that change several take them in one order, states
    first, so that two who meet wait for each other instead of deadlocking.

    NO KEY, since whoever adds the state of another generation holds the key of its range, and may wait for this one.
    """
    parameters = {
        "index": index.index_id,
        "generation": index.generation.number,
        "ranges": list(range_ids),
        "partitions": list(partitions),
    }
    with connection.transaction():
        connection.execute(
            """
            SELECT FROM vector_pipeline.range_states s JOIN vector_pipeline.key_ranges r USING (range_id)
            WHERE r.index_id = %(index)s AND s.generation = %(generation)s
              AND (r.range_id = ANY(%(ranges)s) OR r.partition = ANY(%(partitions)s))
            ORDER BY range_id FOR NO KEY UPDATE OF s
            """,
            parameters,
        )
        connection.execute(
            """
            SELECT FROM vector_pipeline.key_ranges
            WHERE index_id = %(index)s AND (range_id = ANY(%(ranges)s) OR partition = ANY(%(partitions)s))
            ORDER BY range_id FOR NO KEY UPDATE
            """,
            parameters,
        )
        yield


def due_for_retry(connection: psycopg.Connection, index: RegisteredIndex) -> set[int]:
    """Ranges with a quarantined text whose pause is over, or whose pauses are over and that failed before."""
    key = (index.index_id, index.generation.space.number)
    is_due = "q.index_id = %s AND q.space = %s AND q.next_attempt_at <= now()"
    # Apart, so that nothing else is read where no text is due, whatever PostgreSQL expects of the join.
    if connection.execute(f"SELECT FROM vector_pipeline.quarantine q WHERE {is_due} LIMIT 1", key).fetchone() is None:
        return set()
    rows = connection.execute(
        sql.SQL(
            """
            SELECT DISTINCT d.range_id
            FROM vector_pipeline.quarantine q
            JOIN {passages} p ON p.content_hash = q.content_hash
                             AND p.served_hash IS DISTINCT FROM p.content_hash
            JOIN {documents} d ON d.key = p.key
            WHERE {is_due}
            """
        ).format(
            passages=sql.Identifier(index.schema, index.passages),
            documents=sql.Identifier(index.schema, "documents"),
            is_due=sql.SQL(is_due),
        ),
        key,
    ).fetchall()
    return {range_id for (range_id,) in rows}
