"""`python -m vector_pipeline.orchestration.killed_runs`: what the container of the code location does before it serves.

Dagster's default launcher makes runs processes of the code server, and asks nobody afterwards whether they are alive:
those that ended with the container would be STARTED for ever, and keep their places in the queue. Here they are failed.
What they left undone is asked for again by the sensors.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG

_AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def fail_killed_runs(instance: dg.DagsterInstance) -> int:
    """To be called while no code server is up. Runs that somebody else started (the command line, another launcher)
    are left alone.

    Returns:
        The number of runs that were at work.
    """
    killed = [
        record.dagster_run
        for record in instance.get_run_records(dg.RunsFilter(statuses=_AT_WORK))
        if GRPC_INFO_TAG in record.dagster_run.tags
    ]
    for run in killed:
        instance.report_run_failed(run, "The container of the code location has ended while this run was at work.")
    return len(killed)


if __name__ == "__main__":
    with dg.DagsterInstance.get() as of_this_deployment:
        print(f"{fail_killed_runs(of_this_deployment)} runs had ended with the code server before")
