"""Runs as tasks of Celery's, taken by workers on any machine: Dagster's own launcher, but for one question.

Whether a run's worker is alive Dagster's launcher reads from what the worker wrote when it began. One that was killed,
or whose machine is gone, writes nothing more: its run would be STARTED for ever, and keep its place in the queue and
its slot in the pool. Here the workers are asked, and a run that none of them has is told as lost, so that Dagster fails
it and starts it again (`run_retries`).

Only what is installed with the extra `celery` can be imported from here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

WORKER_TAG = "vector/worker"
"""Tells of a run which worker has it."""
ANSWER_SECONDS = 3.0
"""Workers answer from their main process, also while they work: in some milliseconds."""
SILENCE_SECONDS = 45.0
"""For how long nobody may know of a run before it is lost: a worker connects to a restarted broker within it."""

_ENDED_WELL, _ENDED_BADLY = "SUCCESS", ("FAILURE", "REVOKED")


class RunLauncher(CeleryRunLauncher):
    """`dagster_celery.launcher.CeleryRunLauncher`, with the same configuration."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._silent_since: dict[str, float] = {}

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Asked by Dagster's daemon at each look of `run_monitoring`.

        Raises:
            Exception: the broker can't be asked. The daemon shows it, and leaves the run alone: a run needs no broker.
        """
        task = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task is None:
            return CheckRunHealthResult(WorkerStatus.FAILED, "No task of Celery's belongs to this run.")
        try:
            state = str(self.celery.AsyncResult(task).state)
            answers = self.celery.control.inspect(timeout=ANSWER_SECONDS).query_task(task) or {}
        except Exception:
            # Workers have to connect anew as well, before they can answer.
            self._silent_since.clear()
            raise
        if state in _ENDED_BADLY:
            return self._known(run, WorkerStatus.FAILED, "The process of the run has ended before its time.")
        if state == _ENDED_WELL:
            return self._known(run, WorkerStatus.SUCCESS)
        return self._judged(run, task, answers, time.monotonic())

    def _judged(
        self, run: dg.DagsterRun, task: str, answers: Mapping[str, Mapping[str, object]], now: float
    ) -> CheckRunHealthResult:
        if any(task in tasks for tasks in answers.values()):
            return self._known(run, WorkerStatus.RUNNING)
        since = self._silent_since.setdefault(run.run_id, now)
        if now - since < SILENCE_SECONDS:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "No worker has answered for this run yet.")
        return self._known(
            run, WorkerStatus.FAILED, f"None of {len(answers)} workers has this run: the one that had it is gone."
        )

    def _known(self, run: dg.DagsterRun, status: WorkerStatus, said: str | None = None) -> CheckRunHealthResult:
        self._silent_since.pop(run.run_id, None)
        return CheckRunHealthResult(status, said)

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> None:
        """Nothing: Dagster's own asks for an attribute that results of Celery's 5 don't have."""
