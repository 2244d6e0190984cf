"""Starts a run for a request, and waits for it as long as the request wants."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from vector_pipeline.serving.dagster_client import Run
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.launching import Kind, Launched, SyncOutcome, launch_once, read_outcome
from vector_pipeline.serving.threads import run_blocking
from vector_pipeline.serving.waiting import wait_for_run


@dataclass(frozen=True)
class Started:
    """A run as it stands, and what it has done; `outcome` None where it has not finished."""

    run: Run
    joined: bool
    outcome: SyncOutcome | None


async def start_run(request: Request, deployment: Deployment, index: str, kind: Kind, wait: float) -> Started:
    """Starts the run of an index, or joins one, and waits for its end so many seconds at most.

    Raises:
        UnknownIndexError: no such index is declared.
        DagsterUnavailableError, DagsterRefusedError: there is no such run to be had.
        TargetUnavailableError: PostgreSQL is away, so that two calls at once would not meet.
    """
    launched = await run_blocking("dagster", lambda: _launch(deployment, index, kind))
    run = await wait_for_run(request, deployment.dagster, launched.run, wait)
    if not run.finished:
        return Started(run, launched.joined, None)
    result = await run_blocking("dagster", lambda: deployment.dagster.result(run.id))
    return Started(run, launched.joined, read_outcome(result))


def _launch(deployment: Deployment, index: str, kind: Kind) -> Launched:
    name = deployment.declaration(index).spec.name
    with deployment.target() as connection:
        return launch_once(deployment.dagster, connection, name, kind)
