"""Waiting for a run of Dagster's: as long as somebody waits for the answer, and in no thread."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from fastapi import Request

from vector_pipeline.serving.access.limits import allow_time
from vector_pipeline.serving.dagster_client import DagsterClient, Run
from vector_pipeline.serving.threads import run_blocking

LONGEST_SECONDS = 3600.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
# For what there is to do before and after the waiting.
_MORE_SECONDS = 60.0


async def wait_for_run(request: Request, dagster: DagsterClient, run: Run, seconds: float) -> Run:
    """The run when it has finished, or as it stands after so many seconds, or when the client has gone.

    Raises:
        DagsterUnavailableError: it can't be asked any more.
    """
    allow_time(request.scope, seconds + _MORE_SECONDS)
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while not run.finished:
        left = deadline - time.monotonic()
        if left <= 0 or await request.is_disconnected():
            break
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        run = await run_blocking("dagster", partial(dagster.run, run.id))
    return run
