"""The planner's statistics, where a bulk load is faster than autovacuum.

A table that was never analysed looks to PostgreSQL as if hundreds of its rows had the same hash. It then reads all
passages for each batch of vectors instead of using their index: at 30,000 rows 65 ms instead of 2, growing with the
table (PostgreSQL 18, where a repeated statement with an array is planned without knowing the array).
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from vector_pipeline.core.store.registry import RegisteredIndex

# Statistics scale with the table's size, so they serve until it is another table.
_OUTGROWN = 4


def renew_outgrown(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Analyses documents and passages where they were never analysed, or have grown to several times their size since.

    Call it outside of a transaction.
    """
    for table in ("documents", index.passages):
        if _is_outgrown(connection, index.schema, table):
            # Whoever holds the table's lock is bringing its statistics up to date already.
            connection.execute(sql.SQL("ANALYZE (SKIP_LOCKED) {}").format(sql.Identifier(index.schema, table)))


def estimate_rows(connection: psycopg.Connection, schema: str, table: str) -> int:
    """About how many rows the table has, without reading it: as they were counted last, or as they came and went since.

    The latter is lost when PostgreSQL crashes, the former is none before the first ANALYZE.
    """
    row = connection.execute(
        """
        SELECT greatest(c.reltuples, s.n_live_tup, 0)::bigint
        FROM pg_class c JOIN pg_stat_all_tables s ON s.relid = c.oid
        WHERE c.oid = %s::regclass
        """,
        (sql.Identifier(schema, table).as_string(connection),),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _is_outgrown(connection: psycopg.Connection, schema: str, table: str) -> bool:
    row = connection.execute(
        """
        SELECT c.reltuples < 0
            OR pg_relation_size(c.oid) > %s * c.relpages * current_setting('block_size')::bigint
        FROM pg_class c
        WHERE c.oid = %s::regclass
        """,
        (_OUTGROWN, sql.Identifier(schema, table).as_string(connection)),
    ).fetchone()
    return bool(row and row[0])
