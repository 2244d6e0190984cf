"""Single rows as they are in MySQL at this moment, by their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pymysql.cursors

from vector_pipeline.core.source.connection import Connection
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.keys import Parameter, column_operands, literal_operands
from vector_pipeline.core.source.pages import PageRow
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.source.rows import naming_what_is_not_text, presence, refuse_too_long_values
from vector_pipeline.core.source.time_limit import limited_statements


@dataclass(frozen=True)
class RowsByKey:
    """What was found, in the order in which it was asked for.

    Attributes:
        missing: the keys that no row has, or one that the declaration's condition leaves out.
        left_out: the keys of rows that were not read because those before are long enough.
    """

    rows: tuple[PageRow, ...]
    missing: tuple[str, ...]
    left_out: tuple[str, ...]


def read_rows_by_key(
    connection: Connection, plan: ReadingPlan, keys: Sequence[str], most_bytes: int, seconds: float
) -> RowsByKey:
    """The rows with these keys, as long as their texts are no longer together.

    Args:
        keys: in canonical text.
        seconds: MySQL ends a statement that takes longer.

    Raises:
        ValueError: one of them is no key of this table.
        SourceValueError: a value is too long for the server to hand over, or is not text.
    """
    keys = list(dict.fromkeys(keys))
    conditions = [_is(plan, key) for key in keys]
    # A key may be written in several ways: only MySQL knows which of those asked for a row has.
    positions = " ".join(f"WHEN {sql} THEN {place}" for place, (sql, _) in enumerate(conditions))
    parameters = tuple(value for _, values in conditions for value in values)
    columns = ", ".join(column.expression for column in plan.columns)
    long = [position for position, column in enumerate(plan.columns) if column.by_hash]
    names = [column.served for column in plan.columns[1:]]
    found: dict[int, PageRow] = {}
    left_out: list[int] = []
    read = 0
    with (
        limited_statements(connection, seconds),
        naming_what_is_not_text(connection, plan, KeyRange(0, "", None, None)),
        connection.cursor(pymysql.cursors.SSCursor) as cursor,
    ):
        cursor.execute(
            f"SELECT CASE {positions} END AS place, {presence(plan, long)}, {columns} FROM {plan.relation}"
            f" WHERE ({' OR '.join(sql for sql, _ in conditions)}){_declared_condition(plan)}"
            " ORDER BY place",
            parameters + parameters,
        )
        for place, present, key, *values in cursor:
            refuse_too_long_values(plan, long, present, (key, *values))
            read += sum(len(value.encode()) for value in values if value is not None)
            if read > most_bytes:
                left_out.append(int(place))
            else:
                found[int(place)] = PageRow(key, dict(zip(names, values, strict=True)))
    return RowsByKey(
        tuple(found.values()),
        tuple(key for place, key in enumerate(keys) if place not in found and place not in left_out),
        tuple(keys[place] for place in left_out),
    )


def _is(plan: ReadingPlan, key: str) -> tuple[str, tuple[Parameter, ...]]:
    columns, literals = column_operands(plan.key_columns), literal_operands(plan.key_columns, key)
    equal = (f"{column.sql} = {literal.sql}" for column, literal in zip(columns, literals, strict=True))
    return "(" + " AND ".join(equal) + ")", tuple(value for literal in literals for value in literal.parameters)


def _declared_condition(plan: ReadingPlan) -> str:
    return f" AND ({plan.where.replace('%', '%%')})" if plan.where else ""
