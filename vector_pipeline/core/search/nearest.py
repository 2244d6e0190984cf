"""The nearest documents to a query vector by one field.

A field with an ANN index is walked along it, nearest first; without one, every vector is looked at. A filter that
leaves few documents makes looking at them all the cheaper way, and the exact one: the planner's own estimate tells. A
walk that ends with fewer documents than wanted, though there may be more, is followed by such a look. A document with
several passages is found by its best one; where these leave fewer documents than wanted, the walk is made again,
farther.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from vector_pipeline.core.documents.rendering import Rendering, RenderingError
from vector_pipeline.core.search.answer import FoundPassage, Hit
from vector_pipeline.core.search.served import Served, ServedChangedError
from vector_pipeline.core.search.statement import EVERYTHING, Restriction, written_statement
from vector_pipeline.core.search.time_limit import OutOfTimeError, TimeLimit
from vector_pipeline.core.store.ann_method import AnnOrder, Method
from vector_pipeline.core.store.registry import RegisteredIndex

QueryVector = np.ndarray[tuple[int], np.dtype[np.float32]]
"""Shape (stored dimensions,)."""

# pgvector walks at least this many candidates; below 40 × limit recall of HNSW drops noticeably.
_SMALLEST_EF_SEARCH = 400
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


def candidates_of(order: AnnOrder) -> tuple[int, int]:
    """How many vectors to take from an ANN index that doesn't order by the exact distance: at least, and for each
    document that is wanted."""
    rough = order.method is Method.BIT or order.width < order.space.native_dimensions
    return (200, 20) if rough else (50, 2)


def _candidates(order: AnnOrder, limit: int) -> int:
    least, for_each = candidates_of(order)
    return max(least, for_each * limit)


def scan_settings(order: AnnOrder | None, wanted: int, *, filtered: bool = False) -> dict[str, str]:
    """Has PostgreSQL walk the field's ANN index, where it has one.

    Left to itself the planner reads and sorts all vectors of more than 500 numbers up to several thousand of them: they
    are stored out of line (TOAST), and what fetching them costs is not in its estimate. Nor does it know how few are
    wanted, and might read all documents to join them. Before PostgreSQL 18 a scan that is switched off counts as so
    dear that the statement would be compiled (JIT), for longer than it runs.

    Args:
        wanted: vectors to be met.
        filtered: how many documents are left depends on the filter's values, so that a plan made without them won't do.
    """
    free = "on" if order is None else "off"
    return {
        "hnsw.iterative_scan": "strict_order" if order is None or order.is_exact else "relaxed_order",
        "hnsw.ef_search": str(min(_LARGEST_EF_SEARCH, max(_SMALLEST_EF_SEARCH, wanted))),
        "hnsw.max_scan_tuples": str(min(_MOST_SCANNED, max(_USUALLY_SCANNED, _SCANNED_FOR_EACH * wanted))),
        "hnsw.scan_mem_multiplier": str(min(_MOST_SCAN_MEMORY, 1 + wanted // _USUALLY_SCANNED)),
        "enable_sort": free,
        "enable_hashjoin": free,
        "enable_mergejoin": free,
        "plan_cache_mode": _plan_mode(order, filtered),
        "jit": "off",
    }


def _plan_mode(order: AnnOrder | None, filtered: bool) -> str:
    if filtered:
        return "force_custom_plan"
    # A walk has one plan, whatever its parameters: making it anew for each costs a third of a fast search.
    return "auto" if order is None else "force_generic_plan"


@dataclass(frozen=True)
class _Met:
    """What one statement has met."""

    hits: tuple[Hit, ...]
    passages: int
    farthest_score: float
    last_place: int


_NOTHING = _Met((), 0, -1.0, 0)


@dataclass(frozen=True, eq=False)
class Aim:
    """What to look for by a field: at least `limit` documents nearest to the vector, where so many score strictly above
    the threshold.

    `order` is that of the field's ANN index, None where there is none.
    """

    field: str
    vector: QueryVector
    order: AnnOrder | None
    limit: int
    threshold: float


@dataclass(frozen=True)
class Leaves:
    """What a restriction leaves: so many documents `of` so many, about."""

    documents: int
    of: int


class FieldSearch:
    """One query over one index, within a time.

    Args:
        connection: in autocommit mode, outside of a transaction.
        unique_on: the column of a text; of documents with the same value only the one with the lowest key is served.
        leaves: by the restriction, as the planner estimates it; without it, an ANN index is walked whatever is left.
        time_limit: of all searches by it together; what is found by then is the answer.
        assumed: what the first statement is to find unchanged, if it was not read for this search.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        index: RegisteredIndex,
        time_limit: TimeLimit,
        unique_on: str | None = None,
        restriction: Restriction = EVERYTHING,
        leaves: Leaves | None = None,
        assumed: Served | None = None,
    ) -> None:
        self._connection = connection
        self._index = index
        self._unique_on = unique_on
        self._restriction = restriction
        self._time_limit = time_limit
        self._leaves = leaves
        self._assumed = assumed

    def by_field(self, aim: Aim) -> Neighbours:
        """The documents above the threshold, `limit` at least where there are so many."""
        found = _NOTHING
        try:
            if aim.order is not None and self._is_worth_a_walk(aim.order, aim.limit):
                for found, is_enough in self._walks(aim, aim.order):
                    if is_enough:
                        return Neighbours(found.hits, complete=True)
            return Neighbours(self._look_at_all(aim).hits, complete=True)
        except OutOfTimeError:
            return Neighbours(found.hits, complete=False)

    def _is_worth_a_walk(self, order: AnnOrder, limit: int) -> bool:
        if self._leaves is None:
            return True
        wanted = limit if order.is_exact else _candidates(order, limit)
        met = _LOOKED_AT_PER_MET * max(wanted, _SMALLEST_EF_SEARCH)
        return self._leaves.documents**2 > met * self._leaves.of

    def _walks(self, aim: Aim, order: AnnOrder) -> Iterator[tuple[_Met, bool]]:
        """What is met along the ANN index, each time farther, and whether there can be no more that is wanted."""
        passages, candidates = aim.limit, _candidates(order, aim.limit)
        while candidates <= max(_MOST_CANDIDATES, _candidates(order, aim.limit)):
            met = self._meet(aim, order, passages, candidates)
            is_beyond = met.farthest_score <= aim.threshold and (order.is_exact or 2 * met.last_place <= candidates)
            is_all = met.passages < passages  # or as many as pgvector walks
            yield met, len(met.hits) >= aim.limit or (is_beyond and not is_all)
            if is_all:
                return
            if met.farthest_score > aim.threshold:
                passages *= _FARTHER  # several passages of a document
            # Else good ones were found until the last: there may be more behind.
            candidates *= _FARTHER

    def _look_at_all(self, aim: Aim) -> _Met:
        passages = aim.limit
        while True:
            met = self._meet(aim, None, passages, 0)
            if len(met.hits) >= aim.limit or met.passages < passages or met.farthest_score <= aim.threshold:
                return met
            passages *= _FARTHER

    def _meet(self, aim: Aim, order: AnnOrder | None, passages: int, candidates: int) -> _Met:
        rows = self.read(
            written_statement(self._index, self._unique_on, order, aim.field, self._restriction),
            {**self._restriction.parameters, "vector": aim.vector, "limit": passages, "candidates": candidates},
            order,
            passages if order is None or order.is_exact else candidates,
        )
        if not rows:
            return _NOTHING
        rendering = self._index.generation.rendering
        above = [row for row in rows if 1.0 - row[1] > aim.threshold]
        return _Met(
            tuple(_hit(rendering, aim.field, row, rank) for rank, row in enumerate(above, start=1)),
            passages=rows[0][5],
            farthest_score=1.0 - rows[0][6],
            last_place=max((row[7] for row in above), default=0),
        )

    def read(
        self, query: sql.Composed | bytes, parameters: Mapping[str, object], order: AnnOrder | None, wanted: int
    ) -> list[tuple[Any, ...]]:
        """The rows of a statement, in what is left of the time.

        Raises:
            OutOfTimeError: it was over before.
            ServedChangedError: what was assumed isn't so.
        """
        settings = scan_settings(order, wanted, filtered=self._restriction.condition is not None)
        if self._assumed is None:
            return self._time_limit.read(self._connection, query, parameters, settings)
        try:
            again, rows = self._time_limit.read_all(
                self._connection, [self._assumed.asking_again, (query, parameters)], settings
            )
        except OutOfTimeError as over:
            if not over.read:
                raise ServedChangedError from None  # not even that could be read
            self._assumed.refuse_if_changed(over.read[0])
            raise
        self._assumed.refuse_if_changed(again)
        self._assumed = None
        return rows


def _hit(rendering: Rendering, field: str, row: Sequence[Any], rank: int) -> Hit:
    key, distance, behind, start, end, _, _, _, metadata, *texts = row
    passage = None if behind else _passage(rendering, field, texts, start, end)
    score = 1.0 - distance
    served = dict(zip(rendering.names, texts, strict=True))
    return Hit(key, score, field, served, metadata, behind, passage, vector_score=score, vector_rank=rank)


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
