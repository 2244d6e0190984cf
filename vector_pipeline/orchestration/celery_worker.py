"""`celery -A vector_pipeline.orchestration.celery_worker worker`: takes runs from the broker that dagster.yaml names.

So launcher and workers have one configuration, that of the instance of DAGSTER_HOME. Each run is a process of its own,
forked off one that has loaded all code before: it begins within a second, where a new Python would take three. Its tag
`vector/worker` tells in the UI which worker has it.
"""

from __future__ import annotations

import logging
from typing import Any

import dagster as dg
from celery import Celery
from celery.signals import after_setup_logger, task_prerun
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

import vector_pipeline.definitions
from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.log_level import quieten
from vector_pipeline.orchestration.celery_launcher import WORKER_TAG, RunLauncher

loaded_before_runs = vector_pipeline.definitions.defs


def build_app() -> Celery:
    """The app with the tasks that execute runs.

    Raises:
        ConfigurationError: the instance launches its runs otherwise.
    """
    with dg.DagsterInstance.get() as instance:
        launcher = instance.run_launcher
        if not isinstance(launcher, RunLauncher):
            raise ConfigurationError(
                f"the instance of DAGSTER_HOME launches runs by {type(launcher).__name__}: its dagster.yaml has to be "
                "that of Celery (docker/dagster.celery.yaml), the same for daemon, webserver and workers"
            )
        app: Celery = launcher.celery
    create_execute_job_task(app)
    create_resume_job_task(app)
    return app


def keep_requests_out_of_the_log(**_: object) -> None:
    """At INFO a worker tells of each run, and not of each request to a provider."""
    quieten()
    logging.getLogger("httpx").setLevel(logging.WARNING)


def tell_worker(*, task: Any, kwargs: dict[str, Any], **_: object) -> None:
    """Before a run begins, in its process."""
    run_id = unpack_value(kwargs["execute_job_args_packed"], as_type=ExecuteRunArgs).run_id
    with dg.DagsterInstance.get() as instance:
        instance.add_run_tags(run_id, {WORKER_TAG: str(task.request.hostname)})


after_setup_logger.connect(keep_requests_out_of_the_log)
task_prerun.connect(tell_worker)
app = build_app()
