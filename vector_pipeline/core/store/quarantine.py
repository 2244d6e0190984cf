"""Texts that the provider refused or gave no honest vector for: visible, and tried again with a growing pause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg import sql

from vector_pipeline.core.documents.rendering import ContentHash, shown_field
from vector_pipeline.core.reports import QuarantineEntry
from vector_pipeline.core.store import generations
from vector_pipeline.core.store.locks import Lock, in_transaction
from vector_pipeline.core.store.registry import RegisteredIndex

FIRST_PAUSE = timedelta(hours=1)
LONGEST_PAUSE = timedelta(days=1)
_LONGEST_MESSAGE = 2000

REFUSED = "refused by the provider"
NOT_HONEST = "no honest vector"


@dataclass(frozen=True)
class Refusal:
    """Why a text has no vector: `reason` is ours, `message` the provider's words without secrets."""

    content_hash: ContentHash
    reason: str
    message: str


def put(connection: psycopg.Connection, index: RegisteredIndex, refusals: Sequence[Refusal]) -> None:
    """Enters refusals, or counts one more attempt of those that are there; the pause grows fourfold each time.

    A text that no passage has any more is not entered: nothing would ever take it out again.
    """
    # Two conditions, each with its index: a passage that waits for its vector, and one whose vector is lost.
    insert = sql.SQL(
        """
        INSERT INTO vector_pipeline.quarantine AS q
            (index_id, space, content_hash, reason, message, next_attempt_at)
        SELECT %(index)s, %(space)s, %(hash)s, %(reason)s, %(message)s, now() + %(first)s
        WHERE EXISTS (
            SELECT FROM {passages}
            WHERE content_hash = %(hash)s AND served_hash IS DISTINCT FROM content_hash)
           OR EXISTS (SELECT FROM {passages} WHERE served_hash = %(hash)s AND content_hash = %(hash)s)
        ON CONFLICT (index_id, space, content_hash) DO UPDATE
        SET reason = excluded.reason, message = excluded.message, attempts = q.attempts + 1,
            last_failed_at = now(),
            next_attempt_at = now() + least(%(first)s * power(4, least(q.attempts, 10)), %(longest)s)
        """
    ).format(passages=sql.Identifier(index.schema, index.passages))
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            insert,
            [
                {
                    "index": index.index_id,
                    "space": index.generation.space.number,
                    "hash": refusal.content_hash,
                    "reason": refusal.reason,
                    "message": refusal.message[:_LONGEST_MESSAGE].replace("\0", ""),
                    "first": FIRST_PAUSE,
                    "longest": LONGEST_PAUSE,
                }
                for refusal in sorted(refusals, key=lambda refusal: refusal.content_hash)
            ],
        )


def release(connection: psycopg.Connection, index: RegisteredIndex, hashes: Sequence[bytes]) -> None:
    """Removes the entries of these texts, in their order, so that two transactions never wait for each other."""
    connection.execute(
        """
        DELETE FROM vector_pipeline.quarantine q
        USING (
            SELECT content_hash FROM vector_pipeline.quarantine
            WHERE index_id = %(index)s AND space = %(space)s AND content_hash = ANY(%(hashes)s)
            ORDER BY content_hash
            FOR UPDATE) released
        WHERE q.index_id = %(index)s AND q.space = %(space)s AND q.content_hash = released.content_hash
        """,
        {"index": index.index_id, "space": index.generation.space.number, "hashes": list(hashes)},
    )


def release_unneeded(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Removes the entries of texts that no passage of any generation has any more."""
    with connection.transaction():
        # No passage may come to count on an entry that is about to go.
        in_transaction(connection, Lock.VECTORS, index.index_id)
        unneeded = connection.execute(
            sql.SQL(
                """
                SELECT q.content_hash FROM vector_pipeline.quarantine q
                WHERE q.index_id = %s AND q.space = %s AND {}
                """
            ).format(
                sql.SQL(" AND ").join(
                    sql.SQL("NOT EXISTS (SELECT FROM {} p WHERE p.content_hash = q.content_hash)").format(passages)
                    for passages in generations.passages_in_space(connection, index)
                )
            ),
            (index.index_id, index.generation.space.number),
        ).fetchall()
        if unneeded:
            release(connection, index, [content_hash for (content_hash,) in unneeded])


def entries(connection: psycopg.Connection, index: RegisteredIndex) -> list[QuarantineEntry]:
    """One entry per row and field that a quarantined text stands in, in key order."""
    rows = connection.execute(
        sql.SQL(
            """
            SELECT p.key, p.field, q.reason, q.message, q.attempts, q.first_failed_at, q.last_failed_at,
                   q.next_attempt_at
            FROM vector_pipeline.quarantine q
            JOIN {passages} p ON p.content_hash = q.content_hash
                             AND p.served_hash IS DISTINCT FROM p.content_hash
            JOIN {documents} d ON d.key = p.key
            WHERE q.index_id = %s AND q.space = %s
            ORDER BY d.sort_key, p.field
            """
        ).format(
            passages=sql.Identifier(index.schema, index.passages),
            documents=sql.Identifier(index.schema, "documents"),
        ),
        (index.index_id, index.generation.space.number),
    ).fetchall()
    return [QuarantineEntry(key, shown_field(field), *rest) for key, field, *rest in rows]


def retry(connection: psycopg.Connection, index: RegisteredIndex) -> int:
    """Ends every pause, so that the next sync tries all quarantined texts again. Returns how many."""
    cursor = connection.execute(
        """
        UPDATE vector_pipeline.quarantine SET next_attempt_at = now()
        WHERE index_id = %s AND space = %s
        """,
        (index.index_id, index.generation.space.number),
    )
    return cursor.rowcount
