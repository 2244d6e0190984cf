"""The time of a search, and statements that end with it.

PostgreSQL limits each statement for itself, so that each gets what is left of the time when it is sent.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql


class OutOfTimeError(Exception):
    """The time of the search was over before its statements were; `read` has the rows of those that were done."""

    def __init__(self, read: Sequence[list[tuple[Any, ...]]] = ()) -> None:
        super().__init__()
        self.read = read


Statement = tuple[bytes | sql.SQL | sql.Composed, Sequence[object] | Mapping[str, object]]
"""With its parameters."""


@dataclass(frozen=True)
class TimeLimit:
    """The moment at which a search is to end, by the clock that never goes back."""

    ends_at: float

    @classmethod
    def within(cls, seconds: float) -> TimeLimit:
        """Beginning now."""
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds; not above 0 where the time is over."""
        return self.ends_at - time.monotonic()

    def at_least(self, seconds: float) -> TimeLimit:
        """The same, or so long from now where less is left."""
        return self if self.left >= seconds else TimeLimit.within(seconds)

    def read(
        self,
        connection: psycopg.Connection,
        query: bytes | sql.SQL | sql.Composed,
        parameters: Sequence[object] | Mapping[str, object],
        settings: Mapping[str, str] | None = None,
    ) -> list[tuple[Any, ...]]:
        """The rows of a statement. See `read_all`."""
        [rows] = self.read_all(connection, [(query, parameters)], settings)
        return rows

    def read_all(
        self,
        connection: psycopg.Connection,
        statements: Sequence[Statement],
        settings: Mapping[str, str] | None = None,
    ) -> list[list[tuple[Any, ...]]]:
        """The rows of each of some statements, in one round trip.

        The limit goes with them in one pipeline, which PostgreSQL takes as one transaction. `connection` must be in
        autocommit mode, outside of a transaction.

        Args:
            settings: of PostgreSQL, that hold for these statements.

        Raises:
            OutOfTimeError: the time was over, or is before there are all rows.
        """
        seconds = self.left
        if seconds <= 0:
            raise OutOfTimeError
        # Rounded up: no earlier than we find that the time is over.
        local = {"statement_timeout": str(math.ceil(1000 * seconds)), **(settings or {})}
        cursors: list[psycopg.Cursor[tuple[Any, ...]]] = []
        try:
            with connection.pipeline():
                connection.execute(_choosing(tuple(local)), tuple(local.values()))
                for query, parameters in statements:
                    cursors.append(connection.execute(query, parameters))
            return [cursor.fetchall() for cursor in cursors]
        except psycopg.errors.QueryCanceled:
            if self.left > 0:
                raise  # somebody else's doing
            raise OutOfTimeError([cursor.fetchall() for cursor in cursors if cursor.pgresult is not None]) from None


@functools.lru_cache
def _choosing(names: tuple[str, ...]) -> bytes:
    """Chooses values for these settings until the end of the transaction. To put it together for each search took a
    twentieth of what a fast one takes of our own time."""
    each = (sql.SQL("set_config({}, %s, true)").format(sql.Literal(name)) for name in names)
    return (sql.SQL("SELECT ") + sql.SQL(", ").join(each)).as_bytes(None)
