"""The daily look in Dagster: numbers for plots, and checks that say what to do."""

from __future__ import annotations

import pytest

from vector_pipeline.orchestration.maintenance import GRAPHS, MAINTENANCE, TABLES
from vector_pipeline_tests.orchestration.location import QUIET, Location


def test_the_daily_job_shows_numbers_and_two_checks_that_pass(location: Location) -> None:
    location.workbench.create_faq(rows=20)
    location.settle()
    job = location.definitions.resolve_schedule_def("faq_daily_maintenance").job_name
    result = location.definitions.resolve_job_def(job).execute_in_process(instance=location.instance, run_config=QUIET)
    [event] = [
        one for one in result.get_asset_materialization_events() if one.asset_key == location.index.key(MAINTENANCE)
    ]
    metadata = event.materialization.metadata
    assert float(str(metadata["tables_megabytes"].value)) > 0
    assert 0 < float(str(metadata["share_of_wraparound"].value)) < 0.5
    assert "faq.documents" in str(metadata["tables"].value)
    assert {one.check_name: one.passed for one in result.get_asset_check_evaluations()} == {TABLES: True, GRAPHS: True}


def test_a_table_without_autovacuum_is_told_with_the_remedy(location: Location) -> None:
    location.workbench.create_faq(rows=5)
    location.settle()
    location.workbench.postgres("ALTER TABLE faq.documents SET (autovacuum_enabled = false)")
    found = {
        one.check_name: one
        for one in location.materialize(MAINTENANCE, checks=[TABLES, GRAPHS]).get_asset_check_evaluations()
    }
    assert not found[TABLES].passed
    assert "ALTER TABLE faq.documents RESET (autovacuum_enabled)" in (found[TABLES].description or "")


@pytest.mark.usefixtures("workbench")
def test_an_index_that_was_never_synced_has_nothing_to_look_at(location: Location) -> None:
    location.workbench.create_faq()
    assert location.materialize(MAINTENANCE, checks=[TABLES, GRAPHS]).success
