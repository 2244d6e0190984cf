"""Vectors of queries that were asked before, so that the same question is paid and waited for once.

Bounded by number and by age: a model may be exchanged under its name. Two that ask the same at the same moment share
one request. Neither the queries nor what a provider refuses is kept, only their digests and honest vectors.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from vector_pipeline.core.embedding.honesty import VectorSpaceLength
from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.search.nearest import QueryVector
from vector_pipeline.core.settings import QueryCacheSettings


@dataclass(frozen=True)
class QueryKey:
    """What a query's vector depends on: who embeds it, how long it is, and the text as it is sent, by its SHA-256."""

    embedded_by: Hashable
    length: VectorSpaceLength
    digest: bytes

    @classmethod
    def of(cls, embedded_by: Hashable, length: VectorSpaceLength, text: str) -> QueryKey:
        return cls(embedded_by, length, hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


@dataclass(frozen=True)
class QueryCacheCounts:
    """How often queries were asked for, since the cache was made.

    Attributes:
        hits: answered by what was kept.
        shared: answered by a request that was under way for somebody else.
        misses: asked of the provider.
        kept: vectors that are kept now.
    """

    hits: int
    shared: int
    misses: int
    kept: int


Outcome = QueryVector | VectorPipelineError
"""A vector, or why there is none for this query."""


class QueryCache:
    """Safe to use from several threads at once.

    Args:
        settings: `size` 0 keeps nothing; those who ask the same at the same moment share a request all the same.
        clock: in seconds.
    """

    def __init__(self, settings: QueryCacheSettings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings or QueryCacheSettings()
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[QueryKey, tuple[float, QueryVector]] = OrderedDict()
        self._under_way: dict[QueryKey, Future[Outcome]] = {}
        self._hits = self._shared = self._misses = 0

    @property
    def counts(self) -> QueryCacheCounts:
        with self._lock:
            return QueryCacheCounts(self._hits, self._shared, self._misses, len(self._kept))

    def keeps(self, key: QueryKey) -> bool:
        """Whether the vector is kept."""
        with self._lock:
            return key in self._kept and self._kept[key][0] > self._clock() - self.settings.seconds

    def vectors(
        self, keys: Sequence[QueryKey], embed: Callable[[Sequence[QueryKey]], Mapping[QueryKey, Outcome]]
    ) -> dict[QueryKey, Outcome]:
        """The vector of each key, read-only, or its error.

        Args:
            embed: gives an outcome for each of the keys that it is called with; called once at most, in this thread.
                A VectorPipelineError that it raises is the error of each of them, also for others that wait for them.
        """
        found, awaited, mine = self._look_up(keys)
        if mine:
            found |= self._embed(mine, embed)
        for key, future in awaited.items():
            outcome = future.result()
            if isinstance(outcome, _Interrupted):
                # Whoever asked was interrupted, which is none of our business.
                outcome = self.vectors([key], embed)[key]
            found[key] = outcome
        return found

    def _look_up(
        self, keys: Sequence[QueryKey]
    ) -> tuple[dict[QueryKey, Outcome], dict[QueryKey, Future[Outcome]], dict[QueryKey, Future[Outcome]]]:
        """What is kept, what is under way, and what is to be asked for by the caller."""
        found: dict[QueryKey, Outcome] = {}
        awaited: dict[QueryKey, Future[Outcome]] = {}
        mine: dict[QueryKey, Future[Outcome]] = {}
        with self._lock:
            youngest = self._clock() - self.settings.seconds
            for key in dict.fromkeys(keys):
                if key in self._kept and self._kept[key][0] > youngest:
                    self._kept.move_to_end(key)
                    found[key] = self._kept[key][1]
                    self._hits += 1
                elif key in self._under_way:
                    awaited[key] = self._under_way[key]
                    self._shared += 1
                else:
                    self._kept.pop(key, None)
                    mine[key] = self._under_way[key] = Future()
                    self._misses += 1
        return found, awaited, mine

    def _embed(
        self,
        mine: Mapping[QueryKey, Future[Outcome]],
        embed: Callable[[Sequence[QueryKey]], Mapping[QueryKey, Outcome]],
    ) -> dict[QueryKey, Outcome]:
        outcomes: dict[QueryKey, Outcome] = {key: _Interrupted() for key in mine}
        try:
            embedded = embed(list(mine))
            outcomes |= {key: _own(embedded[key]) for key in mine}
        except VectorPipelineError as error:
            outcomes = dict.fromkeys(mine, error)
        finally:
            self._settle(mine, outcomes)
        return outcomes

    def _settle(self, mine: Mapping[QueryKey, Future[Outcome]], outcomes: Mapping[QueryKey, Outcome]) -> None:
        with self._lock:
            now = self._clock()
            for key, outcome in outcomes.items():
                del self._under_way[key]
                if isinstance(outcome, np.ndarray):
                    self._kept[key] = now, outcome
            while len(self._kept) > self.settings.size:
                self._kept.popitem(last=False)
        for key, future in mine.items():
            future.set_result(outcomes[key])


class _Interrupted(VectorPipelineError):
    """The thread that asked has ended otherwise than by an answer."""


def _own(outcome: Outcome) -> Outcome:
    """A vector of its own, which keeps no batch alive, and which nobody changes."""
    if isinstance(outcome, VectorPipelineError):
        return outcome
    vector: QueryVector = outcome.copy()
    vector.flags.writeable = False
    return vector
