"""How much of what exact search finds the ANN index finds, and how long both take: measured on stored vectors.

A few of them are asked for as if they were queries. The documents that such a vector serves itself are left out of both
answers, since a vector finds itself by any index; what is left is still found a little more easily than by a question
that was never stored, so a golden set says more about answers, and this about the index. It needs no provider.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import psycopg
from psycopg import sql

from vector_pipeline.core.search.answer import Hit
from vector_pipeline.core.search.nearest import Aim, FieldSearch, QueryVector
from vector_pipeline.core.search.time_limit import TimeLimit
from vector_pipeline.core.store.ann_index import EXACT, present_orders
from vector_pipeline.core.store.ann_method import AnnOrder
from vector_pipeline.core.store.registry import RegisteredIndex

DEPTH = 10
SAMPLES = 50
SECONDS = 30.0
"""The longest that a measurement takes, about."""
# The same vectors each time, as long as they are stored: a plot shows the index's changes, not the sample's.
_SEED = 20_240_229
# What a vector serves is found and then left out: of a text that very many rows have, that would cost too much.
_MOST_OF_ITS_OWN = 40
# Distances of one vector computed along two plans may differ in their last digits.
_AS_GOOD = 1e-6
_LOWEST_SCORE = -2.0


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a search within PostgreSQL."""

    median: float
    p95: float


@dataclass(frozen=True)
class FieldRecall:
    """One field. `method` is that of its ANN index; for one that is searched exactly there is nothing to measure, and
    the rest is None, as where exact search itself was not done in time (`samples` 0)."""

    field: str
    method: str
    samples: int
    recall: float | None
    ann: Latency | None
    exact: Latency | None

    @property
    def is_exact(self) -> bool:
        return self.method == EXACT


@dataclass(frozen=True)
class RecallReport:
    """Recall@10 of each field of a generation. `floor` is the least that is declared to be good enough."""

    index: str
    generation: int
    floor: float
    fields: tuple[FieldRecall, ...]
    seconds: float

    @property
    def measured(self) -> tuple[FieldRecall, ...]:
        return tuple(one for one in self.fields if one.recall is not None)

    @property
    def below(self) -> tuple[FieldRecall, ...]:
        """The fields whose ANN index finds too little."""
        return tuple(one for one in self.measured if one.recall is not None and one.recall < self.floor)


def describe_recall(report: RecallReport) -> str:
    """In a line for each field, for people."""
    return "\n".join(_describe(report, one) for one in report.fields)


def _describe(report: RecallReport, one: FieldRecall) -> str:
    if one.is_exact:
        return f"{one.field}: searched exactly, which misses nothing"
    if one.recall is None or one.ann is None or one.exact is None:
        return f"{one.field}: not measured, since exact search found nothing to compare with in time"
    below = f": below {report.floor:g}" if one in report.below else ""
    return (
        f"{one.field}: recall@{DEPTH} {one.recall:.3f} by {one.method} on {one.samples} samples, "
        f"{one.ann.median:.1f} ms against {one.exact.median:.1f} ms exactly{below}"
    )


def measure_recall(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    floor: float,
    *,
    unique_on: str | None = None,
    samples: int = SAMPLES,
    seconds: float = SECONDS,
    search_seconds: float = 10.0,
) -> RecallReport:
    """Compares the ANN path of each field with exact search.

    Args:
        unique_on: the column of a text; of documents with the same value only one is served.
        samples: vectors of a field, at most; fewer if the time is over.
        search_seconds: the longest that one search may take.
    """
    started = time.monotonic()
    orders = present_orders(connection, index)
    fields = index.generation.rendering.fields
    found = []
    for place, field in enumerate(fields, start=1):
        order = orders.get(field)
        if order is None:
            found.append(FieldRecall(field, EXACT, 0, None, None, None))
            continue
        until = started + seconds * place / len(fields)
        found.append(_Field(connection, index, field, order, unique_on, search_seconds).measure(samples, until))
    return RecallReport(index.name, index.generation.number, floor, tuple(found), time.monotonic() - started)


