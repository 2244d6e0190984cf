"""What an index costs, and what its budget does, as the UI shows it."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from vector_pipeline.core.spec import GenerationsSpec, IndexSpec
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import Location
from vector_pipeline_tests.workbench import question_only


def priced(**embedding: Any) -> IndexSpec:
    """USD 0.001 a token; a numbered question has three, as the provider counts."""
    provider = {"type": "openai", "texts_per_request": 10, "requests_in_flight": 2}
    return question_only(embedding={"provider": provider, "price_per_million_tokens": 1000.0} | embedding)


def shown(location: Location) -> dg.AssetCheckEvaluation:
    """What the check `budget` shows, by whomever."""
    key = dg.AssetCheckKey(location.index.key("embeddings"), "budget")
    record = location.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.event is not None and record.event.dagster_event is not None
    evaluation = record.event.dagster_event.event_specific_data
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    return evaluation


@pytest.fixture
def paused(location: Location) -> Location:
    """An index whose budget of today is spent on a part of its 300 rows."""
    location.spec = priced(budget_per_day=0.3)
    location.workbench.create_faq(300)
    location.settle()
    return location


def test_a_run_tells_its_tokens_and_cost_and_the_check_those_of_the_day(location: Location) -> None:
    location.spec = priced()
    location.workbench.create_faq(40)
    [request] = location.tick().run_requests or []
    [event] = location.run(request).asset_materializations_for_node("faq__embeddings")
    numbers = {name: value.value for name, value in event.metadata.items()}
    assert (numbers["tokens"], numbers["tokens_estimated"], numbers["cost_usd"]) == (120, 0, pytest.approx(0.12))
    metadata = {name: value.value for name, value in location.check("budget").metadata.items()}
    assert (metadata["tokens_today"], metadata["cost_usd_total"]) == (120, pytest.approx(0.12))


def test_a_spent_budget_fails_its_check_and_no_run(paused: Location) -> None:
    assert not shown(paused).passed
    assert "texts wait" in (shown(paused).description or "")
    assert "goes on at 00:00 UTC, or when embedding.budget_per_day is raised" in (shown(paused).description or "")
    assert all(run.is_success for run in paused.instance.get_runs())


def test_while_the_budget_is_spent_runs_are_requested_for_changed_rows_alone(
    paused: Location, provider: MisbehavingProvider
) -> None:
    asked = provider.requests
    assert not paused.tick().run_requests
    paused.workbench.mysql("DELETE FROM faq WHERE id = 300")
    [request] = paused.tick().run_requests or []
    assert paused.run(request).success
    with paused.opened() as index:
        assert index.status().documents == 299
    assert not paused.tick().run_requests
    assert provider.requests == asked


@pytest.mark.long
def test_embedding_goes_on_by_itself_the_next_day(paused: Location) -> None:
    for _ in range(4):
        paused.workbench.let_a_day_pass()
        paused.settle()
    with paused.opened() as index:
        assert index.status().coverage == 1
    assert shown(paused).passed
    assert "of today's 0.3 USD are spent" in (paused.check("budget").description or "")


@pytest.mark.long
def test_the_next_generation_waits_for_the_budget_without_failing_again_and_again(paused: Location) -> None:
    paused.spec = priced(budget_per_day=0.3, dimensions=4)
    requested = paused.settle()
    assert [key.path[-1] for request in requested for key in request.asset_selection or ()] in (
        [],
        ["next_generation"],
    )
    assert not paused.tick().run_requests


@pytest.mark.long
def test_what_the_next_generation_costs_is_shown_with_it_and_by_its_check(location: Location) -> None:
    location.spec = priced()
    location.workbench.create_faq(20)
    location.settle()
    location.spec = priced(dimensions=4).model_copy(update={"generations": GenerationsSpec(switch="approval")})
    result = location.materialize("next_generation")
    [event] = result.asset_materializations_for_node("faq__next_generation")
    built = {name: value.value for name, value in event.metadata.items()}
    assert (built["cost_usd"], built["tokens"]) == (pytest.approx(0.06), 60)
    shown_by_check = {name: value.value for name, value in location.check("generation").metadata.items()}
    for numbers in (built, shown_by_check):
        assert (numbers["generation_cost_usd"], numbers["generation_tokens"]) == (pytest.approx(0.06), 60)
        assert "0.06 USD" in str(numbers["generations"])


def test_a_job_estimates_what_a_backfill_would_cost(location: Location, provider: MisbehavingProvider) -> None:
    location.spec = priced()
    location.workbench.create_faq(40)
    result = location.definitions.resolve_job_def("faq_estimate").execute_in_process(
        instance=location.instance,
        run_config={"ops": {"faq_estimate_embedding": {"config": {"rows": 20}}}},
    )
    [output] = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    metadata = {name: value.value for name, value in output.step_output_data.metadata.items()}
    assert (metadata["rows"], metadata["one_row_in"]) == (40, 2)
    assert metadata["cost_usd"] > 0
    assert provider.requests == 0
