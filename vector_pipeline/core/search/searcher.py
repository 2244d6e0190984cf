"""One index, searched: the way of a query from its words to documents. Needs PostgreSQL and the provider alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from vector_pipeline.core.errors import NotYetSyncedError
from vector_pipeline.core.search.answer import SearchAnswer
from vector_pipeline.core.search.nearest import nearest
from vector_pipeline.core.search.query_vector import ProvidersAsBuilt, embed_query
from vector_pipeline.core.search.request import SearchRequest, SearchRequestError, resolve
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import registry
from vector_pipeline.core.store.ann_index import present_orders
from vector_pipeline.core.store.registry import RegisteredIndex


class Searcher:
    """Answers from what was built, also where the declaration asks for something else by now.

    Args:
        threshold: the environment's, for a declaration that has none.
        target: gives the connection to search on.
    """

    def __init__(
        self,
        spec: IndexSpec,
        threshold: float,
        target: Callable[[], psycopg.Connection],
        providers: ProvidersAsBuilt,
    ) -> None:
        self._spec = spec
        self._threshold = threshold
        self._target = target
        self._providers = providers

    def search(self, request: SearchRequest) -> SearchAnswer:
        """The documents that fit the request best.

        Raises:
            SearchRequestError: the request can't be answered, whenever it is asked.
            NotYetSyncedError: there is no such index yet.
            ProviderError: the provider is down.
        """
        try:
            return self._answer(request)
        except psycopg.errors.UndefinedTable:
            # Between two statements another generation was switched to, and the one before it removed.
            return self._answer(request)

    def _answer(self, request: SearchRequest) -> SearchAnswer:
        started = time.monotonic()
        target = self._target()
        index = self._index(target, request.generation)
        accepted = registry.accepted_declaration(target, index)
        wanted = resolve(request, index, self._spec.search, self._threshold)
        vector = embed_query(self._providers.of(index, accepted), index, wanted.query)
        found = nearest(
            target,
            index,
            present_orders(target, index),
            vector,
            wanted.fields,
            wanted.limit,
            wanted.threshold,
            unique_on=index.generation.column_of(accepted.document.unique_on),
            seconds=self._spec.search.seconds,
        )
        return SearchAnswer(
            index.name,
            wanted.query,
            found.hits,
            wanted.limit,
            wanted.threshold,
            time.monotonic() - started,
            found.complete,
        )

    def _index(self, target: psycopg.Connection, generation: int | None) -> RegisteredIndex:
        """The index by the generation of that number, or by the served one."""
        registered = registry.load(target, self._spec.name)
        if registered is None:
            raise NotYetSyncedError(
                f"index {self._spec.name!r} is not in PostgreSQL yet; run: vector-pipeline sync {self._spec.name}"
            )
        if generation is None or generation == registered.generation.number:
            return registered
        found = registry.load_generation(target, registered, generation)
        if found is None:
            raise SearchRequestError(
                f"index {registered.name!r} has no generation {generation}; see: vector-pipeline generations "
                f"{registered.name}"
            )
        return found
