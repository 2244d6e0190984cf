"""Reranking by an endpoint: an improvement where it works, a note where it doesn't, and never a secret in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from vector_pipeline.core.search.answer import FoundPassage, Hit
from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline.core.search.reranking import rerank
from vector_pipeline.core.spec import RerankSpec
from vector_pipeline_tests.misbehaving_reranker import Manner, MisbehavingReranker
from vector_pipeline_tests.workbench import Workbench, faq_spec

SECRET = "the-key-of-the-reranker"
HITS = (
    Hit("1", 0.9, "question", {"question": "buy bread", "answer": None}, {}, False),
    Hit("2", 0.8, "question", {"question": "buy fresh fish", "answer": "at the harbour"}, {}, False),
    Hit("3", 0.7, "question", {"question": "very long"}, {}, False, FoundPassage("fish", 90, 94, 1000)),
)


@pytest.fixture
def reranker() -> Iterator[MisbehavingReranker]:
    with MisbehavingReranker() as server:
        yield server


def declared(server: MisbehavingReranker, **changes: Any) -> RerankSpec:
    return RerankSpec(**({"url": server.url, "model": "judge-1", "api_key_variable": "RERANK_KEY"} | changes))


def judged(server: MisbehavingReranker, **changes: Any) -> tuple[list[str], str | None]:
    found = rerank(declared(server, **changes), "buy fresh fish", HITS, {"RERANK_KEY": SECRET})
    return [hit.key for hit in found.hits], found.note


@pytest.mark.parametrize("texts_field", ["documents", "texts"])
def test_hits_are_ordered_by_the_relevance_that_becomes_their_score(
    reranker: MisbehavingReranker, texts_field: str
) -> None:
    found = rerank(declared(reranker, texts_field=texts_field), "buy fresh fish", HITS, {"RERANK_KEY": SECRET})
    assert [(hit.key, hit.score) for hit in found.hits] == [("2", 0.75), ("1", 0.25), ("3", 0.25)]
    assert found.note is None
    [request] = reranker.requests
    assert request[texts_field] == ["buy bread", "buy fresh fish\nat the harbour", "fish"]
    assert request["model"] == "judge-1"
    assert reranker.headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("manner", [manner for manner in get_args(Manner) if manner != "well"])
def test_whatever_goes_wrong_the_hits_stay_and_the_note_says_so_without_a_secret(
    reranker: MisbehavingReranker, manner: Manner
) -> None:
    reranker.manner = manner
    keys, note = judged(reranker, timeout_seconds=0.3)
    assert keys == ["1", "2", "3"]
    assert note is not None
    assert note.startswith("not reranked: ")
    assert SECRET not in note
    assert len(reranker.requests) == 1


def test_a_server_that_is_not_there_and_a_key_that_is_not_set_are_told(reranker: MisbehavingReranker) -> None:
    reranker.stop()
    assert "cannot be reached" in str(judged(reranker)[1])
    assert "OTHER_KEY is not set" in str(judged(reranker, api_key_variable="OTHER_KEY")[1])


def test_no_key_is_sent_where_none_is_declared(reranker: MisbehavingReranker) -> None:
    assert judged(reranker, api_key_variable=None)[1] is None
    assert "Authorization" not in reranker.headers


def test_a_search_is_reranked_as_declared_and_not_where_it_says_so(
    workbench: Workbench, reranker: MisbehavingReranker
) -> None:
    search = {"threshold": -1.0, "limit": 2, "rerank": {"url": reranker.url, "candidates": 20}}
    spec = faq_spec(search=search)
    workbench.create_faq(20)
    workbench.sync(spec)
    with workbench.index(spec) as index:
        answer = index.search("to number 7")
        plain = index.search("to number 7", rerank=False)
        reranker.manner = "status"
        failed = index.search("to number 7", mode="hybrid")
    assert (answer.hits[0].key, len(answer.hits), answer.reranked) == ("7", 2, True)
    assert len(reranker.requests[0]["documents"]) == 20
    assert (len(plain.hits), plain.reranked, plain.notes) == (2, False, ())
    assert (len(failed.hits), failed.reranked) == (2, False)
    assert "HTTP 500" in failed.notes[0]


def test_reranking_that_is_not_declared_can_not_be_asked_for(workbench: Workbench) -> None:
    workbench.create_faq(1)
    workbench.sync()
    with workbench.index() as index, pytest.raises(SearchRequestError, match=r"declare search\.rerank"):
        index.search("anything", rerank=True)


@pytest.mark.parametrize("url", ["ftp://models/rerank", "http://user:password@models/rerank", "models", "http://a:b/"])
def test_an_address_that_is_none_is_a_problem_of_the_declaration(workbench: Workbench, url: str) -> None:
    with workbench.index(faq_spec(search={"rerank": {"url": url}})) as index:
        [problem] = index.check_declaration()
    assert problem.field == "search.rerank.url"
    assert "password@" not in str(problem)
