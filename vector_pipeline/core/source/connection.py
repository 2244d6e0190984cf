"""Connections to MySQL: read-only, in a fixed session, so that a value has one text form whoever reads it.

Time zone, SQL mode and character set are part of what a digest means; they are set here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pymysql
import pymysql.cursors

from vector_pipeline.core.errors import SourceRefusedError, SourceUnavailableError, without_secrets
from vector_pipeline.core.settings import SourceSettings

if TYPE_CHECKING:
    Connection = pymysql.connections.Connection[pymysql.cursors.Cursor]  # generic in the stubs alone
else:
    Connection = pymysql.connections.Connection

# Too many connections, access or database denied, shutdown, host blocked, broken packets, killed, idle for too long.
_ABOUT_THE_CONNECTION = frozenset(
    {1040, 1042, 1043, 1044, 1045, 1049, 1053, 1077, 1079, 1080, 1129, 1130, 1152, 1153, 1154, 1155, 1156, 1157, 1158}
    | {1159, 1160, 1161, 1184, 1203, 1226, 1251, 1524, 1698, 1820, 1862, 1927, 3032, 3118, 3159, 3168, 3955, 4031}
)
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


def source_error(
    settings: SourceSettings, error: pymysql.MySQLError, asked: str = "to be connected to"
) -> SourceUnavailableError | SourceRefusedError:
    """The driver's error as one for the person at the console. `asked` says what MySQL was to do."""
    reason = without_secrets(str(error.args[-1] if error.args else error), [settings.password])
    where = f"MySQL at {settings.host}:{settings.port}, database {settings.database!r}, user {settings.user!r}"
    if is_about_the_statement(error):
        return SourceRefusedError(
            f"{where}, asked {asked}, says: {reason} (error {error.args[0]}); check that table, columns and condition "
            "are as declared, and that this user may read them"
        )
    return SourceUnavailableError(
        f"{where}: {reason}; check that it runs and that DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME are right"
    )


def is_about_the_statement(error: pymysql.MySQLError) -> bool:
    """Whether MySQL understood who we are and refuses what we ask, so that neither address nor password is to blame."""
    number = error.args[0] if error.args else None
    if not isinstance(number, int) or isinstance(error, pymysql.err.InterfaceError):
        return False
    # Below 1000 and from 2000 to 2999 are errors of the client and the network.
    return number >= 1000 and not 2000 <= number < 3000 and number not in _ABOUT_THE_CONNECTION


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
