"""What the service remembers of queries that found nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from vector_pipeline.core.search import SearchAnswer
from vector_pipeline.core.search.request import SearchRequest
from vector_pipeline.core.store.unanswered_queries import list_unanswered
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline.serving.unanswered import UnansweredQueries
from vector_pipeline_tests.serving.serving import contract_spec, deployment_over
from vector_pipeline_tests.workbench import Workbench

NOTHING = SearchAnswer("faq", "visa", (), 5, 0.7, 0.01)


def kept(bench: Workbench) -> list[tuple[str, int]]:
    """Queries and how often they were asked."""
    return bench.postgres("SELECT query, times FROM vector_pipeline.unanswered_queries ORDER BY times DESC, query")


def test_queries_that_found_nothing_are_counted_where_they_are_kept(bench: Workbench) -> None:
    with deployment_over(bench, [contract_spec()], ServingSettings(unanswered_days=30)) as deployment:
        for query in ("mengapa langit biru", "Mengapa langit  biru"):
            deployment.search("faq", SearchRequest(query, threshold=0.99))
        deployment.search("faq", SearchRequest("question number 3?", threshold=0.5))
        deployment.search_across(["faq"], SearchRequest("question number 4?", threshold=0.5))
        deployment.search_across(["faq"], SearchRequest("why is the sky blue", threshold=0.99))
        deployment.search_many("faq", [SearchRequest("why is the sky blue", threshold=0.99), SearchRequest("")])
        deployment.unanswered.flush()
        assert kept(bench) == [("Mengapa langit  biru", 2), ("why is the sky blue", 2)]
        deployment.search("faq", SearchRequest("why is the sky blue", threshold=0.98))
    assert kept(bench) == [("why is the sky blue", 3), ("Mengapa langit  biru", 2)]  # written when it ends
    bench.postgres("UPDATE vector_pipeline.unanswered_queries SET keep_until = now() WHERE query LIKE 'why%%'")
    with bench.index(contract_spec()) as index:
        index.refresh_search_index()
    assert kept(bench) == [("Mengapa langit  biru", 2)]


def test_nothing_is_kept_unless_a_time_is_declared(bench: Workbench) -> None:
    with deployment_over(bench, [contract_spec()]) as deployment:
        assert not deployment.unanswered.are_kept
        deployment.search("faq", SearchRequest("why is the sky blue", threshold=0.99))
    assert kept(bench) == []


@pytest.mark.parametrize(
    "answer", [replace(NOTHING, complete=False), replace(NOTHING, query="", like="7")], ids=["incomplete", "similar"]
)
def test_what_tells_nothing_about_the_index_is_not_kept(bench: Workbench, answer: SearchAnswer) -> None:
    with deployment_over(bench, [contract_spec()], ServingSettings(unanswered_days=30)) as deployment:
        deployment.unanswered.note(answer)
    assert kept(bench) == []


def test_what_cannot_be_written_waits_for_the_next_time_and_fails_nothing(bench: Workbench) -> None:
    with deployment_over(bench, [contract_spec()]) as deployment:
        away = True

        def connect() -> object:
            if away:
                raise psycopg.OperationalError("the server is away")
            return deployment.target()

        queries = UnansweredQueries(timedelta(days=1), connect)  # type: ignore[arg-type]
        queries.note(NOTHING)
        queries.flush()
        queries.note(NOTHING)
        away = False
        queries.close()
        with deployment.target() as connection:
            [found] = list_unanswered(connection, "faq", 5)
        assert (found.query, found.times) == ("visa", 2)
