"""Old runs and events go from Dagster's storage; what the UI and the sensors read stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.tags import PARENT_RUN_ID_TAG, ROOT_RUN_ID_TAG

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.orchestration.dagster_history import dagster_history
from vector_pipeline.orchestration.pruning import Pruned, Retention, prune, read_retention

PARTITIONS = dg.DynamicPartitionsDefinition(name="ranges")
LATER = timedelta(days=40)
SECONDS = 60.0
KEY = dg.AssetKey("documents")
CHECK = dg.AssetCheckKey(KEY, "parity")


def documents_that(fails: bool = False) -> Any:
    @dg.asset(name="documents", partitions_def=PARTITIONS)
    def documents() -> None:
        if fails:
            raise RuntimeError("broken")

    return documents


def run(
    instance: dg.DagsterInstance, partition: str, *, fails: bool = False, tags: dict[str, str] | None = None
) -> str:
    job = dg.materialize(
        [documents_that(fails)], partition_key=partition, instance=instance, raise_on_error=False, tags=tags
    )
    return job.run_id


def prune_later(instance: dg.DagsterInstance, retention: Retention | None = None, after: timedelta = LATER) -> Pruned:
    return prune(instance, retention or Retention(), SECONDS, datetime.now(UTC) + after)


def report(instance: dg.DagsterInstance, lag: int) -> None:
    instance.report_runless_asset_event(dg.AssetObservation("documents", metadata={"lag_rows": lag}))


def told_lags(instance: dg.DagsterInstance) -> list[object]:
    records = instance.fetch_observations(KEY, limit=100).records
    return [record.asset_observation.metadata["lag_rows"].value for record in records if record.asset_observation]


@pytest.fixture(params=["one database", pytest.param("a database for each run", marks=pytest.mark.long)])
def any_instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """On the storage of the tests, which is shaped as PostgreSQL's, and on the one that Dagster makes unasked."""
    if request.param == "one database":
        yield request.getfixturevalue("instance")
    else:
        with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
            yield instance


@pytest.mark.dagster_in_postgres
def test_partitions_stay_materialized_by_their_latest_run_and_earlier_runs_go(any_instance: dg.DagsterInstance) -> None:
    any_instance.add_dynamic_partitions("ranges", ["a", "b", "c"])
    earlier = [run(any_instance, partition) for partition in "abca"]
    latest = [run(any_instance, partition) for partition in "abc"]
    pruned = prune_later(any_instance)
    assert (pruned.runs, pruned.runs_left, pruned.kept_for_latest) == (len(earlier), len(latest), len(latest))
    assert any_instance.get_materialized_partitions(KEY) == {"a", "b", "c"}
    assert {one.run_id for one in any_instance.get_runs()} == set(latest)
    storage = any_instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        assert not any(Path(storage.path_for_shard(run_id)).exists() for run_id in earlier)
    else:
        assert not any(any_instance.all_logs(run_id) for run_id in earlier)
    again = prune_later(any_instance)
    assert (again.runs, again.runs_left) == (0, len(latest))


@pytest.mark.dagster_in_postgres
def test_a_partition_that_failed_last_is_still_shown_as_failed(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("ranges", ["a"])
    run(instance, "a")
    failed = run(instance, "a", fails=True)
    prune_later(instance)
    attempts = instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations
    assert {partition: run_id for partition, (run_id, _) in attempts(KEY).items()} == {"a": failed}
    assert instance.get_materialized_partitions(KEY) == {"a"}


def test_runs_that_are_not_over_and_young_ones_stay(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("ranges", ["a"])
    waiting = instance.create_run_for_job(dg.GraphDefinition(name="nothing").to_job())
    for _ in range(3):
        run(instance, "a")
    assert prune_later(instance, Retention(runs=1), timedelta()).runs == 0
    assert prune_later(instance).runs == 2
    assert instance.get_run_by_id(waiting.run_id) is not None


def test_of_too_many_runs_the_oldest_go(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("ranges", ["a"])
    runs = [run(instance, "a") for _ in range(5)]
    pruned = prune_later(instance, Retention(runs=3), timedelta(hours=2))
    assert (pruned.runs, pruned.runs_left) == (2, 3)
    assert {one.run_id for one in instance.get_runs()} == set(runs[2:])


def test_the_run_that_a_kept_one_was_tried_again_for_stays(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("ranges", ["a"])
    first = run(instance, "a", fails=True)
    run(instance, "a")
    again = run(instance, "a", tags={ROOT_RUN_ID_TAG: first, PARENT_RUN_ID_TAG: first})
    prune_later(instance)
    assert {one.run_id for one in instance.get_runs()} == {first, again}


@pytest.mark.dagster_in_postgres
def test_points_of_plots_stay_for_as_long_as_is_declared_and_the_latest_for_ever(instance: dg.DagsterInstance) -> None:
    for lag in range(5):
        report(instance, lag)
    assert prune_later(instance, Retention(events_days=90), timedelta(days=89)).events == 0
    assert told_lags(instance) == [4, 3, 2, 1, 0]
    assert prune_later(instance, Retention(events_days=90), timedelta(days=91)).events == 4
    assert told_lags(instance) == [4]


@pytest.mark.dagster_in_postgres
def test_what_checks_show_stays_and_what_they_showed_goes(instance: dg.DagsterInstance) -> None:
    for passed in (True, False, True, False):
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=KEY, check_name="parity", passed=passed, metadata={})
        )
    assert prune_later(instance, after=timedelta(days=100)).check_results == 3
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK])[CHECK]
    assert isinstance(record.evaluation, dg.AssetCheckEvaluation) and not record.evaluation.passed


