"""The reconciling sensor: what it requests, and what it leaves alone."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from vector_pipeline.orchestration import runs_in_flight
from vector_pipeline.orchestration.windows import RANGE_START
from vector_pipeline_tests.dagster_instances import FreshStorage, new_home
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import BREAK_RANGE_OF_150, Location, covered_by
from vector_pipeline_tests.workbench import faq_spec

JOB = "__ASSET_JOB"


def _leave_run(location: Location, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None) -> str:
    """A run of which nothing is there but its record; over all partitions, if the tags don't say otherwise."""
    names = location.partitions()
    over_all = {"dagster/asset_partition_range_start": names[0], "dagster/asset_partition_range_end": names[-1]}
    started = status == dg.DagsterRunStatus.STARTED
    run = create_run_for_test(
        location.instance,
        job_name=JOB,
        tags=tags or over_all | location.index.run_tags,
        status=dg.DagsterRunStatus.STARTING if started else status,
        asset_selection=frozenset({location.index.key("documents")}),
        remote_job_origin=RemoteRepositoryOrigin(
            code_location_origin=InProcessCodeLocationOrigin(LoadableTargetOrigin(executable_path=sys.executable)),
            repository_name="repository",
        ).get_job_origin(JOB),
    )
    if started:
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, JOB, message="started")
        location.instance.report_dagster_event(event, run.run_id)
    return str(run.run_id)


def test_the_first_look_adds_the_ranges_and_requests_one_run_for_all(location: Location) -> None:
    location.workbench.create_faq(300)
    [request] = location.tick().run_requests or []
    assert len(location.partitions()) == 3
    assert covered_by(request) == (location.partitions()[0], location.partitions()[-1])
    assert request.asset_selection == [location.index.key("documents"), location.index.key("embeddings")]


def test_no_more_runs_are_requested_at_once_than_declared(location: Location) -> None:
    location.spec = faq_spec(automation={"ranges_per_run": 2, "runs_in_flight": 3})
    location.workbench.create_faq(1000)
    windows = [covered_by(request) for request in location.tick().run_requests or []]
    names = location.partitions()
    assert windows == [(names[0], names[1]), (names[2], names[3]), (names[4], names[5])]


@pytest.mark.dagster_in_postgres
def test_no_more_runs_wait_and_work_than_declared(location: Location) -> None:
    location.spec = faq_spec(automation={"ranges_per_run": 2, "runs_in_flight": 3})
    location.workbench.create_faq(1000)
    for request in (location.tick().run_requests or [])[:2]:
        _leave_run(location, dg.DagsterRunStatus.QUEUED, dict(request.tags))
    location.end_pauses()
    assert len(location.tick().run_requests or []) == 1


def test_the_lag_in_rows_and_seconds_is_told_when_it_comes_and_when_it_is_gone(location: Location) -> None:
    location.workbench.create_faq(300)
    first = location.tick()
    told = [_lag(first)]
    for request in first.run_requests or []:
        location.run(request)
    location.settle()
    told.append(_last_lag(location))
    location.workbench.mysql("DELETE FROM faq WHERE id > 290")
    told.append(_lag(location.tick()))
    assert [(lag["lag_rows"], lag["ranges_dirty"]) for lag in told] == [(300, 3), (0, 0), (10, 1)]
    assert told[0]["lag_seconds"] > told[1]["lag_seconds"] == 0
    assert all(lag["oldest_comparison_seconds"] >= 0 for lag in told)
    assert _observations(location.tick()) == []  # until a minute has passed


def _observations(tick: SensorExecutionData) -> list[dg.AssetObservation]:
    return [event for event in tick.asset_events if isinstance(event, dg.AssetObservation)]


def _lag(tick: SensorExecutionData) -> dict[str, Any]:
    [observation] = _observations(tick)
    return {name: value.value for name, value in observation.metadata.items()}


def _last_lag(location: Location) -> dict[str, Any]:
    [record] = location.instance.fetch_observations(location.index.key("search_index"), limit=1).records
    assert record.asset_observation is not None
    return {name: value.value for name, value in record.asset_observation.metadata.items()}


def test_when_all_is_in_step_nothing_is_requested(location: Location) -> None:
    location.workbench.create_faq(300)
    location.settle()
    result = location.tick()
    assert result.run_requests == []
    assert (result.skip_message or "").startswith("0 rows and 0 s behind: 0 of 3 ranges dirty, 3 looked at, 0 runs")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("UPDATE faq SET answer = 'another answer' WHERE id = 150", id="update"),
        pytest.param("DELETE FROM faq WHERE id = 150", id="delete", marks=pytest.mark.long),
        pytest.param(
            "INSERT INTO faq VALUES (-5, 'late', 'commit', NULL, NULL)", id="insert below", marks=pytest.mark.long
        ),
    ],
)
def test_a_change_in_an_old_range_arrives_by_a_run_of_that_range_alone(location: Location, change: str) -> None:
    location.workbench.create_faq(300)
    location.settle()
    location.workbench.mysql(change)
    requests = [request for request in location.settle() if "dagster/asset_partition_range_start" in request.tags]
    changed = location.partitions()[0 if "INSERT" in change else 1]
    assert [covered_by(request) for request in requests] == [(changed, changed)]
    with location.opened() as index:
        assert index.verify().equal


