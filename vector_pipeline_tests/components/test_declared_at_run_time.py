"""What Dagster makes of an index that was declared at run time."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from vector_pipeline.declared_at_run_time import CACHE_VARIABLE
from vector_pipeline.defs.declared_at_run_time import declared_at_run_time
from vector_pipeline.orchestration.resources import indexes_from_environment
from vector_pipeline.run_time_indexes import declare_index
from vector_pipeline_tests.workbench import Workbench, faq_spec


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "declared.json"))


@pytest.mark.usefixtures("workbench")
def test_without_any_the_location_has_nothing_of_them() -> None:
    assert declared_at_run_time().resolve_all_asset_specs() == []


def test_it_has_the_assets_sensors_and_jobs_of_one_in_a_file_and_its_sensor_runs(workbench: Workbench) -> None:
    workbench.create_faq(3)
    declare_index(faq_spec(), workbench.settings, "a test")

    shared = dg.Definitions(resources={"indexes": indexes_from_environment()}, executor=dg.in_process_executor)
    definitions = dg.Definitions.merge(declared_at_run_time(), shared)

    keys = {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()}
    assert {"faq/rows", "faq/documents", "faq/embeddings", "faq/search_index"} <= keys
    assert definitions.resolve_sensor_def("faq_reconcile").default_status is dg.DefaultSensorStatus.RUNNING
    assert {job.name for job in definitions.jobs or ()} >= {"faq_verify", "faq_repair"}
