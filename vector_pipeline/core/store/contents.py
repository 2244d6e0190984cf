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
