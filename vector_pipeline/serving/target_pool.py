"""Connections to PostgreSQL, kept open for requests to come.

Each is looked at before it is given away, so that a server that was restarted costs nobody an error. While it is away a
request learns so at once, and the first one after it is back finds it: nothing backs off for long.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Lock

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import schema
from vector_pipeline.serving.observing.metrics import POOL_IN_USE, POOL_MOST, POOL_WAITING

# A connection on the same machine is there in 10 ms; one that can't be had is known by then.
_LOOK_AGAIN_SECONDS = 0.25
# The pool tries twice and then gives up; the next request tries anew.
_RETRY_SECONDS = 0.05


# Of sessions that are older than a restore: they know types and plans of tables that are gone, and fail from then on.
_STALE = frozenset(
    {"XX000", "26000", "0A000"}
)  # "cache lookup failed for type", no such prepared statement, a cached plan


class TargetPool:
    """Connections in autocommit mode, each nobody else's while it is used. Opened with the first that is asked for.

    Args:
        name: of the application, as PostgreSQL shows it.
        most: connections at once.
        waiting_seconds: how long somebody waits for one.
    """

    def __init__(self, settings: TargetSettings, name: str, most: int, waiting_seconds: float) -> None:
        self._settings = settings
        self._name = name
        self._waiting_seconds = waiting_seconds
        self._lock = Lock()
        self._failures = 0
        self._registry_is_known = False
        self._pool = ConnectionPool(
            kwargs=store_connection.arguments(settings, name),
            configure=self._configure,
            min_size=0,
            max_size=most,
            timeout=waiting_seconds,
            reconnect_timeout=_RETRY_SECONDS,
            reconnect_failed=self._note_failure,
            name=name,
            open=False,
        )
        POOL_MOST.labels(name).set(most)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """A connection that works.

        Raises:
            TargetUnavailableError: PostgreSQL is away, its tables are another version's, or all connections are in use
                for as long as one waits.
            TargetRefusedError: its tables are an earlier version's, and this role may not change them.
        """
        with POOL_WAITING.labels(self._name).track_inprogress():
            connection = self._take()
        try:
            with POOL_IN_USE.labels(self._name).track_inprogress():
                yield connection
        except Exception as error:
            if _is_of_what_was_there_before(error):
                self._pool.drain()
            raise
        finally:
            self._pool.putconn(connection)

    def stats(self) -> dict[str, int]:
        """What psycopg_pool counts: `pool_size`, `pool_available`, `requests_waiting` and so on."""
        return self._pool.get_stats()

    def close(self) -> None:
        """Closes what is not in use now, and the rest when it is given back."""
        self._pool.close()

    def _take(self) -> psycopg.Connection:
        self._pool.open()
        deadline = time.monotonic() + self._waiting_seconds
        while True:
            failures = self._failures
            try:
                connection = self._pool.getconn(min(_LOOK_AGAIN_SECONDS, self._waiting_seconds))
            except PoolTimeout:
                if self._failures != failures:
                    self._tell_what_is_wrong()
                if time.monotonic() > deadline:
                    raise TargetUnavailableError(
                        f"no connection to PostgreSQL was free within {self._waiting_seconds:g} s "
                        f"(pool {self._name!r}, {self._pool.max_size} at most)"
                    ) from None
                continue
            if self._works(connection):
                return connection

    def _works(self, connection: psycopg.Connection) -> bool:
        try:
            ConnectionPool.check_connection(connection)
        except psycopg.Error:
            connection.close()
            self._pool.putconn(connection)
            self._pool.check()  # the others are of the same server
            return False
        return True

    def _configure(self, connection: psycopg.Connection) -> None:
        store_connection.prepare(connection, self._settings)
        if not self._registry_is_known:
            self._look_at_registry(connection)
            self._registry_is_known = True

    def _look_at_registry(self, connection: psycopg.Connection) -> None:
        if self._settings.pooled:
            schema.refuse_other_registry(connection)
        else:
            schema.update_registry(connection)

    def _note_failure(self, _: object) -> None:
        with self._lock:
            self._failures += 1

    def _tell_what_is_wrong(self) -> None:
        """The pool keeps it for itself: connects once more, to raise it."""
        with closing(store_connection.connect(self._settings, self._name)) as connection:
            if self._registry_is_known:
                return
            try:
                self._look_at_registry(connection)
            except psycopg.Error as error:
                raise store_connection.target_error(self._settings, error) from None


def _is_of_what_was_there_before(error: BaseException | None) -> bool:
    """Whether PostgreSQL has said so, also where that has been put into our words."""
    while error is not None:
        if isinstance(error, psycopg.Error):
            return error.sqlstate in _STALE
        error = error.__cause__ or error.__context__
    return False
