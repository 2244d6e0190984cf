"""The nearest documents to a query vector, field by field.

A field with an ANN index is walked along it, nearest first; without one, every vector is looked at. A filter that
leaves few documents makes looking at them all the cheaper way, and the exact one: the planner's own estimate tells. A
walk that ends with fewer documents than wanted, though there may be more, is followed by such a look. A document with
several passages is found by its best one; where these leave fewer documents than wanted, the walk is made again,
farther.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from vector_pipeline.core.documents.rendering import Rendering, RenderingError
from vector_pipeline.core.search.answer import FoundPassage, Hit
from vector_pipeline.core.search.statement import EVERYTHING, Restriction, statement
from vector_pipeline.core.store.ann_method import AnnOrder, Method
from vector_pipeline.core.store.registry import RegisteredIndex

QueryVector = np.ndarray[tuple[int], np.dtype[np.float32]]
"""Shape (stored dimensions,)."""

# pgvector walks at least this many candidates; below 40 × limit recall of HNSW drops noticeably.
_SMALLEST_EF_SEARCH = 100
_LARGEST_EF_SEARCH = 1000  # pgvector's own limit
# Where pgvector ends a scan by itself, as if there were no more; memory is in multiples of work_mem.
_USUALLY_SCANNED = 20_000
_SCANNED_FOR_EACH = 20
_MOST_SCANNED = 2_147_483_647
_MOST_SCAN_MEMORY = 1000
_FARTHER = 4
_MOST_CANDIDATES = 5000
# How many vectors a walk meets in the time that one is looked at which a filter leaves, about (benchmarks/search.py).
_LOOKED_AT_PER_MET = 2


@dataclass(frozen=True)
class Neighbours:
    """Found documents, best first; not `complete` where the time was over before all ways were gone."""

    hits: tuple[Hit, ...]
    complete: bool


def nearest(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    orders: Mapping[str, AnnOrder],
    vector: QueryVector,
    fields: Sequence[str],
    limit: int,
    threshold: float,
    unique_on: str | None = None,
    restriction: Restriction = EVERYTHING,
    seconds: float = 10.0,
) -> Neighbours:
    """The best `limit` documents, each by its best field, score strictly above `threshold`, best first.

    Args:
        orders: the ANN indexes that are there, by field.
        unique_on: the column of a text; of documents with the same value only the one with the lowest key is served.
        seconds: the longest that it may take; what is found by then is the answer.
    """
    best: dict[str, Hit] = {}
    complete = True
    with connection.transaction():
        search = _Search(connection, index, vector, limit, threshold, unique_on, restriction, seconds)
        for field in fields:
            found = search.by_field(field, orders.get(field))
            complete &= found.complete
            for hit in found.hits:
                if hit.key not in best or hit.score > best[hit.key].score:
                    best[hit.key] = hit
    hits = sorted(best.values(), key=lambda hit: -hit.score)[:limit]
    return Neighbours(tuple(replace(hit, vector_rank=rank) for rank, hit in enumerate(hits, start=1)), complete)


def candidates_of(order: AnnOrder) -> tuple[int, int]:
    """How many vectors to take from an ANN index that doesn't order by the exact distance: at least, and for each
    document that is wanted."""
    rough = order.method is Method.BIT or order.width < order.space.native_dimensions
    return (200, 20) if rough else (50, 2)


def _candidates(order: AnnOrder, limit: int) -> int:
    least, for_each = candidates_of(order)
    return max(least, for_each * limit)


def choose_scan(connection: psycopg.Connection, order: AnnOrder | None, wanted: int, seconds: float) -> None:
    """Has PostgreSQL walk the field's ANN index, where it has one, until the end of the transaction.

    Left to itself the planner reads and sorts all vectors of more than 500 numbers up to several thousand of them: they
    are stored out of line (TOAST), and what fetching them costs is not in its estimate.

    Args:
        wanted: vectors to be met.
        seconds: after which a statement is cancelled.
    """
    connection.execute(
        """
        SELECT set_config('hnsw.iterative_scan', %s, true),
               set_config('hnsw.ef_search', %s, true),
               set_config('hnsw.max_scan_tuples', %s, true),
               set_config('hnsw.scan_mem_multiplier', %s, true),
               set_config('enable_sort', %s, true),
               set_config('statement_timeout', %s, true)
        """,
        (
            "strict_order" if order is None or order.is_exact else "relaxed_order",
            str(min(_LARGEST_EF_SEARCH, max(_SMALLEST_EF_SEARCH, wanted))),
            str(min(_MOST_SCANNED, max(_USUALLY_SCANNED, _SCANNED_FOR_EACH * wanted))),
            str(min(_MOST_SCAN_MEMORY, 1 + wanted // _USUALLY_SCANNED)),
            "on" if order is None else "off",
            str(max(1, int(1000 * seconds))),
        ),
    )


@dataclass(frozen=True)
class _Met:
    """What one statement has met."""

    hits: tuple[Hit, ...]
    passages: int
    farthest_score: float
    last_place: int


_NOTHING = _Met((), 0, -1.0, 0)


class _Search:
    """One query, in one transaction."""

    def __init__(
        self,
        connection: psycopg.Connection,
        index: RegisteredIndex,
        vector: npt.NDArray[np.float32],
        limit: int,
        threshold: float,
        unique_on: str | None,
        restriction: Restriction,
        seconds: float,
    ) -> None:
        self._connection = connection
        self._index = index
        self._vector = vector
        self._limit = limit
        self._threshold = threshold
        self._unique_on = unique_on
        self._restriction = restriction
        self._deadline = time.monotonic() + seconds
        self._leaves: tuple[int, int] | None = None

    def by_field(self, field: str, order: AnnOrder | None) -> Neighbours:
        """The documents above the threshold, `limit` at least where there are so many."""
        found = _NOTHING
        try:
            if order is not None and self._is_worth_a_walk(order):
                found, is_enough = self._walk(field, order)
                if is_enough:
                    return Neighbours(found.hits, complete=True)
            return Neighbours(self._look_at_all(field).hits, complete=True)
        except _TimeIsOver as over:
            return Neighbours(over.met.hits or found.hits, complete=False)

    def _is_worth_a_walk(self, order: AnnOrder) -> bool:
        if self._restriction.condition is None:
            return True
        matching, documents = self._estimate()
        wanted = self._limit if order.is_exact else _candidates(order, self._limit)
        return matching * matching > _LOOKED_AT_PER_MET * max(wanted, _SMALLEST_EF_SEARCH) * documents

    def _estimate(self) -> tuple[int, int]:
        """How many documents the restriction leaves, and how many there are, as the planner knows them."""
        if self._leaves is None:
            documents = sql.Identifier(self._index.schema, "documents")
            plan = self._connection.execute(
                sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} d WHERE {}").format(
                    documents, self._restriction.condition or sql.SQL("true")
                ),
                self._restriction.parameters,
            ).fetchone()
            row = self._connection.execute(
                "SELECT reltuples FROM pg_class WHERE oid = %s::regclass", (documents.as_string(self._connection),)
            ).fetchone()
            assert plan is not None and row is not None
            self._leaves = int(plan[0][0]["Plan"]["Plan Rows"]), max(1, int(row[0]))
        return self._leaves

    def _walk(self, field: str, order: AnnOrder) -> tuple[_Met, bool]:
        """What is met along the ANN index, and whether there can be no more that is wanted."""
        passages, candidates = self._limit, _candidates(order, self._limit)
        met = _NOTHING
        while candidates <= max(_MOST_CANDIDATES, _candidates(order, self._limit)):
            try:
                met = self._meet(field, order, passages, candidates)
            except _TimeIsOver:
                raise _TimeIsOver(met) from None
            if len(met.hits) >= self._limit:
                return met, True
            if met.passages < passages:
                return met, False  # all are met, or as many as pgvector walks
            if met.farthest_score > self._threshold:
                passages *= _FARTHER  # several passages of a document
            elif order.is_exact or 2 * met.last_place <= candidates:
                return met, True
            # Else good ones were found until the last: there may be more behind.
            candidates *= _FARTHER
        return met, False

    def _look_at_all(self, field: str) -> _Met:
        passages = self._limit
        while True:
            met = self._meet(field, None, passages, 0)
            if len(met.hits) >= self._limit or met.passages < passages or met.farthest_score <= self._threshold:
                return met
            passages *= _FARTHER

    def _meet(self, field: str, order: AnnOrder | None, passages: int, candidates: int) -> _Met:
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise _TimeIsOver(_NOTHING)
        choose_scan(self._connection, order, passages if order is None or order.is_exact else candidates, seconds)
        try:
            with self._connection.transaction():
                rows = self._connection.execute(
                    statement(self._index, self._unique_on, order, field, self._restriction),
                    {
                        **self._restriction.parameters,
                        "vector": self._vector,
                        "limit": passages,
                        "candidates": candidates,
                    },
                ).fetchall()
        except psycopg.errors.QueryCanceled:
            if time.monotonic() < self._deadline:
                raise  # somebody else's doing
            raise _TimeIsOver(_NOTHING) from None
        if not rows:
            return _NOTHING
        rendering = self._index.generation.rendering
        above = [row for row in rows if 1.0 - row[1] > self._threshold]
        return _Met(
            tuple(_hit(rendering, field, row) for row in above),
            passages=rows[0][5],
            farthest_score=1.0 - rows[0][6],
            last_place=max((row[7] for row in above), default=0),
        )


class _TimeIsOver(Exception):
    """With what was met until then."""

    def __init__(self, met: _Met) -> None:
        super().__init__()
        self.met = met


def _hit(rendering: Rendering, field: str, row: Sequence[Any]) -> Hit:
    key, distance, behind, start, end, _, _, _, metadata, *texts = row
    passage = None if behind else _passage(rendering, field, texts, start, end)
    score = 1.0 - distance
    served = dict(zip(rendering.names, texts, strict=True))
    return Hit(key, score, field, served, metadata, behind, passage, vector_score=score)


def _passage(
    rendering: Rendering, field: str, texts: Sequence[str | None], start: int | None, end: int | None
) -> FoundPassage | None:
    try:
        whole = rendering.texts_of(texts).get(field)
    except RenderingError:
        return None  # somebody has changed the document by hand
    if whole is None:
        return None
    start, end = (0, len(whole)) if start is None or end is None else (start, end)
    return FoundPassage(whole[start:end], start, end, len(whole))
