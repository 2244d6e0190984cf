"""What all indexes of this deployment share: resources from the environment, the executor, the search job,
alerts, and the pruning of Dagster's own history."""

import dagster as dg

from vector_pipeline.orchestration.alerts.sensor import build_alert_sensors
from vector_pipeline.orchestration.compare_search_job import compare_search_job
from vector_pipeline.orchestration.dagster_history import dagster_history, dagster_history_schedule
from vector_pipeline.orchestration.nothing_kept import NothingKept
from vector_pipeline.orchestration.resources import indexes_from_environment
from vector_pipeline.orchestration.search_job import search_job


@dg.definitions
def deployment() -> dg.Definitions:
    return dg.Definitions(
        resources={
            "indexes": indexes_from_environment(),
            "io_manager": NothingKept(),
        },
        assets=[dagster_history],
        schedules=[dagster_history_schedule],
        jobs=[search_job, compare_search_job],
        sensors=build_alert_sensors(),
        # A step of its own process would cost two seconds each; a run's steps share one.
        executor=dg.in_process_executor,
    )
