"""Connections to MySQL: read-only, in a fixed session, so that a value has one text form whoever reads it.

Time zone, SQL mode and character set are part of what a digest means; they are set here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pymysql
import pymysql.cursors

from vector_pipeline.core.errors import SourceUnavailableError, without_secrets
from vector_pipeline.core.settings import SourceSettings

if TYPE_CHECKING:
    Connection = pymysql.connections.Connection[pymysql.cursors.Cursor]  # generic in the stubs alone
else:
    Connection = pymysql.connections.Connection

_SESSION = "SET SESSION time_zone = '+00:00', sql_mode = '', transaction_read_only = ON"
_MARIADB_SESSION = "SET SESSION time_zone = '+00:00', sql_mode = '', tx_read_only = ON"


def connect(settings: SourceSettings) -> Connection:
    """Opens a read-only session.

    Raises:
        SourceUnavailableError: naming host, port, user and database, never the password.
    """
    try:
        connection = pymysql.connect(
            host=settings.host,
            port=settings.port,
            user=settings.user,
            password=settings.password,
            database=settings.database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=10,
            read_timeout=600,
            write_timeout=60,
        )
        with connection.cursor() as cursor:
            mariadb = "mariadb" in connection.get_server_info().lower()  # type: ignore[no-untyped-call]
            cursor.execute(_MARIADB_SESSION if mariadb else _SESSION)
    except pymysql.MySQLError as error:
        raise source_error(settings, error) from None
    return connection


def source_error(settings: SourceSettings, error: Exception) -> SourceUnavailableError:
    """The driver's error as one for the person at the console."""
    reason = without_secrets(str(error.args[-1] if error.args else error), [settings.password])
    return SourceUnavailableError(
        f"MySQL at {settings.host}:{settings.port}, database {settings.database!r}, user {settings.user!r}: "
        f"{reason}; check that it runs and that DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME are right"
    )


def close(connection: Connection) -> None:
    """Closes the session if the server has not done so already."""
    if connection.open:
        connection.close()


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """All reads inside see the table as it was when the block was entered."""
    with connection.cursor() as cursor:
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    try:
        yield
    finally:
        if connection.open:
            connection.rollback()


def identifier(*names: str) -> str:
    """Quoted name, ready for a statement that is executed with parameters (so % is doubled)."""
    return ".".join("`" + name.replace("`", "``").replace("%", "%%") + "`" for name in names)
