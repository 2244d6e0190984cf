"""The indexes of the documents by which filters on metadata are answered, and by which the planner knows how many
documents a filter leaves.

They are built with the first ANN index: until then every vector is looked at anyhow. Each costs something whenever a
document is written, and keeps PostgreSQL from updating it in place; so there are as many as are declared, or the first
few.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import registry, source_columns, table_indexes
from vector_pipeline.core.store.metadata_columns import MetadataColumn, metadata_columns
from vector_pipeline.core.store.names import bounded
from vector_pipeline.core.store.registry import RegisteredIndex

_PREFIX = "documents_filter_"
_MOST_UNDECLARED = 4
# The more values are sampled, the better the planner knows of filters that leave one document of a thousand.
_STATISTICS = 300


def declared_columns(spec: IndexSpec) -> list[str]:
    """The metadata that are to have an index, by served name."""
    if spec.search.filters is not None:
        return list(spec.search.filters)
    return list(spec.document.metadata)[:_MOST_UNDECLARED]


def refresh(
    connection: psycopg.Connection, index: RegisteredIndex, spec: IndexSpec, *, worth_having: bool
) -> list[str]:
    """Builds the indexes that are declared and not there, and removes those that are there and not declared. Blocks
    neither searches nor writers. Returns the names of the columns that have one.

    `connection` must be in autocommit mode, outside of a transaction, and hold the lock of the search index.

    Args:
        worth_having: whether to build any.
    """
    accepted = registry.accepted_declaration(connection, index)
    columns = metadata_columns(accepted, source_columns.load(connection, index))
    wanted = {
        index_name(column): column
        for name in declared_columns(spec)
        if (column := columns.get(name)) is not None and column.is_indexable
    }
    present = table_indexes.present(connection, index.schema, "documents", _PREFIX)
    for name, is_valid in present.items():
        if name not in wanted or not is_valid:
            table_indexes.drop(connection, index.schema, name)
    missing = [name for name in wanted if not present.get(name)]
    if worth_having and missing:
        for name in missing:
            _build(connection, index, name, wanted[name])
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(index.schema, "documents")))
    there = table_indexes.present(connection, index.schema, "documents", _PREFIX)
    return [column.name for name, column in wanted.items() if there.get(name)]


def index_name(column: MetadataColumn) -> str:
    """The name of the column's index; another one where the column is compared in another way."""
    return bounded(f"{_PREFIX}{column.way}_{column.name}")


def rebuild(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Builds them anew, so that nothing of a value is left that no document has any more: an index keeps some of what
    it once held to find its way by."""
    table_indexes.rebuild_all(connection, index.index_id, index.schema, "documents", _PREFIX)


def _build(connection: psycopg.Connection, index: RegisteredIndex, name: str, column: MetadataColumn) -> None:
    identifier = sql.Identifier(index.schema, name)
    connection.execute(
        sql.SQL("CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {} ({})").format(
            sql.Identifier(name), sql.Identifier(index.schema, "documents"), column.compared()
        )
    )
    connection.execute(
        sql.SQL("ALTER INDEX {} ALTER COLUMN 1 SET STATISTICS {}").format(identifier, sql.Literal(_STATISTICS))
    )
