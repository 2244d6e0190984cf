"""Which runs Dagster is told are lost: workers are asked, and what a dead one has written before is not believed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import redis
from dagster._core.launcher import WorkerStatus
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from benchmarks.celery_cluster import redis_program, redis_server
from vector_pipeline.orchestration import celery_launcher
from vector_pipeline.orchestration.celery_launcher import RunLauncher

pytestmark = pytest.mark.skipif(redis_program() is None, reason="there is no redis-server")
TASK = "0b9f1c9e-0000-4000-8000-000000000000"


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunLauncher]:
    """One over a broker that has no workers, and asks them but a moment."""
    monkeypatch.setattr(celery_launcher, "ANSWER_SECONDS", 0.1)
    with redis_server(tmp_path / "redis") as broker:
        url = f"redis://127.0.0.1:{broker.get_connection_kwargs()['port']}/0"
        yield RunLauncher(default_queue="dagster", broker=url, backend=url)


def run_of(task: str | None) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="sync", tags={} if task is None else {DAGSTER_CELERY_TASK_ID_TAG: task})


def test_a_run_that_its_worker_has_begun_and_nobody_has_is_lost_after_a_while(
    launcher: RunLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's own launcher takes it for running for ever."""
    launcher.celery.backend.store_result(TASK, {"hostname": "gone@cluster"}, "STARTED")
    run = run_of(TASK)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    monkeypatch.setattr(celery_launcher, "SILENCE_SECONDS", 0.0)
    lost = launcher.check_run_worker_health(run)
    assert lost.status == WorkerStatus.FAILED
    assert lost.msg == "None of 0 workers has this run: the one that had it is gone."


def test_a_broker_that_has_lost_its_memory_ends_no_run_at_once(launcher: RunLauncher) -> None:
    """Dagster's own launcher says that it doesn't know, and Dagster fails the run."""
    assert launcher.check_run_worker_health(run_of(TASK)).status == WorkerStatus.RUNNING


@pytest.mark.parametrize(
    ("state", "told"), [("SUCCESS", WorkerStatus.SUCCESS), ("FAILURE", WorkerStatus.FAILED)], ids=["well", "killed"]
)
def test_how_the_process_of_a_run_has_ended_is_told_as_the_worker_saw_it(
    launcher: RunLauncher, state: str, told: WorkerStatus
) -> None:
    result = RuntimeError("signal 9") if state == "FAILURE" else 0
    launcher.celery.backend.store_result(TASK, result, state)
    assert launcher.check_run_worker_health(run_of(TASK)).status == told


def test_a_broker_that_is_down_is_told_and_ends_no_run() -> None:
    """Dagster's daemon shows the error, and leaves the run alone."""
    url = "redis://127.0.0.1:1/0"
    launcher = RunLauncher(default_queue="dagster", broker=url, backend=url)
    with pytest.raises(redis.exceptions.ConnectionError):
        launcher.check_run_worker_health(run_of(TASK))


def test_a_run_that_was_never_handed_to_celery_has_no_worker(launcher: RunLauncher) -> None:
    assert launcher.check_run_worker_health(run_of(None)).status == WorkerStatus.FAILED
