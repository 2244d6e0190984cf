"""Connections to MySQL: read-only, in a fixed session, so that a value has one text form whoever reads it.

Time zone, SQL mode and character set are part of what a digest means; they are set here and nowhere else. So is the
longest time that a statement may take. Both MySQL 9.7 and MariaDB 10.11 go on counting while a client is slow to take
the rows of a streamed result that no buffer holds (measured: a limit of 2 s ends a read of 60 MB that pauses for 6 s,
and lets one of 3 MB pass). So whoever streams takes the rows without waiting for anything else in between: neither for
PostgreSQL nor for a provider nor for a throttle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pymysql
import pymysql.cursors

from vector_pipeline.core.errors import SourceRefusedError, SourceUnavailableError, without_secrets
from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.tls import no_tls, session_class, tls_arguments, tls_problem

if TYPE_CHECKING:
    Connection = pymysql.connections.Connection[pymysql.cursors.Cursor]  # generic in the stubs alone
else:
    Connection = pymysql.connections.Connection

# Too many connections, access or database denied, shutdown, host blocked, broken packets, killed, idle for too long.
_ABOUT_THE_CONNECTION = frozenset(
    {1040, 1042, 1043, 1044, 1045, 1049, 1053, 1077, 1079, 1080, 1129, 1130, 1152, 1153, 1154, 1155, 1156, 1157, 1158}
    | {1159, 1160, 1161, 1184, 1203, 1226, 1251, 1524, 1698, 1820, 1862, 1927, 3032, 3118, 3159, 3168, 3955, 4031}
)
# MySQL cuts what GROUP_CONCAT gives after 1,024 bytes, with no more than a warning.
_FIXED = "time_zone = '+00:00', sql_mode = '', group_concat_max_len = 1073741824"
_SESSION = f"SET SESSION {_FIXED}, transaction_read_only = ON"
_MARIADB_SESSION = f"SET SESSION {_FIXED}, tx_read_only = ON"
# ER_STATEMENT_TIMEOUT of MariaDB, ER_QUERY_TIMEOUT of MySQL.
STATEMENT_TIMEOUTS = frozenset({1969, 3024})
# More than a statement's limit, so that it is the server that ends one: a client that goes away leaves it running.
_PATIENCE_SECONDS = 60
_LONGEST_LIMIT_SECONDS = 4_000_000  # MySQL takes 32 bits of milliseconds


def connect(settings: SourceSettings, statement_seconds: float | None = None) -> Connection:
    """Opens a read-only session.

    Args:
        statement_seconds: the server ends each statement that reads for longer; None: the server's own limit.

    Raises:
        SourceUnavailableError: naming host, port, user and database, never the password; also where there is no such
            TLS as DB_SSL_MODE asks for.
        ConfigurationError: a file for TLS can't be used.
    """
    tls = tls_arguments(settings.tls)
    try:
        connection = session_class(settings.tls)(
            host=settings.host,
            port=settings.port,
            user=settings.user,
            password=settings.password,
            database=settings.database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=10,
            read_timeout=max(600, int(statement_seconds or 0) + _PATIENCE_SECONDS),
            write_timeout=60,
            **tls,
        )
    except pymysql.MySQLError as error:
        problem = tls_problem(settings, error)
        if problem is not None:
            raise SourceUnavailableError(f"{_who(settings)}: {problem}") from None
        raise source_error(settings, error) from None
    try:
        _begin(connection, settings, statement_seconds)
    except BaseException as error:
        close(connection)
        if isinstance(error, pymysql.MySQLError):
            raise source_error(settings, error) from None
        raise
    return connection


def _begin(connection: Connection, settings: SourceSettings, statement_seconds: float | None) -> None:
    with connection.cursor() as cursor:
        if settings.tls.mode.insists:
            # Older drivers go on without TLS where the server has none.
            cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            found = cursor.fetchone()
            if not found or not found[1]:
                raise SourceUnavailableError(f"{_who(settings)}: {no_tls(settings.tls)}")
        cursor.execute(_MARIADB_SESSION if is_mariadb(connection) else _SESSION)
    if statement_seconds is not None:
        set_statement_limit(connection, statement_seconds)


def is_mariadb(connection: Connection) -> bool:
    """Whether the server is MariaDB, by what it calls itself."""
    return "mariadb" in connection.get_server_info().lower()  # type: ignore[no-untyped-call]


def statement_limit(connection: Connection) -> float:
    """The longest time that a statement of this session may take, in seconds; 0 for no limit."""
    with connection.cursor() as cursor:
        if is_mariadb(connection):
            cursor.execute("SELECT @@SESSION.max_statement_time")
        else:
            cursor.execute("SELECT @@SESSION.max_execution_time / 1000")
        row = cursor.fetchone()
    assert row is not None
    return float(row[0])


def set_statement_limit(connection: Connection, seconds: float) -> None:
    """Has the server end statements of this session that take longer; 0 for no limit."""
    seconds = min(seconds, _LONGEST_LIMIT_SECONDS)
    with connection.cursor() as cursor:
        if is_mariadb(connection):
            cursor.execute("SET SESSION max_statement_time = %s", (seconds,))
        else:
            cursor.execute("SET SESSION max_execution_time = %s", (math.ceil(1000 * seconds),))


def source_error(
    settings: SourceSettings,
    error: pymysql.MySQLError,
    asked: str = "to be connected to",
    statement_seconds: float | None = None,
) -> SourceUnavailableError | SourceRefusedError:
    """The driver's error as one for the person at the console.

    Args:
        asked: what MySQL was to do.
        statement_seconds: the limit that the session was opened with.
    """
    reason = without_secrets(str(error.args[-1] if error.args else error), [settings.password])
    where = _who(settings)
    if error.args and error.args[0] in STATEMENT_TIMEOUTS:
        limit = "its limit" if statement_seconds is None else f"its limit of {statement_seconds:g} s"
        return SourceRefusedError(
            f"{where}, asked {asked}, ended a statement that took longer than {limit} (error {error.args[0]}); raise "
            "source.statement_seconds, choose a smaller range_size, or see that source.primary_key has an index"
        )
    if is_about_the_statement(error):
        return SourceRefusedError(
            f"{where}, asked {asked}, says: {reason} (error {error.args[0]}); check that table, columns and condition "
            "are as declared, and that this user may read them"
        )
    return SourceUnavailableError(
        f"{where}: {reason}; check that it runs and that DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME are right"
    )


def _who(settings: SourceSettings) -> str:
    return f"MySQL at {settings.host}:{settings.port}, database {settings.database!r}, user {settings.user!r}"


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
