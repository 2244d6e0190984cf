"""The SQL that finds documents by one field's vectors: along its ANN index, or by looking at every vector.

A vector without a document never takes a hit's place, since each way goes on until enough documents are met. The
threshold is applied outside, strictly above. The field is a literal, because a partial index is only used where the
planner sees its condition.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import sql

from vector_pipeline.core.store.ann_method import AnnOrder
from vector_pipeline.core.store.registry import RegisteredIndex


@dataclass(frozen=True)
class Restriction:
    """What documents (alias d) must be to be found: SQL, true for all of them if None, and its parameters by name."""

    condition: sql.Composable | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)

    @functools.cached_property
    def written(self) -> bytes:
        """The condition as it is sent, which is the same for all values that it may be asked with."""
        return b"" if self.condition is None else self.condition.as_bytes(None)

    def joined(self) -> sql.Composable:
        """To be put behind the condition of a join."""
        return sql.SQL("") if self.condition is None else sql.SQL(" AND ({})").format(self.condition)


EVERYTHING = Restriction()


def statement(
    index: RegisteredIndex,
    unique_on: str | None,
    order: AnnOrder | None,
    of_field: str,
    restriction: Restriction = EVERYTHING,
) -> sql.Composed:
    """The search of one field, with parameters `vector`, `limit` and (where candidates are ranked) `candidates`.

    Its rows: key, distance, behind, char_start, char_end, walked, farthest, place, metadata, texts. `walked` is the
    number of passages that were met, `farthest` the distance of the last, `place` where the passage was among the
    candidates in the order of the ANN index.

    Args:
        order: that of the ANN index to walk; None looks at all vectors.
    """
    parts = {
        "row": _row(index, sql.SQL("({}) + 0").format(distance(index)) if order is None else distance(index)),
        "joins": _to_documents(index, unique_on, restriction),
        "vectors": sql.Identifier(index.schema, index.vectors),
        "field": sql.Literal(of_field),
    }
    if order is None:
        walk = sql.SQL(_LOOK_AT_ALL).format(**parts)
    else:
        walk = sql.SQL(_WALK if order.is_exact else _RANKED_CANDIDATES).format(
            order=order.distance(sql.SQL("%(vector)s::vector")), **parts
        )
    return sql.SQL(_BEST_OF_EACH).format(walk=walk, texts=_texts(index))


def written_statement(
    index: RegisteredIndex,
    unique_on: str | None,
    order: AnnOrder | None,
    of_field: str,
    restriction: Restriction = EVERYTHING,
) -> bytes:
    """The `statement` as it is sent. Putting it together takes a tenth of the time of a search: it is done once for
    all values of a filter."""
    return _written_once(index, unique_on, order, of_field, _Shape(restriction.written, restriction.condition))


@dataclass(frozen=True)
class _Shape:
    """A restriction without its values; two that are written alike are one."""

    written: bytes
    condition: sql.Composable | None = field(compare=False)


@functools.lru_cache(256)
def _written_once(
    index: RegisteredIndex, unique_on: str | None, order: AnnOrder | None, of_field: str, shape: _Shape
) -> bytes:
    return statement(index, unique_on, order, of_field, Restriction(shape.condition)).as_bytes(None)


def _row(index: RegisteredIndex, distance: sql.Composable) -> sql.Composed:
    """What is read of a passage that is met, and of its document."""
    texts = (
        sql.SQL(", d.{} AS {}").format(sql.Identifier(column), sql.Identifier(f"text_{place}"))
        for place, column in enumerate(index.generation.columns)
    )
    return sql.SQL("d.key, {} AS distance, {} AS behind, p.char_start, p.char_end, d.metadata{}").format(
        distance, _behind(index), sql.SQL("").join(texts)
    )


def distance(index: RegisteredIndex) -> sql.Composable:
    """SQL: the cosine distance that hits are ranked by, between a vector (alias v) and the parameter `vector`."""
    space = index.generation.space
    query: sql.Composable = sql.SQL("%(vector)s::vector")
    if space.storage == "halfvec":
        query = sql.SQL("({})::halfvec({})").format(query, sql.Literal(space.stored_dimensions))
    return sql.SQL("v.embedding <=> {}").format(query)


def _behind(index: RegisteredIndex) -> sql.Composed:
    """True where the vector is of an earlier text than the document's."""
    return sql.SQL("(p.served_hash IS DISTINCT FROM p.content_hash{})").format(or_written_without(index))


