"""Many queries at once, and queries that were asked before."""

from __future__ import annotations

import pytest

from vector_pipeline.core.errors import ProviderError
from vector_pipeline.core.index import open_index
from vector_pipeline.core.search import SearchAnswer
from vector_pipeline.core.search.many import search_across
from vector_pipeline.core.search.query_cache import QueryCache
from vector_pipeline.core.search.request import SearchRequest, SearchRequestError
from vector_pipeline.core.settings import QueryCacheSettings
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only, sync_all


def _answers(found: list[object]) -> list[SearchAnswer]:
    assert all(isinstance(answer, SearchAnswer) for answer in found)
    return found  # type: ignore[return-value]


def test_many_queries_are_embedded_together_and_answered_in_their_order(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(20)
    workbench.sync(question_only())
    before = provider.requests
    with workbench.index(question_only()) as index:
        found = index.search_many([SearchRequest(f"question number {i}?", limit=i) for i in (3, 1, 2, 3)])
        answers = _answers(found)
        assert provider.requests == before + 1
        assert [answer.hits[0].key for answer in answers] == ["3", "1", "2", "3"]
        assert [len(answer.hits) for answer in answers] == [3, 1, 2, 3]
        assert answers[0].hits == index.search("question number 3?", limit=3).hits


def test_a_batch_keeps_to_what_the_provider_takes_at_once(workbench: Workbench, provider: MisbehavingProvider) -> None:
    spec = question_only(embedding={"provider": {"type": "openai", "texts_per_request": 4}})
    workbench.create_faq(3)
    workbench.sync(spec)
    before = provider.requests
    with workbench.index(spec) as index:
        _answers(index.search_many([SearchRequest(f"query {i}") for i in range(10)]))
    assert provider.requests == before + 3


def test_what_is_wrong_with_one_query_of_a_batch_is_its_own_error(workbench: Workbench) -> None:
    workbench.create_faq(5)
    workbench.sync(question_only())
    requests = [
        SearchRequest("question number 1?"),
        SearchRequest("some poison"),
        SearchRequest("give-zero"),
        SearchRequest("  "),
        SearchRequest("question number 2?", field="title"),
        SearchRequest("question number 3?", generation=9),
        SearchRequest("question number 4?"),
    ]
    with workbench.index(question_only()) as index:
        found = index.search_many(requests)
    assert [type(outcome) for outcome in found] == [SearchAnswer, *5 * [SearchRequestError], SearchAnswer]
    for outcome, words in zip(
        found[1:6], ["refuses this query", "ask with other words", "empty", "title", "no generation 9"], strict=True
    ):
        assert words in str(outcome)


def test_a_query_that_was_asked_before_is_answered_while_the_provider_is_down(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(5)
    workbench.sync(question_only())
    with workbench.index(question_only()) as index:
        before = index.search("question number 2?").hits
        provider.behave("status", status=401)
        assert index.search("question number 2?").hits == before
        with pytest.raises(ProviderError):
            index.search("question number 3?")
        known, unknown = index.search_many([SearchRequest("question number 2?"), SearchRequest("question number 3?")])
        assert isinstance(known, SearchAnswer)
        assert isinstance(unknown, ProviderError)
        assert (index.query_cache.hits, index.query_cache.kept) == (2, 1)


def test_indexes_of_one_model_share_the_embedding_of_a_query(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    specs = [question_only(name="first"), faq_spec(name="second"), faq_spec(name="never_synced")]
    workbench.create_faq(10)
    for spec in specs[:2]:
        workbench.sync(spec)
    prefixed = question_only(name="prefixed", embedding={"query_prefix": "query: "})
    workbench.sync(prefixed)
    before = provider.requests
    cache = QueryCache(QueryCacheSettings(size=4))
    with (
        open_index(specs[0], workbench.settings, query_cache=cache) as first,
        open_index(specs[1], workbench.settings, query_cache=cache) as second,
        open_index(specs[2], workbench.settings, query_cache=cache) as third,
        open_index(prefixed, workbench.settings, query_cache=cache) as fourth,
    ):
        asked = {index.spec.name: index.answer for index in (first, second, third)}
        answer = search_across(asked, SearchRequest("question number 2?", limit=3))
        assert provider.requests == before + 1
        both = search_across(asked | {"prefixed": fourth.answer}, SearchRequest("question number 2?", limit=3))
        assert provider.requests == before + 2
    assert [(found.index, found.hit.key) for found in answer.hits[:2]] == [("first", "2"), ("second", "2")]
    assert [failure.index for failure in answer.failures] == ["never_synced"]
    assert (answer.merged_by, both.merged_by) == ("score", "rank")


def test_a_search_sees_a_switch_to_another_generation_though_its_query_is_kept(workbench: Workbench) -> None:
    workbench.create_faq(5)
    workbench.sync(question_only())
    changed = question_only(embedding={"query_prefix": "query: ", "dimensions": 4})
    with workbench.index(question_only()) as searching:
        first = searching.search("question number 2?", limit=5)
        with workbench.index(changed) as building:
            sync_all(building)
            building.build_next_generation()
        second = searching.search("question number 2?", limit=5)
    assert first.scale != second.scale
    assert len(first.hits) == len(second.hits) == 5
    assert [hit.score for hit in first.hits] != [hit.score for hit in second.hits]
