"""Indexes that were declared at run time: their declarations are kept here, where those of files are in files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from vector_pipeline.core.errors import IndexExistsError, NotDeclaredHereError
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import registry, schema
from vector_pipeline.core.store.locks import Lock, in_transaction

ORIGIN = "registry"
"""What errors name as the origin of such a declaration, in place of a file."""


@dataclass(frozen=True)
class StoredDeclaration:
    """A declaration as it is kept: JSON, which another version of this project may have written."""

    name: str
    declaration: str
    declared_by: str
    created_at: datetime


def read_all(connection: psycopg.Connection) -> list[StoredDeclaration]:
    """All of them, by name, less those that are being removed."""
    if not _is_there(connection):
        return []
    rows = connection.execute(
        """
        SELECT name, declaration::text, declared_by, created_at
        FROM vector_pipeline.declared_indexes
        WHERE removed_at IS NULL
        ORDER BY name
        """
    ).fetchall()
    return [StoredDeclaration(*row) for row in rows]


def read_removable(connection: psycopg.Connection, name: str) -> StoredDeclaration:
    """The declaration of that name, one whose removal was broken off included.

    Raises:
        NotDeclaredHereError: there is none.
    """
    row = None
    if "\0" not in name and _is_there(connection):  # no text of PostgreSQL has one
        row = connection.execute(
            """
            SELECT name, declaration::text, declared_by, created_at
            FROM vector_pipeline.declared_indexes
            WHERE name = %s
            """,
            (name,),
        ).fetchone()
    if row is None:
        raise NotDeclaredHereError(f"no index {name!r} was declared at run time")
    return StoredDeclaration(*row)


def is_declared(connection: psycopg.Connection, name: str) -> bool:
    """Whether an index of that name was declared at run time and is not being removed."""
    if not _is_there(connection):
        return False
    found = connection.execute(
        "SELECT FROM vector_pipeline.declared_indexes WHERE name = %s AND removed_at IS NULL", (name,)
    ).fetchone()
    return found is not None


def create(connection: psycopg.Connection, spec: IndexSpec, declared_by: str) -> StoredDeclaration:
    """Keeps a declaration, which names its database.

    Raises:
        IndexExistsError: there is an index of that name, or one of that table was declared at run time.
    """
    schema.create_registry(connection)
    with connection.transaction():
        in_transaction(connection, Lock.SCHEMA, 0)
        refuse_what_exists(connection, spec)
        row = connection.execute(
            """
            INSERT INTO vector_pipeline.declared_indexes
                (name, source_database, source_table, declaration, declared_by)
            VALUES (%s, %s, %s, %s, %s)
            RETURNING name, declaration::text, declared_by, created_at
            """,
            (spec.name, spec.source.database, spec.source.table, registry.stored_declaration(spec), declared_by),
        ).fetchone()
    assert row is not None
    return StoredDeclaration(*row)


def refuse_what_exists(connection: psycopg.Connection, spec: IndexSpec) -> None:
    """Raises:
    IndexExistsError: there is an index of that name, or one of that table was declared at run time.
    """
    name, database, table = spec.name, spec.source.database, spec.source.table
    if not _is_there(connection):
        return
    other = connection.execute(
        """
        SELECT name, removed_at IS NOT NULL FROM vector_pipeline.declared_indexes
        WHERE name = %s OR (source_database = %s AND source_table = %s)
        """,
        (name, database, table),
    ).fetchone()
    if other is not None:
        if other[1]:
            raise IndexExistsError(
                f"index {other[0]!r} is being removed; finish it with embed_delete_index, then try again"
            )
        raise IndexExistsError(
            f"there is an index {other[0]!r} already, asked for with {database}.{table}; embed_reindex builds it "
            "again, embed_delete_index removes it"
        )
    built = connection.execute("SELECT FROM vector_pipeline.embedding_indexes WHERE name = %s", (name,)).fetchone()
    if built is not None:
        raise IndexExistsError(
            f"PostgreSQL holds an index {name!r} already; embed_reindex builds an index again, and `vector-pipeline "
            f"drop {name}` removes one that is declared in a file; or choose another name"
        )


def begin_removal(connection: psycopg.Connection, name: str) -> None:
    """From here on nothing builds the index anew."""
    connection.execute(
        "UPDATE vector_pipeline.declared_indexes SET removed_at = coalesce(removed_at, now()) WHERE name = %s", (name,)
    )


def give_up_removal(connection: psycopg.Connection, name: str) -> None:
    """The index stays declared."""
    connection.execute("UPDATE vector_pipeline.declared_indexes SET removed_at = NULL WHERE name = %s", (name,))


def end_removal(connection: psycopg.Connection, name: str) -> None:
    """Forgets the declaration."""
    connection.execute("DELETE FROM vector_pipeline.declared_indexes WHERE name = %s", (name,))


def to_json(stored: Sequence[StoredDeclaration]) -> str:
    """Declarations as text, for a file."""
    return json.dumps(
        [[one.name, one.declaration, one.declared_by, one.created_at.isoformat()] for one in stored], indent=1
    )


def from_json(text: str) -> list[StoredDeclaration]:
    """What `to_json` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        return [
            StoredDeclaration(str(name), str(declaration), str(declared_by), datetime.fromisoformat(created_at))
            for name, declaration, declared_by, created_at in json.loads(text)
        ]
    except TypeError as error:
        raise ValueError(str(error)) from None


def _is_there(connection: psycopg.Connection) -> bool:
    """Whether the registry is of a version that keeps such declarations."""
    row = connection.execute("SELECT to_regclass('vector_pipeline.declared_indexes')").fetchone()
    return row is not None and row[0] is not None
