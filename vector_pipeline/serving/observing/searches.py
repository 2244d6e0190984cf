"""A search as it is measured: what came of it, and what its parts have taken."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vector_pipeline.core.errors import SearchRequestError
from vector_pipeline.core.search import SearchAnswer
from vector_pipeline.serving.observing import metrics
from vector_pipeline.serving.observing.request import note_search
from vector_pipeline.serving.threads import seconds_in_line


class ObservedSearch:
    """One search, or several over one connection."""

    def __init__(self, index: str, mode: str) -> None:
        self._index = index
        self._mode = mode
        self._waited = seconds_in_line()
        self._outcomes = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within it, a connection is waited for."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._waited += time.perf_counter() - started

    def note(self, outcomes: Sequence[object]) -> None:
        """What came of it: answers, or errors instead of them."""
        for outcome in outcomes:
            self._outcomes += 1
            if isinstance(outcome, SearchAnswer):
                self._note_answer(outcome)
            elif isinstance(outcome, BaseException):
                self._count(self._mode, "refused" if isinstance(outcome, SearchRequestError) else "failed")

    def _note_answer(self, answer: SearchAnswer) -> None:
        mode = "similar" if answer.like is not None else answer.mode
        self._count(mode, "answered")
        parts = {
            "waiting": self._waited,
            "embedding": answer.seconds_embedding,
            "postgresql": max(0.0, answer.seconds - answer.seconds_embedding - answer.seconds_reranking),
        }
        if answer.reranked:
            parts["reranking"] = answer.seconds_reranking
        for part, seconds in parts.items():
            metrics.SEARCH_SECONDS.labels(self._index, mode, part).observe(seconds)

    def _count(self, mode: str, outcome: str) -> None:
        metrics.SEARCHES.labels(self._index, mode, outcome).inc()


@contextmanager
def observed_search(index: str, mode: str, queries: Sequence[str]) -> Iterator[ObservedSearch]:
    """Measures a search of a declared index.

    Args:
        mode: what is asked for, to count those by that have no answer.
    """
    for query in queries or [""]:
        note_search(index, query)
    search = ObservedSearch(index, mode)
    try:
        yield search
    except Exception as error:
        search.note([error])
        raise
