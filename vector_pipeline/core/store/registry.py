"""The registry of indexes: which generation of an index is served, and in which vector space it lives.

A vector space is a model, its dimensions and how they are stored. A generation is a space and everything that
shapes the texts. Both are known by a fingerprint, so that a changed declaration is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import ValidationError

from vector_pipeline.core.documents.declared import declared_rendering
from vector_pipeline.core.documents.rendering import Rendering
from vector_pipeline.core.errors import NameTakenError, NotDeclaredHereError, UnreadableIndexError
from vector_pipeline.core.spec import IndexSpec, Storage
from vector_pipeline.core.store import locks, names, schema
from vector_pipeline.core.store.fingerprint import WantedSpace, generation_fingerprint
from vector_pipeline.core.store.locks import Lock, in_transaction


@dataclass(frozen=True)
class VectorSpace:
    """A model and the lengths of its vectors: as the model gives them, and as they are stored (zero-padded).

    The prefixes are what the model is given before a query, and before a text of a document.
    """

    number: int
    provider: str
    model: str
    native_dimensions: int
    stored_dimensions: int
    query_prefix: str = ""
    document_prefix: str = ""
    storage: Storage = "vector"


@dataclass(frozen=True)
class Generation:
    """Texts rendered in one way, in one vector space.

    `columns` are the columns of the documents that hold its texts, in the order of the rendering's names.
    `behind_since` is when the source's changes stopped coming to it, None for one that follows them.
    """

    number: int
    space: VectorSpace
    rendering: Rendering
    columns: tuple[str, ...]
    behind_since: datetime | None

    def column_of(self, name: str | None) -> str | None:
        """The column of the documents that holds a served text; None where the generation has no such text."""
        return dict(zip(self.rendering.names, self.columns, strict=True)).get(name) if name is not None else None


@dataclass(frozen=True)
class RegisteredIndex:
    """An index as the target knows it, seen by one of its generations: the served one unless something else is said."""

    index_id: int
    name: str
    schema: str
    generation: Generation

    @property
    def passages(self) -> str:
        return names.passages_table(self.generation.number)

    @property
    def vectors(self) -> str:
        return names.vectors_table(self.generation.space.number)

    @property
    def retired_vectors(self) -> str:
        return names.retired_vectors_table(self.generation.space.number)

    def embedding_lock(self, range_id: int) -> int:
        """The number under which the embedding of a range is locked: two generations are embedded side by side."""
        return locks.number_of(f"{range_id}/{self.generation.number}")


def load(connection: psycopg.Connection, name: str) -> RegisteredIndex | None:
    """The index with its served generation, None if it has never been prepared."""
    return _load(connection, name, sql.SQL("g.generation = i.active_generation"))


def load_building(connection: psycopg.Connection, name: str) -> RegisteredIndex | None:
    """The index with the generation that is being built to be served next, None where there is none."""
    return _load(connection, name, sql.SQL("g.generation = i.building_generation"))


def load_generation(connection: psycopg.Connection, index: RegisteredIndex, number: int) -> RegisteredIndex | None:
    """The index with the generation of that number, None where there is none (any more)."""
    return _load(connection, index.name, sql.SQL("g.generation = {}").format(sql.Literal(number)))


def _load(connection: psycopg.Connection, name: str, which: sql.Composable) -> RegisteredIndex | None:
    present = connection.execute("SELECT to_regclass('vector_pipeline.embedding_indexes')").fetchone()
    if present is None or present[0] is None:
        return None
    row = connection.execute(
        sql.SQL(
            """
            SELECT i.index_id, i.schema_name, g.generation, g.rendering, g.behind_since, s.space, s.provider, s.model,
                   s.native_dimensions, s.stored_dimensions, s.query_prefix, s.document_prefix, s.storage
            FROM vector_pipeline.embedding_indexes i
            JOIN vector_pipeline.generations g ON g.index_id = i.index_id AND {}
            JOIN vector_pipeline.vector_spaces s ON s.index_id = g.index_id AND s.space = g.space
            WHERE i.name = %s
            """
        ).format(which),
        (name,),
    ).fetchone()
    if row is None:
        return None
    index_id, schema_name, number, rendering, behind_since, *space = row
    columns = tuple(rendering.get("columns", rendering["names"]))
    return RegisteredIndex(
        index_id,
        name,
        schema_name,
        Generation(number, VectorSpace(*space), Rendering.from_json(rendering), columns, behind_since),
    )


def register(
    connection: psycopg.Connection,
    spec: IndexSpec,
    wanted: WantedSpace,
    native_dimensions: int,
    still_declared: Callable[[], bool] = lambda: True,
) -> RegisteredIndex:
    """Creates the registry's rows and the tables of an index that is not there yet.

    Args:
        still_declared: asked in the transaction that creates them: whoever removes an index sees to it first that this
            is False, so that a run which began before makes nothing anew.

    Raises:
        NotDeclaredHereError: it isn't any more.
    """
    stored = wanted.padded_to or native_dimensions
    rendering = declared_rendering(spec, wanted.model)
    schema_name = names.bounded(spec.name)
    with connection.transaction():
        in_transaction(connection, Lock.SCHEMA, 0)
        existing = load(connection, spec.name)
        if existing is not None:
            return existing
        if not still_declared():
            raise NotDeclaredHereError(f"index {spec.name!r} has been removed, and nothing is built of it")
        refuse_a_strangers_schema(connection, spec.name)
        row = connection.execute(
            """
            INSERT INTO vector_pipeline.embedding_indexes (name, schema_name, active_generation)
            VALUES (%s, %s, 1)
            RETURNING index_id
            """,
            (spec.name, schema_name),
        ).fetchone()
        assert row is not None
        add_space(connection, row[0], 1, wanted, native_dimensions)
        connection.execute(
            """
            INSERT INTO vector_pipeline.generations
                (index_id, generation, space, fingerprint, rendering, declaration, activated_at)
            VALUES (%s, 1, 1, %s, %s, %s, now())
            """,
            (
                row[0],
                generation_fingerprint(spec, wanted, native_dimensions),
                Jsonb(stored_rendering(rendering, rendering.names)),
                stored_declaration(spec),
            ),
        )
        schema.create_documents(connection, schema_name, list(spec.document.text), spec.document.unique_on)
        schema.create_passages(connection, schema_name, 1)
        schema.create_vectors(connection, schema_name, 1, stored, wanted.storage)
    registered = load(connection, spec.name)
    assert registered is not None
    return registered


def add_space(
    connection: psycopg.Connection, index_id: int, number: int, wanted: WantedSpace, native_dimensions: int
) -> None:
    """Enters a vector space of an index in the registry."""
    connection.execute(
        """
        INSERT INTO vector_pipeline.vector_spaces
            (index_id, space, fingerprint, provider, model, native_dimensions, stored_dimensions, query_prefix,
             document_prefix, storage)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            index_id,
            number,
            wanted.fingerprint(native_dimensions),
            wanted.provider,
            wanted.model,
            native_dimensions,
            wanted.padded_to or native_dimensions,
            wanted.query_prefix,
            wanted.document_prefix,
            wanted.storage,
        ),
    )


