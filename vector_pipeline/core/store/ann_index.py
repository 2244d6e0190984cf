"""The ANN index of each field: whether one is worth having, which ones are there, and building them anew.

The registry knows by what each of them orders, so that a search walks what is there, whatever is declared by now.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from vector_pipeline.core.reports import FieldIndex
from vector_pipeline.core.spec import SearchSpec
from vector_pipeline.core.store import ann_building, table_indexes
from vector_pipeline.core.store.ann_building import Observer
from vector_pipeline.core.store.ann_method import AnnOrder, Method, suitable_order
from vector_pipeline.core.store.names import bounded
from vector_pipeline.core.store.registry import RegisteredIndex

# A graph from which as many vectors were deleted as half of those that it has is built anew: what is deleted leaves
# holes that later ones fill, but links that were mended one by one.
_HOLLOW_SHARE = 0.5
_FEWEST_DELETED = 1000
# Where so few of the vectors are left from which on an index is worth having, exact search takes its place; not
# before, lest a table around that number has its index built and removed again and again.
_TOO_FEW_SHARE = 0.5
# pgvector's default of 64 misses some four neighbours in a hundred of 100,000 clustered vectors of 1,024 numbers where
# this misses less than one (ef_search 200), and no search takes longer for it.
_EF_CONSTRUCTION = 128

EXACT = "exact"


def index_name(index: RegisteredIndex, field: str, order: AnnOrder) -> str:
    """The name of the field's index in that order; no two orders have the same."""
    return bounded(f"{index.vectors}_hnsw_{order.method.value}_{order.width}_{field}")


VALID = b"""
    JOIN pg_namespace n ON n.nspname = i.schema_name
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = a.name
    JOIN pg_index x ON x.indexrelid = c.oid AND x.indisvalid
"""
"""SQL: leaves those of an index's ANN indexes (aliases i and a) that are there and were built to their end."""

_PRESENT = (
    b"""
    SELECT a.field, a.name, a.method, a.width, a.vectors_deleted, pg_relation_size(c.oid)
    FROM vector_pipeline.embedding_indexes i
    JOIN vector_pipeline.ann_indexes a ON a.index_id = i.index_id
    """
    + VALID
    + b"WHERE i.index_id = %s AND a.space = %s ORDER BY a.built_at"
)


@dataclass(frozen=True)
class _Present:
    """The ANN index of a field: `deleted` is how many vectors the table had lost when it was built, `size` in bytes."""

    name: str
    order: AnnOrder
    deleted: int
    size: int


def _present(connection: psycopg.Connection, index: RegisteredIndex) -> dict[str, _Present]:
    """That of each field that has one now; the latest, where a build was broken off before the earlier one went."""
    space = index.generation.space
    rows = connection.execute(_PRESENT, (index.index_id, space.number)).fetchall()
    return {
        field: _Present(name, AnnOrder(space, Method(method), width), deleted, size)
        for field, name, method, width, deleted, size in rows
    }


def present_orders(connection: psycopg.Connection, index: RegisteredIndex) -> dict[str, AnnOrder]:
    """By what the ANN index of each field orders, for the fields that have one now."""
    return {field: present.order for field, present in _present(connection, index).items()}


def refresh(
    connection: psycopg.Connection, index: RegisteredIndex, search: SearchSpec, observer: Observer | None = None
) -> list[FieldIndex]:
    """Builds the index of each field that has enough vectors, anew where it is hollow or another order is declared, and
    brings the planner's statistics up to date. Blocks neither searches nor writers.

    `connection` must be in autocommit mode, outside of a transaction, and hold the lock of the search index.
    """
    table_indexes.remove_wrecks(connection, index.schema, index.vectors)
    counts = _count_vectors(connection, index)
    wanted = suitable_order(index.generation.space, search.ann_prefix)
    there = _present(connection, index)
    for field in index.generation.rendering.fields:
        vectors = counts.get(field, 0)
        if vectors < max(search.ann_from_vectors, 1):
            if vectors < _TOO_FEW_SHARE * search.ann_from_vectors:
                _remove_others(connection, index, field, None)
            continue
        name, present = index_name(index, field, wanted), there.get(field)
        if present is None or present.order != wanted:
            statement = _create(index, field, wanted)
        elif _is_hollow(connection, index, present, vectors):
            name = present.name
            statement = table_indexes.rebuilding(index.schema, name)
        else:
            _remove_others(connection, index, field, present.name)
            continue
        with (
            ann_building.settings_for(connection, wanted, vectors, search.ann_build_megabytes),
            ann_building.observed(connection, field, vectors, observer),
        ):
            deleted = _ever_deleted(connection, index)
            ann_building.build(
                connection, statement, lambda: table_indexes.remove_wrecks(connection, index.schema, index.vectors)
            )
        _enter(connection, index, field, name, wanted, deleted)
        _remove_others(connection, index, field, name)
    for table in ("documents", index.passages, index.vectors):
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(index.schema, table)))
    return _report(connection, index, counts)


