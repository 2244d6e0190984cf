"""Until when the reading of an index is paid for, kept where all its processes see it.

The server's clock alone counts, and each charge is one statement, so that processes that read at once pay in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import LiteralString

import psycopg
from psycopg import errors


class ReadingLedger:
    """What the index of this name owes, in seconds.

    Args:
        connection: gives a session in autocommit mode that is in no transaction whenever the ledger is used.
    """

    def __init__(self, connection: Callable[[], psycopg.Connection], name: str) -> None:
        self._connection = connection
        self._name = name

    def charge(self, seconds: float, credit_seconds: float, longest_debt_seconds: float) -> float | None:
        """Adds to what is owed. Returns seconds until all is paid; None where the index isn't registered.

        Args:
            credit_seconds: what was saved up before counts up to this.
            longest_debt_seconds: what was owed before counts up to this.
        """
        return self._seconds(
            """
            UPDATE vector_pipeline.embedding_indexes
            SET reading_paid_until = make_interval(secs => %(seconds)s) + least(
                greatest(reading_paid_until, clock_timestamp() - make_interval(secs => %(credit)s)),
                clock_timestamp() + make_interval(secs => %(longest_debt)s))
            WHERE name = %(name)s
            RETURNING extract(epoch FROM reading_paid_until - clock_timestamp())
            """,
            {"seconds": seconds, "credit": credit_seconds, "longest_debt": longest_debt_seconds},
        )

    def owed(self) -> float | None:
        """Seconds until all is paid, none or less where it is; None where the index isn't registered."""
        return self._seconds(
            """
            SELECT coalesce(extract(epoch FROM reading_paid_until - clock_timestamp()), 0)
            FROM vector_pipeline.embedding_indexes
            WHERE name = %(name)s
            """,
            {},
        )

    def _seconds(self, statement: LiteralString, parameters: dict[str, float]) -> float | None:
        try:
            row = self._connection().execute(statement, {"name": self._name, **parameters}).fetchone()
        except (errors.UndefinedTable, errors.UndefinedColumn):
            # No index was ever registered here, or an older version has made the registry.
            return None
        return None if row is None else float(row[0])