@pytest.mark.long
def test_new_rows_get_ranges_that_come_after_the_old_ones(location: Location) -> None:
    location.workbench.create_faq(300)
    location.settle()
    before = location.partitions()
    location.workbench.add_faq(range(301, 651))
    location.settle()
    assert location.partitions()[: len(before)] == before
    assert len(location.partitions()) > len(before)
    with location.opened() as index:
        assert index.verify().equal


def _rows_events(tick: SensorExecutionData) -> list[dg.AssetMaterialization]:
    return [event for event in tick.asset_events if isinstance(event, dg.AssetMaterialization)]


@pytest.mark.dagster_in_postgres
def test_dagster_is_told_of_changed_rows_once(location: Location) -> None:
    location.workbench.create_faq(300)
    first = location.tick()
    location.workbench.mysql("UPDATE faq SET answer = 'x' WHERE id = 150")
    second = location.tick()
    assert [event.partition for event in _rows_events(first)] == location.partitions()
    assert [event.partition for event in _rows_events(second)] == [location.partitions()[1]]
    assert _rows_events(location.tick()) == []
    with location.opened() as index:
        digests = {state.partition: state.source_digest for state in index.ranges()}
    [event] = _rows_events(second)
    assert event.tags == {"dagster/data_version": digests[location.partitions()[1]]}


@pytest.mark.long
def test_an_instance_made_anew_is_told_of_all_rows_again(
    location: Location, request: pytest.FixtureRequest, fresh_dagster_storage: FreshStorage, tmp_path: Path
) -> None:
    location.workbench.create_faq(300)
    location.settle()
    with fresh_dagster_storage(request) as storage, new_home(tmp_path / "another", storage).instance() as another:
        location.instance, location.cursor = another, None
        assert len(_rows_events(location.tick())) == 3
        assert len(location.partitions()) == 3


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING], ids=lambda status: status.value
)
def test_nothing_is_requested_while_a_run_waits(
    location: Location, status: dg.DagsterRunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_in_flight, "GRACE_SECONDS", 0.0)
    location.workbench.create_faq(300)
    location.tick()
    location.end_pauses()
    _leave_run(location, status)
    assert location.tick().run_requests == []


@pytest.mark.dagster_in_postgres
def test_nothing_is_requested_while_a_run_works(location: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_in_flight, "GRACE_SECONDS", 0.0)
    location.workbench.create_faq(300)
    location.tick()
    location.end_pauses()
    run_id = _leave_run(location, dg.DagsterRunStatus.STARTED)
    with location.opened() as index, index.hold_run(run_id):
        assert location.tick().run_requests == []


def test_a_run_that_gave_a_sign_of_life_a_moment_ago_is_not_overtaken(location: Location) -> None:
    location.workbench.create_faq(300)
    location.tick()
    location.end_pauses()
    _leave_run(location, dg.DagsterRunStatus.STARTED)
    assert location.tick().run_requests == []


@pytest.mark.dagster_in_postgres
def test_a_killed_run_does_not_freeze_its_ranges(location: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_in_flight, "GRACE_SECONDS", 0.0)
    location.workbench.create_faq(300)
    location.tick()
    location.end_pauses()
    _leave_run(location, dg.DagsterRunStatus.STARTED)
    assert len(location.tick().run_requests or []) == 3


def test_a_run_that_somebody_started_in_the_ui_is_not_overtaken(location: Location) -> None:
    location.workbench.create_faq(300)
    location.tick()
    location.end_pauses()
    first, second, third = location.partitions()
    _leave_run(location, dg.DagsterRunStatus.QUEUED, {"dagster/partition": second})
    requested = {covered_by(request) for request in location.tick().run_requests or []}
    assert requested == {(first, first), (third, third)}


@pytest.mark.long
def test_a_failed_range_runs_alone_the_next_time_and_sinks_no_neighbour(location: Location) -> None:
    location.workbench.create_faq(300)
    with location.opened() as index:
        index.prepare()
    location.workbench.postgres(BREAK_RANGE_OF_150)
    [together] = location.tick().run_requests or []
    assert not location.run(together).success
    location.end_pauses()
    requests = location.tick().run_requests or []
    assert [covered_by(request) for request in requests] == [(name, name) for name in location.partitions()]
    assert [location.run(request).success for request in requests] == [True, False, True]
    location.workbench.postgres("DROP TRIGGER refuse ON faq.documents")
    location.end_pauses()
    location.settle()
    with location.opened() as index:
        assert index.verify().equal


