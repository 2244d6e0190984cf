"""What counts as failing, and when it is over, by what real runs leave in Dagster's storage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from vector_pipeline.orchestration.alerts.looking import Place, failing_checks
from vector_pipeline.orchestration.alerts.runs import look_at_runs
from vector_pipeline.orchestration.alerts.trouble import Memory

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


@dataclass
class Runs:
    """Runs as the daemon starts them, and what a look finds after them."""

    instance: dg.DagsterInstance
    memory: Memory = field(default_factory=Memory)

    def run(self, *keys: dg.AssetKey, broken: Sequence[str] = (), partition: str | None = None) -> None:
        tags = {} if partition is None else {"dagster/partition": partition}
        job = definitions(broken).resolve_implicit_global_asset_job_def()
        subset = job.get_subset(asset_selection=set(keys))
        run = self.instance.create_run_for_job(subset, tags=tags, asset_selection=frozenset(keys))
        execute_run(InMemoryJob(subset), run, self.instance)

    def look(self, without: Sequence[dg.AssetKey] = ()) -> list[str]:
        place = Place(definitions(without=without).get_repository_def(), None)
        self.memory, found = look_at_runs(self.instance, place, self.memory, time.time())
        self.memory = self.memory.with_troubles(found, time.time())
        return sorted(trouble.what for trouble in found.values())


@pytest.fixture
def runs(instance: dg.DagsterInstance) -> Runs:
    looked_at = Runs(instance)
    looked_at.look()
    return looked_at


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