@dataclass(frozen=True)
class _Sample:
    """A stored vector, and the documents that it serves itself."""

    vector: QueryVector
    own: frozenset[str]


@dataclass(frozen=True)
class _Field:
    """One field with an ANN index."""

    connection: psycopg.Connection
    index: RegisteredIndex
    name: str
    order: AnnOrder
    unique_on: str | None
    search_seconds: float

    def measure(self, samples: int, until: float) -> FieldRecall:
        """Compares as many samples as the time allows; the first one is tried in any case."""
        recalls: list[float] = []
        ann: list[float] = []
        exact: list[float] = []
        for place, sample in enumerate(self._samples(samples)):
            if place > 0 and time.monotonic() >= until:
                break
            # The ANN index first: whatever of the vectors isn't in memory yet is to its cost.
            along, along_seconds, _ = self._search(sample, self.order, self.search_seconds)
            best, best_seconds, complete = self._search(sample, None, max(SECONDS, self.search_seconds))
            if complete and best:
                recalls.append(_recall(along, best))
                ann.append(along_seconds)
                exact.append(best_seconds)
        if not recalls:
            return FieldRecall(self.name, str(self.order), 0, None, None, None)
        return FieldRecall(self.name, str(self.order), len(recalls), fmean(recalls), latency(ann), latency(exact))

    def _search(self, sample: _Sample, order: AnnOrder | None, within: float) -> tuple[list[Hit], float, bool]:
        """The ten nearest documents but its own, the seconds that it took, and whether these are surely all."""
        started = time.monotonic()
        search = FieldSearch(self.connection, self.index, TimeLimit.within(within), self.unique_on)
        found = search.by_field(Aim(self.name, sample.vector, order, DEPTH + len(sample.own), _LOWEST_SCORE))
        seconds = time.monotonic() - started
        return [hit for hit in found.hits if hit.key not in sample.own][:DEPTH], seconds, found.complete

    def _samples(self, count: int) -> list[_Sample]:
        """Vectors at random places among the hashes, which are spread evenly: one look into the key's index each."""
        places = np.random.default_rng(_SEED)
        vectors = self.connection.execute(
            sql.SQL(
                """
                SELECT DISTINCT ON (found.content_hash) found.content_hash, found.embedding
                FROM unnest(%(places)s::bytea[]) AS place
                CROSS JOIN LATERAL (
                    SELECT v.content_hash, v.embedding::vector AS embedding
                    FROM {} v
                    WHERE v.field = %(field)s AND v.content_hash >= place
                    ORDER BY v.content_hash
                    LIMIT 1) found
                """
            ).format(sql.Identifier(self.index.schema, self.index.vectors)),
            {"places": [places.bytes(32) for _ in range(count)], "field": self.name},
        ).fetchall()
        own: dict[bytes, frozenset[str]] = {
            content_hash: frozenset(keys)
            for content_hash, keys in self.connection.execute(
                sql.SQL(
                    """
                    SELECT served_hash, array_agg(DISTINCT key)
                    FROM {}
                    WHERE field = %s AND served_hash = ANY(%s)
                    GROUP BY served_hash
                    """
                ).format(sql.Identifier(self.index.schema, self.index.passages)),
                (self.name, [content_hash for content_hash, _ in vectors]),
            )
        }
        found = [_Sample(vector, own.get(content_hash, frozenset())) for content_hash, vector in vectors]
        return [sample for sample in found if len(sample.own) <= _MOST_OF_ITS_OWN]


def _recall(along: Sequence[Hit], best: Sequence[Hit]) -> float:
    """The share of the best places that are filled as well: of documents that are equally near, any will do."""
    worst = min(hit.score for hit in best)
    return min(len(best), sum(hit.score >= worst - _AS_GOOD for hit in along)) / len(best)


def latency(seconds: Sequence[float]) -> Latency:
    """Median and 95th percentile of some durations, at least one."""
    median, p95 = np.percentile(np.asarray(seconds) * 1000, (50, 95))
    return Latency(float(median), float(p95))
