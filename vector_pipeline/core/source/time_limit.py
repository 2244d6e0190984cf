"""A limit to how long single statements may take, for a look at the source that has little time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pymysql

from vector_pipeline.core.source.connection import Connection

# ER_STATEMENT_TIMEOUT of MariaDB, ER_QUERY_TIMEOUT of MySQL.
_TOOK_TOO_LONG = frozenset({1969, 3024})


class StatementTookTooLong(Exception):
    """A statement reached the limit; the session goes on."""


@contextmanager
def limited_statements(connection: Connection, seconds: float | None) -> Iterator[None]:
    """The server ends each statement inside that takes longer; None for no limit but the server's own."""
    if seconds is None:
        yield
        return
    mariadb = "mariadb" in connection.get_server_info().lower()  # type: ignore[no-untyped-call]
    variable = "max_statement_time" if mariadb else "max_execution_time"
    with connection.cursor() as cursor:
        cursor.execute(f"SET SESSION {variable} = {seconds if mariadb else round(1000 * seconds)}")
    try:
        yield
    finally:
        if connection.open:
            with connection.cursor() as cursor:
                cursor.execute(f"SET SESSION {variable} = DEFAULT")


@contextmanager
def naming_the_limit() -> Iterator[None]:
    """Raises `StatementTookTooLong` for the driver's error."""
    try:
        yield
    except pymysql.MySQLError as error:
        if error.args and error.args[0] in _TOOK_TOO_LONG:
            raise StatementTookTooLong from None
        raise
