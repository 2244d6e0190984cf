"""One index, searched: the way of a query from its words to documents. Needs PostgreSQL and the provider alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import psycopg

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.search.answer import SearchAnswer
from vector_pipeline.core.search.by_fields import by_best_field, by_weighted_mean
from vector_pipeline.core.search.by_mode import Found, WordSearch, by_both, by_words, candidates_for, reranked
from vector_pipeline.core.search.likeness import vectors_of_document
from vector_pipeline.core.search.nearest import Aim, FieldSearch, Leaves, Neighbours, QueryVector
from vector_pipeline.core.search.query_cache import Outcome, QueryCache
from vector_pipeline.core.search.query_vector import ProvidersAsBuilt, keeps_vector, query_vectors
from vector_pipeline.core.search.request import SearchRequest, SearchRequestError, SimilarRequest, Wanted, resolve
from vector_pipeline.core.search.restricting import restrict
from vector_pipeline.core.search.selectivity import Selectivity
from vector_pipeline.core.search.served import Served, ServedChangedError, read_served
from vector_pipeline.core.search.statement import Restriction
from vector_pipeline.core.search.time_limit import OutOfTimeError, TimeLimit
from vector_pipeline.core.search.timed import Timed
from vector_pipeline.core.search.unfilled import notes_of_unfilled
from vector_pipeline.core.spec import IndexSpec, TextSearchSpec

# Between two statements another generation may be switched to, and the one before it removed; once more in the time of
# a search is unheard of.
_ATTEMPTS = 3
_VANISHED = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)

_T = TypeVar("_T")

_Prepared = Mapping[tuple[int, str], Outcome]
"""Vectors, or what is wrong with them, by generation and query."""


class Searcher:
    """Answers from what was built, also where the declaration asks for something else by now.

    Args:
        threshold: the environment's, for a declaration that has none.
        target: gives the connection to search on: in autocommit mode, and nobody else's while a search uses it.
        cache: keeps the vectors of queries; may serve several searchers.
    """

    def __init__(
        self,
        spec: IndexSpec,
        threshold: float,
        target: Callable[[], psycopg.Connection],
        providers: ProvidersAsBuilt,
        cache: QueryCache,
    ) -> None:
        self._spec = spec
        self._threshold = threshold
        self._target = target
        self._providers = providers
        self._cache = cache
        self._selectivity = Selectivity()
        self._assumed: dict[bool, Served] = {}

    def search(self, request: SearchRequest) -> SearchAnswer:
        """The documents that fit the request best.

        Raises:
            SearchRequestError: the request can't be answered, whenever it is asked.
            NotYetSyncedError: there is no such index yet.
            ProviderError: the provider is down, and was needed.
        """
        return _though_tables_vanish(lambda: self._search(request, {}))

    def knows_vector_of(self, query: str) -> bool:
        """Whether a search for it would ask no provider, as far as can be told without asking PostgreSQL."""
        served = next(iter(tuple(self._assumed.values())), None)
        provider = None if served is None else self._providers.last_of(served.index, served.accepted)
        return served is not None and provider is not None and keeps_vector(self._cache, provider, served.index, query)

    def search_many(self, requests: Sequence[SearchRequest]) -> list[SearchAnswer | VectorPipelineError]:
        """An answer to each request, in their order, or what is wrong with it. All queries are embedded together, in as
        few requests to the provider as it allows."""
        prepared = self._prepare(requests)
        return [self._answer_or_error(request, prepared) for request in requests]

    def similar(self, request: SimilarRequest) -> SearchAnswer:
        """The documents nearest to one that is there, by its own vectors: no provider is asked. It isn't among them;
        others with the same texts are.

        Raises:
            SearchRequestError: there is no such document, it has no vector, or the request can't be answered otherwise.
            NotYetSyncedError: there is no such index yet.
        """
        return _though_tables_vanish(lambda: self._similar(request))

    def _search(self, request: SearchRequest, prepared: _Prepared) -> SearchAnswer:
        """Reads what is served in the same round trip as the documents, where that is likely to be what it was."""
        started = time.monotonic()
        filtered = request.filter is not None
        is_usual = request.generation is None and (request.mode or self._spec.search.mode) == "vector"
        assumed = self._assumed.get(filtered) if is_usual else None
        failure: Exception | None = None
        if assumed is not None:
            try:
                return self._answer(request, assumed, prepared, started)
            except Exception as error:
                self._assumed.pop(filtered, None)
                failure = error
        served = self._served(request.generation, filtered=filtered)
        # Whatever it was, a model that was down or numbers that don't fit, it may be of what isn't served any more.
        if failure is not None and served.is_as(assumed) and not isinstance(failure, ServedChangedError):
            raise failure
        answer = self._answer(request, served, prepared, started)
        if is_usual:
            self._assumed[filtered] = replace(served, is_assumed=True)
        return answer

    def _answer(self, request: SearchRequest, served: Served, prepared: _Prepared, started: float) -> SearchAnswer:
        target = self._target()
        wanted = resolve(request, served.index, self._spec.search, self._threshold)
        restriction = restrict(served, request.filter)
        deep = wanted if wanted.rerank is None else replace(wanted, limit=max(wanted.limit, wanted.rerank.candidates))
        vector = Timed(lambda: self._vector(served, request.query, prepared))
        found = self._found(target, served, deep, restriction, request.query, vector)
        reranking = 0.0
        if (rerank := wanted.rerank) is not None:
            ordering = Timed(lambda: reranked(found, rerank, request.query, wanted.limit))
            found, reranking = ordering(), ordering.seconds
        return SearchAnswer(
            served.index.name,
            request.query,
            found.hits,
            wanted.limit,
            wanted.threshold,
            time.monotonic() - started,
            found.complete,
            wanted.mode,
            found.reranked,
            found.notes if found.hits else (*found.notes, *notes_of_unfilled(target, served)),
            scale=served.scale,
            filtered=restriction.condition is not None,
            seconds_embedding=vector.seconds,
            seconds_reranking=reranking,
            generation=served.index.generation.number,
        )

    def _found(
        self,
        target: psycopg.Connection,
        served: Served,
        wanted: Wanted,
        restriction: Restriction,
        query: str,
        vector: Callable[[], QueryVector],
    ) -> Found:
        if wanted.mode == "vector":
            found = self._nearest(target, served, wanted, restriction, dict.fromkeys(wanted.fields, vector()))
            return Found(found.hits, found.complete)
        words = WordSearch(
            target,
            served.index,
            self._spec.search.text or TextSearchSpec(),
            query,
            wanted.fields,
            served.index.generation.column_of(served.accepted.document.unique_on),
            restriction,
            seconds=self._spec.search.seconds,
        )
        if wanted.mode == "text":
            return by_words(words, wanted.limit)
        deeper = replace(wanted, limit=candidates_for(wanted.limit))

        def near() -> Neighbours:
            given = vector()
            words.begin()
            return self._nearest(target, served, deeper, restriction, dict.fromkeys(deeper.fields, given))

        return by_both(words, near, wanted.limit, self._spec.search.hybrid)

    def _similar(self, request: SimilarRequest) -> SearchAnswer:
        started = time.monotonic()
        target = self._target()
        served = self._served(request.generation, filtered=request.filter is not None)
        wanted = resolve(request, served.index, self._spec.search, self._threshold)
        restriction = restrict(served, request.filter)
        time_limit = TimeLimit.within(self._spec.search.seconds)
        try:
            vectors = vectors_of_document(target, served.index, request.key, wanted.fields, time_limit)
            one_more = replace(wanted, limit=wanted.limit + 1)
            found = self._nearest(target, served, one_more, restriction, vectors, time_limit)
        except OutOfTimeError:
            found = Neighbours((), complete=False)
        others = (hit for hit in found.hits if hit.key != request.key)
        hits = tuple(replace(hit, vector_rank=rank) for rank, hit in enumerate(others, start=1))[: wanted.limit]
        return SearchAnswer(
            served.index.name,
            "",
            hits,
            wanted.limit,
            wanted.threshold,
            time.monotonic() - started,
            found.complete,
            scale=served.scale,
            filtered=restriction.condition is not None,
            like=request.key,
            generation=served.index.generation.number,
        )

    def _vector(self, served: Served, query: str, prepared: _Prepared) -> QueryVector:
        found = prepared.get((served.index.generation.number, query))
        if found is None:
            provider = self._providers.of(served.index, served.accepted)
            [found] = query_vectors(self._cache, provider, served.index, [query])
        if isinstance(found, VectorPipelineError):
            raise found
        return found

    def _served(self, generation: int | None, *, filtered: bool) -> Served:
        return read_served(self._target(), self._spec.name, generation, self._spec.search.seconds, filtered=filtered)

    def _prepare(self, requests: Sequence[SearchRequest]) -> _Prepared:
        """The vectors that these requests need. What can't be answered for another reason shows in its turn."""
        prepared: dict[tuple[int, str], Outcome] = {}
        for generation in {request.generation for request in requests}:
            try:
                served = self._served(generation, filtered=True)
            except VectorPipelineError:
                continue
            queries = [
                request.query
                for request in requests
                if request.generation == generation and self._needs_a_vector(request, served)
            ]
            if not queries:
                continue
            try:
                provider = self._providers.of(served.index, served.accepted)
                outcomes = query_vectors(self._cache, provider, served.index, queries)
            except VectorPipelineError as error:
                outcomes = [error] * len(queries)
            number = served.index.generation.number
            prepared |= {(number, query): outcome for query, outcome in zip(queries, outcomes, strict=True)}
        return prepared

    def _needs_a_vector(self, request: SearchRequest, served: Served) -> bool:
        try:
            restrict(served, request.filter)
            return resolve(request, served.index, self._spec.search, self._threshold).mode != "text"
        except SearchRequestError:
            return False

    def _answer_or_error(self, request: SearchRequest, prepared: _Prepared) -> SearchAnswer | VectorPipelineError:
        try:
            return _though_tables_vanish(lambda: self._search(request, prepared))
        except VectorPipelineError as error:
            return error

    def _nearest(
        self,
        target: psycopg.Connection,
        served: Served,
        wanted: Wanted,
        restriction: Restriction,
        vectors: Mapping[str, QueryVector],
        time_limit: TimeLimit | None = None,
    ) -> Neighbours:
        """The documents near to the vector of each field."""
        time_limit = time_limit or TimeLimit.within(self._spec.search.seconds)
        unique_on = served.index.generation.column_of(served.accepted.document.unique_on)
        leaves = None
        if restriction.condition is not None and served.orders:
            try:
                documents = self._selectivity.documents_left(target, served.index, restriction, time_limit)
            except OutOfTimeError:
                return Neighbours((), complete=False)
            leaves = Leaves(documents, served.documents)
        assumed = served if served.is_assumed else None
        search = FieldSearch(target, served.index, time_limit, unique_on, restriction, leaves, assumed)
        aims = [
            Aim(field, vector, served.orders.get(field), wanted.limit, wanted.threshold)
            for field, vector in vectors.items()
        ]
        if wanted.weights is None:
            return by_best_field(search, aims)
        return by_weighted_mean(search, served.index, aims, wanted.weights)


def _though_tables_vanish(search: Callable[[], _T]) -> _T:
    for _ in range(_ATTEMPTS - 1):
        try:
            return search()
        except _VANISHED:
            continue
    return search()
