"""One index, searched: the way of a query from its words to documents. Needs PostgreSQL and the provider alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import psycopg

from vector_pipeline.core.search.answer import SearchAnswer
from vector_pipeline.core.search.by_fields import by_best_field, by_weighted_mean
from vector_pipeline.core.search.nearest import Aim, FieldSearch, Neighbours, QueryVector
from vector_pipeline.core.search.query_vector import ProvidersAsBuilt, embed_query
from vector_pipeline.core.search.request import SearchRequest, Wanted, resolve
from vector_pipeline.core.search.restricting import restrict
from vector_pipeline.core.search.served import Served, read_served
from vector_pipeline.core.search.statement import Restriction
from vector_pipeline.core.spec import IndexSpec

# Between two statements another generation may be switched to, and the one before it removed; once more in the time of
# a search is unheard of.
_ATTEMPTS = 3
_VANISHED = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)

_T = TypeVar("_T")


class Searcher:
    """Answers from what was built, also where the declaration asks for something else by now.

    Args:
        threshold: the environment's, for a declaration that has none.
        target: gives the connection to search on: in autocommit mode, and nobody else's while a search uses it.
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
        return _though_tables_vanish(lambda: self._search(request))

    def _search(self, request: SearchRequest) -> SearchAnswer:
        started = time.monotonic()
        target = self._target()
        served = read_served(target, self._spec.name, request.generation)
        wanted = resolve(request, served.index, self._spec.search, self._threshold)
        restriction = restrict(target, served.index, served.accepted, request.filter)
        vector = embed_query(self._providers.of(served.index, served.accepted), served.index, request.query)
        found = self._nearest(target, served, wanted, restriction, dict.fromkeys(wanted.fields, vector))
        return SearchAnswer(
            served.index.name,
            request.query,
            found.hits,
            wanted.limit,
            wanted.threshold,
            time.monotonic() - started,
            found.complete,
        )

    def _nearest(
        self,
        target: psycopg.Connection,
        served: Served,
        wanted: Wanted,
        restriction: Restriction,
        vectors: Mapping[str, QueryVector],
    ) -> Neighbours:
        """The documents near to the vector of each field."""
        unique_on = served.index.generation.column_of(served.accepted.document.unique_on)
        search = FieldSearch(target, served.index, unique_on, restriction, seconds=self._spec.search.seconds)
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
