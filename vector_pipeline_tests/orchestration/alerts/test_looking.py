"""What counts as failing, and when it is over, by what real runs leave in Dagster's storage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from sqlalchemy import event
from sqlalchemy.engine import Engine

from vector_pipeline.orchestration.alerts.ended_runs import ended_runs
from vector_pipeline.orchestration.alerts.looking import Place, failing_checks, failing_sensors
from vector_pipeline.orchestration.alerts.runs import look_at_runs
from vector_pipeline.orchestration.alerts.trouble import Memory
from vector_pipeline_tests.dagster_instances import DagsterHome
from vector_pipeline_tests.orchestration.alerts.ticking import TickingSensor

RANGES = dg.StaticPartitionsDefinition(["a", "b"])
DOCUMENTS, SEARCH_INDEX, MAINTENANCE = (dg.AssetKey(["faq", name]) for name in ("documents", "search_index", "other"))
CHECK = dg.AssetCheckKey(DOCUMENTS, "counted")


def definitions(broken: Sequence[str] = (), without: Sequence[dg.AssetKey] = ()) -> dg.Definitions:
    """Three assets, one of them partitioned and checked; the steps that are named raise."""

    def act(name: str) -> None:
        if name in broken:
            raise RuntimeError(f"{name} is broken")

    @dg.asset(key=DOCUMENTS, partitions_def=RANGES)
    def documents() -> None:
        act("documents")

    @dg.asset(key=SEARCH_INDEX, deps=[dg.AssetDep(DOCUMENTS, partition_mapping=dg.AllPartitionMapping())])
    def search_index() -> None:
        act("search_index")

    @dg.asset(key=MAINTENANCE)
    def other() -> None:
        act("other")

    @dg.asset_check(asset=DOCUMENTS)
    def counted() -> dg.AssetCheckResult:
        act("counted")
        return dg.AssetCheckResult(passed=True)

    assets: list[Any] = [one for one in (documents, search_index, other) if one.key not in without]
    return dg.Definitions(assets=assets, asset_checks=[counted], executor=dg.in_process_executor)


def definitions_with_sensors(*names: str) -> dg.RepositoryDefinition:
    @dg.op
    def nothing() -> None:
        pass

    @dg.job
    def empty() -> None:
        nothing()

    def look(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        raise NotImplementedError

    return dg.Definitions(
        sensors=[dg.SensorDefinition(name=name, job=empty, evaluation_fn=look) for name in names]
    ).get_repository_def()


@pytest.fixture
def read_ticks() -> Iterator[list[str]]:
    """The statements by which looks of sensors are read."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT") and "FROM job_ticks" in statement:
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield statements
    event.remove(Engine, "before_cursor_execute", note)


@dataclass
class Runs:
    """Runs as the daemon starts them, and what a look finds after them."""

    instance: dg.DagsterInstance
    memory: Memory = field(default_factory=Memory)

    def run(self, *keys: dg.AssetKey, broken: Sequence[str] = (), partition: str | None = None) -> str:
        tags = {} if partition is None else {"dagster/partition": partition}
        job = definitions(broken).resolve_implicit_global_asset_job_def()
        subset = job.get_subset(asset_selection=set(keys))
        run = self.instance.create_run_for_job(subset, tags=tags, asset_selection=frozenset(keys))
        execute_run(InMemoryJob(subset), run, self.instance)
        return run.run_id

    def look(self, without: Sequence[dg.AssetKey] = (), later: float = 0.0) -> list[str]:
        now = time.time() + later
        place = Place(definitions(without=without).get_repository_def(), None)
        self.memory, found = look_at_runs(self.instance, place, self.memory, now)
        self.memory = self.memory.with_troubles(found, now)
        return sorted(trouble.what for trouble in found.values())


@pytest.fixture
def runs(instance: dg.DagsterInstance) -> Runs:
    looked_at = Runs(instance)
    looked_at.look()
    return looked_at


@pytest.fixture
def failed_before_its_tag(dagster_home: DagsterHome) -> Iterator[tuple[Runs, str]]:
    """A run of MAINTENANCE that failed, and that Dagster has not said of yet whether it tries it again."""
    with dagster_home.instance() as instance:
        runs = Runs(instance)
        runs.look()
        run_id = runs.run(MAINTENANCE, broken=["other"])
    with dagster_home.instance({"run_retries": {"enabled": True, "max_retries": 2}}) as retrying:
        runs.instance = retrying
        assert runs.look() == []
        yield runs, run_id


def test_what_has_no_partitions_is_told_beside_partitions_that_went_well(runs: Runs) -> None:
    runs.run(DOCUMENTS, SEARCH_INDEX, broken=["search_index"], partition="a")
    assert runs.look() == ["runs of faq/documents, faq/search_index fail"]
    runs.run(DOCUMENTS, SEARCH_INDEX, partition="b")
    assert runs.look() == []


