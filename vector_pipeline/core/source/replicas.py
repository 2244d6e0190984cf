"""How far MySQL replicas are behind, as they say themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pymysql
import pymysql.cursors

from vector_pipeline.core.errors import ConfigurationError, SourceRefusedError, SourceUnavailableError
from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.connection import Connection, close, connect, is_mariadb, source_error

_DEFAULT_PORT = 3306
# A question that takes longer has no answer worth waiting for.
_LONGEST_QUESTION_SECONDS = 10.0
_SYNTAX_ERROR = 1064
_PRIVILEGE_MISSING = 1227  # ER_SPECIFIC_ACCESS_DENIED_ERROR of both


@dataclass(frozen=True)
class Lag:
    """How far a server is behind. `seconds` None: its replication stands still, so nobody knows."""

    server: str
    seconds: float | None

    def within(self, longest_seconds: float) -> bool:
        return self.seconds is not None and self.seconds <= longest_seconds

    def __str__(self) -> str:
        if self.seconds is None:
            return f"replica {self.server}: its replication is stopped or has no connection"
        return f"replica {self.server} is {self.seconds:g} s behind"


class ReplicaWatch:
    """Asks the server that is read, in the reader's own session, and each listed replica in one of the watch's own.

    Args:
        source: the reader's session; it must be free for a statement whenever the watch is asked.
        replicas: `host` or `host:port`; reached as the source is, but for that.
    """

    def __init__(self, settings: SourceSettings, source: Connection, replicas: Sequence[str]) -> None:
        self._settings = settings
        self._source = source
        self._replicas = {name: _address(settings, name) for name in replicas}
        self._sessions: dict[str, Connection] = {}

    def furthest_behind(self) -> Lag | None:
        """The greatest lag; None where nobody is a replica.

        Raises:
            SourceUnavailableError: a listed replica can't be reached.
            SourceRefusedError: it, or the server that is read, doesn't tell; or it is no replica.
        """
        lags = list(self._lags())
        stopped = [lag for lag in lags if lag.seconds is None]
        return stopped[0] if stopped else max(lags, key=lambda lag: lag.seconds or 0, default=None)

    def _lags(self) -> Iterator[Lag]:
        own = f"{self._settings.host}:{self._settings.port}"
        yield from _ask(self._source, self._settings, own)
        for name, settings in self._replicas.items():
            session = self._session(name, settings)
            try:
                lags = _ask(session, settings, name)
            except SourceUnavailableError:
                self._forget(name)  # the session may have been idle for too long: one more try with a new one
                lags = _ask(self._session(name, settings), settings, name)
            if not lags:
                raise SourceRefusedError(
                    f"{name} of source.throttle.replicas is no replica: take it off the list, or set up its replication"
                )
            yield from lags

    def _session(self, name: str, settings: SourceSettings) -> Connection:
        if name not in self._sessions:
            try:
                self._sessions[name] = connect(settings, _LONGEST_QUESTION_SECONDS)
            except SourceUnavailableError as error:
                raise SourceUnavailableError(
                    f"replica {name} of source.throttle.replicas can't be asked how far it is behind: {error}"
                ) from None
        return self._sessions[name]

    def _forget(self, name: str) -> None:
        with suppress(pymysql.MySQLError):
            close(self._sessions.pop(name))

    def close(self) -> None:
        """Closes the sessions that the watch opened."""
        for name in list(self._sessions):
            self._forget(name)


def host_and_port(replica: str) -> tuple[str, int] | None:
    """What `host` or `host:port` names; None where it is neither."""
    try:
        parts = urlsplit(f"//{replica}")
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        return None
    return (host, port) if host else None


def _address(settings: SourceSettings, replica: str) -> SourceSettings:
    address = host_and_port(replica)
    if address is None:
        raise ConfigurationError(f"source.throttle.replicas: {replica!r} is no address; give host or host:port")
    return replace(settings, host=address[0], port=address[1])


def _ask(session: Connection, settings: SourceSettings, name: str) -> list[Lag]:
    """One lag for each source that the server follows; [] where it is no replica."""
    try:
        rows = _status(session)
    except pymysql.MySQLError as error:
        if error.args and error.args[0] == _PRIVILEGE_MISSING:
            privilege = "REPLICA MONITOR" if is_mariadb(session) else "REPLICATION CLIENT"
            raise SourceRefusedError(
                f"MySQL at {name} doesn't tell user {settings.user!r} how far it is behind, which "
                f"source.throttle.longest_lag_seconds asks for: GRANT {privilege} ON *.* TO that user there, or leave "
                "the limit out"
            ) from None
        raise source_error(settings, error, "how far it is behind") from None
    return [Lag(name, _seconds(row)) for row in rows]


def _status(session: Connection) -> list[dict[str, Any]]:
    if is_mariadb(session):
        return _rows(session, "SHOW ALL SLAVES STATUS")
    try:
        return _rows(session, "SHOW REPLICA STATUS")
    except pymysql.ProgrammingError as error:
        if error.args[0] != _SYNTAX_ERROR:
            raise
        return _rows(session, "SHOW SLAVE STATUS")  # MySQL before 8.0.22


def _rows(session: Connection, statement: str) -> list[dict[str, Any]]:
    with session.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def _seconds(row: dict[str, Any]) -> float | None:
    value = row["Seconds_Behind_Source"] if "Seconds_Behind_Source" in row else row["Seconds_Behind_Master"]
    return None if value is None else float(value)
