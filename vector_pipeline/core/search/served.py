"""What a search has to know of its index, read with one statement: a round trip costs as much as a good part of the
search itself.

It is read for each search anew, so that a switch to another generation is seen by the next one: a search that assumes
it to be as it was reads it in the same round trip as its documents, and is made again if it was wrong. What is written
as JSON is parsed once for each text that comes up.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from pydantic import ValidationError

from vector_pipeline.core.documents.rendering import Rendering
from vector_pipeline.core.errors import NotYetSyncedError, TargetUnavailableError, UnreadableIndexError
from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline.core.search.time_limit import OutOfTimeError, Statement, TimeLimit
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import source_columns
from vector_pipeline.core.store.ann_index import VALID
from vector_pipeline.core.store.ann_method import AnnOrder, Method
from vector_pipeline.core.store.fingerprint import pooling_of
from vector_pipeline.core.store.metadata_columns import MetadataColumn, metadata_columns
from vector_pipeline.core.store.registry import Generation, RegisteredIndex, VectorSpace

_KEPT_PARSED = 256

_READ = (
    b"""
    SELECT i.index_id, i.schema_name, g.rendering::text, g.behind_since, g.declaration::text,
           ARRAY(SELECT ARRAY[a.field, a.method, a.width::text]
                 FROM vector_pipeline.ann_indexes a
    """
    + VALID
    + b"""
                 WHERE a.index_id = i.index_id AND a.space = g.space
                 ORDER BY a.built_at),
           CASE WHEN %(filtered)s THEN to_jsonb(i) ->> 'source_columns' END,
           CASE WHEN %(filtered)s THEN (
               SELECT c.reltuples FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = i.schema_name AND c.relname = 'documents') END,
           s.fingerprint, g.generation, s.space, s.provider, s.model, s.native_dimensions, s.stored_dimensions,
           s.query_prefix, s.document_prefix, s.storage
    FROM vector_pipeline.embedding_indexes i
    LEFT JOIN vector_pipeline.generations g
        ON g.index_id = i.index_id AND g.generation = coalesce(%(generation)s, i.active_generation)
    LEFT JOIN vector_pipeline.vector_spaces s ON s.index_id = g.index_id AND s.space = g.space
    WHERE i.name = %(name)s
    """
)


class ServedChangedError(Exception):
    """What a search has assumed isn't so any more."""


@dataclass(frozen=True)
class Served:
    """An index by the generation that is searched.

    Attributes:
        accepted: the declaration that this one was last prepared with.
        orders: by what the ANN index of each field orders that has one.
        pooling: how the model's vectors of tokens become one, where they do.
        columns: the metadata by served name; read for a filter alone, and {} where a version made the index that didn't
            keep their kinds.
        documents: how many there are, as the planner knows it; read for a filter alone.
        asked, row: how it was asked for, and what PostgreSQL said.
        is_assumed: it was read for an earlier search.
    """

    index: RegisteredIndex
    accepted: IndexSpec
    orders: Mapping[str, AnnOrder]
    pooling: object
    columns: Mapping[str, MetadataColumn]
    documents: int
    asked: Mapping[str, object] = field(repr=False)
    row: tuple[Any, ...] = field(repr=False)
    is_assumed: bool = False

    @property
    def asking_again(self) -> Statement:
        """Reads its row of this moment, to be given to `refuse_if_changed`."""
        return _READ, self.asked

    def refuse_if_changed(self, again: Sequence[tuple[Any, ...]]) -> None:
        """Raises:
        ServedChangedError: it is not as it was.
        """
        if list(again) != [self.row]:
            raise ServedChangedError

    def is_as(self, other: Served | None) -> bool:
        """Whether nothing has changed from the one to the other."""
        return other is not None and self.row == other.row

    @property
    def scale(self) -> str:
        """What scores by its vectors are on: the model, with what it is given before texts and how it pools.

        Neither padding nor rounding makes another scale.
        """
        space = self.index.generation.space
        prefixes = space.query_prefix, space.document_prefix
        return json.dumps([space.model, space.native_dimensions, *prefixes, self.pooling])


def read_served(
    connection: psycopg.Connection,
    name: str,
    generation: int | None = None,
    seconds: float = 10.0,
    *,
    filtered: bool = False,
) -> Served:
    """What is served of the index at this moment, or a generation of it by its number.

    Args:
        connection: in autocommit mode, outside of a transaction.
        filtered: also what is needed for a filter.
        seconds: the longest that PostgreSQL may take to tell.

    Raises:
        TargetUnavailableError: it took longer.
        NotYetSyncedError: there is no such index yet.
        SearchRequestError: there is no such generation (any more).
        UnreadableIndexError: another version of this project has written it.
    """
    asked = {"generation": generation, "name": name, "filtered": filtered}
    try:
        rows = TimeLimit.within(seconds).read(connection, _READ, asked)
    except psycopg.errors.UndefinedTable:
        rows = []  # nothing was ever synced into this database
    except OutOfTimeError:
        raise TargetUnavailableError(
            f"PostgreSQL did not tell within {seconds:g} s what is served of index {name!r}; see in pg_stat_activity "
            "who holds a lock on the tables of the schema vector_pipeline"
        ) from None
    row = rows[0] if rows else None
    if row is None or (generation is None and row[9] is None):
        raise NotYetSyncedError.of(name)
    index_id, schema, rendering, behind_since, declaration, ann_indexes, *rest = row
    of_source, documents, fingerprint, number, *space = rest
    if number is None:
        raise SearchRequestError(
            f"index {name!r} has no generation {generation}; see: vector-pipeline generations {name}"
        )
    parsed, text_columns = _rendering(rendering)
    found = Generation(number, VectorSpace(*space), parsed, text_columns, behind_since)
    try:
        accepted = _declaration(declaration)
    except ValidationError:
        raise UnreadableIndexError(name) from None
    orders = {of_field: AnnOrder(found.space, Method(method), int(width)) for of_field, method, width in ann_indexes}
    columns = _columns(declaration, of_source) if of_source else {}
    index = RegisteredIndex(index_id, name, schema, found)
    return Served(index, accepted, orders, _pooling(fingerprint), columns, int(documents or 0), asked, row)


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


@functools.lru_cache(_KEPT_PARSED)
def _columns(declaration: str, accepted_columns: str) -> Mapping[str, MetadataColumn]:
    return metadata_columns(_declaration(declaration), source_columns.from_json(json.loads(accepted_columns)))
