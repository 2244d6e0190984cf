"""Reading the rows of a key range: streamed, each with its hash as MySQL computes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pymysql.cursors

from vector_pipeline.core.errors import SourceKeyError, SourceValueError
from vector_pipeline.core.source.connection import Connection
from vector_pipeline.core.source.digest import row_hash_expression
from vector_pipeline.core.source.key_ranges import NOT_TEXT, KeyRange, key_condition
from vector_pipeline.core.source.keys import sort_key
from vector_pipeline.core.source.plan import PlannedColumn, ReadingPlan

_ROWS_PER_FETCH = 500


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row in canonical text: `texts` and `metadata` in the plan's order.

    `sort_key` orders keys bytewise as MySQL orders them; `row_hash` is unsigned.
    """

    key: str
    sort_key: bytes
    row_hash: int
    texts: tuple[str | None, ...]
    metadata: tuple[str | None, ...]


def read_rows(connection: Connection, plan: ReadingPlan, key_range: KeyRange) -> Iterator[SourceRow]:
    """Streams the rows of a range; read them all before the connection is used for anything else.

    Raises:
        SourceKeyError: a row's key can't be one.
        SourceValueError: a value is too long for the server to hand over, or is not text.
    """
    condition, parameters = key_condition(plan, key_range)
    weights = [column.weight for column in plan.key_columns if column.weight is not None]
    columns = ", ".join([*(column.expression for column in plan.columns), *weights])
    long = [position for position, column in enumerate(plan.columns) if column.by_hash]
    text_end = 3 + len(plan.texts)
    end = text_end + len(plan.metadata)
    with naming_what_is_not_text(connection, plan, key_range), connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(
            f"SELECT {row_hash_expression(plan)}, {presence(plan, long)}, {columns}"
            f" FROM {plan.relation} WHERE {condition}",
            parameters,
        )
        while rows := cursor.fetchmany(_ROWS_PER_FETCH):
            for row in rows:
                key = row[2]
                _refuse_unusable_key(key)
                refuse_too_long_values(plan, long, row[1], row[2:end])
                order = sort_key(plan.key_columns, key, row[end:])
                yield SourceRow(key, order, int(row[0]), row[3:text_end], row[text_end:end])


def _refuse_unusable_key(key: str | None) -> None:
    if key is None:
        raise SourceKeyError("a row's key is NULL")
    if "\0" in key:
        raise SourceKeyError(f"the key {key!r} has a NUL character, which PostgreSQL can't store")


def presence(plan: ReadingPlan, positions: Sequence[int]) -> str:
    """SQL for a 1 or 0 a column, whether it has a value: the text form of one that is too long is NULL as well."""
    flags = [f"NOT ({plan.columns[position].absent})" for position in positions]
    return f"CONCAT({', '.join(flags)})" if flags else "''"


def refuse_too_long_values(
    plan: ReadingPlan, positions: Sequence[int], presence: str, values: Sequence[str | None]
) -> None:
    """`values` are those of `plan.columns`; `presence` is what `presence` has given for these positions.

    Raises:
        SourceValueError: one of them is there and came as NULL.
    """
    for position, present in zip(positions, presence, strict=True):
        if present == "1" and values[position] is None:
            raise SourceValueError(
                f"{_place(plan, values[0], plan.columns[position])}: the value is longer than MySQL's "
                "max_allowed_packet lets it be handed over (binary values take twice their length); raise "
                "max_allowed_packet on the server, or leave the column out of the declaration"
            )


def _place(plan: ReadingPlan, key: str | None, column: PlannedColumn) -> str:
    return f"{plan.database}.{plan.table}, {plan.key.source} = {key!r}, column {column.source!r}"


@contextmanager
def naming_what_is_not_text(connection: Connection, plan: ReadingPlan, key_range: KeyRange) -> Iterator[None]:
    """Bytes that MySQL stores as text and that are none (MariaDB takes half a surrogate), as an error that names them.

    Only after the driver has failed on them is the range read again, as bytes.
    """
    try:
        yield
    except UnicodeDecodeError:
        place = _first_that_is_not_text(connection, plan, key_range) or f"{plan.database}.{plan.table}"
        raise SourceValueError(f"{place}: {NOT_TEXT}") from None


def _first_that_is_not_text(connection: Connection, plan: ReadingPlan, key_range: KeyRange) -> str | None:
    condition, parameters = key_condition(plan, key_range)
    forms = ", ".join(f"HEX({column.expression})" for column in plan.columns)
    with connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(f"SELECT {forms} FROM {plan.relation} WHERE {condition}", parameters)
        for row in cursor:
            for column, form in zip(plan.columns, row, strict=True):
                try:
                    bytes.fromhex(form or "").decode()
                except UnicodeDecodeError:
                    return _place(plan, bytes.fromhex(row[0] or "").decode(errors="replace"), column)
    return None


def read_row_hashes(connection: Connection, plan: ReadingPlan, key_range: KeyRange) -> Iterator[tuple[str, int]]:
    """Streams (key, row hash) of a range."""
    condition, parameters = key_condition(plan, key_range)
    with naming_what_is_not_text(connection, plan, key_range), connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(
            f"SELECT {plan.key.expression}, {row_hash_expression(plan)} FROM {plan.relation} WHERE {condition}",
            parameters,
        )
        while rows := cursor.fetchmany(_ROWS_PER_FETCH):
            for key, row_hash in rows:
                yield key, int(row_hash)