def test_a_check_that_raises_is_told_although_its_partition_is_there(runs: Runs) -> None:
    runs.run(DOCUMENTS, broken=["counted"], partition="a")
    assert runs.look() == ["runs of faq/documents fail"]
    runs.run(DOCUMENTS, partition="b")
    assert runs.look() == []


def test_a_partition_that_failed_is_not_over_because_another_one_went_well(runs: Runs) -> None:
    runs.run(DOCUMENTS, broken=["documents"], partition="a")
    runs.look()
    runs.run(DOCUMENTS, partition="b")
    assert runs.look() == ["runs of faq/documents fail"]
    runs.run(DOCUMENTS, partition="a")
    assert runs.look() == []


def test_an_asset_is_well_once_it_is_materialized_in_whatever_company(runs: Runs) -> None:
    runs.run(SEARCH_INDEX, MAINTENANCE, broken=["search_index"])
    assert runs.look() == ["runs of faq/other, faq/search_index fail"]
    runs.run(MAINTENANCE)
    assert runs.look() == ["runs of faq/other, faq/search_index fail"]
    runs.run(SEARCH_INDEX)
    assert runs.look() == []


def test_what_the_location_no_longer_has_fails_no_more(runs: Runs) -> None:
    runs.run(MAINTENANCE, broken=["other"])
    assert runs.look() == ["runs of faq/other fail"]
    assert runs.look(without=[MAINTENANCE]) == []


def test_a_failure_is_told_when_dagster_has_said_that_it_will_not_try_again(
    failed_before_its_tag: tuple[Runs, str],
) -> None:
    runs, run_id = failed_before_its_tag
    runs.instance.add_run_tags(run_id, {WILL_RETRY_TAG: "false"})
    assert runs.look() == ["runs of faq/other fail"]


def test_a_failure_that_is_tried_again_is_not_told_but_that_of_the_last_try(
    failed_before_its_tag: tuple[Runs, str],
) -> None:
    runs, run_id = failed_before_its_tag
    runs.instance.add_run_tags(run_id, {WILL_RETRY_TAG: "true"})
    assert runs.look() == []
    last = runs.run(MAINTENANCE, broken=["other"])
    runs.instance.add_run_tags(run_id, {AUTO_RETRY_RUN_ID_TAG: last})
    runs.instance.add_run_tags(last, {WILL_RETRY_TAG: "false"})
    assert runs.look() == ["runs of faq/other fail"]
    [trouble] = runs.memory.troubles.values()
    assert trouble.path == f"/runs/{last}"


@pytest.mark.parametrize("tags", [{}, {WILL_RETRY_TAG: "true"}])
def test_a_failure_is_told_after_a_while_though_dagster_says_nothing_or_starts_no_other_run(
    failed_before_its_tag: tuple[Runs, str], tags: dict[str, str]
) -> None:
    runs, run_id = failed_before_its_tag
    runs.instance.add_run_tags(run_id, tags)
    assert runs.look(later=60.0) == []
    assert runs.look(later=400.0) == ["runs of faq/other fail"]


def test_a_failure_that_went_well_before_it_was_told_is_not_told(failed_before_its_tag: tuple[Runs, str]) -> None:
    runs, _ = failed_before_its_tag
    runs.run(MAINTENANCE)
    assert runs.look() == []
    assert runs.look(later=400.0) == []


def test_all_runs_that_ended_are_found_page_by_page_though_some_are_removed_meanwhile(
    instance: dg.DagsterInstance,
) -> None:
    job = definitions().resolve_implicit_global_asset_job_def()
    made = [instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS).run_id for _ in range(6)]
    found = ended_runs(instance, 0.0, page=2)
    last_of_its_page = [next(found).dagster_run.run_id for _ in range(2)][-1]
    instance.delete_run(last_of_its_page)
    rest = {record.dagster_run.run_id for record in found}
    assert rest | {last_of_its_page} >= set(made)


def test_a_sensor_that_went_well_costs_no_look_at_its_history(
    instance: dg.DagsterInstance, read_ticks: list[str]
) -> None:
    place = Place(definitions_with_sensors("well", "failing"), None)
    now = time.time()
    TickingSensor(instance, "well", well_at=now - 1)
    failing = TickingSensor(instance, "failing")
    for n in range(3):
        failing.tick(TickStatus.FAILURE, now - 3 + n)
    read_ticks.clear()
    assert list(failing_sensors(instance, place, now)) == ["sensor failing"]
    [statement] = read_ticks
    assert "timestamp >" in statement


def test_a_check_that_is_being_evaluated_is_what_it_was_last(instance: dg.DagsterInstance) -> None:
    """Also where nobody had looked since: a proof of a large table takes hours."""
    place = Place(definitions().get_repository_def(), None)
    runs = Runs(instance)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=DOCUMENTS, check_name="counted", passed=False, metadata={})
    )
    runs.run(DOCUMENTS, broken=["documents"], partition="a")
    [record] = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK]).values()
    assert record.status is AssetCheckExecutionRecordStatus.PLANNED
    assert [trouble.what for trouble in failing_checks(instance, place).values()] == [
        "check counted of faq/documents fails"
    ]