def or_written_without(index: RegisteredIndex) -> sql.Composable:
    """` OR ` what is true for a document (alias d) that was written while this generation didn't follow the source, and
    whose range has not come to it since; nothing for one that has followed it all the time."""
    since = index.generation.behind_since
    if since is None:
        return sql.SQL("")
    return sql.SQL(
        """ OR d.updated_at > {since} AND NOT EXISTS (
            SELECT FROM vector_pipeline.range_states s
            WHERE s.range_id = d.range_id AND s.generation = {generation}
              AND s.digest IS NOT NULL AND s.synced_at >= d.updated_at)"""
    ).format(since=sql.Literal(since), generation=sql.Literal(index.generation.number))


def _texts(index: RegisteredIndex) -> sql.Composed:
    places = range(len(index.generation.columns))
    return sql.SQL(", ").join(sql.Identifier(f"text_{place}") for place in places)


# The window functions count before DISTINCT leaves out: how many passages were met, and how far the last one was.
_BEST_OF_EACH = """
    SELECT key, distance, behind, char_start, char_end, walked, farthest, place, metadata, {texts}
    FROM (
        SELECT DISTINCT ON (key) met.*, count(*) OVER () AS walked, max(distance) OVER () AS farthest
        FROM ({walk}) met
        ORDER BY key, distance) best
    ORDER BY distance
"""

_WALK = """
    SELECT {row}, 0 AS place
    FROM {vectors} v
    {joins}
    WHERE v.field = {field}
    ORDER BY {order}
    LIMIT %(limit)s
"""

# Candidates in the order of the index; then ranked by the exact distance.
_RANKED_CANDIDATES = """
    SELECT candidates.*, row_number() OVER () AS place
    FROM (
        SELECT {row}
        FROM {vectors} v
        {joins}
        WHERE v.field = {field}
        ORDER BY {order}
        LIMIT %(candidates)s) candidates
    ORDER BY distance
    LIMIT %(limit)s
"""

# No ANN index orders by a sum, so the planner walks none, and is free to begin with the documents that a filter leaves.
# Where row and order differed, each distance would be computed twice, each time from a vector that is fetched anew.
_LOOK_AT_ALL = """
    SELECT {row}, 0 AS place
    FROM {vectors} v
    {joins}
    WHERE v.field = {field}
    ORDER BY distance
    LIMIT %(limit)s
"""


def _to_documents(index: RegisteredIndex, unique_on: str | None, restriction: Restriction) -> sql.Composed:
    documents = sql.Identifier(index.schema, "documents")
    joins = sql.SQL(
        "JOIN {passages} p ON p.served_hash = v.content_hash AND p.field = v.field JOIN {documents} d ON d.key = p.key"
    ).format(passages=sql.Identifier(index.schema, index.passages), documents=documents)
    if unique_on is not None:
        joins += sql.SQL(" AND ") + served_once(index, unique_on, restriction)
    return joins + restriction.joined()


def served_once(index: RegisteredIndex, unique_on: str, restriction: Restriction = EVERYTHING) -> sql.Composed:
    """True for a document (alias d) that has the lowest key among those with the same text that the restriction
    leaves: one that is left out hides none that is wanted."""
    return sql.SQL(
        """NOT EXISTS (
            SELECT FROM {twins} twin
            WHERE md5(twin.{column}) = md5(d.{column}) AND twin.{column} = d.{column}
              AND twin.sort_key < d.sort_key)"""
    ).format(twins=_left(index, restriction), column=sql.Identifier(unique_on))


def _left(index: RegisteredIndex, restriction: Restriction) -> sql.Composable:
    """The documents that the restriction leaves, as something to select from."""
    documents = sql.Identifier(index.schema, "documents")
    if restriction.condition is None:
        return documents
    return sql.SQL("(SELECT d.* FROM {} d WHERE {})").format(documents, restriction.condition)
