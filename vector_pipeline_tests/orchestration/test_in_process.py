"""`vector-pipeline sync`: runs in this process that the UI shows like any others."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest

from vector_pipeline.core.errors import DeclarationProblem, IndexSpecError, VectorPipelineError
from vector_pipeline.core.reports import SyncReport
from vector_pipeline.declarations import Declaration
from vector_pipeline.orchestration.in_process import sync_in_process
from vector_pipeline.orchestration.pools import EMBEDDING_POOL, set_pool_limits
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import Location
from vector_pipeline_tests.workbench import faq_spec, question_only

SYNC_FAQ = """
from vector_pipeline.declarations import Declaration
from vector_pipeline.orchestration.in_process import sync_in_process
from vector_pipeline_tests.workbench import faq_spec

print(sync_in_process(Declaration(faq_spec(), "defs/faq/defs.yaml")).inserted)
"""


def sync(location: Location) -> SyncReport:
    return sync_in_process(location.index.declaration)


@pytest.mark.dagster_in_postgres
def test_a_sync_tells_what_it_did_and_a_second_one_that_there_is_nothing_to_do(location: Location) -> None:
    location.spec = faq_spec(automation={"ranges_per_run": 2})
    location.workbench.create_faq(250)
    first = sync(location)
    assert (first.ranges_synced, first.rows_read, first.inserted, first.updated, first.deleted) == (3, 250, 250, 0, 0)
    assert (first.texts_needed, first.texts_embedded, first.texts_reused, first.texts_quarantined) == (500, 500, 0, 0)
    assert first.requests >= 4
    assert first.tokens > 0
    assert first.ranges == tuple(location.partitions())
    second = sync(location)
    assert (second.ranges_synced, second.rows_read, second.requests, second.ranges) == (0, 0, 0, ())
    with location.opened() as index:
        assert index.verify().equal


def test_a_sync_tells_which_generation_it_has_built_and_why_that_is_not_served_or_that_it_is(
    location: Location,
) -> None:
    location.workbench.create_faq(3)
    location.workbench.sync(question_only())
    location.spec = question_only(embedding={"dimensions": 4}, generations={"switch": "approval"})
    waits = sync(location)
    assert (waits.switched_to, waits.building, waits.obstacles) == (None, 2, ("nobody has approved it yet",))
    location.spec = question_only(embedding={"dimensions": 4})
    switched = sync(location)
    assert (switched.switched_to, switched.building, switched.obstacles) == (2, None, ())


@pytest.mark.long
def test_a_sync_with_nothing_to_sync_builds_the_indexes_that_are_declared_by_now(location: Location) -> None:
    location.spec = question_only()
    location.workbench.create_faq(3)
    sync(location)
    location.spec = question_only(search={"ann_from_vectors": 1})
    assert sync(location).ranges_synced == 0
    names = location.workbench.postgres("SELECT name FROM vector_pipeline.ann_indexes")
    assert names == [("vectors_1_hnsw_vector_8_question",)]


@pytest.mark.long
def test_a_sync_of_three_changes_counts_three_changes(location: Location) -> None:
    location.workbench.create_faq(250)
    sync(location)
    location.workbench.add_faq([251])
    location.workbench.mysql("UPDATE faq SET answer = 'corrected' WHERE id = 7")
    location.workbench.mysql("DELETE FROM faq WHERE id = 150")
    report = sync(location)
    assert (report.inserted, report.updated, report.deleted, report.texts_embedded) == (1, 1, 1, 3)


@pytest.mark.long
def test_the_instance_shows_the_runs_the_ranges_and_the_rows(location: Location) -> None:
    location.workbench.create_faq(250)
    sync(location)
    runs = location.instance.get_runs()
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert {run.tags["vector/index"] for run in runs} == {"faq"}
    for asset in ("rows", "documents", "embeddings"):
        shown = location.instance.get_materialized_partitions(location.index.key(asset))
        assert shown == set(location.partitions()), asset
    assert location.instance.get_latest_materialization_event(location.index.key("search_index")) is not None


@pytest.mark.long
def test_progress_is_told_window_by_window(location: Location) -> None:
    location.spec = faq_spec(automation={"ranges_per_run": 2})
    location.workbench.create_faq(250)
    told: list[tuple[int, int]] = []
    sync_in_process(location.index.declaration, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 3), (3, 3)]


@pytest.mark.long
def test_a_sync_that_fails_says_why_in_our_words(location: Location, provider: MisbehavingProvider) -> None:
    location.spec = faq_spec(embedding={"provider": {"type": "openai", "attempts": 1}})
    location.workbench.create_faq(10)
    with location.opened() as index:
        index.prepare()
    provider.behave("status", status=503)
    with pytest.raises(VectorPipelineError, match="503") as failed:
        sync(location)
    assert "step_key" not in str(failed.value)
    provider.behave("well")
    assert sync(location).texts_embedded == 20


def test_a_declaration_that_its_file_shows_to_be_wrong_is_refused_before_anything_is_made(location: Location) -> None:
    problem = DeclarationProblem("name", "taken", "choose another")
    declared = Declaration(location.spec, "defs/faq/defs.yaml", (problem,))
    with pytest.raises(IndexSpecError, match=r"defs/faq/defs.yaml, name: taken; choose another"):
        sync_in_process(declared)
    assert location.instance.get_runs() == []


@pytest.mark.long
def test_nobody_sees_a_warning_of_dagster(location: Location) -> None:
    location.workbench.create_faq(3)
    done = subprocess.run([sys.executable, "-c", SYNC_FAQ], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


def test_the_pool_of_the_provider_gets_its_limit(location: Location) -> None:
    set_pool_limits(location.instance, 3)
    [pool] = [one for one in location.instance.event_log_storage.get_pool_limits() if one.name == EMBEDDING_POOL]
    assert pool.limit == 3
    embeddings = location.definitions.resolve_assets_def(location.index.key("embeddings"))
    assert embeddings.op.pool == EMBEDDING_POOL


@pytest.mark.long
def test_an_index_that_was_removed_is_built_anew_past_the_partitions_that_dagster_still_lists(
    location: Location,
) -> None:
    location.workbench.create_faq(250)
    sync(location)
    with location.opened() as index:
        index.drop()
    location.workbench.mysql("DELETE FROM faq WHERE id <= 50")
    assert sync(location).inserted == 200
    with location.opened() as index:
        assert index.verify().equal


@pytest.mark.long
def test_a_range_that_fails_keeps_no_other_from_being_synced(location: Location) -> None:
    location.spec = faq_spec(automation={"ranges_per_run": 2}, source={"table": "copies", "primary_key": "id"})
    location.workbench.create_faq(450)
    location.workbench.mysql("CREATE VIEW copies AS SELECT * FROM faq")
    sync(location)
    location.workbench.mysql(
        "CREATE OR REPLACE VIEW copies AS SELECT * FROM faq UNION ALL SELECT * FROM faq WHERE id = 5"
    )
    location.workbench.mysql("UPDATE faq SET answer = 'corrected' WHERE id IN (150, 430)")
    for _ in range(2):
        with pytest.raises(VectorPipelineError, match="5"):
            sync(location)
    assert location.workbench.postgres("SELECT key FROM faq.documents WHERE answer = 'corrected' ORDER BY key") == [
        ("150",),
        ("430",),
    ]
