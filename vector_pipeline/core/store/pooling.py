"""A pooler before PostgreSQL, such as PgBouncer, that hands one session of the server to several clients in turn.

What syncs holds advisory locks for as long as its session lives, by which a killed run gives them back. With a pooler
in transaction mode a lock would stay with whoever has that session next. A search needs no session of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import psycopg

from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.settings import TargetSettings

# A second client is given another session at first where one happens to be free.
_LOOKS = 3


def refuse_shared_session(
    connection: psycopg.Connection, settings: TargetSettings, connect: Callable[[], psycopg.Connection]
) -> None:
    """Makes sure that the session is this client's own. Costs a short statement where no pooler is in between.

    Raises:
        TargetUnavailableError: others are given the same session.
    """
    own = _process(connection)
    if settings.pooled or own == connection.info.backend_pid:
        return
    # A pooler tells a number of its own as the process: it is one. In session mode two clients have two processes.
    for _ in range(_LOOKS):
        with closing(connect()) as other:
            if _process(other) == own or _process(connection) != own:
                raise pooler_in_between(f"PostgreSQL at {settings.host}:{settings.port}")


def pooler_in_between(where: str) -> TargetUnavailableError:
    """The error for whatever shows that a pooler is in between that shares sessions, or takes no options."""
    return TargetUnavailableError(
        f"{where} is reached by way of a pooler (PgBouncer) that shares sessions: syncing holds locks in a session of "
        "its own; let PG_HOST and PG_PORT lead to PostgreSQL itself, and searches alone to the pooler "
        "(PG_SEARCH_HOST, PG_SEARCH_PORT), or give the pooler a database in session mode with "
        "ignore_startup_parameters = options (docs/failover.md)"
    )


def _process(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])
