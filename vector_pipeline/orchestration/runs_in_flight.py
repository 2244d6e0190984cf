"""What unfinished runs work on: nothing is requested twice, and a killed run freezes nothing.

The state of a run alone does not tell: a killed process leaves its run STARTED for as long as it takes somebody to
notice. The lock that a run holds while it works dies with its process, so the lock decides.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from vector_pipeline.core.index import VectorIndex
from vector_pipeline.orchestration.assets import DOCUMENTS, EMBEDDINGS, SEARCH_INDEX
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.windows import covered

# The daemon sees to these: it starts them, or fails them after `start_timeout_seconds`.
WAITING = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING)
# These are as alive as their process.
WORKING = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.MANAGED,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
# A run takes its lock a moment after its start, and lets go of it for a moment between two assets. Each of these
# moments is full of events.
GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class RunsInFlight:
    """The runs that wait or work for an index, and the partitions that they cover."""

    runs: int
    partitions: frozenset[str]


def find_runs_in_flight(
    index: IndexContext,
    instance: dg.DagsterInstance,
    opened: VectorIndex,
    listed: Sequence[str],
    assets: Sequence[str] = (DOCUMENTS, EMBEDDINGS, SEARCH_INDEX),
) -> RunsInFlight:
    """Whoever started them: the sensor, the command line, or somebody who materialises or backfills in the UI.

    Args:
        listed: all partitions in Dagster's order.
        assets: whose runs are meant. Proofs and decisions keep nothing waiting.
    """
    ours = {index.key(name) for name in assets}
    records = instance.get_run_records(dg.RunsFilter(statuses=[*WAITING, *WORKING]))
    runs = [
        record.dagster_run
        for record in records
        if ours & (record.dagster_run.asset_selection or set()) and is_alive(instance, opened, record.dagster_run)
    ]
    return RunsInFlight(len(runs), frozenset().union(*(covered(run, listed) for run in runs)))


def is_job_at_work(instance: dg.DagsterInstance, opened: VectorIndex, job: str) -> bool:
    """Whether a run of this job waits or works."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=[*WAITING, *WORKING]))
    return any(is_alive(instance, opened, record.dagster_run) for record in records)


def is_alive(instance: dg.DagsterInstance, opened: VectorIndex, run: dg.DagsterRun) -> bool:
    if run.status in WAITING or opened.is_run_alive(run.run_id):
        return True
    last = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    return bool(last) and time.time() - last[0].event_log_entry.timestamp < GRACE_SECONDS
