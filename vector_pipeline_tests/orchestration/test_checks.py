"""The checks in the UI: what each finds, and how it says so."""

from __future__ import annotations

import pytest

from vector_pipeline_tests.orchestration.location import Location
from vector_pipeline_tests.workbench import faq_spec


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
    assert evaluation.description == f"1 rows differ in 1 ranges: {synced.partitions()[1]}"
    assert "150" in str(evaluation.metadata["differences"].value)
    requests = [request for request in synced.settle() if "dagster/asset_partition_range_start" in request.tags]
    assert len(requests) == 1
    assert synced.check("parity").passed


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
