"""The checks in the UI: what each finds, and how it says so."""

from __future__ import annotations

import asyncio

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.loader import LoadingContextForTest

from vector_pipeline_tests.orchestration.location import QUIET, Location
from vector_pipeline_tests.workbench import faq_spec

NOTED = [
    ("rows", "declaration"),
    ("rows", "detectors"),
    ("documents", "deletion_guard"),
    ("embeddings", "model_drift"),
    ("embeddings", "budget"),
]


def not_evaluated(location: Location) -> list[str]:
    """The checks of which the sensor tells, and whose results Dagster takes for those of an earlier materialization."""
    keys = [dg.AssetCheckKey(location.index.key(asset), check) for asset, check in NOTED]
    records = location.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    return [
        key.name
        for key in keys
        if not asyncio.run(records[key].targets_latest_materialization(LoadingContextForTest(location.instance)))
    ]


def results(location: Location) -> int:
    """How many results these checks have had, planned ones among them."""
    keys = [dg.AssetCheckKey(location.index.key(asset), check) for asset, check in NOTED]
    storage = location.instance.event_log_storage
    return sum(len(storage.get_asset_check_execution_history(key, limit=99)) for key in keys)


@pytest.fixture
def synced(location: Location) -> Location:
    location.workbench.create_faq(300)
    location.settle()
    return location


def test_every_check_passes_on_an_index_in_step(synced: Location) -> None:
    names = ["declaration", "detectors", "deletion_guard", "freshness", "no_quarantine", "model_drift", "parity"]
    names.append("vector_honesty")
    evaluations = synced.materialize(checks=names).get_asset_check_evaluations()
    assert {one.check_name: one.passed for one in evaluations} == dict.fromkeys(names, True)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("UPDATE faq.documents SET answer = 'damaged' WHERE key = '150'", id="changed document"),
        pytest.param("DELETE FROM faq.documents WHERE key = '150'", id="lost document", marks=pytest.mark.long),
        pytest.param("DELETE FROM faq.passages_1 WHERE key = '150'", id="lost passages", marks=pytest.mark.long),
    ],
)
def test_damage_done_by_hand_is_found_and_repaired_by_the_next_sync(synced: Location, damage: str) -> None:
    synced.workbench.postgres(damage)
    evaluation = synced.check("parity")
    assert not evaluation.passed
    assert evaluation.description == f"1 row differs in 1 range: {synced.partitions()[1]}"
    assert "150" in str(evaluation.metadata["differences"].value)
    requests = [request for request in synced.settle() if "dagster/asset_partition_range_start" in request.tags]
    assert len(requests) == 1
    assert synced.check("parity").passed


@pytest.mark.long
def test_a_lost_vector_is_found_and_repaired(synced: Location) -> None:
    synced.workbench.postgres(
        "DELETE FROM faq.vectors_1 v USING faq.passages_1 p WHERE p.content_hash = v.content_hash AND p.key = '150'"
    )
    assert not synced.check("parity").passed
    synced.settle()
    assert synced.check("parity").passed


def test_a_dishonest_vector_is_named_by_its_row(synced: Location) -> None:
    synced.workbench.postgres(
        "UPDATE faq.vectors_1 v SET embedding = '[0,0,0,0,0,0,0,0]' FROM faq.passages_1 p "
        "WHERE p.content_hash = v.content_hash AND p.key = '150' AND p.field = 'question'"
    )
    evaluation = synced.check("vector_honesty")
    assert not evaluation.passed
    assert "150" in (evaluation.description or "")


def test_an_index_that_nobody_compares_is_not_fresh(synced: Location) -> None:
    synced.spec = faq_spec(automation={"fresh_within_minutes": 0.00001})
    evaluation = synced.check("freshness")
    assert not evaluation.passed


@pytest.mark.parametrize("name", ["freshness", "parity"])
def test_an_index_that_was_never_synced_fails_its_checks_in_words(location: Location, name: str) -> None:
    location.workbench.create_faq(10)
    evaluation = location.check(name)
    assert not evaluation.passed
    assert evaluation.description


def test_the_declaration_check_names_field_and_remedy(location: Location) -> None:
    location.workbench.create_faq(10)
    location.spec = faq_spec(document={"text": {"question": "qestion"}})
    evaluation = location.check("declaration")
    assert not evaluation.passed
    assert "defs/faq/defs.yaml, document.text.question: " in (evaluation.description or "")


@pytest.mark.dagster_in_postgres
def test_what_a_look_shows_follows_the_runs_and_is_not_told_twice(location: Location) -> None:
    location.workbench.create_faq(30)
    location.settle()
    assert not_evaluated(location) == []
    told = results(location)
    location.tick()
    assert results(location) == told


@pytest.mark.dagster_in_postgres
def test_a_look_leaves_a_check_to_the_run_that_is_under_way(location: Location) -> None:
    location.workbench.create_faq(30)
    [request] = location.tick().run_requests or []
    job = location.job_of("documents", "embeddings", checks=["budget"])
    run = location.instance.create_run_for_job(job, run_config=QUIET, tags=dict(request.tags))
    told = results(location)
    location.tick()
    assert results(location) == told
    assert execute_run(InMemoryJob(job), run, location.instance).success
    location.tick()
    assert not_evaluated(location) == []


@pytest.mark.dagster_in_postgres
def test_a_look_tells_what_a_run_ended_without_telling(location: Location) -> None:
    location.workbench.create_faq(30)
    location.tick()
    run = location.instance.create_run_for_job(location.job_of(checks=["budget"]))
    told = results(location)
    location.instance.report_run_failed(run)
    location.tick()
    assert results(location) == told + 1
