"""How much an index holds."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from vector_pipeline.core.store.registry import RegisteredIndex


@dataclass(frozen=True)
class Contents:
    """Counts of rows. `served` are passages found by their current vector."""

    documents: int
    passages: int
    served: int
    vectors: int
    quarantined: int


@dataclass(frozen=True)
class GenerationContents:
    """Counts of the passages of one generation: all, those found by their current vector, those in quarantine."""

    passages: int
    served: int
    quarantined: int

    @property
    def unserved(self) -> int:
        return self.passages - self.served


def count_generation(connection: psycopg.Connection, index: RegisteredIndex) -> GenerationContents:
    """Counts the passages of the index's generation."""
    row = connection.execute(
        sql.SQL(
            """
            SELECT count(*), count(*) FILTER (WHERE p.served_hash = p.content_hash),
                   count(*) FILTER (WHERE p.served_hash IS DISTINCT FROM p.content_hash AND q.content_hash IS NOT NULL)
            FROM {} p
            LEFT JOIN vector_pipeline.quarantine q
                ON q.index_id = %s AND q.space = %s AND q.content_hash = p.content_hash
            """
        ).format(sql.Identifier(index.schema, index.passages)),
        (index.index_id, index.generation.space.number),
    ).fetchone()
    assert row is not None
    return GenerationContents(*row)


def count_contents(connection: psycopg.Connection, index: RegisteredIndex) -> Contents:
    """Counts what is stored."""
    row = connection.execute(
        sql.SQL(
            """
            SELECT (SELECT count(*) FROM {documents}),
                   p.passages, p.served,
                   (SELECT count(*) FROM {vectors}),
                   (SELECT count(*) FROM vector_pipeline.quarantine WHERE index_id = %s AND space = %s)
            FROM (SELECT count(*) AS passages,
                         count(*) FILTER (WHERE served_hash = content_hash) AS served
                  FROM {passages}) p
            """
        ).format(
            documents=sql.Identifier(index.schema, "documents"),
            passages=sql.Identifier(index.schema, index.passages),
            vectors=sql.Identifier(index.schema, index.vectors),
        ),
        (index.index_id, index.generation.space.number),
    ).fetchone()
    assert row is not None
    return Contents(*row)


def count_waiting(connection: psycopg.Connection, index: RegisteredIndex) -> int:
    """Distinct texts of the index's generation that have neither a vector nor a quarantine entry, and that no offline
    batch owes."""
    row = connection.execute(
        sql.SQL("SELECT count(DISTINCT p.content_hash) {}").format(_waiting(index)), _waiting_parameters(index)
    ).fetchone()
    assert row is not None
    return int(row[0])


def texts_wait(connection: psycopg.Connection, index: RegisteredIndex) -> bool:
    """Whether there is any such text: the first that is found tells, by the index of what is not served."""
    row = connection.execute(
        sql.SQL("SELECT EXISTS (SELECT {})").format(_waiting(index)), _waiting_parameters(index)
    ).fetchone()
    assert row is not None
    return bool(row[0])


def _waiting(index: RegisteredIndex) -> sql.Composed:
    return sql.SQL(
        """
        FROM {passages} p
        WHERE p.served_hash IS DISTINCT FROM p.content_hash AND p.field = ANY(%s)
          AND NOT EXISTS (SELECT FROM {vectors} v WHERE v.content_hash = p.content_hash AND v.field = p.field)
          AND NOT EXISTS (
              SELECT FROM vector_pipeline.quarantine q
              WHERE q.index_id = %s AND q.space = %s AND q.content_hash = p.content_hash)
          AND NOT EXISTS (
              SELECT FROM vector_pipeline.offline_batch_texts b
              WHERE b.index_id = %s AND b.space = %s AND b.content_hash = p.content_hash)
        """
    ).format(
        passages=sql.Identifier(index.schema, index.passages),
        vectors=sql.Identifier(index.schema, index.vectors),
    )


def _waiting_parameters(index: RegisteredIndex) -> tuple[object, ...]:
    return (list(index.generation.rendering.embedded_fields), *(2 * (index.index_id, index.generation.space.number)))


def greatest_key(connection: psycopg.Connection, index: RegisteredIndex) -> tuple[str, bytes] | None:
    """The greatest key that has a document, with its `sort_key`; None where there is none. Reads one key range."""
    row = connection.execute(
        sql.SQL(
            """
            SELECT d.key, d.sort_key
            FROM {} d
            WHERE d.range_id = (
                SELECT r.range_id
                FROM vector_pipeline.key_ranges r
                JOIN vector_pipeline.range_states s ON s.range_id = r.range_id AND s.generation = %(generation)s
                WHERE r.index_id = %(index)s AND s.rows > 0
                ORDER BY r.position DESC
                LIMIT 1)
            ORDER BY d.sort_key DESC
            LIMIT 1
            """
        ).format(sql.Identifier(index.schema, "documents")),
        {"generation": index.generation.number, "index": index.index_id},
    ).fetchone()
    return None if row is None else (row[0], bytes(row[1]))
