"""Key ranges: where they start, where they end, and how a table is cut into them.

A range starts at a key and ends where the next begins; the first is open below, the last open above. Only MySQL
compares keys, since no other server knows its collations: a bound is the text form of a key, handed back to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from vector_pipeline.core.source.connection import Connection, identifier
from vector_pipeline.core.source.keys import Operand, Parameter, column_operands, comparison, literal_operands
from vector_pipeline.core.source.plan import ReadingPlan

_KEYS_PER_QUESTION = 500
NOT_TEXT = (
    "the stored bytes are not valid UTF-8 text; correct the value, leave the row out by "
    "source.where, or leave the column out of the declaration"
)


@dataclass(frozen=True)
class KeyRange:
    """Keys from `lower` (included; None: open) up to `upper` (excluded; None: open), in canonical text."""

    range_id: int
    partition: str
    lower: str | None
    upper: str | None


def key_order(plan: ReadingPlan, direction: str = "ASC") -> str:
    """SQL for ORDER BY the key."""
    return ", ".join(f"{identifier(column.name)} {direction}" for column in plan.key_columns)


def key_condition(plan: ReadingPlan, key_range: KeyRange) -> tuple[str, tuple[Parameter, ...]]:
    """The WHERE of a range: its bounds and the declaration's own condition."""
    return _condition(plan, key_range.lower, key_range.upper)


def _condition(plan: ReadingPlan, lower: str | None, upper: str | None) -> tuple[str, tuple[Parameter, ...]]:
    columns = column_operands(plan.key_columns)
    low = literal_operands(plan.key_columns, lower) if lower is not None else []
    high = literal_operands(plan.key_columns, upper) if upper is not None else []
    clauses: list[str] = []
    parameters: list[Parameter] = []
    shared = 0
    while shared < len(columns) - 1 and low[shared:] and low[shared : shared + 1] == high[shared : shared + 1]:
        clauses.append(f"{columns[shared].sql} = {low[shared].sql}")
        parameters += low[shared].parameters
        shared += 1
    bounds: list[tuple[Literal[">=", "<"], list[Operand]]] = [(">=", low), ("<", high)]
    for operator, bound in bounds:
        if bound:
            clause, values = comparison(columns[shared:], operator, bound[shared:])
            clauses.append(clause)
            parameters += values
    if plan.where:
        clauses.append("(" + plan.where.replace("%", "%%") + ")")
    return " AND ".join(clauses) or "1 = 1", tuple(parameters)


def cut(connection: Connection, plan: ReadingPlan, key_range: KeyRange, rows_per_range: int) -> Iterator[str]:
    """Walks the key index and yields the keys at which the range is to be cut, each `rows_per_range` rows on.

    The last piece keeps what remains, so nothing is yielded for a range of at most `rows_per_range` rows. A key that
    can't be kept (not text, or with a NUL character) is no bound: the one that follows it is, and its own sync says
    what is wrong with it.
    """
    lower, walked = key_range.lower, rows_per_range
    while True:
        condition, parameters = _condition(plan, lower, key_range.upper)
        rest = f"WHERE {condition} ORDER BY {key_order(plan)} LIMIT 1 OFFSET {walked:d}"
        key = _read_key(connection, plan, rest, parameters)
        if key is None:
            return
        try:
            bound = key.decode()
        except UnicodeDecodeError:
            bound = "\0"
        if "\0" in bound:
            walked += 1
            continue
        yield bound
        lower, walked = bound, rows_per_range


def hash_of_greatest_key(connection: Connection, plan: ReadingPlan) -> str | None:
    """Hexadecimal SHA-256 of the table's last key, whatever characters it has; None where there is none.

    The declaration's condition does not count: where it leaves out much, its last row can be far from the end.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT SHA2({plan.key.expression}, 256) FROM {plan.relation} ORDER BY {key_order(plan, 'DESC')} LIMIT 1",
            (),
        )
        row = cursor.fetchone()
    return None if row is None or row[0] is None else str(row[0])


def _read_key(connection: Connection, plan: ReadingPlan, rest: str, parameters: tuple[Parameter, ...]) -> bytes | None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT HEX({plan.key.expression}) FROM {plan.relation} {rest}", parameters)
        row = cursor.fetchone()
    return None if row is None or row[0] is None else bytes.fromhex(row[0])


def holds_more_than(connection: Connection, plan: ReadingPlan, key_range: KeyRange, rows: int) -> bool:
    """Whether the range has more rows, for the price of walking so far along the key index."""
    return next(cut(connection, plan, key_range, rows), None) is not None


def are_at_or_above(connection: Connection, plan: ReadingPlan, pairs: Sequence[tuple[str, str]]) -> dict[str, bool]:
    """For each key with a bound of its own, whether the key is at or above it. Reads no table.

    What is no key of this table, as a damaged target can have it, is left out.
    """
    answers: dict[str, bool] = {}
    with connection.cursor() as cursor:
        for start in range(0, len(pairs), _KEYS_PER_QUESTION):
            asked: list[str] = []
            clauses: list[str] = []
            parameters: list[Parameter] = []
            for key, bound in pairs[start : start + _KEYS_PER_QUESTION]:
                try:
                    operands = literal_operands(plan.key_columns, key)
                except ValueError:
                    continue
                clause, values = comparison(operands, ">=", literal_operands(plan.key_columns, bound))
                asked.append(key)
                clauses.append(clause)
                parameters += values
            if asked:
                cursor.execute(f"SELECT {', '.join(clauses)}", parameters)
                row = cursor.fetchone()
                assert row is not None
                answers |= {key: bool(above) for key, above in zip(asked, row, strict=True)}
    return answers
