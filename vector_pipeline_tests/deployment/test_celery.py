"""docker/dagster.celery.yaml: runs as tasks that any worker takes, and a worker that is killed in the middle."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus

from benchmarks.celery_cluster import BROKER, Cluster, celery_cluster, redis_program
from vector_pipeline.core.embedding.requesting import HARMLESS_TEXT
from vector_pipeline.orchestration.celery_launcher import WORKER_TAG
from vector_pipeline_tests.components.declared import faq_attributes
from vector_pipeline_tests.deployment.compose_file import COMPOSE, DOCKER, WORKERS, read_file, read_services
from vector_pipeline_tests.machines import Machine
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench

RANGES, RANGE_SIZE, RANGES_PER_RUN = 100, 20, 13
TEXTS_PER_REQUEST, REQUESTS_IN_FLIGHT = 10, 2
# A worker that is killed while it waits for its last answers loses these.
MOST_IN_FLIGHT = TEXTS_PER_REQUEST * (REQUESTS_IN_FLIGHT + 1)
ATTRIBUTES = faq_attributes(
    range_size=RANGE_SIZE,
    search={"threshold": -1.0},
    embedding={
        "provider": {"type": "openai", "texts_per_request": TEXTS_PER_REQUEST, "requests_in_flight": REQUESTS_IN_FLIGHT}
    },
    # Nobody but the backfill and Dagster's own retries starts anything.
    automation={"paused": True, "ranges_per_run": RANGES_PER_RUN},
)
# Of the killed run Dagster learns within the two times that the configuration names, and of what is queued each second.
STEP_WITHIN = 600.0


def test_no_more_runs_are_launched_than_the_workers_take_at_once() -> None:
    """One that waits in the broker is failed as if its worker had died."""
    worker = read_file(DOCKER / "compose.celery.yaml")["services"]["worker"]
    [slots] = [word for word in worker["command"] if word.startswith("--concurrency=")]
    taken = default_of(slots) * default_of(worker["deploy"]["replicas"])
    runs = read_file(DOCKER / "dagster.celery.yaml")["concurrency"]["runs"]
    assert runs["max_concurrent_runs"] == taken
    assert all(limit["limit"] < taken for limit in runs["tag_concurrency_limits"])


def default_of(variable: str) -> int:
    """2 of ${WORKERS:-2}."""
    return int(variable.rpartition(":-")[2].removesuffix("}"))


with_a_broker = pytest.mark.skipif(redis_program() is None, reason="there is no redis-server")


@with_a_broker
@pytest.mark.long
def test_two_workers_share_a_backfill_and_the_death_of_one_loses_nothing(
    workbench: Workbench, provider: MisbehavingProvider, tmp_path: Path
) -> None:
    workbench.create_faq(RANGES * RANGE_SIZE)
    with celery_cluster(tmp_path / "site", ATTRIBUTES, workbench.settings) as cluster:
        with cluster.worker("first") as first, cluster.worker("second") as second:
            partitions = cluster.add_partitions(workbench)
            provider.reset()
            provider.delay_seconds = 0.2
            backfill = cluster.backfill(partitions)
            wait_until(lambda: done_by(cluster, "second") > 0, first, second)
            killed = wait_until(lambda: embedding_run_of(cluster, "second"), first, second)
            second.kill()
            wait_until(lambda: cluster.status(backfill) == BulkActionStatus.COMPLETED_SUCCESS, first, second)
        runs = [record.dagster_run for record in cluster.runs(backfill)]
        lost = cluster.instance.get_run_by_id(killed.run_id)

    assert lost is not None
    assert lost.status == dg.DagsterRunStatus.FAILURE
    [again] = [run for run in runs if run.parent_run_id == lost.run_id]
    assert again.status == dg.DagsterRunStatus.SUCCESS
    assert {run.tags[WORKER_TAG] for run in runs} == {"first@cluster", "second@cluster"}
    with workbench.index(cluster.index.declaration.spec) as index:
        assert len(index.ranges()) >= RANGES
        assert index.verify().equal
    stats, probes = provider.stats(), provider.times_sent(HARMLESS_TEXT)
    paid_again = stats["texts"] - probes - (stats["distinct_texts"] - bool(probes))
    assert stats["distinct_texts"] - bool(probes) == RANGES * RANGE_SIZE
    assert paid_again <= MOST_IN_FLIGHT


@with_a_broker
@pytest.mark.long
def test_a_run_is_cancelled_on_the_worker_that_has_it_and_keeps_what_it_had_stored(
    workbench: Workbench, provider: MisbehavingProvider, tmp_path: Path
) -> None:
    workbench.create_faq(RANGES_PER_RUN * RANGE_SIZE)
    with celery_cluster(tmp_path / "site", ATTRIBUTES, workbench.settings) as cluster, cluster.worker("worker") as only:
        assert health_of(cluster, only, "cluster") == 0
        assert health_of(cluster, only, "another"), "there is no such worker"
        partitions = cluster.add_partitions(workbench)
        provider.reset()
        provider.delay_seconds = 0.5
        cluster.backfill(partitions)
        run = wait_until(lambda: embedding_run_of(cluster, "worker"), only)
        wait_until(lambda: stored(workbench) > 0, only)
        # What "Terminate" in the UI does.
        cluster.instance.report_run_canceling(run)
        assert cluster.instance.run_launcher.terminate(run.run_id)
        record = wait_until(lambda: record_once(cluster, run.run_id, dg.DagsterRunStatus.CANCELED), only)
        said = [entry.user_message for entry in cluster.instance.all_logs(record.dagster_run.run_id)]
    assert not [message for message in said if "longer than" in message], "its worker has not heard of it"
    assert 0 < stored(workbench) < RANGES_PER_RUN * RANGE_SIZE


def health_of(cluster: Cluster, worker: Machine, host: str) -> int:
    """What the health check of the container answers, where the broker's address is a secret in a file.

    Args:
        host: the container's name.
    """
    variables = cluster.environment(worker)
    (worker.folder / "broker_url").write_text(variables[BROKER])
    variables |= {BROKER: "", f"{BROKER}_FILE": f"{worker.disk}/broker_url", "HOSTNAME": host}
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
    asked = read_services({}, [COMPOSE, WORKERS])["worker"].health
    return worker.start(asked, variables).wait()


def stored(workbench: Workbench) -> int:
    [(count,)] = workbench.postgres("SELECT count(*) FROM faq.vectors_1")
    return int(count)


def record_once(cluster: Cluster, run_id: str, status: dg.DagsterRunStatus) -> dg.RunRecord | None:
    record = cluster.instance.get_run_record_by_id(run_id)
    return record if record is not None and record.dagster_run.status == status else None


def wait_until(what: Callable[[], Any], *workers: Machine) -> Any:
    deadline = time.monotonic() + STEP_WITHIN
    while not (found := what()):
        if time.monotonic() > deadline:
            logs = "\n".join(worker.log.read_text(errors="replace")[-4000:] for worker in workers)
            raise TimeoutError(f"what a backfill should lead to has not come:\n{logs}")
        time.sleep(0.2)
    return found


def runs_of(cluster: Cluster, worker: str, status: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
    tags = {WORKER_TAG: f"{worker}@cluster"}
    return list(cluster.instance.get_runs(dg.RunsFilter(tags=tags, statuses=[status])))


def done_by(cluster: Cluster, worker: str) -> int:
    return len(runs_of(cluster, worker, dg.DagsterRunStatus.SUCCESS))


def embedding_run_of(cluster: Cluster, worker: str) -> dg.DagsterRun | None:
    """The run that the worker has, once it asks the provider."""
    for run in runs_of(cluster, worker, dg.DagsterRunStatus.STARTED):
        steps = cluster.instance.get_run_step_stats(run.run_id)
        if any(step.step_key.endswith("embeddings") and step.start_time and not step.end_time for step in steps):
            return run
    return None
