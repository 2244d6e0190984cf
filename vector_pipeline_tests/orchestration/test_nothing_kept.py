"""Runs that go on where a killed one has ended, on whichever machine."""

from __future__ import annotations

import dagster as dg
from dagster._core.execution.api import create_execution_plan

from vector_pipeline.project_folder import PACKAGE_PARENT


def test_a_killed_run_of_this_deployment_can_be_started_again_with_the_steps_that_it_lacks() -> None:
    """Dagster refuses it where it takes results for lost."""
    deployment = dg.load_from_defs_folder(path_within_project=PACKAGE_PARENT / "vector_pipeline")
    job = deployment.resolve_implicit_global_asset_job_def()
    [embeddings] = [node.name for node in job.nodes if node.name == "genie_documents__embeddings"]
    assert create_execution_plan(job, step_keys_to_execute=[embeddings]).artifacts_persisted
