"""The canary texts of each vector space: their vectors of the first time, and how the last comparison went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import psycopg

from vector_pipeline.core.embedding.provider import Vectors
from vector_pipeline.core.store.registry import RegisteredIndex


@dataclass(frozen=True)
class StoredCanaries:
    """`vectors` has a row a text. `similarity` is that of the last comparison, None before the first; `alike_at` the
    last time that the model was still the same, `drifted_since` when it first was not.
    """

    texts: tuple[str, ...]
    vectors: Vectors
    taken_at: datetime
    compared_at: datetime
    alike_at: datetime
    similarity: float | None
    drifted_since: datetime | None
    seconds_since_compared: float


def load(connection: psycopg.Connection, index: RegisteredIndex) -> StoredCanaries | None:
    """Those of the index's vector space, None where none were taken yet."""
    space = (index.index_id, index.generation.space.number)
    look = connection.execute(
        """
        SELECT taken_at, compared_at, alike_at, similarity, drifted_since,
               extract(epoch FROM clock_timestamp() - compared_at)::float8
        FROM vector_pipeline.canary_looks WHERE index_id = %s AND space = %s
        """,
        space,
    ).fetchone()
    rows = connection.execute(
        "SELECT text, embedding FROM vector_pipeline.canaries WHERE index_id = %s AND space = %s ORDER BY position",
        space,
    ).fetchall()
    if look is None or not rows:
        return None
    texts, vectors = zip(*rows, strict=True)
    return StoredCanaries(texts, np.stack([vector.to_numpy() for vector in vectors]), *look)


def keep(connection: psycopg.Connection, index: RegisteredIndex, texts: Sequence[str], vectors: Vectors) -> None:
    """Takes these vectors as the measure from now on, in place of those that may be there."""
    space = (index.index_id, index.generation.space.number)
    with connection.transaction():
        # First, so that of two processes one waits for the other, and the measure is one's or the other's as a whole.
        connection.execute(
            """
            INSERT INTO vector_pipeline.canary_looks (index_id, space) VALUES (%s, %s)
            ON CONFLICT (index_id, space) DO UPDATE
            SET taken_at = now(), compared_at = now(), alike_at = now(), similarity = NULL, drifted_since = NULL
            """,
            space,
        )
        connection.execute("DELETE FROM vector_pipeline.canaries WHERE index_id = %s AND space = %s", space)
        for position, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
            connection.execute(
                """
                INSERT INTO vector_pipeline.canaries (index_id, space, position, text, embedding)
                VALUES (%s, %s, %s, %s, %s)
                """,
                (*space, position, text, vector),
            )


def note_comparison(
    connection: psycopg.Connection, index: RegisteredIndex, similarity: float, *, drifted: bool
) -> None:
    """Keeps how a comparison went."""
    connection.execute(
        """
        UPDATE vector_pipeline.canary_looks
        SET compared_at = now(),
            similarity = %(similarity)s,
            alike_at = CASE WHEN %(drifted)s THEN alike_at ELSE now() END,
            drifted_since = CASE WHEN %(drifted)s THEN coalesce(drifted_since, now()) END
        WHERE index_id = %(index)s AND space = %(space)s
        """,
        {
            "similarity": similarity,
            "drifted": drifted,
            "index": index.index_id,
            "space": index.generation.space.number,
        },
    )
