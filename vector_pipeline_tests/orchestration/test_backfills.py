"""Runs of backfills: each partition is told of, what failed can be asked for alone, and whoever else syncs meanwhile,
the end is right."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import dagster as dg
import pytest
from dagster._core.execution.plan.objects import ErrorSource
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from vector_pipeline.core.embedding.requesting import HARMLESS_TEXT
from vector_pipeline.orchestration.windows import RANGE_END, RANGE_START
from vector_pipeline_tests.at_once import AtOnce
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import BREAK_RANGE_OF_150, Location
from vector_pipeline_tests.orchestration.webserver import PartitionStatuses
from vector_pipeline_tests.workbench import Workbench, faq_spec

# The transaction of the second range doesn't come to its end.
HANG_AT_150 = """
CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(120); RETURN NEW; END $$;
CREATE TRIGGER hang BEFORE INSERT ON faq.documents FOR EACH ROW WHEN (NEW.key = '150') EXECUTE FUNCTION hang()
"""
HANGING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
GAP = 100
"""Between two ids, so that there is room for a range to grow."""


def shown(location: Location, asset: str) -> PartitionStatuses:
    """As the partitions page shows them."""
    key, ranges = location.index.key(asset), location.index.ranges
    cached = get_and_update_asset_status_cache_value(location.instance, key, ranges, location.instance)
    assert cached is not None
    return PartitionStatuses(
        tuple(location.partitions()),
        frozenset(cached.deserialize_materialized_partition_subsets(ranges).get_partition_keys()),
        frozenset(cached.deserialize_in_progress_partition_subsets(ranges).get_partition_keys()),
        frozenset(cached.deserialize_failed_partition_subsets(ranges).get_partition_keys()),
    )


def backfill(location: Location, first: str, last: str) -> dg.ExecuteInProcessResult:
    """One run of a backfill, from one partition to another."""
    return location.materialize("documents", "embeddings", tags={RANGE_START: first, RANGE_END: last})


def backfill_all(location: Location) -> dg.ExecuteInProcessResult:
    return backfill(location, location.partitions()[0], location.partitions()[-1])


def assert_equal(location: Location) -> None:
    with location.opened() as index:
        report = index.verify()
    assert report.equal, report.differences


def assert_each_text_was_paid_once(provider: MisbehavingProvider) -> None:
    probes = provider.times_sent(HARMLESS_TEXT)
    stats = provider.stats()
    assert stats["texts"] - probes == stats["distinct_texts"] - bool(probes)


@pytest.mark.long
def test_one_run_over_more_than_a_hundred_ranges_tells_of_each(location: Location) -> None:
    location.spec = faq_spec(range_size=2)
    location.workbench.create_faq(240)
    location.tick()
    result = backfill_all(location)
    assert result.success
    told = Counter(
        (e.asset_key.path[-1], e.partition) for e in result.get_asset_materialization_events() if e.asset_key
    )
    assert len(location.partitions()) == 120
    assert told == Counter({(asset, p): 1 for asset in ("documents", "embeddings") for p in location.partitions()})
    assert_equal(location)


@pytest.mark.long
def test_what_failed_or_is_missing_is_shown_as_such_and_a_run_over_it_alone_mends_it(
    location: Location, provider: MisbehavingProvider
) -> None:
    location.workbench.create_faq(400)
    with location.opened() as index:
        index.prepare()
    location.workbench.postgres(BREAK_RANGE_OF_150)
    location.tick()
    first, *others = location.partitions()
    assert not backfill_all(location).success
    assert shown(location, "documents").materialized == {first}
    assert shown(location, "documents").missing_or_failed == tuple(others)
    assert shown(location, "embeddings").missing_or_failed == (first, *others)

    location.workbench.postgres("DROP TRIGGER refuse ON faq.documents")
    missing = shown(location, "embeddings").missing_or_failed
    assert backfill(location, missing[0], missing[-1]).success
    for asset in ("documents", "embeddings"):
        assert shown(location, asset).missing_or_failed == ()
    assert_equal(location)
    assert_each_text_was_paid_once(provider)


@pytest.mark.long
def test_what_a_cancelled_run_has_committed_is_shown_as_done_and_its_last_statement_is_ended(
    location: Location,
) -> None:
    location.workbench.create_faq(300)
    with location.opened() as index:
        index.prepare()
    location.workbench.postgres(HANG_AT_150)
    location.tick()
    cancelling = AtOnce()
    cancelling.start(lambda: interrupt_once_it_hangs(location))
    result = backfill_all(location)
    cancelling.finish()
    [failed] = result.get_step_failure_events()
    assert failed.step_failure_data.error_source == ErrorSource.INTERRUPT
    assert shown(location, "documents").materialized == {location.partitions()[0]}
    assert location.workbench.postgres(HANGING) == [(0,)]
    assert location.workbench.postgres("SELECT count(*) FROM faq.documents") == [(100,)]


def interrupt_once_it_hangs(location: Location) -> None:
    """As Dagster does when somebody cancels the run."""
    deadline = time.monotonic() + 60
    while location.workbench.postgres(HANGING) == [(0,)]:
        assert time.monotonic() < deadline, "the run never came to the range that hangs"
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.long
@pytest.mark.parametrize("first", ["backfill", "sensor"])
def test_a_backfill_and_the_sensors_run_meet_on_a_range_that_has_grown_past_twice_its_size_meanwhile(
    location: Location, provider: MisbehavingProvider, first: str
) -> None:
    location.workbench.create_faq()
    location.workbench.add_faq(range(GAP, GAP * 300 + 1, GAP))
    location.settle()
    location.workbench.mysql("UPDATE faq SET answer = CONCAT('newer: ', answer)")
    [waiting] = location.tick().run_requests or []
    before = location.partitions()
    location.workbench.add_faq([GAP * 150 + step for step in range(1, GAP)])
    location.workbench.add_faq([GAP * 151 + step for step in range(1, GAP)])

    runs = [lambda: location.run(waiting), lambda: backfill(location, before[0], before[-1])]
    for run in runs if first == "sensor" else reversed(runs):
        assert run().success
    location.settle()
    assert len(location.partitions()) > len(before)
    assert location.partitions()[: len(before)] == before
    assert_equal(location)
    assert_each_text_was_paid_once(provider)


@pytest.mark.long
def test_a_backfill_takes_emptied_ranges_along(location: Location) -> None:
    location.workbench.create_faq(500)
    location.settle()
    location.workbench.mysql("DELETE FROM faq WHERE id BETWEEN 101 AND 300")
    result = backfill_all(location)
    assert result.success
    rows = {
        event.partition: event.materialization.metadata["rows_read"].value
        for event in result.get_asset_materialization_events()
        if event.asset_key == location.index.key("documents")
    }
    assert [rows[partition] for partition in location.partitions()] == [100, 0, 0, 100, 100]
    assert_equal(location)


@pytest.mark.long
def test_two_runs_over_the_same_ranges_at_once_end_equal_and_pay_each_text_once(
    location: Location, provider: MisbehavingProvider
) -> None:
    location.workbench.create_faq(500)
    location.tick()
    provider.delay_seconds = 0.5
    arguments = (location.workbench, location.instance.get_ref())
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        runs = [processes.submit(backfill_all_in_a_process, *arguments) for _ in range(2)]
        assert [run.result(timeout=120) for run in runs] == [True, True]
    assert_equal(location)
    assert_each_text_was_paid_once(provider)


def backfill_all_in_a_process(workbench: Workbench, instance_ref: InstanceRef) -> bool:
    with dg.DagsterInstance.from_ref(instance_ref) as instance:
        return backfill_all(Location(workbench, instance)).success
