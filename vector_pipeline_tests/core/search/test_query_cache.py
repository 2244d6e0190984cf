"""Vectors of queries: kept for a while, bounded, shared between threads, and never those of another model or prefix."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vector_pipeline.core.embedding.honesty import VectorSpaceLength
from vector_pipeline.core.errors import ProviderUnavailableError
from vector_pipeline.core.search.query_cache import Outcome, QueryCache, QueryKey
from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline.core.settings import QueryCacheSettings

LENGTH = VectorSpaceLength(2, 2)


def key(text: str, embedded_by: str = "a model") -> QueryKey:
    return QueryKey.of(embedded_by, LENGTH, text)


class Embedder:
    """Gives every query a vector, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[QueryKey]] = []

    def __call__(self, keys: Sequence[QueryKey]) -> Mapping[QueryKey, Outcome]:
        self.asked.append(list(keys))
        return {key: np.array([len(self.asked), 1.0], np.float32) for key in keys}


def test_a_query_is_embedded_once_and_its_vector_cannot_be_changed() -> None:
    cache, embed = QueryCache(), Embedder()
    first = cache.vectors([key("q")], embed)[key("q")]
    second = cache.vectors([key("q"), key("other")], embed)[key("q")]
    assert embed.asked == [[key("q")], [key("other")]]
    assert isinstance(second, np.ndarray)
    assert second is first
    with pytest.raises(ValueError, match="read-only"):
        second[0] = 0
    assert (cache.counts.hits, cache.counts.misses, cache.counts.kept) == (1, 2, 2)


def test_the_same_words_for_another_model_or_length_are_another_query() -> None:
    cache, embed = QueryCache(), Embedder()
    keys = [key("q"), key("q", "another model"), QueryKey.of("a model", VectorSpaceLength(2, 4), "q")]
    cache.vectors(keys, embed)
    assert embed.asked == [keys]


def test_of_more_queries_than_fit_those_asked_last_are_kept() -> None:
    cache, embed = QueryCache(QueryCacheSettings(size=2)), Embedder()
    for text in ("a", "b", "a", "c"):
        cache.vectors([key(text)], embed)
    assert cache.counts.kept == 2
    cache.vectors([key("a"), key("c"), key("b")], embed)
    assert embed.asked[-1] == [key("b")]


def test_a_vector_that_is_too_old_is_asked_for_again() -> None:
    now = 0.0
    cache, embed = QueryCache(QueryCacheSettings(seconds=60), clock=lambda: now), Embedder()
    cache.vectors([key("q")], embed)
    now = 59.0
    cache.vectors([key("q")], embed)
    assert len(embed.asked) == 1
    now = 61.0
    assert next(iter(cache.vectors([key("q")], embed).values()))[0] == 2
    assert len(embed.asked) == 2


def test_a_cache_of_size_0_keeps_nothing() -> None:
    cache, embed = QueryCache(QueryCacheSettings(size=0)), Embedder()
    for _ in range(2):
        cache.vectors([key("q")], embed)
    assert len(embed.asked) == 2
    assert cache.counts.kept == 0


def test_what_is_refused_is_not_kept() -> None:
    cache, embed = QueryCache(), Embedder()
    refused = cache.vectors([key("q")], lambda keys: {one: SearchRequestError("refused") for one in keys})
    assert str(refused[key("q")]) == "refused"
    assert isinstance(cache.vectors([key("q")], embed)[key("q")], np.ndarray)


class Waiting(Embedder):
    """Answers when it is let."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.error = error

    def __call__(self, keys: Sequence[QueryKey]) -> Mapping[QueryKey, Outcome]:
        self.begun.set()
        assert self.go_on.wait(30)
        if self.error is not None:
            raise self.error
        return super().__call__(keys)


def _ask_while_it_is_under_way(cache: QueryCache, first: Waiting, second: Embedder) -> list[object]:
    """What the one that asks first gets, and the one that asks the same while that is under way."""
    with ThreadPoolExecutor(2) as threads:
        begun = threads.submit(cache.vectors, [key("q")], first)
        assert first.begun.wait(30)
        waiting = threads.submit(cache.vectors, [key("q")], second)
        while cache.counts.shared == 0:
            assert not waiting.done()
        first.go_on.set()
        return [asked.exception() or asked.result()[key("q")] for asked in (begun, waiting)]


def test_two_that_ask_the_same_at_once_share_a_request() -> None:
    cache, first, second = QueryCache(QueryCacheSettings(size=0)), Waiting(), Embedder()
    found = _ask_while_it_is_under_way(cache, first, second)
    assert found[0] is found[1]
    assert second.asked == []


def test_two_that_ask_the_same_at_once_share_the_providers_error_too() -> None:
    first, second = Waiting(ProviderUnavailableError("down")), Embedder()
    found = _ask_while_it_is_under_way(QueryCache(), first, second)
    assert [str(error) for error in found] == ["down", "down"]
    assert second.asked == []


def test_one_who_waits_for_somebody_who_is_interrupted_asks_by_himself() -> None:
    first, second = Waiting(KeyboardInterrupt()), Embedder()
    found = _ask_while_it_is_under_way(QueryCache(), first, second)
    assert isinstance(found[0], KeyboardInterrupt)
    assert isinstance(found[1], np.ndarray)
    assert second.asked == [[key("q")]]
