"""The registry of indexes: which generation of an index is served, and in which vector space it lives.

A vector space is a model, its dimensions and how they are stored. A generation is a space and everything that
shapes the texts. Both are known by a fingerprint, so that a changed declaration is noticed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import ValidationError

from vector_pipeline.core.documents.declared import declared_rendering, declared_strategy, text_facts
from vector_pipeline.core.documents.rendering import Rendering
from vector_pipeline.core.errors import DeclarationProblem, IndexSpecError, NameTakenError, UnreadableIndexError
from vector_pipeline.core.source.plan import source_column_name
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import names, schema
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


@dataclass(frozen=True)
class Generation:
    """What is served: texts rendered in one way, in one vector space."""

    number: int
    space: VectorSpace
    rendering: Rendering


@dataclass(frozen=True)
class RegisteredIndex:
    """An index as the target knows it."""

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


@dataclass(frozen=True)
class WantedSpace:
    """The vector space that a declaration and its environment ask for; `padded_to` is EMBEDDING_EXPECTED_DIM, and
    `pooling` how token vectors become one, None where there are none.
    """

    provider: str
    model: str
    dimensions: int | None
    padded_to: int | None
    pooling: str | None = None
    query_prefix: str = ""
    document_prefix: str = ""

    def fingerprint(self, native_dimensions: int) -> str:
        return json.dumps(self.facts(native_dimensions), ensure_ascii=False)

    def facts(self, native_dimensions: int) -> dict[str, object]:
        """What makes it another space where it differs, for a model with vectors of that length."""
        # Padding to the length that the vectors have anyway is none.
        padded_to = None if self.padded_to == native_dimensions else self.padded_to
        facts: dict[str, object] = {"model": self.model, "dimensions": self.dimensions, "padded to": padded_to}
        extra = {"pooling": self.pooling, "query prefix": self.query_prefix, "document prefix": self.document_prefix}
        # Only where declared: spaces that were made before there were such settings stay what they are.
        return facts | {name: fact for name, fact in extra.items() if fact}


def load(connection: psycopg.Connection, name: str) -> RegisteredIndex | None:
    """The index with its served generation, None if it has never been prepared."""
    present = connection.execute("SELECT to_regclass('vector_pipeline.embedding_indexes')").fetchone()
    if present is None or present[0] is None:
        return None
    row = connection.execute(
        """
        SELECT i.index_id, i.schema_name, g.generation, g.rendering, s.space, s.provider, s.model,
               s.native_dimensions, s.stored_dimensions, s.query_prefix, s.document_prefix
        FROM vector_pipeline.embedding_indexes i
        JOIN vector_pipeline.generations g ON g.index_id = i.index_id AND g.generation = i.active_generation
        JOIN vector_pipeline.vector_spaces s ON s.index_id = g.index_id AND s.space = g.space
        WHERE i.name = %s
        """,
        (name,),
    ).fetchone()
    if row is None:
        return None
    index_id, schema_name, generation, rendering, *space = row
    return RegisteredIndex(
        index_id,
        name,
        schema_name,
        Generation(
            generation,
            VectorSpace(*space),
            Rendering.from_json(rendering),
        ),
    )


def register(
    connection: psycopg.Connection, spec: IndexSpec, wanted: WantedSpace, native_dimensions: int
) -> RegisteredIndex:
    """Creates the registry's rows and the tables of an index that is not there yet."""
    stored = wanted.padded_to or native_dimensions
    rendering = declared_rendering(spec, wanted.model)
    schema_name = names.bounded(spec.name)
    with connection.transaction():
        in_transaction(connection, Lock.SCHEMA, 0)
        existing = load(connection, spec.name)
        if existing is not None:
            return existing
        refuse_a_strangers_schema(connection, spec.name)
        row = connection.execute(
            """
            INSERT INTO vector_pipeline.embedding_indexes (name, schema_name, declaration, active_generation)
            VALUES (%s, %s, %s, 1)
            RETURNING index_id
            """,
            (spec.name, schema_name, Jsonb(spec.model_dump(mode="json"))),
        ).fetchone()
        assert row is not None
        connection.execute(
            """
            INSERT INTO vector_pipeline.vector_spaces
                (index_id, space, fingerprint, provider, model, native_dimensions, stored_dimensions, query_prefix,
                 document_prefix)
            VALUES (%s, 1, %s, %s, %s, %s, %s, %s, %s)
            """,
            (
                row[0],
                wanted.fingerprint(native_dimensions),
                wanted.provider,
                wanted.model,
                native_dimensions,
                stored,
                wanted.query_prefix,
                wanted.document_prefix,
            ),
        )
        connection.execute(
            """
            INSERT INTO vector_pipeline.generations
                (index_id, generation, space, fingerprint, rendering, activated_at)
            VALUES (%s, 1, 1, %s, %s, now())
            """,
            (
                row[0],
                generation_fingerprint(spec, wanted, native_dimensions),
                Jsonb(rendering.to_json()),
            ),
        )
        schema.create_documents(connection, schema_name, list(spec.document.text), spec.document.unique_on)
        schema.create_passages(connection, schema_name, 1)
        schema.create_vectors(connection, schema_name, 1, stored)
    registered = load(connection, spec.name)
    assert registered is not None
    return registered


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


