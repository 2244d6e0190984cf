"""The contract that existing clients rely on, replayed on a live server: every request, every answer, to the letter.

The index is the shipped one, over a table as such clients have it, with real databases and the local model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.declarations import find_declaration
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.serving.app import create_app
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline_tests.conftest import fresh_mysql_database, fresh_pg_database
from vector_pipeline_tests.serving.serving import LiveServer, live_server, served
from vector_pipeline_tests.serving.serving_process import create_genie
from vector_pipeline_tests.workbench import Workbench

PASSPORT = "Where do I renew my passport?"
TAX = "How is income tax paid?"
ROWS = [
    (1, PASSPORT, "At the Immigration office.", "2026-01-02 03:04:05", "https://example.org/passport", "a1"),
    (2, TAX, None, None, None, None),
    (3, "When is the library open?", "Every day but Sunday; «été» until 20:00.", "2026-02-03 00:00:00", "", "c3"),
]
NOTHING = "No relevant information found in the knowledge base."


@contextmanager
def contract(source: SourceSettings, target: TargetSettings, *, unique_ids: bool = True) -> Iterator[Workbench]:
    with fresh_mysql_database(source) as mysql, fresh_pg_database(target) as pg:
        bench = Workbench(mysql, pg)
        create_genie(bench, ROWS, unique_ids=unique_ids)
        yield bench


@contextmanager
def server(bench: Workbench) -> Iterator[LiveServer]:
    with live_server(bench, [find_declaration("genie_documents").spec]) as live:
        yield live


@pytest.fixture(scope="module")
def bench(mariadb: SourceSettings, pg_template: TargetSettings) -> Iterator[Workbench]:
    with contract(mariadb, pg_template) as bench:
        yield bench


@pytest.fixture(scope="module")
def client(bench: Workbench) -> Iterator[httpx.Client]:
    with server(bench) as live:
        yield live.client


def post(client: httpx.Client, path: str, **body: Any) -> tuple[int, Any]:
    answer = client.post(path, json=body)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("path", ["/search", "/search-simple"])
def test_a_body_is_read_as_json_where_its_type_is_not_told(client: httpx.Client, path: str) -> None:
    answer = client.post(path, content=json.dumps({"query": PASSPORT, "limit": 1, "similarity_threshold": 0.5}))

    assert "content-type" not in answer.request.headers
    assert (answer.status_code, answer.json()["total_results"]) == (200, 1)


def test_a_body_that_says_to_be_something_else_is_refused_with_the_type_to_send(client: httpx.Client) -> None:
    answer = client.post("/search", content='{"query": "tax"}', headers={"content-type": "text/plain"})

    [problem] = answer.json()["detail"]
    assert (answer.status_code, "Content-Type: application/json" in problem["msg"]) == (422, True)


def test_healthcheck(client: httpx.Client) -> None:
    answer = client.get("/healthcheck")

    assert (answer.status_code, answer.text) == (200, '{"status":"healthy"}')


def test_documents_are_all_rows_with_null_as_an_empty_text_and_dates_as_text(client: httpx.Client) -> None:
    answer = client.get("/documents")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == [
        {
            "question": PASSPORT,
            "answer": "At the Immigration office.",
            "link": "https://example.org/passport",
            "date": "2026-01-02 03:04:05",
        },
        {"question": TAX, "answer": "", "link": "", "date": ""},
        {
            "question": "When is the library open?",
            "answer": "Every day but Sunday; «été» until 20:00.",
            "link": "",
            "date": "2026-02-03 00:00:00",
        },
    ]


def test_search(client: httpx.Client) -> None:
    status, body = post(client, "/search", query=PASSPORT, limit=5, similarity_threshold=0.7)

    assert status == 200
    [found] = body.pop("results")
    assert body == {"total_results": 1}
    assert found.pop("similarity_score") == pytest.approx(1, abs=1e-5)
    assert found == {
        "question": PASSPORT,
        "answer": "At the Immigration office.",
        "link": "https://example.org/passport",
        "date": "2026-01-02 03:04:05",
        "genie_uniqueid": "a1",
    }


def test_results_come_in_the_order_of_their_scores_and_no_more_of_them_than_asked_for(client: httpx.Client) -> None:
    _, all_of_them = post(client, "/search", query=TAX, similarity_threshold=-1)
    _, two = post(client, "/search", query=TAX, similarity_threshold=-1, limit=2)

    scores = [found["similarity_score"] for found in all_of_them["results"]]
    assert scores == sorted(scores, reverse=True)
    assert (all_of_them["total_results"], two["total_results"]) == (3, 2)
    assert two["results"] == all_of_them["results"][:2]


def test_a_result_scores_strictly_above_the_threshold(client: httpx.Client) -> None:
    _, body = post(client, "/search", query="renewing a passport", similarity_threshold=-1)
    second = body["results"][1]["similarity_score"]

    _, above = post(client, "/search", query="renewing a passport", similarity_threshold=second)

    assert above["total_results"] == 1


def test_without_a_threshold_it_is_that_of_the_environment_whatever_the_index_declares(bench: Workbench) -> None:
    related = {"query": "renewing passports"}
    with server(bench) as live:
        found = post(live.client, "/search", **related, similarity_threshold=-1)[1]["results"]
    score = found[0]["similarity_score"]
    assert 0.35 < score < 0.99

    for threshold, total in ((score - 0.01, 1), (score + 0.01, 0)):
        settings = replace(bench.settings, similarity_threshold=threshold)
        deployment = Deployment(settings, None, lambda: [find_declaration("genie_documents")])
        with served(create_app(deployment)) as url, httpx.Client(base_url=url, timeout=60) as client:
            assert post(client, "/search", **related, limit=1)[1]["total_results"] == total
            assert post(client, "/search", **related, limit=1, similarity_threshold=None)[1]["total_results"] == total


def test_documents_have_a_unique_id_only_where_the_table_has_one(
    mariadb: SourceSettings, pg_template: TargetSettings
) -> None:
    with contract(mariadb, pg_template, unique_ids=False) as bench, server(bench) as live:
        _, body = post(live.client, "/search", query=PASSPORT)

    assert "genie_uniqueid" not in body["results"][0]


def test_search_simple(client: httpx.Client) -> None:
    status, body = post(client, "/search-simple", query=TAX, similarity_threshold=-1)

    scores = [source["similarity_score"] for source in body["sources"]]
    by_question = {row[1]: row for row in ROWS}
    expected = []
    for place, source in enumerate(body["sources"], start=1):
        _, question, answer, date, link, _ = by_question[source["question"]]
        expected += [f"Result {place}:", f"Question: {question}", f"Answer: {answer or ''}"]
        expected += [f"Source: {link}"] if link else []
        expected += [f"Date: {date}"] if date else []
        expected += [f"Relevance: {scores[place - 1]:.3f}", ""]
    assert status == 200
    assert body["context"] == "\n".join(expected)
    assert body["context"].startswith(f"Result 1:\nQuestion: {TAX}\nAnswer: \nRelevance: 1.000\n\nResult 2:\n")
    assert body["sources"][0] == {"question": TAX, "link": "", "date": "", "similarity_score": scores[0]}
    assert set(body) == {"context", "sources", "total_results"}
    assert body["total_results"] == 3


def test_search_simple_that_finds_nothing_says_so(client: httpx.Client) -> None:
    status, body = post(client, "/search-simple", query="the weather on Mars", similarity_threshold=0.99)

    assert (status, body) == (200, {"context": NOTHING, "sources": [], "total_results": 0})


def test_search_takes_index_field_mode_and_filters(client: httpx.Client) -> None:
    _, by_answer = post(client, "/search", query=PASSPORT, field="answer", index="genie_documents")
    _, by_words = post(client, "/search", query="library", mode="text")
    _, filtered = post(client, "/search", query=PASSPORT, similarity_threshold=-1, filters={"genie_uniqueid": "c3"})

    assert by_answer["total_results"] == 0
    assert [found["question"] for found in by_words["results"]] == ["When is the library open?"]
    assert [found["genie_uniqueid"] for found in filtered["results"]] == ["c3"]


@pytest.mark.parametrize("path", ["/search", "/search-simple"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": ""},
        {"query": " \n"},
        {"query": "q" * 8193},
        {"query": None},
        {"query": "q", "limit": 0},
        {"query": "q", "limit": 101},
        {"query": "q", "limit": 1.5},
        {"query": "q", "similarity_threshold": 1.01},
        {"query": "q", "similarity_threshold": -1.01},
        {"query": "q", "similarity_threshold": "high"},
        {"query": "q", "mode": "magic"},
        {"query": "q", "field": "nowhere"},
        {"query": "q", "filters": {"nowhere": 1}},
        {"query": "\ud800"},
    ],
    ids=lambda body: json.dumps(body)[:40],
)
def test_bad_bodies_are_refused(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    answer = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})

    assert answer.status_code == 422
    assert all(set(problem) == {"type", "loc", "msg"} for problem in answer.json()["detail"])


@pytest.mark.parametrize("body", [{"query": "q" * 8192}, {"query": "q", "limit": 100, "similarity_threshold": 1}])
def test_bodies_at_their_limits_are_taken(client: httpx.Client, body: dict[str, Any]) -> None:
    assert post(client, "/search", **body) == (200, {"results": [], "total_results": 0})


def test_what_is_no_json_is_refused(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    assert client.post("/search", content="query=passport", headers=headers).status_code == 422


def test_services_that_are_down_are_named(bench: Workbench) -> None:
    nowhere = choose_port()
    without_mysql = replace(bench, source=replace(bench.source, port=nowhere))
    without_postgresql = replace(bench, target=replace(bench.target, port=nowhere))

    with server(without_mysql) as live:
        refused(live.client.get("/documents"), "MySQL service unavailable", bench)
        assert live.client.get("/healthcheck").json() == {"status": "healthy"}
    with server(without_postgresql) as live:
        for path in ("/search", "/search-simple"):
            refused(live.client.post(path, json={"query": PASSPORT}), "Database search error", bench)


def test_a_provider_that_is_down_is_named(
    bench: Workbench, mariadb: SourceSettings, pg_template: TargetSettings
) -> None:
    gone = EmbeddingSettings(f"http://127.0.0.1:{choose_port()}/v1", None, "numbers")
    with contract(mariadb, pg_template) as fresh:
        fresh.postgres("UPDATE vector_pipeline.vector_spaces SET model = 'numbers', provider = 'openai'")
        with server(replace(fresh, embedding=gone)) as live:
            refused(live.client.post("/search", json={"query": PASSPORT}), "Embedding service unavailable", bench)


def refused(answer: httpx.Response, detail: str, bench: Workbench) -> None:
    """503 with these words, a reference, and nothing of what is inside."""
    assert answer.status_code == 503
    body = answer.json()
    assert body == {"detail": detail, "reference": body["reference"]}
    assert body["reference"].isalnum()
    for inside in (bench.target.user, bench.target.password, bench.source.database, "127.0.0.1", "SELECT"):
        assert inside not in answer.text


def test_a_deep_healthcheck_tells_of_each_server(client: httpx.Client) -> None:
    answer = client.get("/healthcheck", params={"deep": "true"})

    body = answer.json()
    checks = body.pop("checks")
    assert list(checks) == ["mysql", "postgresql", "pgvector", "provider", "dagster"]
    assert all(check["latency_ms"] >= 0 for check in checks.values())
    assert {name: check["status"] for name, check in checks.items()} == {
        "mysql": "up",
        "postgresql": "up",
        "pgvector": "up",
        "provider": "up",
        "dagster": "down",  # there is none here, and search does without
    }
    assert checks["pgvector"]["detail"].startswith("0.8")
    assert (answer.status_code, body) == (200, {"status": "degraded"})


def test_a_deep_healthcheck_fails_where_search_would(bench: Workbench) -> None:
    with server(replace(bench, target=replace(bench.target, port=choose_port()))) as live:
        answer = live.client.get("/healthcheck", params={"deep": "true"})

    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    checks = answer.json()["checks"]
    assert (checks["postgresql"]["status"], checks["postgresql"]["detail"]) == ("down", "Database search error")
    # Nobody's key could be looked up: versions are not for everybody.
    assert (checks["mysql"]["status"], checks["mysql"]["detail"]) == ("up", "")
