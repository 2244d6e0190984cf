"""One query over several indexes: their hits as one list.

Where the vectors of indexes are of one model, their scores can be compared, and the better one comes first. Scores of
different models can't, whatever is done to them: these lists are merged by reciprocal rank (Cormack, Clarke and
Büttcher, SIGIR 2009), the best of each model first. An index that fails leaves the others their answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.search.answer import Hit, SearchAnswer
from vector_pipeline.core.search.request import SearchRequest
from vector_pipeline.core.settings import QueryCacheSettings

_AT_ONCE = 8
# The constant of the paper: it keeps the first places from outweighing all others.
_RANK_OFFSET = 60

MergedBy = Literal["score", "rank"]


class Answering(Protocol):
    """An index that answers. It may fail when it is asked, with what kept it from being opened."""

    def __call__(self, request: SearchRequest) -> SearchAnswer:
        """The answer, or a VectorPipelineError."""


class EveryIndexFailedError(VectorPipelineError):
    """None of the indexes answered; the message says of each why."""


@dataclass(frozen=True)
class IndexHit:
    """A hit and the index that it is of. `merged_score` is what all hits are ordered by: the hit's own score, or
    where models differ the reciprocal rank."""

    index: str
    merged_score: float
    hit: Hit


@dataclass(frozen=True)
class IndexFailure:
    """An index that gave no answer, and why."""

    index: str
    reason: str


@dataclass(frozen=True)
class ManyAnswer:
    """The hits of several indexes, best first.

    Attributes:
        merged_by: `score` where all are on one scale, else `rank`.
        answered: the indexes that gave an answer, be it an empty one.
        failures: those that gave none.
        complete: false where the time of an index was over, or one failed.
        notes: those of the answers, each with its index in front.
        filtered: only documents that pass a filter were looked for.
    """

    query: str
    hits: tuple[IndexHit, ...]
    merged_by: MergedBy
    answered: tuple[str, ...]
    failures: tuple[IndexFailure, ...]
    seconds: float
    complete: bool
    notes: tuple[str, ...] = ()
    filtered: bool = False


def search_across(indexes: Mapping[str, Answering], request: SearchRequest) -> ManyAnswer:
    """The best hits of all of the indexes, `limit` of them at most: that of the request, else the largest that one
    declares. A threshold that the request leaves out is that of each index.

    Indexes are asked side by side, each in a thread of its own. They should share a `QueryCache` that keeps something:
    then a query is embedded once for all that have the same model and prefix.

    Raises:
        EveryIndexFailedError: none has answered.
    """
    started = time.monotonic()
    with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(indexes))), "search") as threads:
        outcomes = list(threads.map(lambda ask: _outcome(ask, request), indexes.values()))
    named = list(zip(indexes, outcomes, strict=True))
    answers = {name: outcome for name, outcome in named if isinstance(outcome, SearchAnswer)}
    failures = tuple(IndexFailure(name, str(found)) for name, found in named if not isinstance(found, SearchAnswer))
    if not answers:
        raise EveryIndexFailedError(
            "\n".join(f"{failure.index}: {failure.reason}" for failure in failures) or "no index was named to search"
        )
    lists = list(_by_scale(answers).values())
    merged_by: MergedBy = "score" if len(lists) == 1 else "rank"
    hits = lists[0] if len(lists) == 1 else _by_rank(lists)
    limit = max(answer.limit for answer in answers.values()) if request.limit is None else request.limit
    return ManyAnswer(
        request.query,
        tuple(hits[:limit]),
        merged_by,
        tuple(answers),
        failures,
        time.monotonic() - started,
        not failures and all(answer.complete for answer in answers.values()),
        tuple(f"{name}: {note}" for name, answer in answers.items() for note in answer.notes),
        any(answer.filtered for answer in answers.values()),
    )


def cache_for(settings: QueryCacheSettings, indexes: int) -> QueryCacheSettings:
    """Settings of a cache that several indexes share for one search: it keeps that search's queries at least."""
    return QueryCacheSettings(max(settings.size, indexes), settings.seconds)


def _outcome(ask: Answering, request: SearchRequest) -> SearchAnswer | VectorPipelineError:
    try:
        return ask(request)
    except VectorPipelineError as error:
        return error


def _by_scale(answers: Mapping[str, SearchAnswer]) -> dict[str, list[IndexHit]]:
    """The hits of indexes whose scores can be compared, the best first, by what these are on."""
    lists: dict[str, list[IndexHit]] = {}
    for name, answer in answers.items():
        comparable = answer.mode == "vector" and not answer.reranked and answer.scale
        scale = answer.scale if comparable else f"{name} alone"
        lists.setdefault(scale, []).extend(IndexHit(name, hit.score, hit) for hit in answer.hits)
    for hits in lists.values():
        hits.sort(key=lambda found: -found.merged_score)
    return lists


def _by_rank(lists: Sequence[Sequence[IndexHit]]) -> list[IndexHit]:
    ranked = [
        IndexHit(found.index, 1 / (_RANK_OFFSET + rank), found.hit)
        for hits in lists
        for rank, found in enumerate(hits, start=1)
    ]
    return sorted(ranked, key=lambda found: -found.merged_score)
