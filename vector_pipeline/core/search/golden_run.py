"""A golden set asked of an index, as search is declared for it: how good its answers are, by one generation and by
another.

No vector of a question is kept for the next time: a hundred of them are some two thousand tokens, far less than a
cent, and an answer by kept ones would not tell that the provider gives others by now. The threshold is left aside,
since these are measures of the order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from vector_pipeline.core.counted import counted
from vector_pipeline.core.search.answer import SearchAnswer
from vector_pipeline.core.search.golden_set import GoldenSet
from vector_pipeline.core.search.relevance import DEPTH, Relevance, judge, mean
from vector_pipeline.core.search.request import SearchRequest, SearchRequestError
from vector_pipeline.core.spec import GoldenFloorSpec, SearchMode
from vector_pipeline.core.store.registry import RegisteredIndex

Answer = SearchAnswer | SearchRequestError
Ask = Callable[[Sequence[SearchRequest]], Sequence[Answer]]
"""Answers each of several requests, or says why it can't be answered."""

_LEAST_SCORE = -1.0
_MOST_NAMED = 5


@dataclass(frozen=True)
class JudgedQuery:
    """One question: what was to be found, what was, and how good that is. `problem` is why nothing was asked."""

    query: str
    relevant: tuple[str, ...]
    found: tuple[str, ...]
    relevance: Relevance
    problem: str | None = None


@dataclass(frozen=True)
class GoldenReport:
    """A golden set asked of a generation.

    Attributes:
        mode: by what was searched.
        fingerprint: that of the golden set; figures of different ones can't be compared.
        missing_keys: of documents that are to be found and that the index hasn't got: they count as not found.
        below: the measures that are below their declared floors, in words.
    """

    index: str
    generation: int
    model: str
    mode: SearchMode
    golden_set: str
    fingerprint: str
    queries: tuple[JudgedQuery, ...]
    relevance: Relevance
    missing_keys: tuple[str, ...]
    below: tuple[str, ...]
    seconds: float

    @property
    def missed(self) -> tuple[JudgedQuery, ...]:
        """The questions of which nothing relevant was found among the first ten."""
        return tuple(one for one in self.queries if one.relevance.recall_at_10 == 0)


@dataclass(frozen=True)
class GoldenComparison:
    """The same golden set asked of two generations: the one `before`, and the one `after` it."""

    before: GoldenReport
    after: GoldenReport

    @property
    def better(self) -> tuple[tuple[JudgedQuery, JudgedQuery], ...]:
        """The questions that are answered better by the later one, before and after."""
        return self._where(lambda before, after: after > before)

    @property
    def worse(self) -> tuple[tuple[JudgedQuery, JudgedQuery], ...]:
        return self._where(lambda before, after: after < before)

    def _where(self, changed: Callable[[float, float], bool]) -> tuple[tuple[JudgedQuery, JudgedQuery], ...]:
        return tuple(
            (before, after)
            for before, after in zip(self.before.queries, self.after.queries, strict=True)
            if changed(before.relevance.ndcg_at_10, after.relevance.ndcg_at_10)
        )


def describe_golden(report: GoldenReport) -> str:
    """In a sentence or two, for people."""
    found = report.relevance
    told = (
        f"nDCG@10 {found.ndcg_at_10:.2f}, recall@5 {found.recall_at_5:.2f}, MRR {found.mrr:.2f} "
        f"on {counted(len(report.queries), 'query', 'queries')}, mode {report.mode}"
    )
    if report.below:
        told += f": {'; '.join(report.below)}"
    if report.missing_keys:
        named = ", ".join(map(repr, report.missing_keys[:_MOST_NAMED]))
        missing = counted(
            len(report.missing_keys),
            "key of it is not in the index, and counts as not found",
            "keys of it are not in the index, and count as not found",
        )
        told += f". {missing}: {named}"
    return told


def describe_comparison(comparison: GoldenComparison) -> str:
    """In a sentence, for people: "new model: nDCG@10 0.71 → 0.78 on 122 queries (20 better, 8 worse)"."""
    before, after = comparison.before, comparison.after
    what = "new model" if before.model != after.model else "new generation"
    return (
        f"{what}: {describe_change(before.relevance, after.relevance, len(before.queries))} "
        f"({len(comparison.better)} better, {len(comparison.worse)} worse)"
    )


def describe_change(before: Relevance, after: Relevance, queries: int) -> str:
    return f"nDCG@10 {before.ndcg_at_10:.2f} → {after.ndcg_at_10:.2f} on {counted(queries, 'query', 'queries')}"


def ask_golden_set(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    golden_set: GoldenSet,
    mode: SearchMode,
    floor: GoldenFloorSpec,
    ask: Ask,
) -> GoldenReport:
    """Asks every question of a generation in a mode, and judges the answers.

    Raises:
        ProviderError: the provider is down.
    """
    started = time.monotonic()
    number = index.generation.number
    requests = [
        SearchRequest(one.query, limit=DEPTH, threshold=_LEAST_SCORE, generation=number, mode=mode)
        for one in golden_set.queries
    ]
    judged = []
    for query, answer in zip(golden_set.queries, ask(requests), strict=True):
        failed = isinstance(answer, SearchRequestError)
        found = () if isinstance(answer, SearchRequestError) else tuple(hit.key for hit in answer.hits)
        relevant = tuple(key for key, grade in query.grades.items() if grade > 0)
        problem = str(answer) if failed else None
        judged.append(JudgedQuery(query.query, relevant, found, judge(found, query.grades), problem))
    relevance = mean([one.relevance for one in judged])
    return GoldenReport(
        index=index.name,
        generation=number,
        model=index.generation.space.model,
        mode=mode,
        golden_set=golden_set.path.name,
        fingerprint=golden_set.fingerprint,
        queries=tuple(judged),
        relevance=relevance,
        missing_keys=_missing(connection, index, golden_set),
        below=below_floor(relevance, floor),
        seconds=time.monotonic() - started,
    )


def below_floor(relevance: Relevance, floor: GoldenFloorSpec) -> tuple[str, ...]:
    """The measures that are below their floors, in words."""
    floors = floor.model_dump(exclude_none=True)
    return tuple(
        f"{name} is {value:.3f}, below {floors[name]:g}"
        for name, value in relevance.items()
        if name in floors and value < floors[name]
    )


def _missing(connection: psycopg.Connection, index: RegisteredIndex, golden_set: GoldenSet) -> tuple[str, ...]:
    rows = connection.execute(
        sql.SQL(
            "SELECT wanted FROM unnest(%s::text[]) AS wanted WHERE NOT EXISTS (SELECT FROM {} d WHERE d.key = wanted)"
        ).format(sql.Identifier(index.schema, "documents")),
        (sorted(golden_set.keys),),
    ).fetchall()
    return tuple(row[0] for row in rows)
