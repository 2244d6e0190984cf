"""Queries that found nothing, over HTTP."""

from __future__ import annotations

from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench


def test_queries_that_found_nothing_are_listed_as_soon_as_they_were_asked(bench: Workbench) -> None:
    with live_server(bench, [contract_spec()], ServingSettings(unanswered_days=30)) as server:
        for query in ("why is the sky blue", "Why is the sky blue", "mengapa"):
            server.client.post("/v1/search", json={"index": "faq", "query": query, "threshold": 0.99})
        found = server.client.get("/v1/indexes/faq/unanswered").json()
        [first] = server.client.get("/v1/indexes/faq/unanswered", params={"limit": 1}).json()["queries"]

    assert (found["index"], found["kept_days"]) == ("faq", 30)
    assert [(one["query"], one["times"]) for one in found["queries"]] == [("Why is the sky blue", 2), ("mengapa", 1)]
    assert (first["threshold"], first["filtered"]) == (0.99, False)


def test_where_none_are_kept_the_answer_says_so(served: LiveServer) -> None:
    served.client.post("/v1/search", json={"index": "faq", "query": "why is the sky blue", "threshold": 0.99})

    assert served.client.get("/v1/indexes/faq/unanswered").json() == {"index": "faq", "kept_days": 0, "queries": []}
    assert served.client.get("/v1/indexes/nothing/unanswered").status_code == 404
