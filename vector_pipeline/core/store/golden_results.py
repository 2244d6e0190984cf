"""How a golden set was answered by each generation, in each mode, when it was last asked: so that whoever decides on a
switch is told at once, without asking anew."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

import psycopg
from psycopg.types.json import Jsonb

from vector_pipeline.core.search.relevance import Relevance
from vector_pipeline.core.spec import SearchMode
from vector_pipeline.core.store.registry import RegisteredIndex


@dataclass(frozen=True)
class GoldenResult:
    """The last figures of a generation, of the golden set with that fingerprint."""

    generation: int
    model: str
    fingerprint: str
    queries: int
    relevance: Relevance
    asked_at: datetime


def keep(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    mode: SearchMode,
    fingerprint: str,
    queries: int,
    relevance: Relevance,
) -> None:
    """Stores the figures as the last ones of the generation that the index is seen by, searched in that mode."""
    figures = {"fingerprint": fingerprint, "queries": queries, "relevance": asdict(relevance)}
    connection.execute(
        """
        INSERT INTO vector_pipeline.golden_results (index_id, generation, mode, result)
        SELECT index_id, generation, %s, %s FROM vector_pipeline.generations WHERE index_id = %s AND generation = %s
        ON CONFLICT (index_id, generation, mode) DO UPDATE SET result = excluded.result, asked_at = now()
        """,
        (mode, Jsonb(figures), index.index_id, index.generation.number),
    )


def load(connection: psycopg.Connection, index: RegisteredIndex, mode: SearchMode) -> GoldenResult | None:
    """The last figures of the generation that the index is seen by, None if it was never asked in that mode, or by
    another version of this project with other measures."""
    row = connection.execute(
        """
        SELECT result, asked_at FROM vector_pipeline.golden_results
        WHERE index_id = %s AND generation = %s AND mode = %s
        """,
        (index.index_id, index.generation.number, mode),
    ).fetchone()
    if row is None:
        return None
    figures, asked_at = row
    try:
        relevance = Relevance(**figures["relevance"])
    except TypeError:
        return None
    generation = index.generation
    return GoldenResult(
        generation.number, generation.space.model, figures["fingerprint"], figures["queries"], relevance, asked_at
    )
