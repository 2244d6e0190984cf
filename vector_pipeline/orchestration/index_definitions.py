"""All definitions of one index, put together."""

import dagster as dg

from vector_pipeline.orchestration.assets import build_assets
from vector_pipeline.orchestration.batch_jobs import build_batch_jobs, build_batch_sensor
from vector_pipeline.orchestration.checks import build_checks
from vector_pipeline.orchestration.erasing import build_erase_job
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.jobs import (
    build_deletion_jobs,
    build_freshness_job,
    build_repair_job,
    build_verify_job,
)
from vector_pipeline.orchestration.maintenance import build_maintenance_asset
from vector_pipeline.orchestration.model_jobs import build_accept_model_job, build_model_drift_job
from vector_pipeline.orchestration.money_jobs import build_estimate_job
from vector_pipeline.orchestration.next_generation import build_generation_check, build_generation_jobs
from vector_pipeline.orchestration.quality import build_compare_job, build_quality_checks, build_quality_job
from vector_pipeline.orchestration.quarantine_jobs import build_quarantine_jobs
from vector_pipeline.orchestration.schedules import build_schedules
from vector_pipeline.orchestration.sensors import build_reconcile_sensor
from vector_pipeline.orchestration.sync_jobs import build_sync_jobs


def build_index_definitions(context: IndexContext) -> dg.Definitions:
    """Assets, checks, sensor, schedules and jobs of one index."""
    verify_job, freshness_job = build_verify_job(context), build_freshness_job(context)
    model_drift_job = build_model_drift_job(context)
    batch_jobs = {job.name.removeprefix(f"{context.prefix}_"): job for job in build_batch_jobs(context)}
    return dg.Definitions(
        assets=[*build_assets(context), build_maintenance_asset(context)],
        asset_checks=[*build_checks(context), *build_quality_checks(context), build_generation_check(context)],
        sensors=[build_reconcile_sensor(context), build_batch_sensor(context, batch_jobs["ingest_batches"])],
        jobs=[
            verify_job,
            freshness_job,
            model_drift_job,
            build_accept_model_job(context),
            build_repair_job(context),
            *build_sync_jobs(context),
            build_quality_job(context),
            build_compare_job(context),
            build_estimate_job(context),
            *batch_jobs.values(),
            build_erase_job(context),
            *build_deletion_jobs(context),
            *build_generation_jobs(context),
            *build_quarantine_jobs(context),
        ],
        schedules=build_schedules(context, verify_job, freshness_job, model_drift_job),
    )
