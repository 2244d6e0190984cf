"""How large a table is, about."""

from __future__ import annotations

from vector_pipeline.core.source.connection import Connection
from vector_pipeline.core.source.plan import ReadingPlan


def estimate_rows(connection: Connection, plan: ReadingPlan) -> int:
    """Rows as the server estimates them for its own optimizer, off by half at times; 0 where it can't tell (views)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_rows FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
            (plan.database, plan.table),
        )
        row = cursor.fetchone()
    return int(row[0] or 0) if row else 0
