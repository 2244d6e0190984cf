"""Another model in Dagster: built by runs of its own, switched to by itself or by somebody, and back."""

from __future__ import annotations

import time

import dagster as dg
import pytest

from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.orchestration.location import Location
from vector_pipeline_tests.workbench import question_only

SHORTER = question_only(embedding={"dimensions": 4})
TO_BE_APPROVED = question_only(embedding={"dimensions": 4}, generations={"switch": "approval"})


@pytest.fixture
def synced(location: Location) -> Location:
    location.spec = question_only()
    location.workbench.create_faq(150)
    location.settle()
    return location


def declare(location: Location, spec: IndexSpec) -> Location:
    location.spec = spec
    return location


def served(location: Location) -> int:
    with location.opened() as index:
        return index.generations().served.number


def execute(location: Location, job: str) -> None:
    assert location.definitions.resolve_job_def(job).execute_in_process(instance=location.instance).success


def shown(location: Location) -> dg.AssetCheckEvaluation:
    key = dg.AssetCheckKey(location.index.key("next_generation"), "generation")
    record = location.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.event is not None and record.event.dagster_event is not None
    evaluation = record.event.dagster_event.event_specific_data
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    return evaluation


def is_about_the_latest_run(location: Location, told: dg.AssetCheckEvaluation) -> bool:
    """Whether Dagster shows the check as evaluated, also within the second in which the run has ended."""
    [latest] = location.instance.fetch_materializations(told.asset_key, limit=1).records
    about = told.target_materialization_data
    return about is not None and about.storage_id == latest.storage_id


@pytest.mark.long
def test_a_tick_that_finds_a_generation_waiting_reads_none_of_its_rows(synced: Location) -> None:
    declare(synced, TO_BE_APPROVED)
    synced.settle()
    before = rows_read(synced)
    assert not synced.tick().run_requests
    assert rows_read(synced) == before


def rows_read(location: Location) -> int:
    """How many rows of the index's tables PostgreSQL has read in search of others, once nobody works on the index."""
    at_work = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE application_name LIKE 'vector-pipeline faq%' AND datname = current_database()"
    )
    deadline = time.monotonic() + 10
    while location.workbench.postgres(at_work) and time.monotonic() < deadline:
        time.sleep(0.01)
    [(count,)] = location.workbench.postgres(
        "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'faq'"
    )
    return int(count)


def test_a_changed_model_is_built_and_switched_to_by_the_sensor(synced: Location) -> None:
    declare(synced, SHORTER)
    requested = [key.path[-1] for request in synced.settle() for key in request.asset_selection or ()]
    assert requested.count("next_generation") == 1
    assert served(synced) == 2
    assert shown(synced).passed


@pytest.mark.long
def test_a_run_that_builds_tells_how_far_it_is(synced: Location) -> None:
    declare(synced, SHORTER)
    [request] = synced.tick().run_requests or ()
    result = synced.run(request)
    [event] = result.asset_materializations_for_node("faq__next_generation")
    numbers = {name: value.value for name, value in event.metadata.items()}
    assert (numbers["switched"], numbers["texts_embedded"], numbers["served_generation"]) == (True, 150, 2)
    observations = [e for e in result.all_events if e.event_type is dg.DagsterEventType.ASSET_OBSERVATION]
    assert observations[0].asset_observation_data.asset_observation.metadata["built_percent"].value == 100


@pytest.mark.long
def test_nothing_is_requested_while_the_build_runs(synced: Location) -> None:
    declare(synced, SHORTER)
    synced.tick()
    synced.cursor = None  # its pause is over
    run = synced.instance.create_run_for_job(
        synced.definitions.resolve_implicit_global_asset_job_def(),
        asset_selection=frozenset({synced.index.key("next_generation")}),
        status=dg.DagsterRunStatus.STARTED,
    )
    with synced.opened() as index, index.hold_run(run.run_id):
        assert not synced.tick().run_requests


def test_a_switch_that_has_to_be_approved_waits_and_says_so_until_the_job_has_run(synced: Location) -> None:
    declare(synced, TO_BE_APPROVED)
    synced.settle()
    assert served(synced) == 1
    assert not shown(synced).passed
    assert is_about_the_latest_run(synced, shown(synced))
    assert "faq_switch_generation" in (shown(synced).description or "")
    execute(synced, "faq_switch_generation")
    assert served(synced) == 2
    synced.tick()
    assert shown(synced).passed


@pytest.mark.long
def test_rolling_back_is_a_job_after_which_the_earlier_generation_is_synced_and_no_other_built(
    synced: Location,
) -> None:
    declare(synced, SHORTER)
    synced.settle()
    synced.workbench.add_faq([151])
    synced.settle()
    execute(synced, "faq_roll_back")
    assert served(synced) == 1
    requested = [key.path[-1] for request in synced.settle() for key in request.asset_selection or ()]
    assert "next_generation" not in requested
    assert not shown(synced).passed
    assert "taken out of service" in (shown(synced).description or "")
    with synced.opened() as index:
        assert index.search("question number 151?", limit=1).hits[0].key == "151"
        assert index.verify().equal


@pytest.mark.long
def test_a_model_that_cannot_be_used_fails_its_own_runs_alone_and_is_tried_again_with_growing_pauses(
    synced: Location,
) -> None:
    provider = {"type": "openai", "host": "http://127.0.0.1:9", "attempts": 1}
    declare(synced, question_only(embedding={"model": "nowhere", "provider": provider}))
    synced.workbench.add_faq([151])
    requests = synced.tick().run_requests or []
    results = {next(iter(request.asset_selection or ())).path[-1]: synced.run(request).success for request in requests}
    assert results == {"documents": True, "next_generation": False}
    assert not any(
        request.asset_selection == [synced.index.key("next_generation")] for request in synced.tick().run_requests or ()
    )
