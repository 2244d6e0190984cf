"""Queries that found nothing: what people look for and an index doesn't have, or has in other words.

What people ask may be personal, so nothing is kept unless a deployment declares for how many days. Each query carries
the end of its time, which whoever refreshes the search index keeps as well as the service does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

# Enough to see what is missing; more is somebody who means harm, or a threshold that nothing reaches.
MOST_KEPT = 10_000


@dataclass(frozen=True)
class UnansweredQuery:
    """A query that found nothing in an index.

    Attributes:
        times: how often it was asked so.
        threshold: the lowest that nothing scored above; None where it was asked by words alone.
        filtered: it was never asked without a filter.
    """

    index: str
    query: str
    times: int
    threshold: float | None
    filtered: bool
    first_asked_at: datetime
    last_asked_at: datetime

    @property
    def hash(self) -> bytes:
        """The same for spellings that differ by case and white space alone."""
        return hashlib.sha256(" ".join(self.query.casefold().split()).encode()).digest()

    def __add__(self, later: UnansweredQuery) -> UnansweredQuery:
        thresholds = [one for one in (self.threshold, later.threshold) if one is not None]
        return UnansweredQuery(
            self.index,
            later.query,
            self.times + later.times,
            min(thresholds, default=None),
            self.filtered and later.filtered,
            min(self.first_asked_at, later.first_asked_at),
            max(self.last_asked_at, later.last_asked_at),
        )


def record(connection: psycopg.Connection, queries: Sequence[UnansweredQuery], kept_for: timedelta) -> None:
    """Adds them to what is kept, of each index the `MOST_KEPT` asked last. Indexes that are not there any more are
    passed over.

    Args:
        queries: no two of the same index and hash.
    """
    columns = zip(*((q.index, q.hash, q.query.replace("\0", ""), *_figures(q)) for q in queries), strict=True)
    connection.execute(
        """
        INSERT INTO vector_pipeline.unanswered_queries AS u
            (index_id, query_hash, query, times, threshold, filtered, first_asked_at, last_asked_at, keep_until)
        SELECT i.index_id, a.hash, a.query, a.times, a.threshold, a.filtered, a.first_at, a.last_at, a.last_at + %s
        FROM unnest(%s::text[], %s::bytea[], %s::text[], %s::bigint[], %s::float8[], %s::boolean[],
                    %s::timestamptz[], %s::timestamptz[])
             AS a (index, hash, query, times, threshold, filtered, first_at, last_at)
        JOIN vector_pipeline.embedding_indexes i ON i.name = a.index
        -- In one order, or two processes that add the same ones could wait for each other.
        ORDER BY i.index_id, a.hash
        ON CONFLICT (index_id, query_hash) DO UPDATE
        SET query = excluded.query,
            times = u.times + excluded.times,
            threshold = least(u.threshold, excluded.threshold),
            filtered = u.filtered AND excluded.filtered,
            first_asked_at = least(u.first_asked_at, excluded.first_asked_at),
            last_asked_at = greatest(u.last_asked_at, excluded.last_asked_at),
            keep_until = excluded.keep_until
        """,
        (kept_for, *(list(column) for column in columns)),
    )
    connection.execute(
        """
        DELETE FROM vector_pipeline.unanswered_queries u
        USING (
            SELECT index_id, query_hash, row_number() OVER (PARTITION BY index_id ORDER BY last_asked_at DESC) AS place
            FROM vector_pipeline.unanswered_queries) o
        WHERE o.place > %s AND u.index_id = o.index_id AND u.query_hash = o.query_hash
        """,
        (MOST_KEPT,),
    )


def _figures(query: UnansweredQuery) -> tuple[object, ...]:
    return query.times, query.threshold, query.filtered, query.first_asked_at, query.last_asked_at


def remove_expired(connection: psycopg.Connection, kept_for: timedelta | None = None) -> int:
    """Removes those of all indexes whose time is over; returns how many.

    Args:
        kept_for: removes also what is older than that, so that a time declared shorter holds for what is there.
    """
    return connection.execute(
        """
        DELETE FROM vector_pipeline.unanswered_queries
        WHERE keep_until <= now() OR last_asked_at <= now() - %s::interval
        """,
        (kept_for,),
    ).rowcount


def list_unanswered(connection: psycopg.Connection, index: str, limit: int) -> list[UnansweredQuery]:
    """Those of an index whose time isn't over, the ones asked most often first."""
    rows = connection.execute(
        """
        SELECT i.name, u.query, u.times, u.threshold, u.filtered, u.first_asked_at, u.last_asked_at
        FROM vector_pipeline.unanswered_queries u
        JOIN vector_pipeline.embedding_indexes i USING (index_id)
        WHERE i.name = %s AND u.keep_until > now()
        ORDER BY u.times DESC, u.last_asked_at DESC, u.query_hash
        LIMIT %s
        """,
        (index, limit),
    ).fetchall()
    return [UnansweredQuery(*row) for row in rows]


def forget(connection: psycopg.Connection, index: str) -> int:
    """Removes all of an index; returns how many."""
    return connection.execute(
        """
        DELETE FROM vector_pipeline.unanswered_queries u
        USING vector_pipeline.embedding_indexes i
        WHERE i.index_id = u.index_id AND i.name = %s
        """,
        (index,),
    ).rowcount
