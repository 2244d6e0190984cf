"""A mass deletion as ops see it: the index is paused, a check says why and what to do, and a job decides."""

from __future__ import annotations

import dagster as dg
import pytest

from vector_pipeline_tests.orchestration.location import QUIET, Location
from vector_pipeline_tests.workbench import faq_spec


@pytest.fixture
def emptied(location: Location) -> Location:
    location.spec = faq_spec(deletion_guard={"share": 0.2, "rows": 50})
    location.workbench.create_faq(300)
    location.settle()
    location.workbench.mysql("CREATE TABLE backup AS SELECT * FROM faq")
    location.workbench.mysql("DELETE FROM faq")
    return location


def _decide(location: Location, job: str) -> dg.ExecuteInProcessResult:
    return location.definitions.resolve_job_def(job).execute_in_process(
        instance=location.instance, run_config=QUIET, raise_on_error=False
    )


def _shown(location: Location) -> list[str]:
    key = dg.AssetCheckKey(location.index.key("documents"), "deletion_guard")
    history = location.instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
    return [record.status.value for record in reversed(history)]


def _documents(location: Location) -> int:
    return int(location.workbench.postgres("SELECT count(*) FROM faq.documents")[0][0])


def test_the_index_is_paused_with_a_failing_check_that_names_the_ways_out(emptied: Location) -> None:
    tick = emptied.tick()
    assert tick.run_requests == []
    assert "is paused: the source lacks 300 of its 300 documents (100%)" in (emptied.tick().skip_message or "")
    # Of the first look, and of the first run's documents.
    assert _shown(emptied) == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    description = emptied.check("deletion_guard").description or ""
    assert "job faq_approve_deletions" in description
    assert "job faq_reject_deletions" in description


@pytest.mark.long
def test_a_backfill_is_refused_meanwhile(emptied: Location) -> None:
    emptied.tick()
    run = emptied.materialize("documents", tags={"dagster/partition": emptied.partitions()[0]})
    assert not run.success
    assert _documents(emptied) == 300


def test_the_job_that_approves_lets_the_next_looks_delete(emptied: Location) -> None:
    emptied.tick()
    assert _decide(emptied, "faq_approve_deletions").success
    emptied.settle()
    assert _documents(emptied) == 0
    assert emptied.check("parity").passed
    assert emptied.check("deletion_guard").passed


@pytest.mark.long
def test_the_job_that_rejects_keeps_the_documents_and_syncing_resumes_when_the_rows_are_back(
    emptied: Location,
) -> None:
    emptied.tick()
    assert _decide(emptied, "faq_reject_deletions").success
    assert emptied.settle() == []
    assert _documents(emptied) == 300
    emptied.workbench.mysql("INSERT INTO faq SELECT * FROM backup")
    emptied.workbench.mysql("UPDATE faq SET answer = 'changed' WHERE id = 7")
    emptied.settle()
    assert emptied.check("parity").passed
    assert _shown(emptied)[-1] == "SUCCEEDED"


def test_there_is_nothing_to_decide_where_nothing_is_held(location: Location) -> None:
    location.workbench.create_faq(10)
    location.settle()
    assert not _decide(location, "faq_approve_deletions").success


@pytest.mark.long
def test_the_repair_job_proves_syncs_and_proves_again(location: Location) -> None:
    location.workbench.create_faq(300)
    location.settle()
    location.workbench.postgres("UPDATE faq.documents SET answer = 'damaged' WHERE key = '150'")
    location.workbench.postgres("DELETE FROM faq.documents WHERE key = '250'")
    run = _decide(location, "faq_repair")
    assert run.success
    repaired = [event.partition for event in run.get_asset_materialization_events()]
    assert set(repaired) == set(location.partitions()[1:])
    with location.opened() as index:
        assert index.verify().equal
