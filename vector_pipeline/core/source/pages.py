"""Rows as they are in MySQL at this moment, page after page in the order of the key.

Each page is a short statement of its own and is in memory as a whole when it ends: whoever takes the rows slowly keeps
no statement, no transaction and no connection waiting. So rows that change meanwhile are seen before or after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pymysql.cursors

from vector_pipeline.core.source.connection import Connection
from vector_pipeline.core.source.key_ranges import KeyRange, key_order
from vector_pipeline.core.source.keys import Parameter, column_operands, comparison, literal_operands
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.source.rows import naming_what_is_not_text, presence, refuse_too_long_values

_ROWS_PER_FETCH = 100


@dataclass(frozen=True)
class Span:
    """Keys above `after`, up to `last`, which is included; None: open."""

    after: str | None = None
    last: str | None = None


@dataclass(frozen=True)
class PageRow:
    """A row in canonical text; `values` are the plan's texts and metadata by the names under which they are served."""

    key: str
    values: dict[str, str | None]


def read_page(
    connection: Connection, plan: ReadingPlan, span: Span, rows: int, characters: int
) -> tuple[list[PageRow], bool]:
    """The first rows of the span, and whether they are all of it: at most `rows` of them, and no more than
    `characters` but for the last.

    Raises:
        ValueError: `after` is no key of this table.
        SourceValueError: a value is too long for the server to hand over, or is not text.
    """
    condition, parameters = _condition(plan, span)
    columns = ", ".join(column.expression for column in plan.columns)
    long = [position for position, column in enumerate(plan.columns) if column.by_hash]
    names = [column.served for column in plan.columns[1:]]
    found: list[PageRow] = []
    read = 0
    from_here = KeyRange(0, "", span.after, None)
    with (
        naming_what_is_not_text(connection, plan, from_here),
        connection.cursor(pymysql.cursors.SSCursor) as cursor,
    ):
        cursor.execute(
            f"SELECT {presence(plan, long)}, {columns} FROM {plan.relation}"
            f" WHERE {condition} ORDER BY {key_order(plan)} LIMIT {rows:d}",
            parameters,
        )
        while fetched := cursor.fetchmany(_ROWS_PER_FETCH):
            for present, key, *values in fetched:
                refuse_too_long_values(plan, long, present, (key, *values))
                found.append(PageRow(key, dict(zip(names, values, strict=True))))
                read += sum(len(value) for value in values if value is not None)
            if read > characters:
                break
    return found, len(found) < rows and read <= characters


def end_of_page(connection: Connection, plan: ReadingPlan, after: str | None, rows: int) -> tuple[str | None, bool]:
    """The key of the row that is so many behind `after`, None where there are fewer; and whether others follow it.

    Raises:
        ValueError: `after` is no key of this table.
    """
    condition, parameters = _condition(plan, Span(after))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {plan.key.expression} FROM {plan.relation} WHERE {condition}"
            f" ORDER BY {key_order(plan)} LIMIT 2 OFFSET {rows - 1:d}",
            parameters,
        )
        keys: Sequence[tuple[str]] = cursor.fetchall()
    return (keys[0][0] if keys else None), len(keys) == 2


def _condition(plan: ReadingPlan, span: Span) -> tuple[str, tuple[Parameter, ...]]:
    columns = column_operands(plan.key_columns)
    clauses: list[str] = []
    parameters: tuple[Parameter, ...] = ()
    if span.after is not None:
        clause, values = comparison(columns, ">", literal_operands(plan.key_columns, span.after))
        clauses.append(clause)
        parameters += values
    if span.last is not None:
        clause, values = comparison(columns, "<=", literal_operands(plan.key_columns, span.last))
        clauses.append(clause)
        parameters += values
    if plan.where:
        clauses.append("(" + plan.where.replace("%", "%%") + ")")
    return " AND ".join(clauses) or "1 = 1", parameters
