"""Hits of several indexes as one list."""

from __future__ import annotations

from typing import Any

import pytest

from vector_pipeline.core.errors import NotYetSyncedError, ProviderUnavailableError
from vector_pipeline.core.search import Hit, SearchAnswer
from vector_pipeline.core.search.many import EveryIndexFailedError, search_across
from vector_pipeline.core.search.request import SearchRequest


def answering(index: str, scores: dict[str, float], **facts: Any) -> Any:
    """An index that answers with these hits."""
    hits = tuple(Hit(key, score, "question", {}, {}, False) for key, score in scores.items())
    answer = SearchAnswer(index, "q", hits, **({"limit": 3, "threshold": 0.0, "seconds": 0.1, "scale": "m"} | facts))
    return lambda _request: answer


def failing(error: Exception) -> Any:
    def ask(_request: SearchRequest) -> SearchAnswer:
        raise error

    return ask


def test_indexes_of_one_model_are_merged_by_score() -> None:
    answer = search_across(
        {"a": answering("a", {"1": 0.9, "2": 0.5}), "b": answering("b", {"1": 0.7, "2": 0.6})}, SearchRequest("q")
    )
    assert [(found.index, found.hit.key, found.merged_score) for found in answer.hits] == [
        ("a", "1", 0.9),
        ("b", "1", 0.7),
        ("b", "2", 0.6),
    ]
    assert (answer.merged_by, answer.answered, answer.complete) == ("score", ("a", "b"), True)


def test_indexes_of_different_models_are_merged_by_rank_the_best_of_each_first() -> None:
    answer = search_across(
        {
            "a": answering("a", {"1": 0.9, "2": 0.8}),
            "b": answering("b", {"1": 0.3, "2": 0.2}, scale="another"),
            "c": answering("c", {"1": 0.95}),
        },
        SearchRequest("q", limit=4),
    )
    assert answer.merged_by == "rank"
    assert [(found.index, found.hit.key) for found in answer.hits] == [("c", "1"), ("b", "1"), ("a", "1"), ("b", "2")]
    assert [found.merged_score for found in answer.hits] == pytest.approx([1 / 61, 1 / 61, 1 / 62, 1 / 62])


@pytest.mark.parametrize("facts", [{"mode": "hybrid"}, {"reranked": True}])
def test_scores_that_are_no_cosines_are_not_compared(facts: dict[str, Any]) -> None:
    answer = search_across(
        {"a": answering("a", {"1": 0.9, "2": 0.8}, **facts), "b": answering("b", {"1": 0.3})}, SearchRequest("q")
    )
    assert [(found.index, found.hit.key) for found in answer.hits] == [("a", "1"), ("b", "1"), ("a", "2")]


def test_an_index_that_fails_is_named_and_leaves_the_others_their_answer() -> None:
    answer = search_across(
        {
            "new": failing(NotYetSyncedError("index 'new' is not in PostgreSQL yet")),
            "a": answering("a", {"1": 0.9}, notes=("the reranker was down",)),
            "far": failing(ProviderUnavailableError("the provider is down")),
        },
        SearchRequest("q"),
    )
    assert [found.index for found in answer.hits] == ["a"]
    assert [(failure.index, failure.reason) for failure in answer.failures] == [
        ("new", "index 'new' is not in PostgreSQL yet"),
        ("far", "the provider is down"),
    ]
    assert not answer.complete
    assert answer.notes == ("a: the reranker was down",)


def test_where_every_index_fails_each_is_told() -> None:
    asked = {"a": failing(ProviderUnavailableError("down")), "b": failing(NotYetSyncedError("not synced"))}
    with pytest.raises(EveryIndexFailedError, match="a: down\nb: not synced"):
        search_across(asked, SearchRequest("q"))


def test_an_answer_that_is_not_complete_makes_the_whole_incomplete() -> None:
    answer = search_across({"a": answering("a", {"1": 0.9}, complete=False)}, SearchRequest("q"))
    assert (answer.merged_by, answer.complete) == ("score", False)