def test_zero_keeps_all(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("ranges", ["a"])
    for _ in range(2):
        run(instance, "a")
        report(instance, 1)
    pruned = prune_later(instance, Retention(runs_days=0, runs=0, events_days=0))
    assert (pruned.runs, pruned.events) == (0, 0)


def test_a_call_that_has_no_time_left_stops_and_the_next_goes_on(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("ranges", ["a"])
    for _ in range(3):
        run(instance, "a")
    assert not prune(instance, Retention(), 0.0, datetime.now(UTC) + LATER).finished
    assert instance.get_runs_count() == 3
    assert prune_later(instance).finished
    assert instance.get_runs_count() == 1


def test_the_asset_tells_what_it_removed_and_what_is_left(instance: dg.DagsterInstance) -> None:
    result = dg.materialize([dagster_history], instance=instance)
    [event] = result.asset_materializations_for_node("dagster_history")
    assert event.metadata["runs_removed"].value == 0
    assert event.metadata["runs_left"].value == 1


def test_the_environment_says_how_long_and_a_wrong_number_is_named() -> None:
    assert read_retention({"VECTOR_PIPELINE_KEEP_RUNS_DAYS": "7"}) == Retention(runs_days=7)
    with pytest.raises(ConfigurationError, match="VECTOR_PIPELINE_KEEP_EVENTS_DAYS"):
        read_retention({"VECTOR_PIPELINE_KEEP_EVENTS_DAYS": "a while"})


def test_a_run_that_took_long_keeps_no_others_from_being_removed(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("ranges", ["a"])
    long = instance.create_run_for_job(dg.GraphDefinition(name="long").to_job())
    for _ in range(3):
        run(instance, "a")
    day = timedelta(days=1).total_seconds()
    ended = dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, "long")
    instance.run_storage.handle_run_event(long.run_id, ended, datetime.now(UTC) + timedelta(seconds=39 * day))
    assert prune_later(instance).runs == 2
    assert instance.get_run_by_id(long.run_id) is not None


@pytest.mark.long
def test_runs_that_have_to_stay_leave_room_for_as_many_others_as_are_kept(instance: dg.DagsterInstance) -> None:
    partitions = ["a", "b", "c", "d"]
    instance.add_dynamic_partitions("ranges", [*partitions, "e"])
    needed = [run(instance, partition) for partition in partitions]
    others = [run(instance, "e") for _ in range(4)]
    pruned = prune_later(instance, Retention(runs=3), timedelta(hours=2))
    assert {one.run_id for one in instance.get_runs()} == {*needed, *others[-3:]}
    assert (pruned.runs, pruned.kept_for_latest) == (1, 4)


def test_a_run_whose_removal_breaks_off_is_removed_the_next_time(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.add_dynamic_partitions("ranges", ["a"])
    earlier, latest = run(instance, "a"), run(instance, "a")

    def break_off(run_id: str) -> None:
        raise ConnectionError(f"the database is gone, with run {run_id}")

    with monkeypatch.context() as broken:
        broken.setattr(instance.event_log_storage, "delete_events", break_off)
        with pytest.raises(ConnectionError):
            prune_later(instance)
    prune_later(instance)
    assert {one.run_id for one in instance.get_runs()} == {latest}
    assert not instance.all_logs(earlier)
