"""What a server says of its binary log: where it ends now, and whether it holds what is needed."""

from __future__ import annotations

from dataclasses import dataclass

import pymysql
from pymysql.constants import ER

from vector_pipeline.core.source.connection import Connection, is_mariadb

_ACCESS_DENIED = frozenset({ER.SPECIFIC_ACCESS_DENIED_ERROR, ER.ACCESS_DENIED_ERROR})
_RIGHTS = "GRANT REPLICATION SLAVE, {} ON *.* TO this user"


@dataclass(frozen=True)
class Position:
    """A place in a server's log: offset in bytes within a file."""

    file: str
    offset: int

    def __str__(self) -> str:
        return f"{self.file}:{self.offset}"


class LogMissing(Exception):
    """There is no log to read: it is off, or leaves the database out. What changes meanwhile is in no log."""


class LogClosed(Exception):
    """The log is there and is not for us, or not now. What changes meanwhile can be read later."""


@dataclass(frozen=True)
class ServerLog:
    """A server's log. `server` tells it from those of other servers.

    `format` is the default of its sessions; `compressed` says that MariaDB compresses rows in it.
    """

    server: str
    end: Position
    format: str
    compressed: bool

    @property
    def problem(self) -> str | None:
        """What keeps changes from being read."""
        if self.format != "ROW":
            return (
                f"binlog_format of the server is {self.format}, so that changes can be logged as statements that name "
                "no row, and are left to the scrub; SET GLOBAL binlog_format = ROW, and in the server's configuration"
            )
        if self.compressed:
            return (
                "log_bin_compress of the server is ON; longer rows are compressed, which can't be read, and are left "
                "to the scrub; SET GLOBAL log_bin_compress = OFF, and in the server's configuration"
            )
        return None


def rights_remedy(connection: Connection) -> str:
    """What the administrator has to do for a user that may not read the log."""
    return _RIGHTS.format("BINLOG MONITOR" if is_mariadb(connection) else "REPLICATION CLIENT")


def ask_server(connection: Connection, database: str) -> ServerLog:
    """Asks where the log ends now.

    Raises:
        LogMissing, LogClosed: naming what is wrong and the remedy.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN"
            " ('log_bin', 'binlog_format', 'log_bin_compress', 'server_id', 'server_uuid')",
            (),
        )
        variables = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
    if variables.get("log_bin", "").upper() not in {"ON", "1"}:
        raise LogMissing("the server keeps no binary log; start it with log_bin, or declare source.binlog: false")
    file, offset, only, without = _status(connection)
    if (only and database not in only.split(",")) or database in without.split(","):
        raise LogMissing(
            f"the server's binary log leaves database {database} out; change its binlog_do_db or binlog_ignore_db, or "
            "declare source.binlog: false"
        )
    server = variables.get("server_uuid") or f"server_id {variables.get('server_id')}"
    return ServerLog(
        server,
        Position(file, offset),
        format=variables.get("binlog_format", "ROW").upper(),
        compressed=variables.get("log_bin_compress", "OFF").upper() == "ON",
    )


def _status(connection: Connection) -> tuple[str, int, str, str]:
    statements = ["SHOW MASTER STATUS"] if is_mariadb(connection) else ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"]
    for statement in statements:  # MySQL 8.2 has renamed it, and 8.4 has given up the old name
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                row = cursor.fetchone()
        except pymysql.MySQLError as error:
            if error.args[0] in _ACCESS_DENIED:
                raise LogClosed(f"this user may not ask for the log's position; {rights_remedy(connection)}") from None
            if error.args[0] == ER.PARSE_ERROR and statement != statements[-1]:
                continue
            raise
        if row is not None:
            return str(row[0]), int(row[1]), str(row[2] or ""), str(row[3] or "")
    raise LogMissing("the server tells no position of its binary log; start it with log_bin")
