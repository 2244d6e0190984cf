"""What is kept of several indexes, in few words and by one statement: for lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg


@dataclass(frozen=True)
class IndexSummary:
    """An index by its served generation. `rows` are the table's as they were last synced; `dimensions` the length of
    its stored vectors."""

    name: str
    model: str
    dimensions: int
    rows: int
    synced_at: datetime | None


def read_summaries(connection: psycopg.Connection, names: Sequence[str]) -> dict[str, IndexSummary]:
    """By name those of the indexes that have a served generation. Needs autocommit mode."""
    try:
        rows = connection.execute(
            """
            SELECT i.name, s.model, s.stored_dimensions, coalesce(sum(t.rows), 0)::bigint, max(t.synced_at)
            FROM vector_pipeline.embedding_indexes i
            JOIN vector_pipeline.generations g ON g.index_id = i.index_id AND g.generation = i.active_generation
            JOIN vector_pipeline.vector_spaces s ON s.index_id = g.index_id AND s.space = g.space
            LEFT JOIN vector_pipeline.key_ranges r ON r.index_id = i.index_id
            LEFT JOIN vector_pipeline.range_states t ON t.range_id = r.range_id AND t.generation = g.generation
            WHERE i.name = ANY(%s)
            GROUP BY i.index_id, s.model, s.stored_dimensions
            """,
            (list(names),),
        ).fetchall()
    except psycopg.errors.UndefinedTable:
        return {}  # nothing was ever synced into this database
    return {row[0]: IndexSummary(*row) for row in rows}
