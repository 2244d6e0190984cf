"""Whether single rows are still in the source."""

from __future__ import annotations

from collections.abc import Iterable

from vector_pipeline.core.source.connection import Connection
from vector_pipeline.core.source.keys import KeyKind, column_operands, literal_operands, split_key
from vector_pipeline.core.source.plan import ReadingPlan


def keys_present(connection: Connection, plan: ReadingPlan, keys: Iterable[str]) -> list[str]:
    """Those of the keys that MySQL has a row for which the declaration takes; compared as MySQL compares them."""
    where = "(" + plan.where.replace("%", "%%") + ")" if plan.where else "1 = 1"
    found = []
    with connection.cursor() as cursor:
        for key in keys:
            literals = literal_operands(plan.key_columns, key)
            same = " AND ".join(
                f"{column.sql} = {literal.sql}"
                for column, literal in zip(column_operands(plan.key_columns), literals, strict=True)
            )
            cursor.execute(
                f"SELECT 1 FROM {plan.relation} WHERE {same} AND {where} LIMIT 1",
                [parameter for literal in literals for parameter in literal.parameters],
            )
            if cursor.fetchone() is not None:
                found.append(key)
    return found


def is_key(plan: ReadingPlan, key: str) -> bool:
    """Whether this is the text form of a key of this table; of numbers the one that documents are known by."""
    try:
        literal_operands(plan.key_columns, key)
    except ValueError:
        return False
    parts = split_key(key, len(plan.key_columns))
    return all(
        column.kind is not KeyKind.INTEGER or str(int(part)) == part
        for column, part in zip(plan.key_columns, parts, strict=True)
    )