def requests_for_ranges(location: Location) -> list[dg.RunRequest]:
    """What a tick requests, but for a renewal of the search index."""
    return [request for request in location.tick().run_requests or [] if RANGE_START in request.tags]


def test_a_failed_range_is_left_alone_for_a_growing_pause(location: Location) -> None:
    location.workbench.create_faq(50)
    with location.opened() as index:
        index.prepare()
    pauses = []
    for _ in range(3):
        assert len(requests_for_ranges(location)) == 1
        assert requests_for_ranges(location) == []
        [(pause,)] = location.workbench.postgres(
            "SELECT extract(epoch FROM next_attempt_at - now())::float FROM vector_pipeline.key_ranges"
        )
        pauses.append(pause)
        location.end_pauses()
    assert pauses[0] > 20
    assert [later / earlier for earlier, later in itertools.pairwise(pauses)] == pytest.approx([2, 2], rel=0.2)


@pytest.mark.long
def test_a_range_that_is_in_step_again_is_tried_at_once_when_it_changes(location: Location) -> None:
    location.workbench.create_faq(50)
    location.settle()
    for text in ("once", "twice"):
        location.workbench.mysql(f"UPDATE faq SET answer = '{text}' WHERE id = 7")
        [request] = location.tick().run_requests or []
        assert location.run(request).success


@pytest.mark.long
def test_a_provider_that_was_down_is_forgotten_without_a_run_for_each_range(
    location: Location, provider: MisbehavingProvider
) -> None:
    embedding = {"provider": {"type": "openai", "attempts": 1}}
    location.spec = faq_spec(embedding=embedding, automation={"ranges_per_run": 4, "runs_in_flight": 2})
    location.workbench.create_faq(800)
    with location.opened() as index:
        index.prepare()
    provider.behave("status", status=503)
    for request in location.tick().run_requests or []:
        assert not location.run(request).success
    provider.behave("well")
    location.end_pauses()
    assert len(location.tick().run_requests or []) == 2


@pytest.mark.long
def test_the_search_index_follows_when_the_first_load_is_complete(location: Location) -> None:
    location.workbench.create_faq(300)
    requests = location.settle()
    assert requests[-1].asset_selection == [location.index.key("search_index")]
    assert [request.asset_selection for request in requests].count([location.index.key("search_index")]) == 1


@pytest.mark.long
def test_a_look_stays_within_its_budget_and_the_next_goes_on(location: Location) -> None:
    location.spec = faq_spec(automation={"scrub_seconds": 1e-6})
    location.workbench.create_faq(1000)
    with location.opened() as index:
        index.detect()
    location.settle()
    location.workbench.mysql("UPDATE faq SET answer = 'x' WHERE id = 350")
    looks = [location.tick().run_requests for _ in range(9)]
    assert [len(requests or []) for requests in looks].count(1) == 1


def test_a_paused_index_requests_nothing_and_says_why(location: Location) -> None:
    location.spec = faq_spec(automation={"paused": True})
    location.workbench.create_faq(10)
    assert location.tick().skip_message == "paused by defs/faq/defs.yaml: automation.paused"
    sensor = location.definitions.resolve_sensor_def("faq_reconcile")
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED


def test_a_source_that_is_down_gives_one_clear_message(location: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PORT", "1")
    with pytest.raises(dg.DagsterInvariantViolationError, match=re.escape("127.0.0.1:1")) as caught:
        location.tick()
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.__suppress_context__  # the driver's traceback would bury it


@pytest.mark.long
def test_a_source_that_was_down_is_looked_at_again_without_a_pile_of_runs(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    location.workbench.create_faq(300)
    location.settle()
    location.workbench.mysql("UPDATE faq SET answer = 'x' WHERE id = 150")
    with monkeypatch.context() as down:
        down.setenv("DB_PORT", "1")
        for _ in range(3):
            with pytest.raises(dg.DagsterInvariantViolationError, match="check that it runs"):
                location.tick()
    assert len(location.settle()) == 1


def test_a_declaration_that_does_not_fit_the_table_is_told_by_tick_and_check(location: Location) -> None:
    location.workbench.create_faq(10)
    location.spec = faq_spec(source={"table": "faqs", "primary_key": "id"})
    key = dg.AssetCheckKey(location.index.key("rows"), "declaration")
    for _ in range(2):
        with pytest.raises(dg.DagsterInvariantViolationError, match=r"defs\.yaml, source\.table: there is no"):
            location.tick()
    location.spec = faq_spec()
    for _ in range(2):
        location.tick()
    shown = location.instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    assert [record.status.value for record in shown] == ["SUCCEEDED", "FAILED"]
