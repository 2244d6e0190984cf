"""What happens each night and each hour, whether something changed or not."""

from typing import Any

import dagster as dg

from vector_pipeline.orchestration.assets import SEARCH_INDEX
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.maintenance import build_maintenance_schedule
from vector_pipeline.orchestration.quality import quality_check_keys

NIGHTLY = "17 3 * * *"
HOURLY = "7 * * * *"
DAILY_PROOF = "47 3 * * *"
DAILY_CANARIES = "37 4 * * *"


def build_schedules(
    index: IndexContext, verify_job: Any, freshness_job: Any, model_drift_job: Any
) -> list[dg.ScheduleDefinition]:
    """The nightly refresh of the search index with measurements of its answers, the daily proof of parity, the
    hourly look at freshness, and the daily looks at the model and at tables and ANN indexes."""
    status = (
        dg.DefaultScheduleStatus.STOPPED
        if index.declaration.spec.automation.paused
        else dg.DefaultScheduleStatus.RUNNING
    )
    return [
        dg.ScheduleDefinition(
            name=f"{index.prefix}_nightly_search_index",
            target=dg.AssetSelection.assets(index.key(SEARCH_INDEX)).without_checks()
            | dg.AssetSelection.checks(*quality_check_keys(index)),
            cron_schedule=NIGHTLY,
            default_status=status,
            tags=index.run_tags,
        ),
        dg.ScheduleDefinition(
            name=f"{index.prefix}_daily_proof", job=verify_job, cron_schedule=DAILY_PROOF, default_status=status
        ),
        dg.ScheduleDefinition(
            name=f"{index.prefix}_daily_canaries",
            job=model_drift_job,
            cron_schedule=DAILY_CANARIES,
            default_status=status,
        ),
        dg.ScheduleDefinition(
            name=f"{index.prefix}_hourly_freshness", job=freshness_job, cron_schedule=HOURLY, default_status=status
        ),
        build_maintenance_schedule(index, status),
    ]
