"""POST /search and POST /search-simple on a live server."""

from __future__ import annotations

from vector_pipeline_tests.serving.serving import LiveServer


def test_a_search_finds_documents_with_the_names_of_the_contract(live: LiveServer) -> None:
    answer = live.client.post("/search", json={"query": "question number 7?", "limit": 1, "similarity_threshold": 0.5})

    assert answer.status_code == 200
    body = answer.json()
    assert body["total_results"] == 1
    [found] = body["results"]
    assert found.pop("similarity_score") > 0.99
    assert found == {
        "question": "question number 7?",
        "answer": "the answer to number 7",
        "link": "https://example.org/7",
        "date": "2026-01-02 03:04:05",
    }


def test_healthcheck_answers(live: LiveServer) -> None:
    answer = live.client.get("/healthcheck")

    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})
