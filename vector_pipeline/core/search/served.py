"""What a search has to know of its index, read with one statement: a round trip costs as much as a good part of the
search itself.

It is read for each search anew, so that a switch to another generation is seen by the next one. What is written as JSON
is parsed once for each text that comes up.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from pydantic import ValidationError

from vector_pipeline.core.documents.rendering import Rendering
from vector_pipeline.core.errors import NotYetSyncedError, TargetUnavailableError, UnreadableIndexError
from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline.core.search.time_limit import OutOfTimeError, TimeLimit
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store.ann_method import AnnOrder, Method
from vector_pipeline.core.store.fingerprint import pooling_of
from vector_pipeline.core.store.registry import Generation, RegisteredIndex, VectorSpace

_KEPT_PARSED = 256

_READ = b"""
    SELECT i.index_id, i.schema_name, g.rendering::text, g.behind_since, g.declaration::text,
           ARRAY(SELECT ARRAY[a.field, a.method, a.width::text]
                 FROM vector_pipeline.ann_indexes a
                 JOIN pg_namespace n ON n.nspname = i.schema_name
                 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = a.name
                 JOIN pg_index x ON x.indexrelid = c.oid AND x.indisvalid
                 WHERE a.index_id = i.index_id AND a.space = g.space
                 ORDER BY a.built_at),
           s.fingerprint, g.generation, s.space, s.provider, s.model, s.native_dimensions, s.stored_dimensions,
           s.query_prefix, s.document_prefix, s.storage
    FROM vector_pipeline.embedding_indexes i
    LEFT JOIN vector_pipeline.generations g
        ON g.index_id = i.index_id AND g.generation = coalesce(%s, i.active_generation)
    LEFT JOIN vector_pipeline.vector_spaces s ON s.index_id = g.index_id AND s.space = g.space
    WHERE i.name = %s
"""


@dataclass(frozen=True)
class Served:
    """An index by the generation that is searched, the declaration that this one was last prepared with, by what the
    ANN index of each field orders that has one, and how the model's vectors of tokens become one, where they do."""

    index: RegisteredIndex
    accepted: IndexSpec
    orders: Mapping[str, AnnOrder]
    pooling: object = None

    @property
    def scale(self) -> str:
        """What scores by its vectors are on: the model, with what it is given before texts and how it pools.

        Neither padding nor rounding makes another scale.
        """
        space = self.index.generation.space
        prefixes = space.query_prefix, space.document_prefix
        return json.dumps([space.model, space.native_dimensions, *prefixes, self.pooling])


def read_served(
    connection: psycopg.Connection, name: str, generation: int | None = None, seconds: float = 10.0
) -> Served:
    """What is served of the index at this moment, or a generation of it by its number.

    `connection` must be in autocommit mode, outside of a transaction.

    Args:
        seconds: the longest that PostgreSQL may take to tell.

    Raises:
        TargetUnavailableError: it took longer.
        NotYetSyncedError: there is no such index yet.
        SearchRequestError: there is no such generation (any more).
        UnreadableIndexError: another version of this project has written it.
    """
    try:
        rows = TimeLimit.within(seconds).read(connection, _READ, (generation, name))
    except psycopg.errors.UndefinedTable:
        rows = []  # nothing was ever synced into this database
    except OutOfTimeError:
        raise TargetUnavailableError(
            f"PostgreSQL did not tell within {seconds:g} s what is served of index {name!r}; see in pg_stat_activity "
            "who holds a lock on the tables of the schema vector_pipeline"
        ) from None
    row = rows[0] if rows else None
    if row is None or (generation is None and row[7] is None):
        raise NotYetSyncedError(f"index {name!r} is not in PostgreSQL yet; run: vector-pipeline sync {name}")
    index_id, schema, rendering, behind_since, declaration, ann_indexes, fingerprint, number, *space = row
    if number is None:
        raise SearchRequestError(
            f"index {name!r} has no generation {generation}; see: vector-pipeline generations {name}"
        )
    parsed, columns = _rendering(rendering)
    found = Generation(number, VectorSpace(*space), parsed, columns, behind_since)
    try:
        accepted = _declaration(declaration)
    except ValidationError:
        raise UnreadableIndexError(name) from None
    orders = {field: AnnOrder(found.space, Method(method), int(width)) for field, method, width in ann_indexes}
    return Served(RegisteredIndex(index_id, name, schema, found), accepted, orders, _pooling(fingerprint))


@functools.lru_cache(_KEPT_PARSED)
def _rendering(text: str) -> tuple[Rendering, tuple[str, ...]]:
    """The rendering, and the columns of the documents that hold its texts."""
    written = json.loads(text)
    return Rendering.from_json(written), tuple(written.get("columns", written["names"]))


@functools.lru_cache(_KEPT_PARSED)
def _pooling(fingerprint: str) -> object:
    return pooling_of(fingerprint)


@functools.lru_cache(_KEPT_PARSED)
def _declaration(text: str) -> IndexSpec:
    return IndexSpec.model_validate(json.loads(text))
