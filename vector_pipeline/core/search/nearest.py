"""The nearest documents to a query vector, field by field.

One statement per field walks its vectors nearest first (along the partial ANN index where there is one) through
passages to documents, so a vector without a document never takes a hit's place: an iterative scan goes on until
enough documents are found. The threshold is applied outside of that scan, strictly above.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from vector_pipeline.core.search.answer import Hit
from vector_pipeline.core.store.ann_index import Method, present_methods
from vector_pipeline.core.store.registry import RegisteredIndex

# pgvector walks at least this many candidates; below 40 × limit recall of HNSW drops noticeably.
_SMALLEST_EF_SEARCH = 100
_LARGEST_EF_SEARCH = 1000  # pgvector's own limit
_CANDIDATES_PER_HIT = 20
_FEWEST_CANDIDATES = 200


def nearest(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    vector: npt.NDArray[np.float32],
    fields: Sequence[str],
    limit: int,
    threshold: float,
    unique_on: str | None = None,
) -> list[Hit]:
    """The best `limit` documents, each by its best field, score strictly above `threshold`, best first.

    Args:
        vector: shape (stored dimensions,).
        unique_on: the column of a text; of documents with the same value only the one with the lowest key is served.
    """
    best: dict[str, Hit] = {}
    with connection.transaction():
        methods = present_methods(connection, index)
        for field in fields:
            choose_scan(connection, methods[field], limit)
            for hit in _nearest_by_field(connection, index, vector, field, limit, unique_on, methods[field]):
                if hit.score > threshold and (hit.key not in best or hit.score > best[hit.key].score):
                    best[hit.key] = hit
    return sorted(best.values(), key=lambda hit: -hit.score)[:limit]


def choose_scan(connection: psycopg.Connection, method: Method, limit: int) -> None:
    """Has PostgreSQL walk the field's ANN index, where it has one, until the end of the transaction.

    Left to itself the planner reads and sorts all vectors of more than 500 numbers up to several thousand of them: they
    are stored out of line (TOAST), and what fetching them costs is not in its estimate.
    """
    connection.execute(
        """
        SELECT set_config('hnsw.iterative_scan', 'strict_order', true),
               set_config('hnsw.ef_search', %s, true),
               set_config('enable_sort', %s, true)
        """,
        (
            str(min(_LARGEST_EF_SEARCH, max(_SMALLEST_EF_SEARCH, 4 * limit))),
            "on" if method is Method.EXACT else "off",
        ),
    )


def _nearest_by_field(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    vector: npt.NDArray[np.float32],
    field: str,
    limit: int,
    unique_on: str | None,
    method: Method,
) -> list[Hit]:
    names = index.generation.rendering.names
    rows = connection.execute(
        statement(index, unique_on, method, field),
        {
            "vector": vector,
            "limit": limit,
            "candidates": max(_FEWEST_CANDIDATES, _CANDIDATES_PER_HIT * limit),
        },
    ).fetchall()
    return [
        Hit(key, 1.0 - distance, field, dict(zip(names, texts, strict=True)), metadata, behind)
        for key, distance, behind, metadata, *texts in rows
    ]


def statement(index: RegisteredIndex, unique_on: str | None, method: Method, field: str) -> sql.Composed:
    """The search of one field, with parameters `vector`, `limit` and (for bit strings) `candidates`.

    The field is a literal, because a partial index is only used where the planner sees its condition.
    """
    texts = sql.SQL(", ").join(sql.SQL("d.{}").format(sql.Identifier(column)) for column in index.generation.columns)
    dimensions = sql.Literal(index.generation.space.stored_dimensions)
    parts = {
        "texts": texts,
        "joins": _to_documents(index, unique_on),
        "vectors": sql.Identifier(index.schema, index.vectors),
        "field": sql.Literal(field),
        "dimensions": dimensions,
        "behind": _behind(index),
    }
    if method is Method.HNSW_BIT:
        return sql.SQL(_RANKED_CANDIDATES).format(
            order=sql.SQL(
                "binary_quantize(v.embedding)::bit({0}) <~> binary_quantize(%(vector)s::vector)::bit({0})"
            ).format(dimensions),
            **parts,
        )
    if method is Method.HNSW_HALFVEC:
        return sql.SQL(_RANKED_CANDIDATES).format(
            order=sql.SQL("v.embedding::halfvec({0}) <=> %(vector)s::halfvec({0})").format(dimensions),
            **parts,
        )
    return sql.SQL(
        """
        SELECT d.key, v.embedding <=> %(vector)s AS distance, {behind}, d.metadata, {texts}
        FROM {vectors} v
        {joins}
        WHERE v.field = {field}
        ORDER BY v.embedding <=> %(vector)s
        LIMIT %(limit)s
        """
    ).format(**parts)


def _behind(index: RegisteredIndex) -> sql.Composable:
    """True where the vector is of an earlier text than the document's."""
    behind = sql.SQL("p.served_hash IS DISTINCT FROM p.content_hash")
    since = index.generation.behind_since
    return behind if since is None else sql.SQL("({} OR d.updated_at > {})").format(behind, sql.Literal(since))


# Candidates by the quantised distance, along the index; then ranked by the exact one.
_RANKED_CANDIDATES = """
    SELECT key, distance, behind, metadata, {texts}
    FROM (
        SELECT d.key, v.embedding <=> %(vector)s AS distance, {behind} AS behind, d.metadata, {texts}
        FROM {vectors} v
        {joins}
        WHERE v.field = {field}
        ORDER BY {order}
        LIMIT %(candidates)s) d
    ORDER BY distance
    LIMIT %(limit)s
"""


def _to_documents(index: RegisteredIndex, unique_on: str | None) -> sql.Composed:
    documents = sql.Identifier(index.schema, "documents")
    joins = sql.SQL(
        "JOIN {passages} p ON p.served_hash = v.content_hash AND p.field = v.field JOIN {documents} d ON d.key = p.key"
    ).format(passages=sql.Identifier(index.schema, index.passages), documents=documents)
    if unique_on is None:
        return joins
    return joins + sql.SQL(" AND ") + served_once(index, unique_on)


def served_once(index: RegisteredIndex, unique_on: str) -> sql.Composed:
    """True for a document (alias d) that has the lowest key among those with the same text."""
    return sql.SQL(
        """NOT EXISTS (
            SELECT FROM {documents} twin
            WHERE md5(twin.{column}) = md5(d.{column}) AND twin.{column} = d.{column}
              AND twin.sort_key < d.sort_key)"""
    ).format(documents=sql.Identifier(index.schema, "documents"), column=sql.Identifier(unique_on))
