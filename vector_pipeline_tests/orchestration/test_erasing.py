"""An erased row leaves no byte of its texts in Dagster's storage."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import dagster as dg
import pytest

from vector_pipeline.orchestration import search_job
from vector_pipeline.orchestration.in_process import sync_in_process
from vector_pipeline_tests.at_once import AtOnce
from vector_pipeline_tests.dagster_instances import (
    PASSWORD_VARIABLE,
    DagsterHome,
    InFiles,
    InPostgres,
    new_home,
    tables_with,
)
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import QUIET, Location
from vector_pipeline_tests.waiting import wait_until
from vector_pipeline_tests.workbench import Workbench, faq_spec

SECRET = "Harimau Malaya"


def _with_a_secret(workbench: Workbench) -> None:
    """Five rows, the third of which says what is to be erased."""
    workbench.create_faq(5)
    workbench.mysql(f"UPDATE faq SET question = '{SECRET}\\nis | {SECRET}?', answer = 'of {SECRET}' WHERE id = 3")


def _erase(location: Location, *keys: str) -> dg.ExecuteInProcessResult:
    job = location.definitions.resolve_job_def("faq_erase")
    config = {"ops": {"faq_erase_rows": {"config": {"keys": list(keys)}}}}
    return job.execute_in_process(instance=location.instance, run_config=config | QUIET, raise_on_error=False)


def _search(location: Location, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    monkeypatch.setattr(search_job, "find_declaration", {"faq": location.index.declaration}.__getitem__)
    config = {"ops": {"search": {"config": {"index": "faq", "query": query, "limit": 5}}}}
    job = location.definitions.resolve_job_def("search_job")
    assert job.execute_in_process(instance=location.instance, run_config=config | QUIET).success


@pytest.mark.long
def test_no_byte_of_an_erased_row_is_left_in_the_files_of_the_local_dagster(
    workbench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_a_secret(workbench)
    home = DagsterHome(tmp_path, InFiles())
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:  # as `dagster.yaml` has it: a file for each run
        location = Location(workbench, instance)
        location.settle()
        _search(location, monkeypatch, "question number 4?")
        workbench.mysql("UPDATE faq SET answer = 'another one' WHERE id = 4")
        location.settle()
        assert home.places_with(SECRET)
        workbench.mysql("DELETE FROM faq WHERE id = 3")
        assert _erase(location, "3").success
    assert home.places_with(SECRET) == []
    assert workbench.postgres("SELECT count(*) FROM faq.documents") == [(4,)]


@pytest.mark.long
def test_no_table_of_postgresql_has_a_text_of_an_erased_row_where_dagster_is_stored_there_too(
    workbench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = workbench.target
    monkeypatch.setenv(PASSWORD_VARIABLE, target.password or "")
    with new_home(tmp_path / "dagster", InPostgres(target)).instance() as instance:
        location = Location(workbench, instance)
        _with_a_secret(workbench)
        location.settle()
        _search(location, monkeypatch, "question number 4?")
        found = {name.rpartition(".")[2] for name in tables_with(target, SECRET)}
        assert {"documents", "event_logs", "asset_keys"} <= found
        workbench.mysql("DELETE FROM faq WHERE id = 3")
        assert _erase(location, "3").success
    assert tables_with(target, SECRET) == []


@pytest.mark.dagster_in_postgres
def test_what_a_provider_said_of_some_text_goes_from_errors(
    location: Location, dagster_home: DagsterHome, provider: MisbehavingProvider
) -> None:
    location.spec = faq_spec(embedding={"provider": {"type": "openai", "attempts": 1}})
    _with_a_secret(location.workbench)
    with location.opened() as index:
        index.prepare()
    [request] = location.tick().run_requests or []
    provider.behave("status", status=503, message=f"cannot embed {SECRET}")
    assert not location.run(request).success
    assert dagster_home.places_with(f"cannot embed {SECRET}")
    location.workbench.mysql("DELETE FROM faq WHERE id = 3")
    assert _erase(location, "3").success
    assert dagster_home.places_with(SECRET) == []
    assert dagster_home.places_with("HTTP 503")


@pytest.mark.long
def test_previews_keep_their_other_rows_and_other_indexes_theirs(location: Location) -> None:
    other = Location(location.workbench, location.instance, faq_spec("other"))
    _with_a_secret(location.workbench)
    location.settle()
    other.settle()
    location.workbench.mysql("DELETE FROM faq WHERE id = 3")
    result = _erase(location, "3")
    [output] = [event for event in result.all_events if event.is_successful_output]
    assert output.step_output_data.metadata["rows_erased"].value == 1
    assert _preview(location, "documents").count("question number") == 4
    assert SECRET not in _preview(location, "documents") + _preview(location, "embeddings")
    assert SECRET in _preview(other, "documents")


def _preview(location: Location, asset: str) -> str:
    event = location.instance.get_latest_materialization_event(location.index.key(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return str(event.asset_materialization.metadata["preview"].value)


@pytest.mark.long
def test_a_refused_text_goes_from_the_check_that_shows_it(location: Location, provider: MisbehavingProvider) -> None:
    del provider
    location.workbench.create_faq(5)
    location.workbench.mysql("UPDATE faq SET question = 'poison' WHERE id = 3")
    location.settle()
    shown = location.check("no_quarantine")
    assert "| 3 " in str(shown.metadata["entries"].value)
    location.workbench.mysql("DELETE FROM faq WHERE id = 3")
    assert _erase(location, "3").success
    key = dg.AssetCheckKey(location.index.key("embeddings"), "no_quarantine")
    [record] = location.instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).values()
    assert record.event is not None
    evaluation = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
    assert "| 3 " not in str(evaluation.metadata["entries"].value)


def test_a_row_that_is_still_in_mysql_fails_the_job_in_our_words(location: Location) -> None:
    location.workbench.create_faq(5)
    location.settle()
    result = _erase(location, "3")
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "still has row '3'" in str(failure.step_failure_data.error)


@pytest.mark.long
def test_a_run_that_may_have_read_a_preview_before_is_waited_for(
    location: Location, provider: MisbehavingProvider
) -> None:
    _with_a_secret(location.workbench)
    with location.opened() as index:
        index.prepare()
    provider.reset()
    provider.delay_seconds = 2.0
    runs = AtOnce()
    runs.start(lambda: sync_in_process(location.index.declaration))
    wait_until(lambda: provider.stats()["requests"] > 0)
    location.workbench.mysql("DELETE FROM faq WHERE id = 3")
    assert _erase(location, "3").success
    [syncing] = [run for run in location.instance.get_runs() if location.index.key("documents") in _selected(run)]
    assert syncing.status == dg.DagsterRunStatus.SUCCESS
    runs.finish()
    assert SECRET not in _preview(location, "documents") + _preview(location, "embeddings")
    assert location.workbench.postgres("SELECT count(*) FROM faq.vectors_1") == [(8,)]


def _selected(run: dg.DagsterRun) -> Set[dg.AssetKey]:
    return run.asset_selection or set()


@pytest.mark.long
@pytest.mark.dagster_in_postgres
def test_what_a_provider_said_of_a_batch_goes_from_its_run_and_from_what_the_run_printed(
    workbench: Workbench, dagster_home: DagsterHome, provider: MisbehavingProvider
) -> None:
    printing = {"module": "dagster._core.storage.local_compute_log_manager", "class": "LocalComputeLogManager"}
    printed = {"compute_logs": printing | {"config": {"base_dir": str(dagster_home.folder / "printed")}}}
    workbench.create_faq(3)
    with dagster_home.instance(printed) as instance:
        location = Location(workbench, instance)
        desk = provider.offline
        assert _run_loudly(location, "submit_batch")
        desk.finish("expired", answered=0)
        error_file = desk.batches["batch_1"]["error_file_id"]
        desk.files[error_file] = desk.files[error_file].replace(b"This request", SECRET.encode())
        assert _run_loudly(location, "ingest_batches")
        desk.refuse_next("upload", 503, f"cannot take {SECRET}")
        assert not _run_loudly(location, "submit_batch")
        assert any("printed" in file for file in dagster_home.places_with(SECRET))
        workbench.mysql("DELETE FROM faq WHERE id = 3")
        assert _erase(location, "3").success
    assert dagster_home.places_with(SECRET) == []


def _run_loudly(location: Location, job: str) -> bool:
    """Runs a job of the index, which logs to its standard error as runs do. Returns whether it succeeds."""
    definition = location.definitions.resolve_job_def(f"faq_{job}")
    return definition.execute_in_process(instance=location.instance, raise_on_error=False).success
