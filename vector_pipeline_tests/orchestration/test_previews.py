"""Texts of rows can be kept out of Dagster altogether."""

from __future__ import annotations

import pytest

from vector_pipeline.orchestration import search_job
from vector_pipeline_tests.dagster_instances import DagsterHome
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import QUIET, Location
from vector_pipeline_tests.workbench import faq_spec

SECRET = "Harimau Malaya"
PRIVATE = {"text": {"question": "question"}, "metadata": {"link": "answer"}, "previews": False}


@pytest.fixture
def private(location: Location) -> Location:
    """Three rows with the same secret, of which the index shows no text."""
    location.spec = faq_spec(document=PRIVATE, embedding={"provider": {"type": "openai", "attempts": 1}})
    location.workbench.create_faq(3)
    location.workbench.mysql(f"UPDATE faq SET question = CONCAT('{SECRET} ', id), answer = '{SECRET}'")
    return location


@pytest.mark.parametrize(
    "of",
    [
        pytest.param({"index": "faq"}, id="one index"),
        pytest.param({"indexes": ["faq"]}, id="several", marks=pytest.mark.long),
    ],
)
def test_an_index_without_previews_shows_no_text_in_runs_and_searches(
    private: Location, dagster_home: DagsterHome, monkeypatch: pytest.MonkeyPatch, of: dict[str, object]
) -> None:
    private.settle()
    monkeypatch.setattr(search_job, "find_declaration", {"faq": private.index.declaration}.__getitem__)
    config = {"ops": {"search": {"config": {**of, "query": "tiger", "limit": 3}}}}
    job = private.definitions.resolve_job_def("search_job")
    result = job.execute_in_process(instance=private.instance, run_config=config | QUIET)
    found = result.output_for_node("search")
    assert len(found) == 3
    assert SECRET not in str(found)
    assert dagster_home.places_with(SECRET) == []


def test_what_a_provider_says_is_cut_to_its_status(
    private: Location, provider: MisbehavingProvider, dagster_home: DagsterHome
) -> None:
    with private.opened() as index:
        index.prepare()
    [request] = private.tick().run_requests or []
    provider.behave("status", status=503, message=f"cannot embed {SECRET} 2")
    result = private.run(request)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "HTTP 503" in str(failure.step_failure_data.error)
    assert dagster_home.places_with(SECRET) == []


@pytest.mark.long
def test_what_a_provider_says_of_a_quarantined_text_is_for_the_command_line_alone(
    private: Location, dagster_home: DagsterHome
) -> None:
    private.workbench.mysql("UPDATE faq SET question = CONCAT(question, ' poison') WHERE id = 2")
    private.settle()
    private.workbench.postgres(
        "UPDATE vector_pipeline.quarantine SET message = %s", [f"HTTP 400: cannot embed {SECRET}"]
    )
    shown = private.check("no_quarantine")
    assert "| HTTP 400 " in str(shown.metadata["entries"].value)
    assert dagster_home.places_with(SECRET) == []
    with private.opened() as index:
        assert SECRET in index.quarantine()[0].message
