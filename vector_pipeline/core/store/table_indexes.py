"""Indexes of a table, built and removed while it is searched and written.

A build that is broken off leaves an index behind that isn't valid: no search takes it, and every write pays for it.
Connections have to be in autocommit mode, outside of a transaction. Whoever builds or removes holds the lock of the
search index: else somebody's build would be taken for a wreck, and the two would wait for each other.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from vector_pipeline.core.store import locks
from vector_pipeline.core.store.locks import Lock


def present(connection: psycopg.Connection, schema: str, table: str, prefix: str = "") -> dict[str, bool]:
    """The names of the indexes that are there and begin so, and whether each is valid."""
    rows: list[tuple[str, bool]] = connection.execute(
        """
        SELECT c.relname, x.indisvalid
        FROM pg_index x
        JOIN pg_class c ON c.oid = x.indexrelid
        WHERE x.indrelid = to_regclass(%s) AND starts_with(c.relname, %s)
        """,
        (sql.Identifier(schema, table).as_string(connection), prefix),
    ).fetchall()
    return dict(rows)


def drop(connection: psycopg.Connection, schema: str, name: str) -> None:
    """Removes an index, if it is there."""
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(schema, name)))


def remove_wrecks(connection: psycopg.Connection, schema: str, table: str) -> None:
    """Removes what builds that were broken off have left behind."""
    for name, is_valid in present(connection, schema, table).items():
        if not is_valid:
            drop(connection, schema, name)


def rebuilding(schema: str, name: str) -> sql.Composed:
    """The statement that builds an index anew beside itself."""
    return sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(sql.Identifier(schema, name))


def rebuild_all(connection: psycopg.Connection, index_id: int, schema: str, table: str, prefix: str) -> None:
    """Takes the lock of the search index, and builds anew those that begin so. Wrecks are removed."""
    if not present(connection, schema, table, prefix):
        return
    with locks.held(connection, Lock.SEARCH_INDEX, index_id):
        for name, is_valid in present(connection, schema, table, prefix).items():
            if is_valid:
                connection.execute(rebuilding(schema, name))
            else:
                drop(connection, schema, name)
