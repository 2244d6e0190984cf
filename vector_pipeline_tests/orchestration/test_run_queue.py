"""Runs wait in the queue while the code location that they are of restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from vector_pipeline.embedded.ports import choose_port
from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.dagster_instances import DagsterHome


def _configured(file: Path) -> dict[str, Any]:
    configuration: dict[str, Any] = yaml.safe_load(file.read_text())
    return {"run_queue": configuration["run_queue"]}


@pytest.mark.parametrize("file", ["dagster.yaml", "docker/dagster.yaml", "docker/dagster.celery.yaml"])
def test_a_run_stays_queued_while_its_code_location_is_away(file: str, dagster_home: DagsterHome) -> None:
    away = GrpcServerTarget(host="localhost", port=choose_port(), socket=None, location_name="vectors")
    origin = GrpcServerCodeLocationOrigin(host=away.host, port=away.port, location_name=away.location_name)
    job = RemoteRepositoryOrigin(origin, "__repository__").get_job_origin("__ASSET_JOB")
    with dagster_home.instance(_configured(PROJECT / file)) as instance:
        run = create_run_for_test(
            instance, job_name=job.job_name, status=dg.DagsterRunStatus.NOT_STARTED, remote_job_origin=job
        )
        instance.report_dagster_event(dg.DagsterEvent.job_enqueue(run), run.run_id)
        with WorkspaceProcessContext(instance, away) as workspace:
            list(QueuedRunCoordinatorDaemon(interval_seconds=1).run_iteration(workspace))
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert found.status is dg.DagsterRunStatus.QUEUED
        told = [entry.message for entry in instance.all_logs(run.run_id)]
        assert any("re-submitting the run into the queue" in message for message in told), told
