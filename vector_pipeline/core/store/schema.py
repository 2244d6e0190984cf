"""The tables of the registry and of one index, created where they are missing.

Metadata lives apart from vectors, because an UPDATE of a row that also holds an HNSW-indexed vector is some 700
times dearer (pgvector 0.8.5).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import resources

import psycopg
from psycopg import sql

from vector_pipeline.core.errors import TargetRefusedError, TargetUnavailableError
from vector_pipeline.core.spec import Storage
from vector_pipeline.core.store import locks, names, table_indexes
from vector_pipeline.core.store.locks import Lock

# Each file brings the tables from the version before to its own, by which it is numbered; the last one's number is the
# version that this program knows. Never changed once released.
_MIGRATIONS = tuple(
    file.read_text(encoding="utf-8")
    for file in sorted(
        (resources.files("vector_pipeline.core.store") / "migrations").iterdir(), key=lambda file: file.name
    )
    if file.name.endswith(".sql")
)
REGISTRY_VERSION = len(_MIGRATIONS)

# A migration waits a second for a table, then lets those pass who have come to wait behind it.
_TRIES = 10
_PAUSE_SECONDS = 2.0


def create_registry(connection: psycopg.Connection) -> None:
    """Creates the registry, or brings it to this version; safe to run from several processes at once.

    Searches go on meanwhile: where somebody reads a table for long, nobody is kept waiting behind a migration that
    waits for it. Whatever it fails for, all stays as it was.

    Raises:
        TargetUnavailableError: the database was made by a newer version of this project, or somebody has been reading
            the tables for long.
        TargetRefusedError: the role may not change them.
    """
    if _version(connection) == REGISTRY_VERSION:
        return
    # The lock first, the transaction after it: within one that has waited, PostgreSQL may still hold that a table isn't
    # there which somebody else has made meanwhile.
    with locks.held(connection, Lock.SCHEMA, 0):
        version = _version(connection)
        _refuse_newer(version)
        for _ in range(_TRIES):
            try:
                _migrate(connection, version)
                return
            except psycopg.errors.LockNotAvailable:
                time.sleep(_PAUSE_SECONDS)
            except psycopg.errors.InsufficientPrivilege as error:
                raise _not_allowed(connection, version, error) from None
    raise TargetUnavailableError(
        f"{_standing(version)}, and could not be brought there: somebody has been reading them for long (a dump, a "
        "report?), and every search would have to wait as long. Nothing is changed; try again when that has ended"
    )


def update_registry(connection: psycopg.Connection) -> None:
    """Brings a registry that an earlier version made to this one; makes none where there is none.

    Raises:
        TargetUnavailableError, TargetRefusedError: as `create_registry`.
    """
    if _version(connection) not in (0, REGISTRY_VERSION):
        create_registry(connection)


def refuse_other_registry(connection: psycopg.Connection) -> None:
    """For a connection that can't migrate: its session is shared with others, or its server is a standby.

    Raises:
        TargetUnavailableError: the registry is another version's.
    """
    version = _version(connection)
    _refuse_newer(version)
    if version not in (0, REGISTRY_VERSION):
        raise TargetUnavailableError(f"{_standing(version)}: run `vector-pipeline prepare`")


def _migrate(connection: psycopg.Connection, version: int) -> None:
    with locks.not_waiting_long_for_tables(connection):
        for number, migration in enumerate(_MIGRATIONS[version:], start=version + 1):
            connection.execute(migration)
            connection.execute("INSERT INTO vector_pipeline.schema_version (version) VALUES (%s)", (number,))


def _refuse_newer(version: int) -> None:
    if version > REGISTRY_VERSION:
        raise TargetUnavailableError(
            f"the tables in this database have version {version}, this program knows version "
            f"{REGISTRY_VERSION}: run the version of vector-pipeline that made them, or a newer one"
        )


def _standing(version: int) -> str:
    return f"the tables in this database have version {version}, this program needs version {REGISTRY_VERSION}"


def _not_allowed(connection: psycopg.Connection, version: int, error: psycopg.Error) -> TargetRefusedError:
    told = f"user {connection.info.user!r} may not {{}}: {error.diag.message_primary}"
    if version == 0:
        return TargetRefusedError(
            f"{told.format('make the tables of vector-pipeline')}; see docs/privileges.md for what it needs"
        )
    return TargetRefusedError(
        f"{_standing(version)}, and {told.format('bring them there')}; run `vector-pipeline prepare` as the user who "
        "owns them (docs/privileges.md)"
    )


def _version(connection: psycopg.Connection) -> int:
    """The version of the tables that are there; 0 where there are none."""
    present = connection.execute("SELECT to_regclass('vector_pipeline.schema_version')").fetchone()
    if present is None or present[0] is None:
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM vector_pipeline.schema_version").fetchone()
    assert row is not None
    return int(row[0])


def create_documents(connection: psycopg.Connection, schema: str, texts: Sequence[str], unique_on: str | None) -> None:
    """Creates the schema and the documents table of an index, with a column for each served text."""
    documents = sql.Identifier(schema, "documents")
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    connection.execute(
        sql.SQL(
            """
            CREATE TABLE IF NOT EXISTS {documents} (
                key text COLLATE "C" PRIMARY KEY,
                sort_key bytea NOT NULL,
                range_id integer NOT NULL,
                {texts},
                metadata jsonb NOT NULL,
                unstorable jsonb,
                updated_at timestamptz NOT NULL DEFAULT now()
            )
            """
        ).format(
            documents=documents,
            texts=sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in texts),
        )
    )
    connection.execute(sql.SQL("CREATE INDEX IF NOT EXISTS documents_range ON {} (range_id)").format(documents))
    if unique_on is not None:
        connection.execute(_unique_on(schema, unique_on, sql.SQL("IF NOT EXISTS")))


def _unique_on(schema: str, unique_on: str, manner: sql.SQL) -> sql.Composed:
    return sql.SQL("CREATE INDEX {} {} ON {} (md5({}), sort_key)").format(
        manner,
        sql.Identifier(_unique_on_name(unique_on)),
        sql.Identifier(schema, "documents"),
        sql.Identifier(unique_on),
    )


def _unique_on_name(unique_on: str) -> str:
    return names.bounded(f"documents_unique_on_{unique_on}")


def ensure_unique_on(connection: psycopg.Connection, index_id: int, schema: str, unique_on: str) -> None:
    """Creates the index by which a document's twins are found, for an index that declares `unique_on` only now.

    Keeps no writer waiting. Where another process is building indexes it is left to that one, or to the next time:
    answers are right without it, only slower. `connection` must be in autocommit mode, outside of a transaction.
    """
    if _has_unique_on(connection, schema, unique_on):
        return
    if not locks.try_hold(connection, Lock.SEARCH_INDEX, index_id):
        return
    try:
        if not _has_unique_on(connection, schema, unique_on):
            # A build that was broken off leaves an invalid index behind.
            table_indexes.drop(connection, schema, _unique_on_name(unique_on))
            connection.execute(_unique_on(schema, unique_on, sql.SQL("CONCURRENTLY")))
    finally:
        locks.release(connection, Lock.SEARCH_INDEX, index_id)


def _has_unique_on(connection: psycopg.Connection, schema: str, unique_on: str) -> bool:
    row = connection.execute(
        """
        SELECT EXISTS (
            SELECT FROM pg_index
            WHERE indrelid = %s::regclass AND indisvalid
              AND pg_get_indexdef(indexrelid, 1, true) = 'md5(' || quote_ident(%s) || ')')
        """,
        (sql.Identifier(schema, "documents").as_string(connection), unique_on),
    ).fetchone()
    return bool(row and row[0])


def create_passages(connection: psycopg.Connection, schema: str, generation: int) -> None:
    """Creates the passages table of a generation.

    `content_hash` is the text that the row gives now, `served_hash` the one by whose vector it is found. The text is
    that of its field from `char_start` up to but without `char_end` (characters), all of it where these are NULL.
    """
    table = names.passages_table(generation)
    passages = sql.Identifier(schema, table)
    connection.execute(
        sql.SQL(
            """
            CREATE TABLE IF NOT EXISTS {passages} (
                key text COLLATE "C" NOT NULL REFERENCES {documents} ON DELETE CASCADE,
                field text COLLATE "C" NOT NULL,
                ordinal smallint NOT NULL,
                content_hash bytea NOT NULL,
                served_hash bytea,
                char_start integer,
                char_end integer,
                PRIMARY KEY (key, field, ordinal)
            )
            """
        ).format(passages=passages, documents=sql.Identifier(schema, "documents"))
    )
    connection.execute(
        sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} (served_hash)").format(sql.Identifier(f"{table}_served"), passages)
    )
    connection.execute(
        sql.SQL(
            "CREATE INDEX IF NOT EXISTS {} ON {} (content_hash) WHERE served_hash IS DISTINCT FROM content_hash"
        ).format(sql.Identifier(f"{table}_behind"), passages)
    )


def create_vectors(connection: psycopg.Connection, schema: str, space: int, dimensions: int, storage: Storage) -> None:
    """Creates the tables of a vector space: the searched vectors, and those that no passage serves any more."""
    for table, extra in (
        (names.vectors_table(space), sql.SQL("")),
        (
            names.retired_vectors_table(space),
            sql.SQL(", retired_at timestamptz NOT NULL DEFAULT now()"),
        ),
    ):
        connection.execute(
            sql.SQL(
                """
                CREATE TABLE IF NOT EXISTS {table} (
                    content_hash bytea NOT NULL,
                    field text COLLATE "C" NOT NULL,
                    embedding {storage}({dimensions}) NOT NULL{extra},
                    PRIMARY KEY (content_hash, field)
                )
                """
            ).format(
                table=sql.Identifier(schema, table),
                storage=sql.SQL(storage),
                dimensions=sql.Literal(dimensions),
                extra=extra,
            )
        )