def generation_fingerprint(spec: IndexSpec, wanted: WantedSpace, native_dimensions: int) -> str:
    """Everything that shapes the texts and the vectors, and the key that cuts the ranges."""
    return json.dumps(_generation_facts(spec, wanted, native_dimensions), ensure_ascii=False)


def _generation_facts(spec: IndexSpec, wanted: WantedSpace, native_dimensions: int) -> dict[str, object]:
    key = spec.source.key_columns
    facts: dict[str, object] = {
        "primary_key": key[0] if len(key) == 1 else list(key),
        "strategy": declared_strategy(spec.embedding),
        "texts": [[name, source_column_name(entry)] for name, entry in spec.document.text.items()],
    }
    return wanted.facts(native_dimensions) | facts | text_facts(spec.embedding)


# What every fingerprint has. Other facts enter it only where they are declared, so that indexes that were built before
# there were such facts stay what they are.
_FACTS = {"model", "dimensions", "padded to", "primary_key", "strategy", "texts"}


def _read_fingerprint(name: str, fingerprint: str) -> dict[str, object]:
    """The facts of a stored fingerprint.

    Raises:
        UnreadableIndexError: it has none.
    """
    try:
        built = json.loads(fingerprint)
    except ValueError:
        built = None
    if not isinstance(built, dict) or not built.keys() >= _FACTS:
        raise UnreadableIndexError(name)
    return built


def accepted_declaration(connection: psycopg.Connection, index: RegisteredIndex) -> IndexSpec:
    """The declaration that the index was last prepared with: what is served fits it.

    Raises:
        UnreadableIndexError: another version of this project accepted it.
    """
    row = connection.execute(
        "SELECT declaration FROM vector_pipeline.embedding_indexes WHERE index_id = %s", (index.index_id,)
    ).fetchone()
    try:
        return IndexSpec.model_validate(row[0] if row else None)
    except ValidationError:
        raise UnreadableIndexError(index.name) from None


def refuse_a_changed_declaration(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    spec: IndexSpec,
    wanted: WantedSpace,
    origin: str,
) -> None:
    """Keeps an index from being filled with texts or vectors of two kinds.

    Raises:
        IndexSpecError: the declaration asks for another model, length, strategy or text than the index holds.
        UnreadableIndexError: another version of this project made the index.
    """
    row = connection.execute(
        "SELECT fingerprint FROM vector_pipeline.generations WHERE index_id = %s AND generation = %s",
        (index.index_id, index.generation.number),
    ).fetchone()
    declared = _generation_facts(spec, wanted, index.generation.space.native_dimensions)
    built = _read_fingerprint(index.name, row[0] if row else "")
    changed = [
        f"{name}: {built.get(name)} → {declared.get(name)}"
        for name in dict.fromkeys((*built, *declared))
        if built.get(name) != declared.get(name)
    ]
    if changed:
        raise IndexSpecError(
            origin,
            [
                DeclarationProblem(
                    "embedding",
                    f"index {index.name!r} was built from another declaration or environment ({'; '.join(changed)}), "
                    "and search goes on with what was built",
                    f"put it back, or remove the index and let it be built anew: `vector-pipeline drop {index.name}`",
                )
            ],
        )


def keep_declaration(connection: psycopg.Connection, index: RegisteredIndex, spec: IndexSpec) -> None:
    """Stores the declaration where it has changed, so that the registry tells what is declared now."""
    declaration = Jsonb(spec.model_dump(mode="json"))
    connection.execute(
        """
        UPDATE vector_pipeline.embedding_indexes SET declaration = %s
        WHERE index_id = %s AND declaration IS DISTINCT FROM %s
        """,
        (declaration, index.index_id, declaration),
    )


def drop(connection: psycopg.Connection, index: RegisteredIndex, view: sql.Composable) -> None:
    """Removes the index from the target altogether."""
    with connection.transaction():
        in_transaction(connection, Lock.SCHEMA, 0)
        connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(index.schema)))
        connection.execute("DELETE FROM vector_pipeline.embedding_indexes WHERE index_id = %s", (index.index_id,))
