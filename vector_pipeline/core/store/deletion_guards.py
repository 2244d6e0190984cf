"""How many documents of an index have been deleted lately, and whether more deletions are held until somebody decides.

Deletions are counted over a period: it ends when each range that differed at its beginning has been synced, so that one
change of the source is one period, however long its sync takes. A change that comes in the midst of a round of digests
is found by two rounds, so the period before counts as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from vector_pipeline.core.store.registry import RegisteredIndex

# A range that fails again and again must not keep a period open for ever.
_TRIES_AWAITED = 3


@dataclass(frozen=True)
class GuardState:
    """What the guard of an index knows.

    `documents` are the index's when counting began, `deletions` those since that nobody approved, `pending` those that
    the source lacks by its last digests and that are not approved.
    """

    documents: int
    deletions: int
    pending: int
    approved: int
    held_since: datetime | None
    held_deletions: int
    rejected_at: datetime | None


def load(connection: psycopg.Connection, index: RegisteredIndex) -> GuardState:
    """The guard as it stands; begins its first period where there is none."""
    connection.execute(
        """
        INSERT INTO vector_pipeline.deletion_guards (index_id, period_documents)
        SELECT %(index)s, coalesce(sum(s.rows), 0)
        FROM vector_pipeline.key_ranges r
        JOIN vector_pipeline.range_states s ON s.range_id = r.range_id AND s.generation = %(generation)s
        WHERE r.index_id = %(index)s
        ON CONFLICT DO NOTHING
        """,
        _names(index),
    )
    row = connection.execute(
        """
        SELECT coalesce(nullif(g.previous_documents, 0), nullif(g.period_documents, 0),
                        p.documents + g.period_deletions),
               g.previous_deletions + g.period_deletions, greatest(p.deletions - g.approved_deletions, 0),
               g.approved_deletions, g.held_since, coalesce(g.held_deletions, 0), g.rejected_at
        FROM vector_pipeline.deletion_guards g
        CROSS JOIN (
            SELECT coalesce(sum(s.rows), 0)::bigint AS documents,
                   coalesce(sum(greatest(
                       r.refused_deletions, s.rows - r.source_rows, 0
                   )) FILTER (WHERE s.digest IS DISTINCT FROM r.source_digest), 0)::bigint AS deletions
            FROM vector_pipeline.key_ranges r
            JOIN vector_pipeline.range_states s ON s.range_id = r.range_id AND s.generation = %(generation)s
            WHERE r.index_id = %(index)s) p
        WHERE g.index_id = %(index)s
        """,
        _names(index),
    ).fetchone()
    assert row is not None
    return GuardState(*row)


def lock(connection: psycopg.Connection, index: RegisteredIndex) -> GuardState:
    """As `load`, and nobody else counts until the current transaction ends. Take it before any range is locked."""
    load(connection, index)
    connection.execute("SELECT FROM vector_pipeline.deletion_guards WHERE index_id = %s FOR UPDATE", (index.index_id,))
    return load(connection, index)


def count(connection: psycopg.Connection, index: RegisteredIndex, deletions: int) -> None:
    """Counts deletions that are made in the current transaction; approved ones first."""
    connection.execute(
        """
        UPDATE vector_pipeline.deletion_guards
        SET period_deletions = period_deletions + greatest(%(deletions)s - approved_deletions, 0),
            approved_deletions = greatest(approved_deletions - %(deletions)s, 0)
        WHERE index_id = %(index)s
        """,
        {"deletions": deletions, "index": index.index_id},
    )


def refused_ranges(connection: psycopg.Connection, index: RegisteredIndex) -> list[int]:
    """Ranges whose deletions were refused and whose source has become another one since."""
    rows = connection.execute(
        """
        SELECT r.range_id
        FROM vector_pipeline.key_ranges r
        JOIN vector_pipeline.range_states s ON s.range_id = r.range_id AND s.generation = %(generation)s
        WHERE r.index_id = %(index)s AND r.refused_digest IS DISTINCT FROM r.source_digest
          AND r.refused_deletions IS NOT NULL AND s.digest IS DISTINCT FROM r.source_digest
        ORDER BY r.range_id
        """,
        _names(index),
    ).fetchall()
    return [range_id for (range_id,) in rows]


def note_refused(
    connection: psycopg.Connection, index: RegisteredIndex, range_id: int, digest: str, deletions: int
) -> None:
    """Remembers a range whose deletions were refused, for as long as its source looks like that."""
    connection.execute(
        """
        UPDATE vector_pipeline.key_ranges SET refused_digest = %s, refused_deletions = %s
        WHERE range_id = %s AND index_id = %s
        """,
        (digest, deletions, range_id, index.index_id),
    )


def hold(connection: psycopg.Connection, index: RegisteredIndex, deletions: int) -> None:
    """Holds all deletions of the index, or goes on holding more."""
    connection.execute(
        """
        UPDATE vector_pipeline.deletion_guards
        SET held_since = coalesce(held_since, now()), held_deletions = %s
        WHERE index_id = %s
        """,
        (deletions, index.index_id),
    )


def release(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Holds nothing any more."""
    connection.execute(
        """
        UPDATE vector_pipeline.deletion_guards
        SET held_since = NULL, held_deletions = NULL, rejected_at = NULL
        WHERE index_id = %s
        """,
        (index.index_id,),
    )


