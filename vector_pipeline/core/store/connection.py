"""Connections to PostgreSQL, with pgvector's types registered."""

from __future__ import annotations

from typing import Any

import psycopg
from pgvector.psycopg import register_vector

from vector_pipeline.core.errors import (
    TargetFullError,
    TargetRefusedError,
    TargetUnavailableError,
    VectorPipelineError,
    without_secrets,
)
from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store import pooling
from vector_pipeline.core.store.vector_array import register_vector_array

Connection = psycopg.Connection[tuple[object, ...]]

# A run's locks go with its session. That of a machine which vanished without a word is kept for as long as PostgreSQL's
# system waits for an answer: two hours, or some 15 minutes (Linux's tcp_retries2) where it has sent something, since
# keepalives are sent only while nothing is under way. Who waits for a server that vanished waits as long.
# A peer that is there and takes nothing for that time is given up too: neither end of ours stops reading for so long.
_IDLE_SECONDS, _INTERVAL_SECONDS, _COUNT = 30, 10, 6
_UNANSWERED_MILLISECONDS = (_IDLE_SECONDS + _INTERVAL_SECONDS * _COUNT) * 1000
_NOTICE_A_LOST_SERVER = {
    "keepalives_idle": _IDLE_SECONDS,
    "keepalives_interval": _INTERVAL_SECONDS,
    "keepalives_count": _COUNT,
    "tcp_user_timeout": _UNANSWERED_MILLISECONDS,
}
_NOTICE_A_LOST_CLIENT = (
    f"-c tcp_keepalives_idle={_IDLE_SECONDS} -c tcp_keepalives_interval={_INTERVAL_SECONDS} "
    f"-c tcp_keepalives_count={_COUNT} -c tcp_user_timeout={_UNANSWERED_MILLISECONDS}"
)

# SQLSTATE classes and codes of a server that is going, starting or turning clients away.
_AWAY = ("08", "57P", "53300")
_DISK_FULL = "53100"


def connect(settings: TargetSettings, application: str = "vector-pipeline") -> psycopg.Connection:
    """Opens a session in autocommit mode: transactions are opened where they are meant.

    Raises:
        TargetUnavailableError: naming host, port, user and database, never the password; also where the
            extension `vector` is missing and may not be created.
    """
    connection = connect_without_vectors(settings, application)
    try:
        pooling.refuse_shared_session(connection, settings, lambda: connect_without_vectors(settings, application))
        prepare(connection, settings)
    except BaseException:
        connection.close()
        raise
    return connection


def arguments(settings: TargetSettings, application: str) -> dict[str, Any]:
    """What a session is opened with, be it by a pool; `prepare` makes it one of ours."""
    given: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "user": settings.user,
        "password": settings.password,
        "dbname": settings.database,
        "autocommit": True,
        "connect_timeout": 10,
        "application_name": application,
        **_NOTICE_A_LOST_SERVER,
    }
    if settings.pooled:
        # PgBouncer takes no options, and a statement that one session has prepared another doesn't know.
        return given | {"prepare_threshold": None}
    return given | {"options": f"-c timezone=UTC -c client_min_messages=warning {_NOTICE_A_LOST_CLIENT}"}


def prepare(connection: psycopg.Connection, settings: TargetSettings) -> None:
    """Teaches a session the types of pgvector.

    Raises:
        TargetUnavailableError: the extension `vector` is missing and may not be created.
    """
    _register(connection, settings)
    register_vector_array(connection)


def connect_without_vectors(
    settings: TargetSettings, application: str = "vector-pipeline", seconds: int | None = None
) -> psycopg.Connection:
    """Opens such a session for what has no vectors in it; the extension need not be there.

    Args:
        seconds: for how long the server is waited for, if not as long as usual.

    Raises:
        TargetUnavailableError: naming host, port, user and database, never the password.
    """
    given = arguments(settings, application) | ({} if seconds is None else {"connect_timeout": seconds})
    try:
        connection: psycopg.Connection = psycopg.connect(**given)
        if not settings.pooled and connection.info.parameter_status("TimeZone") != "UTC":
            # A pooler has been told to pass over the options.
            connection.execute(
                "SELECT set_config('timezone', 'UTC', false), set_config('client_min_messages', 'warning', false)"
            )
    except psycopg.OperationalError as error:
        raise _unavailable(settings, str(error).strip()) from None
    return connection


def _register(connection: psycopg.Connection, settings: TargetSettings) -> None:
    try:
        register_vector(connection)
    except psycopg.ProgrammingError:
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.Error as error:
            raise TargetUnavailableError(
                f"database {settings.database!r} has no extension vector (pgvector), and user {settings.user!r} "
                f"can't create it ({str(error).splitlines()[0]}); have a superuser run there: CREATE EXTENSION vector"
            ) from None
        register_vector(connection)


def target_error(settings: TargetSettings, error: psycopg.Error) -> VectorPipelineError:
    """The driver's error as one for the person at the console.

    PostgreSQL's DETAIL, CONTEXT and statement quote keys and texts of rows, and errors end up in Dagster's event log:
    only its sentence and the SQLSTATE are taken over.
    """
    state = error.sqlstate or ""
    sentence = error.diag.message_primary or next(iter(str(error).splitlines()), "") or type(error).__name__
    if isinstance(error, psycopg.OperationalError) and (not state or state.startswith(_AWAY)):
        return _unavailable(settings, sentence)
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return TargetUnavailableError(
            f"{_who(settings)}: {sentence}; it is a standby: name primary and standby in PG_HOST, with a comma between "
            "them, and set PGTARGETSESSIONATTRS=read-write (docs/failover.md)"
        )
    sentence = without_secrets(sentence, [settings.password])
    said = f"{_who(settings)}: {sentence}" + (f" (SQLSTATE {state})" if state else "")
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return TargetRefusedError(f"{said}; this role lacks a privilege: see docs/privileges.md for those it needs")
    if state == _DISK_FULL:
        return TargetFullError(
            f"{said}; make room on its disk: what was under way was undone, and the next sync does it again"
        )
    if isinstance(error, psycopg.OperationalError):
        return TargetUnavailableError(f"{said}; try again, and look into PostgreSQL's log if it stays so")
    return TargetRefusedError(f"{said}; PostgreSQL's log has the statement and the details")


def _unavailable(settings: TargetSettings, reason: str) -> TargetUnavailableError:
    if "startup parameter" in reason:
        return pooling.pooler_in_between(_who(settings))
    where = "PG_SEARCH_HOST, PG_SEARCH_PORT" if settings.pooled else "PG_HOST, PG_PORT"
    return TargetUnavailableError(
        f"{_who(settings)}: {without_secrets(reason, [settings.password])}; check that it runs and that {where}, "
        "PG_USER, PG_PASSWORD and PGVECTOR_DB_NAME are right"
    )


def _who(settings: TargetSettings) -> str:
    return f"PostgreSQL at {settings.host}:{settings.port}, database {settings.database!r}, user {settings.user!r}"
