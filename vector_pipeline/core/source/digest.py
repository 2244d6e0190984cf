"""The digest of a key range: how many rows it has, and the XOR of a 64-bit hash of each.

Each column enters the row's hash with its presence (NULL is not '') and its length or its own hash ('ab','c'
is not 'a','bc'). The key is part of the hash, so equal rows don't cancel out; so are the names under which the values
are served, so that a renamed column is a change of its rows. The same is computed from what
PostgreSQL stores by `vector_pipeline.core.store.stored_digest`. SHA-256 because MySQL 9.7 has no MD5() or
SHA1() left, and because CRC32 is linear: two salted ones hold no more than one.
"""

from __future__ import annotations

from dataclasses import dataclass

from vector_pipeline.core.source.connection import Connection
from vector_pipeline.core.source.key_ranges import KeyRange, key_condition
from vector_pipeline.core.source.plan import PlannedColumn, ReadingPlan


@dataclass(frozen=True)
class Digest:
    """Row count and XOR of unsigned 64-bit row hashes. `str` gives `rows:sixteen hex digits`."""

    rows: int
    xor: int

    def __str__(self) -> str:
        return f"{self.rows}:{self.xor:016x}"

    def with_row(self, row_hash: int) -> Digest:
        """The digest with one more row."""
        return Digest(self.rows + 1, self.xor ^ row_hash)

    def without_row(self, row_hash: int) -> Digest:
        """The digest without a row that was in it."""
        return Digest(self.rows - 1, self.xor ^ row_hash)


EMPTY = Digest(0, 0)


def read_digest(text: str) -> Digest:
    """The digest that `str` gave this text for."""
    rows, xor = text.split(":")
    return Digest(int(rows), int(xor, 16))


def row_hash_expression(plan: ReadingPlan) -> str:
    """SQL for the unsigned 64-bit hash of a row over all columns that the plan reads."""
    parts = ", ".join(_part(column) for column in plan.columns)
    return f"CAST(CONV(LEFT(SHA2(CONCAT('{plan.form}', {parts}), 256), 16), 16, 10) AS UNSIGNED)"


def _part(column: PlannedColumn) -> str:
    expression = column.expression
    if column.by_hash:
        # A form longer than max_allowed_packet is NULL: not the same as no value, and equal to nothing that is stored.
        missing = f"IF({column.absent}, '-', '!')"
        return f"COALESCE(CAST(SHA2({expression}, 256) AS BINARY), {missing})"
    return f"COALESCE(CAST(CONCAT(LENGTH({expression}), ':', {expression}) AS BINARY), '-')"


def digest_range(connection: Connection, plan: ReadingPlan, key_range: KeyRange) -> Digest:
    """Makes the server read one range and digest it."""
    condition, parameters = key_condition(plan, key_range)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT COUNT(*), BIT_XOR({row_hash_expression(plan)}) FROM {plan.relation} WHERE {condition}",
            parameters,
        )
        row = cursor.fetchone()
    assert row is not None
    return Digest(int(row[0]), int(row[1]))
