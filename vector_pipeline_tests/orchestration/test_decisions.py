"""Jobs by which somebody decides are not started again by Dagster itself; others are, where a process was killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import WILL_RETRY_TAG

from vector_pipeline.declarations import Declaration
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.index_definitions import build_index_definitions
from vector_pipeline.orchestration.resources import indexes_from_environment
from vector_pipeline_tests.workbench import question_only


@pytest.fixture
def retrying(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(
        temp_dir=str(tmp_path), overrides={"run_retries": {"enabled": True, "max_retries": 2}}
    ) as instance:
        yield instance


def test_a_decision_is_carried_out_once_though_its_process_is_killed(retrying: dg.DagsterInstance) -> None:
    index = IndexContext(Declaration(question_only(), "defs/faq/defs.yaml"))
    shared = dg.Definitions(resources={"indexes": indexes_from_environment()})
    definitions = dg.Definitions.merge(build_index_definitions(index), shared)
    again = {}
    for name in ("approve_deletions", "reject_deletions", "switch_generation", "roll_back", "accept_model", "repair"):
        job = definitions.resolve_job_def(f"faq_{name}")
        killed = retrying.create_run_for_job(job, tags=job.tags)
        retrying.report_run_failed(killed)
        run = retrying.get_run_by_id(killed.run_id)
        again[name] = run is not None and run.tags[WILL_RETRY_TAG] == "true"
    assert [name for name, starts in again.items() if starts] == ["repair"]
