"""Runs that ended with the container of the code location are told as failed when it is up again."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG

from vector_pipeline.orchestration.killed_runs import fail_killed_runs


@dg.job
def a_job() -> None:
    pass


@pytest.mark.parametrize(
    ("status", "tags", "after"),
    [
        ("STARTED", {GRPC_INFO_TAG: '{"host": "code"}'}, "FAILURE"),
        ("STARTING", {GRPC_INFO_TAG: '{"host": "code"}'}, "FAILURE"),
        ("STARTED", {}, "STARTED"),
        ("NOT_STARTED", {}, "NOT_STARTED"),
        ("SUCCESS", {GRPC_INFO_TAG: '{"host": "code"}'}, "SUCCESS"),
    ],
    ids=["at work", "about to", "of the command line", "waiting", "done"],
)
@pytest.mark.dagster_in_postgres
def test_only_what_was_a_process_of_the_code_server_is_failed(
    status: str, tags: dict[str, str], after: str, instance: dg.DagsterInstance
) -> None:
    run = instance.create_run_for_job(a_job, status=dg.DagsterRunStatus(status), tags=tags)
    assert fail_killed_runs(instance) == (1 if after == "FAILURE" else 0)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status.value == after
