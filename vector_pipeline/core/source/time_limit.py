"""A limit to how long single statements may take, for a look at the source that has little time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pymysql

from vector_pipeline.core.source.connection import (
    STATEMENT_TIMEOUTS,
    Connection,
    set_statement_limit,
    statement_limit,
)


class StatementTookTooLong(Exception):
    """A statement reached the limit; the session goes on."""


@contextmanager
def limited_statements(connection: Connection, seconds: float | None) -> Iterator[None]:
    """The server ends each statement inside that takes longer; None for no limit but the session's own.

    A session whose own limit is shorter keeps it.
    """
    if seconds is None:
        yield
        return
    own = statement_limit(connection)
    set_statement_limit(connection, min(seconds, own or seconds))
    try:
        yield
    finally:
        if connection.open:
            set_statement_limit(connection, own)


@contextmanager
def naming_the_limit() -> Iterator[None]:
    """Raises `StatementTookTooLong` for the driver's error."""
    try:
        yield
    except pymysql.MySQLError as error:
        if error.args and error.args[0] in STATEMENT_TIMEOUTS:
            raise StatementTookTooLong from None
        raise