def _report(connection: psycopg.Connection, index: RegisteredIndex, counts: dict[str, int]) -> list[FieldIndex]:
    there = _present(connection, index)
    found = []
    for field in index.generation.rendering.fields:
        present = there.get(field)
        method, size = (EXACT, 0) if present is None else (str(present.order), present.size)
        found.append(FieldIndex(field, counts.get(field, 0), method, size))
    return found


def _count_vectors(connection: psycopg.Connection, index: RegisteredIndex) -> dict[str, int]:
    vectors = sql.Identifier(index.schema, index.vectors)
    return dict(connection.execute(sql.SQL("SELECT field, count(*) FROM {} GROUP BY field").format(vectors)).fetchall())


def _create(index: RegisteredIndex, field: str, order: AnnOrder) -> sql.Composed:
    return sql.SQL(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {} USING hnsw ({}) WITH (ef_construction = {}) WHERE field = {}"
    ).format(
        sql.Identifier(index_name(index, field, order)),
        sql.Identifier(index.schema, index.vectors),
        order.indexed(),
        sql.Literal(_EF_CONSTRUCTION),
        sql.Literal(field),
    )


def _is_hollow(connection: psycopg.Connection, index: RegisteredIndex, present: _Present, vectors: int) -> bool:
    return is_hollow(_deleted_since(connection, index, present), vectors)


def is_hollow(deleted: int, vectors: int) -> bool:
    """Whether a graph that has so many vectors, and has lost so many since it was built, is to be built anew."""
    return deleted >= max(_FEWEST_DELETED, _HOLLOW_SHARE * vectors)


def _deleted_since(connection: psycopg.Connection, index: RegisteredIndex, present: _Present) -> int:
    then, now = present.deleted, _ever_deleted(connection, index)
    # PostgreSQL counts from zero again after a crash.
    return now - then if now >= then else now


@dataclass(frozen=True)
class Graph:
    """The ANN index of a field as it is: `size` in bytes, `deleted` the vectors that it has lost since it was built."""

    field: str
    name: str
    order: AnnOrder
    vectors: int
    deleted: int
    size: int


def graphs(connection: psycopg.Connection, index: RegisteredIndex) -> list[Graph]:
    """Those that are there. Counts all vectors."""
    counts = _count_vectors(connection, index)
    return [
        Graph(
            field,
            present.name,
            present.order,
            counts.get(field, 0),
            _deleted_since(connection, index, present),
            present.size,
        )
        for field, present in _present(connection, index).items()
    ]


def _ever_deleted(connection: psycopg.Connection, index: RegisteredIndex) -> int:
    # What this session has deleted itself would else be counted some seconds later.
    connection.execute("SELECT pg_stat_force_next_flush()")
    row = connection.execute(
        "SELECT n_tup_del FROM pg_stat_user_tables WHERE schemaname = %s AND relname = %s",
        (index.schema, index.vectors),
    ).fetchone()
    return int(row[0]) if row else 0


def _enter(
    connection: psycopg.Connection, index: RegisteredIndex, field: str, name: str, order: AnnOrder, deleted: int
) -> None:
    connection.execute(
        """
        INSERT INTO vector_pipeline.ann_indexes (index_id, space, field, name, method, width, vectors_deleted)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (index_id, space, name) DO UPDATE
        SET built_at = now(), vectors_deleted = excluded.vectors_deleted
        """,
        (index.index_id, index.generation.space.number, field, name, order.method.value, order.width, deleted),
    )


def _remove_others(connection: psycopg.Connection, index: RegisteredIndex, field: str, kept: str | None) -> None:
    """Removes the field's indexes but the one that is kept, those too that a refresh that was broken off has left."""
    others = (index.index_id, index.generation.space.number, field, kept)
    rows = connection.execute(
        """
        SELECT name FROM vector_pipeline.ann_indexes
        WHERE index_id = %s AND space = %s AND field = %s AND name IS DISTINCT FROM %s
        """,
        others,
    ).fetchall()
    for (name,) in rows:
        table_indexes.drop(connection, index.schema, name)
    # Last, so that what is broken off here is begun anew.
    connection.execute(
        """
        DELETE FROM vector_pipeline.ann_indexes
        WHERE index_id = %s AND space = %s AND field = %s AND name IS DISTINCT FROM %s
        """,
        others,
    )