def begin_period(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Begins a new period if every range that differed when the last one began has been synced since."""
    connection.execute(
        """
        UPDATE vector_pipeline.deletion_guards g
        SET period_began_at = clock_timestamp(), approved_deletions = 0,
            previous_documents = g.period_documents, previous_deletions = g.period_deletions,
            period_deletions = 0, period_documents = (
                SELECT coalesce(sum(s.rows), 0)
                FROM vector_pipeline.key_ranges r
                JOIN vector_pipeline.range_states s ON s.range_id = r.range_id AND s.generation = %(generation)s
                WHERE r.index_id = %(index)s)
        WHERE g.index_id = %(index)s AND g.held_since IS NULL
          AND NOT EXISTS (
              SELECT FROM vector_pipeline.key_ranges r
              LEFT JOIN vector_pipeline.range_states s ON s.range_id = r.range_id AND s.generation = %(generation)s
              WHERE r.index_id = %(index)s AND s.digest IS DISTINCT FROM r.source_digest
                AND (r.refused_deletions > 0
                     OR (r.attempts < %(tries)s AND r.dirty_since < g.period_began_at
                         AND (s.digest IS NULL OR s.synced_at < g.period_began_at))))
        """,
        _names(index) | {"tries": _TRIES_AWAITED},
    )


def approve(connection: psycopg.Connection, index: RegisteredIndex) -> int:
    """Lets go every document of the ranges that differ now, if the source lacks it. Returns how many those are."""
    with connection.transaction():
        lock(connection, index)
        row = connection.execute(
            sql.SQL(
                """
                UPDATE vector_pipeline.deletion_guards
                SET period_began_at = clock_timestamp(), period_deletions = 0, previous_deletions = 0,
                    held_since = NULL, held_deletions = NULL, rejected_at = NULL,
                    approved_deletions = (
                        SELECT count(*)
                        FROM {} d
                        LEFT JOIN vector_pipeline.key_ranges r ON r.range_id = d.range_id
                        LEFT JOIN vector_pipeline.range_states s
                            ON s.range_id = r.range_id AND s.generation = %(generation)s
                        WHERE s.digest IS NULL OR s.digest IS DISTINCT FROM r.source_digest)
                WHERE index_id = %(index)s
                RETURNING approved_deletions
                """
            ).format(sql.Identifier(index.schema, "documents")),
            _names(index),
        ).fetchone()
        # Their pauses were those of refusals.
        connection.execute(
            """
            WITH refused AS (
                SELECT r.range_id
                FROM vector_pipeline.key_ranges r
                JOIN vector_pipeline.range_states s ON s.range_id = r.range_id AND s.generation = %(generation)s
                WHERE r.index_id = %(index)s AND s.digest IS DISTINCT FROM r.source_digest
                ORDER BY r.range_id FOR NO KEY UPDATE OF r)
            UPDATE vector_pipeline.key_ranges r
            SET attempts = 0, next_attempt_at = NULL, refused_digest = NULL, refused_deletions = NULL
            FROM refused WHERE refused.range_id = r.range_id
            """,
            _names(index),
        )
    return int(row[0]) if row else 0


def reject(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Keeps the documents: the hold stands until the source has its rows again."""
    connection.execute(
        "UPDATE vector_pipeline.deletion_guards SET rejected_at = now() WHERE index_id = %s AND held_since IS NOT NULL",
        (index.index_id,),
    )


def _names(index: RegisteredIndex) -> dict[str, object]:
    return {"index": index.index_id, "generation": index.generation.number}
