"""A large backfill as ops do it, with the real daemon and webserver: cancelled midway, resumed with what is missing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus

from benchmarks.dagster_daemon import dagster_daemon
from vector_pipeline.core.embedding.requesting import HARMLESS_TEXT
from vector_pipeline.core.reports import ParityReport
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.components.declared import faq_attributes
from vector_pipeline_tests.dagster_instances import DagsterStorage
from vector_pipeline_tests.environments import variables_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.run_workers import RunWorkers
from vector_pipeline_tests.orchestration.webserver import Interface, wait_until_it_answers, webserver
from vector_pipeline_tests.workbench import Workbench

ROWS = 5_200
RANGE_SIZE = 5
RANGES = ROWS // RANGE_SIZE
RANGES_PER_RUN = 130
TEXTS_PER_REQUEST, REQUESTS_IN_FLIGHT = 50, 2
# As dagster.yaml has it.
BACKFILL_RUNS_AT_ONCE = 2
# A run that is interrupted while it waits for its last answers loses these, as a killed one does: they are paid for
# again, and nothing else is.
MOST_IN_FLIGHT = BACKFILL_RUNS_AT_ONCE * TEXTS_PER_REQUEST * (REQUESTS_IN_FLIGHT + 1)
DECLARED = faq_attributes(
    range_size=RANGE_SIZE,
    search={"threshold": -1.0},
    embedding={
        "provider": {"type": "openai", "texts_per_request": TEXTS_PER_REQUEST, "requests_in_flight": REQUESTS_IN_FLIGHT}
    },
    automation={"paused": True, "ranges_per_run": RANGES_PER_RUN},
)
ASSETS = [dg.AssetKey(["faq", name]) for name in ("documents", "embeddings")]
DOCUMENTS, EMBEDDINGS = ASSETS
MOST_BYTES_OF_A_RUN = 700 * 1024**2
# The daemon looks at backfills every half a minute.
STEP_WITHIN = 240.0


@pytest.mark.long
def test_a_backfill_of_a_thousand_ranges_is_cancelled_midway_and_resumed_with_what_is_missing(
    workbench: Workbench,
    provider: MisbehavingProvider,
    tmp_path: Path,
    dagster_storage: DagsterStorage,
    record_property: Callable[[str, object], None],
) -> None:
    workbench.create_faq(ROWS)
    spec = IndexSpec.model_validate(DECLARED)
    environment = variables_of(workbench.settings)
    with dagster_daemon(tmp_path, DECLARED, workbench.settings, dagster_storage) as instance:
        add_partitions(workbench, spec, instance)
        environment |= {"DAGSTER_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path / "project")}
        with webserver(tmp_path / "project", tmp_path / "webserver.log", environment) as address:
            wait_until_it_answers(address)
            interface, workers = Interface(address), RunWorkers(instance)
            provider.reset()
            everything = interface.partitions(DOCUMENTS).missing_or_failed
            assert len(everything) >= RANGES

            provider.delay_seconds = 0.2
            first = interface.materialize(ASSETS, everything)
            wait_until(lambda: embedded(workbench) / RANGE_SIZE > RANGES / 8, workers)
            interface.cancel(first)
            wait_until(lambda: status(instance, first) == BulkActionStatus.CANCELED, workers)
            wait_until(lambda: not unfinished_runs(instance), workers)
            provider.delay_seconds = 0.0
            committed = in_documents(workbench, spec)
            assert 0 < len(committed) < RANGES
            assert_nothing_is_half_written(verified(workbench, spec))
            shown = interface.partitions(DOCUMENTS)
            assert shown.materialized <= committed
            # What a cancelled run committed last may lack its event.
            assert len(committed - shown.materialized) <= 2, committed - shown.materialized
            assert not shown.failed

            missing = interface.partitions(EMBEDDINGS).missing_or_failed
            second = interface.materialize(ASSETS, missing)
            wait_until(lambda: status(instance, second) == BulkActionStatus.COMPLETED_SUCCESS, workers)
            assert committed <= in_documents(workbench, spec)
            assert verified(workbench, spec).equal
            for asset in ASSETS:
                assert interface.partitions(asset).missing_or_failed == ()
        launched, resumed = runs_of(instance, first), runs_of(instance, second)
    record_property("peak_megabytes_of_runs", sorted(peak // 1024**2 for peak in workers.peak_bytes.values()))
    assert len(launched) <= math.ceil(RANGES / RANGES_PER_RUN)
    assert len(resumed) <= math.ceil(len(missing) / RANGES_PER_RUN) + contiguous_stretches(missing, everything)
    probes = provider.times_sent(HARMLESS_TEXT)
    stats = provider.stats()
    paid_again = stats["texts"] - probes - (stats["distinct_texts"] - bool(probes))
    assert paid_again <= MOST_IN_FLIGHT
    assert 0 < max(workers.peak_bytes.values()) < MOST_BYTES_OF_A_RUN


def add_partitions(workbench: Workbench, spec: IndexSpec, instance: dg.DagsterInstance) -> None:
    """What the sensor does before it requests anything, had it not been paused."""
    with workbench.index(spec) as index:
        index.detect()
        instance.add_dynamic_partitions("faq_ranges", [state.partition for state in index.ranges()])


def wait_until(what: Callable[[], bool], workers: RunWorkers) -> None:
    deadline = time.monotonic() + STEP_WITHIN
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("what a backfill should lead to has not come")
        workers.look()
        time.sleep(0.5)


def embedded(workbench: Workbench) -> int:
    [(count,)] = workbench.postgres("SELECT count(*) FROM faq.vectors_1")
    return int(count)


def in_documents(workbench: Workbench, spec: IndexSpec) -> set[str]:
    """The ranges whose documents are committed."""
    with workbench.index(spec) as index:
        return {state.partition for state in index.ranges() if state.synced_digest is not None}


def verified(workbench: Workbench, spec: IndexSpec) -> ParityReport:
    with workbench.index(spec) as index:
        return index.verify()


def assert_nothing_is_half_written(report: ParityReport) -> None:
    """Each range has all of its rows, or none."""
    for difference in report.differences:
        assert difference.target_rows in (0, difference.source_rows)
        assert (difference.stale, difference.orphaned, difference.passages, difference.dishonest) == ((), (), (), ())
        assert len(difference.missing) in (0, difference.source_rows)


def status(instance: dg.DagsterInstance, backfill: str) -> BulkActionStatus:
    found = instance.get_backfill(backfill)
    assert found is not None
    return found.status


def runs_of(instance: dg.DagsterInstance, backfill: str) -> list[Any]:
    return list(instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill})))


def unfinished_runs(instance: dg.DagsterInstance) -> int:
    unfinished = [s for s in dg.DagsterRunStatus if s.name not in ("SUCCESS", "FAILURE", "CANCELED")]
    return len(instance.get_runs(dg.RunsFilter(statuses=unfinished)))


def contiguous_stretches(some: tuple[str, ...], everything: tuple[str, ...]) -> int:
    """A run covers neighbours only, so that each gap costs another."""
    places = [everything.index(name) for name in some]
    return sum(place - 1 not in places for place in places)
