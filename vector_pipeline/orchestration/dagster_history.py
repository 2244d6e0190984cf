"""The asset that stands for Dagster's own runs and events, and is pruned each day."""

import os
from typing import Any

import dagster as dg

from vector_pipeline.orchestration.pruning import listed, prune, read_retention

DAILY_PRUNING = "47 5 * * *"
# A run must not hold up others for long; what is left waits for the next day.
_MOST_SECONDS = 600.0


@dg.asset(
    name="dagster_history",
    group_name="maintenance",
    kinds={"dagster"},
    description="Dagster's own runs and events. Each run removes those that are past their time "
    "(VECTOR_PIPELINE_KEEP_RUNS_DAYS, VECTOR_PIPELINE_KEEP_RUNS, VECTOR_PIPELINE_KEEP_EVENTS_DAYS), and none that is "
    "the latest of an asset, a partition or a check.",
)
def dagster_history(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    pruned = prune(context.instance, read_retention(os.environ), _MOST_SECONDS)
    if not pruned.finished:
        context.log.warning("not done in %.0f s: the next run goes on", pruned.seconds)
    oldest = {"oldest_run": pruned.oldest_run.isoformat(timespec="seconds")} if pruned.oldest_run else {}
    return dg.MaterializeResult(metadata={**dict(listed(pruned)), **oldest})


dagster_history_schedule = dg.ScheduleDefinition(
    name="daily_pruning",
    target=dg.AssetSelection.assets("dagster_history"),
    cron_schedule=DAILY_PRUNING,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
