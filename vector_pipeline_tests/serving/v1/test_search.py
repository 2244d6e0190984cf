"""Searches of /v1 on a live server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.misbehaving_reranker import MisbehavingReranker
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench

SEVEN = "question number 7?"


def test_a_hit_tells_all_that_the_search_knows_of_it(served: LiveServer) -> None:
    answer = served.client.post("/v1/search", json={"query": SEVEN, "index": "faq", "mode": "hybrid", "limit": 1})

    assert answer.status_code == 200
    body = answer.json()
    assert (body["index"], body["mode"], body["total"], body["complete"], body["merged_by"]) == (
        "faq",
        "hybrid",
        1,
        True,
        None,
    )
    [hit] = body["hits"]
    assert (hit["key"], hit["index"], hit["vector_rank"], hit["text_rank"]) == ("7", "faq", 1, 1)
    assert hit["texts"] == {"question": SEVEN, "answer": "the answer to number 7"}
    assert hit["metadata"] == {"link": "https://example.org/7", "date": "2026-01-02 03:04:05"}
    assert "<mark>7</mark>" in hit["snippet"]["html"]
    assert hit["passage"] == {"text": SEVEN, "start": 0, "end": len(SEVEN), "length": len(SEVEN)}
    assert (hit["vector_behind"], hit["without_vector"]) == (False, False)


def test_the_seconds_of_a_search_are_told_by_their_parts(served: LiveServer) -> None:
    [timings] = served.client.post("/v1/search", json={"query": SEVEN, "index": "faq"}).json()["timings"]

    assert timings["embedding"] > 0
    assert timings["database"] > 0
    assert timings["embedding"] + timings["reranking"] + timings["database"] == pytest.approx(timings["seconds"])


def test_the_statements_of_a_search_are_told_on_request_without_its_values(served: LiveServer) -> None:
    asked = {"query": SEVEN, "index": "faq", "mode": "hybrid", "filter": {"link": "https://example.org/7"}}
    assert served.client.post("/v1/search", json=asked).json()["explanation"] is None

    [of_index] = served.client.post("/v1/search", json=asked | {"explain": True}).json()["explanation"]

    told = "\n".join(of_index["statements"])
    assert of_index["index"] == "faq"
    assert "%(vector)s" in told
    assert "ORDER BY" in told
    assert "example.org" not in told
    assert "number" not in told


def test_what_is_wrong_with_a_server_behind_is_told_by_its_name_and_a_reference(
    mysql_database: SourceSettings, pg_database: TargetSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with MisbehavingProvider(64) as provider, MisbehavingReranker("status") as reranker:
        bench = Workbench(mysql_database, pg_database, EmbeddingSettings(provider.url, None, provider.model))
        bench.create_faq(rows=3)
        rerank = {"url": reranker.url, "model": "any"}
        specs = [contract_spec(), contract_spec("reranked", search={"threshold": -1.0, "rerank": rerank})]
        for spec in specs:
            bench.sync(spec)
        provider.behave("status", status=503)
        with live_server(bench, specs) as live:

            def notes(**asked: Any) -> list[str]:
                body = {"query": "which number?", "mode": "hybrid", **asked}
                told: list[str] = live.client.post("/v1/search", json=body).json()["notes"]
                return [re.sub(r"reference [0-9a-f]+", "reference …", note) for note in told]

            alone = "found by words alone: Embedding service unavailable (reference …)"
            assert notes(index="faq") == [alone]
            assert notes(index="reranked") == [alone, "not reranked: Reranking service unavailable (reference …)"]
            assert notes() == [
                f"faq: {alone}",
                f"reranked: {alone}",
                "reranked: not reranked: Reranking service unavailable (reference …)",
            ]
    assert provider.url in caplog.text


def test_documents_are_left_out_by_threshold_field_and_filter(served: LiveServer) -> None:
    def keys(**asked: Any) -> list[str]:
        answer = served.client.post("/v1/search", json={"query": SEVEN, "index": "faq", "limit": 10, **asked})
        return [hit["key"] for hit in answer.json()["hits"]]

    assert keys(threshold=0.99) == ["7"]
    assert sorted(keys(filter={"link": ["https://example.org/3", "https://example.org/4"]})) == ["3", "4"]
    assert keys(field="answer", threshold=0.99) == []
    assert keys(field={"question": 1, "answer": 0.5})[0] == "7"


def test_several_indexes_or_all_give_one_list(bench: Workbench) -> None:
    other = contract_spec("other")
    bench.sync(other)
    with live_server(bench, [contract_spec(), other]) as served:
        for asked in ({}, {"indexes": ["other", "faq"]}):
            body = served.client.post("/v1/search", json={"query": SEVEN, "limit": 2, **asked}).json()
            assert (body["index"], body["merged_by"], sorted(body["indexes"])) == (None, "score", ["faq", "other"])
            assert sorted((hit["index"], hit["key"]) for hit in body["hits"]) == [("faq", "7"), ("other", "7")]
            assert {timings["index"] for timings in body["timings"]} == {"faq", "other"}


def test_an_index_that_cannot_answer_leaves_the_others_their_answer(served: LiveServer) -> None:
    body = served.client.post("/v1/search", json={"query": SEVEN, "limit": 1}).json()

    assert [hit["key"] for hit in body["hits"]] == ["7"]
    assert (body["complete"], body["indexes"]) == (False, ["faq"])
    [failure] = body["failures"]
    assert failure["index"] == "unsynced"
    assert "vector-pipeline sync unsynced" in failure["reason"]


def test_documents_like_one_are_found_by_its_key(served: LiveServer) -> None:
    body = served.client.post("/v1/indexes/faq/similar", json={"key": "7", "limit": 3}).json()

    assert body["total"] == 3
    assert "7" not in [hit["key"] for hit in body["hits"]]


def test_a_batch_answers_each_search_by_itself(served: LiveServer) -> None:
    searches = [{"query": SEVEN, "limit": 1}, {"query": "number 3", "field": "nothing"}, {"query": "number 3"}]
    body = served.client.post("/v1/search/batch", json={"index": "faq", "searches": searches}).json()

    first, wrong, last = body["outcomes"]
    assert (first["status"], first["answer"]["hits"][0]["key"]) == (200, "7")
    assert (wrong["status"], wrong["answer"]) == (422, None)
    assert "'nothing' is no field of 'faq'" in wrong["error"]
    assert last["status"] == 200


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"query": "a", "index": "nobody"}', 404, "no index 'nobody' is declared"),
        (b'{"query": "a", "index": "faq", "indexes": ["faq"]}', 422, "not both"),
        (b'{"query": "a", "limits": 5}', 422, "limits"),
        (b'{"query": "\\ud800"}', 422, "query"),
        (b'{"query": "a", "threshold": false}', 422, "threshold"),
        (b'{"query": "a", "threshold": NaN}', 422, "threshold"),
        (b'{"query": "a", "index": "faq", "filter": {"link": NaN}}', 422, "nan"),
        (b'{"query": "a", "index": "faq", "filter": {"link": "\\ud800"}}', 422, "half of a character"),
        (b'{"query": "a", "limit": ' + b"9" * 5000 + b"}", 422, "body"),
        (b'{"query": "a", "index": "faq", "filter": ' + b'{"not": ' * 40 + b"{}" + b"}" * 40 + b"}", 422, "deeper"),
        (b'{"query": "a", "index": "faq", "filter": ' + b"[" * 100_000, 422, "body"),
        (b'\xff{"query": "a"}', 422, "body"),
        (b"", 422, "body"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(
    served: LiveServer, body: bytes, status: int, said: str
) -> None:
    answer = served.client.post("/v1/search", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == status, answer.text
    assert said in answer.text


def test_a_nul_character_is_as_if_it_were_not_there(served: LiveServer) -> None:
    for mode in ("vector", "text", "hybrid"):
        asked = {"query": "question\0 number 7?", "index": "faq", "mode": mode, "limit": 1}
        assert served.client.post("/v1/search", json=asked).json()["hits"][0]["key"] == "7"
