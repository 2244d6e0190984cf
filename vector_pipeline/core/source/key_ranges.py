"""Key ranges: where they start, where they end, and how a table is cut into them.

A range starts at a key and ends where the next begins; the first is open below, the last open above. Only MySQL
compares keys, since no other server knows its collations: a bound is the text form of a key, handed back to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vector_pipeline.core.source.canonical import KeyKind
from vector_pipeline.core.source.connection import Connection, identifier
from vector_pipeline.core.source.plan import ReadingPlan

_KEYS_PER_QUESTION = 500


@dataclass(frozen=True)
class KeyRange:
    """Keys from `lower` (included; None: open) up to `upper` (excluded; None: open), in canonical text."""

    range_id: int
    partition: str
    lower: str | None
    upper: str | None


def bound_placeholder(plan: ReadingPlan) -> str:
    """What stands for a key in a statement."""
    return "UNHEX(%s)" if plan.key_kind is KeyKind.BINARY else "%s"


def bound_parameter(plan: ReadingPlan, key: str) -> int | str:
    """A key's text form as the parameter for `bound_placeholder`; numbers as numbers, so that the index is used."""
    return int(key) if plan.key_kind is KeyKind.INTEGER else key


def key_condition(plan: ReadingPlan, key_range: KeyRange) -> tuple[str, tuple[int | str, ...]]:
    """The WHERE of a range: its bounds and the declaration's own condition."""
    return _condition(plan, key_range.lower, key_range.upper)


def _condition(plan: ReadingPlan, lower: str | None, upper: str | None) -> tuple[str, tuple[int | str, ...]]:
    column, placeholder = identifier(plan.key_column), bound_placeholder(plan)
    clauses, parameters = [], []
    if lower is not None:
        clauses.append(f"{column} >= {placeholder}")
        parameters.append(bound_parameter(plan, lower))
    if upper is not None:
        clauses.append(f"{column} < {placeholder}")
        parameters.append(bound_parameter(plan, upper))
    if plan.where:
        clauses.append("(" + plan.where.replace("%", "%%") + ")")
    return " AND ".join(clauses) or "1 = 1", tuple(parameters)


def cut(connection: Connection, plan: ReadingPlan, key_range: KeyRange, rows_per_range: int) -> Iterator[str]:
    """Walks the key index and yields the keys at which the range is to be cut, each `rows_per_range` rows on.

    The last piece keeps what remains, so nothing is yielded for a range of at most `rows_per_range` rows.
    """
    lower = key_range.lower
    while True:
        condition, parameters = _condition(plan, lower, key_range.upper)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {plan.key.expression} FROM {identifier(plan.database, plan.table)}"
                f" WHERE {condition} ORDER BY {identifier(plan.key_column)} LIMIT 1 OFFSET {rows_per_range:d}",
                parameters,
            )
            row = cursor.fetchone()
        if row is None:
            return
        lower = str(row[0])
        yield lower


def greatest_key(connection: Connection, plan: ReadingPlan) -> str | None:
    """The last key of the table, in canonical text; None where there is none.

    The declaration's condition does not count: where it leaves out much, its last row can be far from the end.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {plan.key.expression} FROM {identifier(plan.database, plan.table)}"
            f" ORDER BY {identifier(plan.key_column)} DESC LIMIT 1",
            (),
        )
        row = cursor.fetchone()
    return None if row is None or row[0] is None else str(row[0])


def holds_more_than(connection: Connection, plan: ReadingPlan, key_range: KeyRange, rows: int) -> bool:
    """Whether the range has more rows, for the price of walking so far along the key index."""
    return next(cut(connection, plan, key_range, rows), None) is not None


def keys_at_or_above(connection: Connection, plan: ReadingPlan, keys: Sequence[str], bound: str) -> list[str]:
    """Which of these keys the source has at or above the bound."""
    column, placeholder = identifier(plan.key_column), bound_placeholder(plan)
    found: list[str] = []
    with connection.cursor() as cursor:
        for start in range(0, len(keys), _KEYS_PER_QUESTION):
            some = keys[start : start + _KEYS_PER_QUESTION]
            cursor.execute(
                f"SELECT {plan.key.expression} FROM {identifier(plan.database, plan.table)}"
                f" WHERE {column} IN ({', '.join([placeholder] * len(some))}) AND {column} >= {placeholder}",
                [bound_parameter(plan, key) for key in (*some, bound)],
            )
            found.extend(str(key) for (key,) in cursor.fetchall())
    return found
