"""Searching an index, keeping it good to search, and measuring how good it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from vector_pipeline.core import (
    generations,
)
from vector_pipeline.core.errors import (
    GenerationError,
    VectorPipelineError,
)
from vector_pipeline.core.index.opened import in_our_words
from vector_pipeline.core.index.synced import SyncedIndex
from vector_pipeline.core.quality import GoldenStanding, Quality, to_be_compared
from vector_pipeline.core.reports import (
    RangeState,
    SearchIndexReport,
)
from vector_pipeline.core.search import SearchAnswer
from vector_pipeline.core.search.ann_recall import SAMPLES, SECONDS, RecallReport
from vector_pipeline.core.search.filters import Filter
from vector_pipeline.core.search.golden_run import Answer, GoldenComparison, GoldenReport
from vector_pipeline.core.search.query_cache import QueryCacheCounts
from vector_pipeline.core.search.request import FieldChoice, SearchRequest, SearchRequestError, SimilarRequest
from vector_pipeline.core.search.searcher import Searcher
from vector_pipeline.core.search_index import refresh_search_index, search_index_is_as_declared, search_index_is_due
from vector_pipeline.core.spec import SearchMode
from vector_pipeline.core.store.ann_building import BuildProgress


class SearchedIndex(SyncedIndex):
    """Its search."""

    @in_our_words
    def refresh_search_index(
        self, on_build_progress: Callable[[BuildProgress], None] | None = None
    ) -> SearchIndexReport:
        """Retires vectors that serve nothing, removes generations that were kept for long enough, builds ANN indexes
        worth having, renews view and statistics."""
        served = self._ready()
        change = generations.declared_change(self._target, served, self.spec, self._wanted)
        return refresh_search_index(
            self._target, served, self._plan, self.spec, change, self._observer(on_build_progress)
        )

    @in_our_words
    def search_index_is_due(self, states: Sequence[RangeState] | None = None) -> bool:
        """The first load is complete, or a tenth of the vectors has changed, or the last refresh is a day old."""
        return search_index_is_due(self._target, self._registered, self.ranges() if states is None else states)

    @in_our_words
    def search_index_is_as_declared(self) -> bool:
        """Nothing of the declaration asks for other indexes than at the last refresh. For who has just read it: what a
        sensor knows of it may be older than what a run does."""
        return search_index_is_as_declared(self._target, self._registered, self.spec)

    @in_our_words
    def search(
        self,
        query: str,
        *,
        limit: int | None = None,
        threshold: float | None = None,
        field: FieldChoice | None = None,
        generation: int | None = None,
        filter: Filter | Mapping[str, Any] | None = None,
        mode: SearchMode | None = None,
        rerank: bool | None = None,
    ) -> SearchAnswer:
        """The best documents; what is left out comes from the declaration, then from the environment.

        Answers from what was built, also where the declaration asks for something else by now.

        Args:
            field: its name; `best`, or several names: each document by its best one of them; or weights by name: each
                by the weighted mean of the scores of those that it has.
            generation: the one to search, by its number; the served one if left out.
            filter: conditions on metadata, such as `{"category": "health"}`; see `core.search.filters`.
            mode: `vector`, `text` (by words; asks no provider) or `hybrid` (both).
            rerank: whether the declared reranker orders the hits; it does if left out.
        """
        return self.answer(SearchRequest(query, limit, threshold, field, generation, filter, mode, rerank))

    @in_our_words
    def answer(self, request: SearchRequest) -> SearchAnswer:
        """The same for a request that was put together elsewhere."""
        return self._searcher.search(request)

    @in_our_words
    def search_many(self, requests: Sequence[SearchRequest]) -> list[SearchAnswer | VectorPipelineError]:
        """An answer to each request, in their order, or what is wrong with it. All queries are embedded together, in as
        few requests to the provider as it allows."""
        return self._searcher.search_many(requests)

    @in_our_words
    def similar(
        self,
        key: str,
        *,
        limit: int | None = None,
        threshold: float | None = None,
        field: FieldChoice | None = None,
        generation: int | None = None,
        filter: Filter | Mapping[str, Any] | None = None,
    ) -> SearchAnswer:
        """The documents nearest to the one with that key, by its own vectors: no provider is asked. It isn't among
        them; others with the same texts are. By each field its vector is compared with the others' by that field, for
        several passages their mean.

        Raises:
            SearchRequestError: there is no such document, or it has no vector.
        """
        return self._searcher.similar(SimilarRequest(key, limit, threshold, field, generation, filter))

    @property
    def query_cache(self) -> QueryCacheCounts:
        """How often vectors of queries were found, asked for and kept."""
        return self._query_cache.counts

    @cached_property
    def _searcher(self) -> Searcher:
        return Searcher(
            self.spec, self._settings.similarity_threshold, lambda: self._target, self._providers, self._query_cache
        )

    @in_our_words
    def measure_recall(self, *, samples: int = SAMPLES, seconds: float = SECONDS) -> RecallReport:
        """Compares what the ANN indexes find with exact search, on stored vectors. Asks no provider.

        Args:
            samples: vectors of a field, at most.
            seconds: the longest that it takes, about.
        """
        return self._quality.recall(self._registered, samples, seconds)

    @in_our_words
    def ask_golden_set(self, mode: SearchMode | None = None) -> GoldenReport:
        """Asks the declared golden set, and judges the answers.

        Args:
            mode: in which to search; the declared one if left out, for which alone the declared floors hold.

        Raises:
            GoldenSetError: none is declared, or it can't be used.
            ProviderError: the provider is down.
        """
        return self._quality.golden(self._registered, mode)

    @in_our_words
    def compare_generations(
        self, before: int | None = None, after: int | None = None, mode: SearchMode | None = None
    ) -> GoldenComparison:
        """Asks the declared golden set of two generations.

        Args:
            before, after: their numbers; if left out, the served one and the one being built, or, where none is, the
                one that was served before and the served one.
            mode: as `ask_golden_set`.

        Raises:
            GenerationError: there are no two.
            GoldenSetError, ProviderError: as `ask_golden_set`.
        """
        return self._quality.compare(*to_be_compared(self._target, self._registered, before, after), mode)

    @in_our_words
    def golden_standing(self) -> GoldenStanding | None:
        """How the generation being built compares with the served one, or where none is, the served one with the one
        before it, by the last figures; None where there are none. Asks nothing."""
        if self.spec.search.golden_set is None:
            return None
        try:
            return self._quality.standing(*to_be_compared(self._target, self._registered, None, None))
        except GenerationError:
            return None

    @cached_property
    def _quality(self) -> Quality:
        return Quality(self.spec, self._folder, lambda: self._target, self._ask)

    def _ask(self, requests: Sequence[SearchRequest]) -> list[Answer]:
        answers: list[Answer] = []
        for answer in self._searcher.search_many(requests):
            if isinstance(answer, VectorPipelineError) and not isinstance(answer, SearchRequestError):
                raise answer
            answers.append(answer)
        return answers