def stored_declaration(spec: IndexSpec) -> Jsonb:
    """A declaration as the registry keeps it: what it says, without what it leaves to defaults, which may change."""
    declared = spec.model_dump(mode="json", exclude_unset=True)
    if spec.embedding.provider is not None:
        declared["embedding"]["provider"]["type"] = spec.embedding.provider.type
    return Jsonb(declared)


def stored_rendering(rendering: Rendering, columns: Sequence[str]) -> dict[str, object]:
    """A rendering, and the columns of the documents that hold its texts, as the registry keeps them."""
    return rendering.to_json() | {"columns": list(columns)}


def refuse_a_strangers_schema(connection: psycopg.Connection, name: str) -> None:
    """Keeps the tables of others apart from ours, which are removed with their schema when the index is dropped.

    Raises:
        NameTakenError: with the way out.
    """
    schema_name = names.bounded(name)
    if connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema_name,)).fetchone() is not None:
        raise NameTakenError(
            f"PostgreSQL already has a schema {schema_name!r}, which vector-pipeline did not make",
            f'give the index another name, or rename the schema: ALTER SCHEMA "{schema_name}" RENAME TO '
            f'"{names.bounded(name + "_old")}"',
        )


def accepted_declaration(connection: psycopg.Connection, index: RegisteredIndex) -> IndexSpec:
    """The declaration that this generation of the index was last prepared with: what it serves fits it.

    Raises:
        UnreadableIndexError: another version of this project accepted it.
    """
    row = connection.execute(
        "SELECT declaration FROM vector_pipeline.generations WHERE index_id = %s AND generation = %s",
        (index.index_id, index.generation.number),
    ).fetchone()
    try:
        return IndexSpec.model_validate(row[0] if row else None)
    except ValidationError:
        raise UnreadableIndexError(index.name) from None


def accepted_unique_on(connection: psycopg.Connection, index: RegisteredIndex) -> str | None:
    """The column of the documents whose repeated values this generation serves once, None where it serves all.

    Raises:
        UnreadableIndexError: another version of this project accepted its declaration.
    """
    return index.generation.column_of(accepted_declaration(connection, index).document.unique_on)


def keep_declaration(connection: psycopg.Connection, index: RegisteredIndex, generation: int, spec: IndexSpec) -> None:
    """Stores the declaration as that of the generation that it asks for, where it has changed."""
    declaration = stored_declaration(spec)
    connection.execute(
        """
        UPDATE vector_pipeline.generations SET declaration = %s
        WHERE index_id = %s AND generation = %s AND declaration IS DISTINCT FROM %s
        """,
        (declaration, index.index_id, generation, declaration),
    )


def drop(connection: psycopg.Connection, index: RegisteredIndex, view: sql.Composable) -> None:
    """Removes the index from the target altogether."""
    with connection.transaction():
        in_transaction(connection, Lock.SCHEMA, 0)
        connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(index.schema)))
        connection.execute("DELETE FROM vector_pipeline.embedding_indexes WHERE index_id = %s", (index.index_id,))
