"""Reading the rows of a key range: streamed, each with its hash as MySQL computes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pymysql.cursors

from vector_pipeline.core.errors import SourceKeyError
from vector_pipeline.core.source.canonical import KeyKind
from vector_pipeline.core.source.connection import Connection, identifier
from vector_pipeline.core.source.digest import row_hash_expression
from vector_pipeline.core.source.key_ranges import KeyRange, key_condition
from vector_pipeline.core.source.plan import ReadingPlan

_ROWS_PER_FETCH = 500
_SIGN_BIT = 1 << 63


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
    """
    condition, parameters = key_condition(plan, key_range)
    columns = ", ".join(column.expression for column in plan.columns)
    text_end = 3 + len(plan.texts)
    with connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(
            f"SELECT {row_hash_expression(plan)}, {_weight(plan)}, {columns}"
            f" FROM {identifier(plan.database, plan.table)} WHERE {condition}",
            parameters,
        )
        while rows := cursor.fetchmany(_ROWS_PER_FETCH):
            for row in rows:
                _refuse_unusable_key(row[2])
                yield SourceRow(row[2], _sort_key(plan, row[2], row[1]), int(row[0]), row[3:text_end], row[text_end:])


def _refuse_unusable_key(key: str | None) -> None:
    if key is None:
        raise SourceKeyError("a row's key is NULL")
    if "\0" in key:
        raise SourceKeyError(f"the key {key!r} has a NUL character, which PostgreSQL can't store")


def read_row_hashes(connection: Connection, plan: ReadingPlan, key_range: KeyRange) -> Iterator[tuple[str, int]]:
    """Streams (key, row hash) of a range."""
    condition, parameters = key_condition(plan, key_range)
    with connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(
            f"SELECT {plan.key.expression}, {row_hash_expression(plan)}"
            f" FROM {identifier(plan.database, plan.table)} WHERE {condition}",
            parameters,
        )
        while rows := cursor.fetchmany(_ROWS_PER_FETCH):
            for key, row_hash in rows:
                yield key, int(row_hash)


def _weight(plan: ReadingPlan) -> str:
    if plan.key_kind is KeyKind.TEXT:
        return f"HEX(WEIGHT_STRING({identifier(plan.key_column)}))"
    return "NULL"


def _sort_key(plan: ReadingPlan, key: str, weight: str | None) -> bytes:
    if plan.key_kind is KeyKind.INTEGER:
        return (int(key) + _SIGN_BIT).to_bytes(9, "big")
    return bytes.fromhex(key if plan.key_kind is KeyKind.BINARY else weight or "")
