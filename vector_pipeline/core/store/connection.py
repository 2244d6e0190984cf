"""Connections to PostgreSQL, with pgvector's types registered."""

from __future__ import annotations

import psycopg
from pgvector.psycopg import register_vector

from vector_pipeline.core.errors import TargetUnavailableError, without_secrets
from vector_pipeline.core.settings import TargetSettings

Connection = psycopg.Connection[tuple[object, ...]]


def connect(settings: TargetSettings, application: str = "vector-pipeline") -> psycopg.Connection:
    """Opens a session in autocommit mode: transactions are opened where they are meant.

    Raises:
        TargetUnavailableError: naming host, port, user and database, never the password; also where the
            extension `vector` is missing and may not be created.
    """
    try:
        connection = psycopg.connect(
            host=settings.host,
            port=settings.port,
            user=settings.user,
            password=settings.password,
            dbname=settings.database,
            autocommit=True,
            connect_timeout=10,
            application_name=application,
            options="-c timezone=UTC -c client_min_messages=warning",
        )
    except psycopg.OperationalError as error:
        reason = without_secrets(str(error).strip(), [settings.password])
        raise TargetUnavailableError(
            f"PostgreSQL at {settings.host}:{settings.port}, database {settings.database!r}, "
            f"user {settings.user!r}: {reason}; check that it runs and that PG_HOST, PG_PORT, PG_USER, "
            "PG_PASSWORD and PGVECTOR_DB_NAME are right"
        ) from None
    try:
        _register(connection, settings)
    except BaseException:
        connection.close()
        raise
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
