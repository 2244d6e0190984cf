"""The ANN index of each field: which kind suits the dimensions, and whether one is worth having.

pgvector's HNSW takes `vector` up to 2,000 dimensions and `halfvec` up to 4,000; above that the sign of each number
goes into a bit string, whose nearest by Hamming distance are then ranked exactly.
"""

from __future__ import annotations

from enum import Enum

import psycopg
from psycopg import sql

from vector_pipeline.core.reports import FieldIndex
from vector_pipeline.core.store.names import bounded
from vector_pipeline.core.store.registry import RegisteredIndex

_LONGEST_VECTOR = 2000
_LONGEST_HALFVEC = 4000


class Method(Enum):
    """How a field is searched."""

    EXACT = "exact"
    HNSW_VECTOR = "hnsw vector"
    HNSW_HALFVEC = "hnsw halfvec"
    HNSW_BIT = "hnsw bit + rerank"


def suitable_method(dimensions: int) -> Method:
    """The kind of HNSW index for vectors of this length."""
    if dimensions <= _LONGEST_VECTOR:
        return Method.HNSW_VECTOR
    return Method.HNSW_HALFVEC if dimensions <= _LONGEST_HALFVEC else Method.HNSW_BIT


def index_name(index: RegisteredIndex, field: str) -> str:
    return bounded(f"{index.vectors}_ann_{field}")


def present_methods(connection: psycopg.Connection, index: RegisteredIndex) -> dict[str, Method]:
    """How each field is searched now."""
    rows = connection.execute(
        """
        SELECT c.relname FROM pg_index x
        JOIN pg_class c ON c.oid = x.indexrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND x.indisvalid
        """,
        (index.schema,),
    ).fetchall()
    present = {name for (name,) in rows}
    method = suitable_method(index.generation.space.stored_dimensions)
    return {
        field: method if index_name(index, field) in present else Method.EXACT
        for field in index.generation.rendering.fields
    }


def refresh(connection: psycopg.Connection, index: RegisteredIndex, ann_from_vectors: int) -> list[FieldIndex]:
    """Builds the index of each field that has at least so many vectors, without blocking writers, and brings the
    planner's statistics up to date. `connection` must be in autocommit mode, outside of a transaction."""
    vectors = sql.Identifier(index.schema, index.vectors)
    counts: dict[str, int] = dict(
        connection.execute(sql.SQL("SELECT field, count(*) FROM {} GROUP BY field").format(vectors)).fetchall()
    )
    _drop_broken(connection, index)
    present = present_methods(connection, index)
    for field in index.generation.rendering.fields:
        if present[field] is Method.EXACT and counts.get(field, 0) >= max(ann_from_vectors, 1):
            _build(connection, index, field)
    for table in ("documents", index.passages, index.vectors):
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(index.schema, table)))
    present = present_methods(connection, index)
    return [
        FieldIndex(field, counts.get(field, 0), method.value, _size(connection, index, field))
        for field, method in present.items()
    ]


def _build(connection: psycopg.Connection, index: RegisteredIndex, field: str) -> None:
    # 256 MB holds the graph of some 100,000 vectors of 512 numbers; beyond it the build goes on, slower.
    connection.execute("SET maintenance_work_mem = '256MB'")
    try:
        connection.execute(
            sql.SQL("CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {} USING hnsw ({}) WHERE field = {}").format(
                sql.Identifier(index_name(index, field)),
                sql.Identifier(index.schema, index.vectors),
                _indexed(index.generation.space.stored_dimensions),
                sql.Literal(field),
            )
        )
    finally:
        connection.execute("RESET maintenance_work_mem")


def _indexed(dimensions: int) -> sql.Composable:
    method = suitable_method(dimensions)
    if method is Method.HNSW_VECTOR:
        return sql.SQL("embedding vector_cosine_ops")
    if method is Method.HNSW_HALFVEC:
        return sql.SQL("(embedding::halfvec({})) halfvec_cosine_ops").format(sql.Literal(dimensions))
    return sql.SQL("(binary_quantize(embedding)::bit({})) bit_hamming_ops").format(sql.Literal(dimensions))


def _drop_broken(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Removes what a cancelled concurrent build left behind."""
    for field in index.generation.rendering.fields:
        name = index_name(index, field)
        broken = connection.execute(
            """
            SELECT FROM pg_index x
            JOIN pg_class c ON c.oid = x.indexrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = %s AND c.relname = %s AND NOT x.indisvalid
            """,
            (index.schema, name),
        ).fetchone()
        if broken is not None:
            connection.execute(
                sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(index.schema, name))
            )


def _size(connection: psycopg.Connection, index: RegisteredIndex, field: str) -> int:
    row = connection.execute(
        "SELECT coalesce(pg_relation_size(to_regclass(%s)), 0)",
        (sql.Identifier(index.schema, index_name(index, field)).as_string(connection),),
    ).fetchone()
    return int(row[0]) if row else 0
