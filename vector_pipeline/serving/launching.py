"""Starting the runs that callers wait for: two calls at once give one run, and each finds its changes synced by it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import psycopg

from vector_pipeline.core.store import locks, open_runs
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.serving.dagster_client import DagsterClient, Run, RunResult, RunStatus

Kind = Literal["sync", "reindex"]

# A run takes its lock a moment after its start; one without it that started longer ago than this has been killed.
_GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class Launched:
    """The run that does what was asked; `joined` says that somebody else had asked for it before."""

    run: Run
    joined: bool


@dataclass(frozen=True)
class SyncOutcome:
    """What a finished run of these jobs did. `cost` is in USD, None where the price is unknown; `paused` says why texts
    wait, if any do; `failure` why it failed, if it did: the numbers are 0 then, whatever was done before."""

    documents_written: int
    deleted: int
    texts_embedded: int
    cost: float | None
    paused: str | None
    failure: str | None


def launch_once(
    dagster: DagsterClient,
    target: psycopg.Connection,
    index: str,
    kind: Kind = "sync",
    tags: Mapping[str, str] | None = None,
) -> Launched:
    """Starts `<index>_sync` or `<index>_reindex`, or joins the run of it that is there already. Either way the run
    looks at the rows as they are now, or later.

    Args:
        target: in autocommit mode, and nobody else's meanwhile.

    Raises:
        DagsterUnavailableError: its webserver can't be reached.
        UnknownJobError: the code location doesn't know the index.
    """
    job = f"{index}_{kind}"
    with open_runs.alone(target, job):
        for run in dagster.unfinished_runs(index, job=job):
            if _is_alive(target, run) and open_runs.ask(target, run.id):
                return Launched(run, joined=True)
        return Launched(dagster.launch_job(job, tags=tags), joined=False)


def _is_alive(target: psycopg.Connection, run: Run) -> bool:
    """Whether the run will look for work, or does so: a killed one is STARTED until Dagster's monitoring notices."""
    if run.status is RunStatus.CANCELING:
        return False
    if run.status is not RunStatus.STARTED or run.started is None or time.time() - run.started < _GRACE_SECONDS:
        return True
    return locks.is_held(target, Lock.RUN, locks.number_of(run.id))


def read_outcome(result: RunResult) -> SyncOutcome:
    """What a run of these jobs has told."""
    cost, paused = result.metadata.get("cost_usd"), result.metadata.get("paused")
    return SyncOutcome(
        documents_written=result.number("documents_written"),
        deleted=result.number("deleted"),
        texts_embedded=result.number("texts_embedded"),
        cost=cost if isinstance(cost, float) else None,
        paused=paused if isinstance(paused, str) else None,
        failure=result.failure,
    )
