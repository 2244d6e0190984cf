"""The nearest documents to a query vector, field by field.

One statement per field walks its vectors nearest first (along the partial ANN index where there is one) through
passages to documents, so a vector without a document never takes a hit's place: an iterative scan goes on until
enough documents are found. The threshold is applied outside of that scan, strictly above. A document with several
passages is found by its best one; where these leave fewer documents than wanted, the walk is made again, farther.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from vector_pipeline.core.documents.rendering import Rendering, RenderingError
from vector_pipeline.core.search.answer import FoundPassage, Hit
from vector_pipeline.core.store.ann_index import Method, present_methods
from vector_pipeline.core.store.registry import RegisteredIndex

# pgvector walks at least this many candidates; below 40 × limit recall of HNSW drops noticeably.
_SMALLEST_EF_SEARCH = 100
_LARGEST_EF_SEARCH = 1000  # pgvector's own limit
_CANDIDATES_PER_HIT = 20
# Where pgvector ends a scan by itself, as if there were no more; memory is in multiples of work_mem.
_USUALLY_SCANNED = 20_000
_MOST_SCANNED = 2_147_483_647
_MOST_SCAN_MEMORY = 1000
_FEWEST_CANDIDATES = 200
_FARTHER = 4


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
            for hit in _nearest_by_field(connection, index, vector, field, limit, threshold, unique_on, methods[field]):
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
               set_config('hnsw.max_scan_tuples', %s, true),
               set_config('hnsw.scan_mem_multiplier', %s, true),
               set_config('enable_sort', %s, true)
        """,
        (
            str(min(_LARGEST_EF_SEARCH, max(_SMALLEST_EF_SEARCH, 4 * limit))),
            str(min(_MOST_SCANNED, max(_USUALLY_SCANNED, _CANDIDATES_PER_HIT * limit))),
            str(min(_MOST_SCAN_MEMORY, 1 + limit // _USUALLY_SCANNED)),
            "on" if method is Method.EXACT else "off",
        ),
    )


def _nearest_by_field(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    vector: npt.NDArray[np.float32],
    field: str,
    limit: int,
    threshold: float,
    unique_on: str | None,
    method: Method,
) -> list[Hit]:
    """The best documents, `limit` at least where there are so many above the threshold."""
    passages = limit
    while True:
        choose_scan(connection, method, passages)
        rows = connection.execute(
            statement(index, unique_on, method, field),
            {
                "vector": vector,
                "limit": passages,
                "candidates": max(_FEWEST_CANDIDATES, _CANDIDATES_PER_HIT * passages),
            },
        ).fetchall()
        hits = [_hit(index.generation.rendering, field, row) for row in rows]
        walked, farthest = rows[0][5:7] if rows else (0, 0.0)
        if len(hits) >= limit or walked < passages or 1.0 - farthest <= threshold:
            return hits
        passages *= _FARTHER


def _hit(rendering: Rendering, field: str, row: Sequence[Any]) -> Hit:
    key, distance, behind, start, end, _, _, metadata, *texts = row
    passage = None if behind else _passage(rendering, field, texts, start, end)
    return Hit(key, 1.0 - distance, field, dict(zip(rendering.names, texts, strict=True)), metadata, behind, passage)


def _passage(
    rendering: Rendering, field: str, texts: Sequence[str | None], start: int | None, end: int | None
) -> FoundPassage | None:
    try:
        whole = rendering.texts_of(texts).get(field)
    except RenderingError:
        return None  # somebody has changed the document by hand
    if whole is None:
        return None
    start, end = (0, len(whole)) if start is None or end is None else (start, end)
    return FoundPassage(whole[start:end], start, end, len(whole))


def statement(index: RegisteredIndex, unique_on: str | None, method: Method, field: str) -> sql.Composed:
    """The search of one field, with parameters `vector`, `limit` and (for bit strings) `candidates`.

    The field is a literal, because a partial index is only used where the planner sees its condition.
    """
    dimensions = sql.Literal(index.generation.space.stored_dimensions)
    parts = {
        "row": _row(index),
        "joins": _to_documents(index, unique_on),
        "vectors": sql.Identifier(index.schema, index.vectors),
        "field": sql.Literal(field),
        "dimensions": dimensions,
    }
    if method is Method.HNSW_BIT:
        order = sql.SQL(
            "binary_quantize(v.embedding)::bit({0}) <~> binary_quantize(%(vector)s::vector)::bit({0})"
        ).format(dimensions)
        walk = sql.SQL(_RANKED_CANDIDATES).format(order=order, **parts)
    elif method is Method.HNSW_HALFVEC:
        order = sql.SQL("v.embedding::halfvec({0}) <=> %(vector)s::halfvec({0})").format(dimensions)
        walk = sql.SQL(_RANKED_CANDIDATES).format(order=order, **parts)
    else:
        walk = sql.SQL(_WALK).format(**parts)
    return sql.SQL(_BEST_OF_EACH).format(walk=walk, texts=_texts(index))


def _row(index: RegisteredIndex) -> sql.Composed:
    """What is read of a passage that is met, and of its document."""
    texts = (
        sql.SQL(", d.{} AS {}").format(sql.Identifier(column), sql.Identifier(f"text_{place}"))
        for place, column in enumerate(index.generation.columns)
    )
    return sql.SQL(
        """
        d.key, v.embedding <=> %(vector)s AS distance, {} AS behind, p.char_start, p.char_end, d.metadata{}
        """
    ).format(_behind(index), sql.SQL("").join(texts))


def _behind(index: RegisteredIndex) -> sql.Composable:
    """True where the vector is of an earlier text than the document's."""
    behind = sql.SQL("p.served_hash IS DISTINCT FROM p.content_hash")
    since = index.generation.behind_since
    return behind if since is None else sql.SQL("({} OR d.updated_at > {})").format(behind, sql.Literal(since))


def _texts(index: RegisteredIndex) -> sql.Composed:
    places = range(len(index.generation.columns))
    return sql.SQL(", ").join(sql.Identifier(f"text_{place}") for place in places)


# The window functions count before DISTINCT leaves out: how many passages were met, and how far the last one was.
_BEST_OF_EACH = """
    SELECT key, distance, behind, char_start, char_end, walked, farthest, metadata, {texts}
    FROM (
        SELECT DISTINCT ON (key) met.*, count(*) OVER () AS walked, max(distance) OVER () AS farthest
        FROM ({walk}) met
        ORDER BY key, distance) best
    ORDER BY distance
"""

_WALK = """
    SELECT {row}
    FROM {vectors} v
    {joins}
    WHERE v.field = {field}
    ORDER BY v.embedding <=> %(vector)s
    LIMIT %(limit)s
"""

# Candidates by the quantised distance, along the index; then ranked by the exact one.
_RANKED_CANDIDATES = """
    SELECT *
    FROM (
        SELECT {row}
        FROM {vectors} v
        {joins}
        WHERE v.field = {field}
        ORDER BY {order}
        LIMIT %(candidates)s) candidates
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
