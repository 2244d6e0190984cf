"""Each runbook of docs/operations.md on real servers: the fault is injected, one sees what it says, types what it says,
and the symptom is gone."""

from __future__ import annotations

import os

import pytest

from vector_pipeline_tests.operations.following import Reader
from vector_pipeline_tests.operations.site import Site
from vector_pipeline_tests.operations.volume import MEGABYTE, Volume

pytestmark = pytest.mark.long


def test_provider_down(site: Site) -> None:
    reader = Reader(site, "provider-down")
    site.provider.behave("status", status=503, message="overloaded")
    site.add_rows(10_001, 20, "provider")
    try:
        reader.sees_the_symptom()
    finally:
        site.provider.behave("well")
    reader.does()
    reader.sees_that_it_is_over()


def test_quarantine_fills(site: Site) -> None:
    reader = Reader(site, "quarantine-fills")
    site.bench.mysql("UPDATE tbl_genie_genie SET genie_question = CONCAT('poison ', id) WHERE id IN (42, 57)")
    reader.sees_the_symptom()
    site.bench.mysql("UPDATE tbl_genie_genie SET genie_question = 'What was meant?' WHERE id = 42")
    reader.does()
    reader.sees_that_it_is_over()
    site.bench.mysql("UPDATE tbl_genie_genie SET genie_question = 'What was meant by this?' WHERE id = 57")
    site.sync()


def test_budget_reached(site: Site) -> None:
    reader = Reader(site, "budget-reached")
    site.declare_price(1000.0)
    site.add_rows(20_001, 1_000, "budget")  # some seven thousand tokens
    reader.sees_the_symptom()
    reader.does()
    reader.sees_that_it_is_over()
    site.declare_price(0.02)


def test_postgresql_down(site: Site) -> None:
    reader = Reader(site, "postgresql-down")
    site.hands["docker compose start postgres"] = site.postgres.start
    with site.a_run_at_work(30_001):
        site.postgres.stop()
    site.bench.mysql("UPDATE tbl_genie_genie SET genie_answer = 'Changed meanwhile.' WHERE id = 11")
    reader.sees_the_symptom()
    reader.does()
    reader.sees_that_it_is_over()


def test_mysql_down(site: Site) -> None:
    reader = Reader(site, "mysql-down")
    site.hands["docker compose start mysql"] = site.mysql.start
    site.bench.mysql("UPDATE tbl_genie_genie SET genie_answer = 'Changed just before.' WHERE id = 12")
    site.mysql.stop()
    reader.sees_the_symptom()
    reader.does()
    reader.sees_that_it_is_over()


def test_parity_fails(site: Site) -> None:
    reader = Reader(site, "parity-fails")
    site.bench.postgres("DELETE FROM genie_documents.documents WHERE key IN ('3', '4')")
    site.bench.postgres(
        "DELETE FROM genie_documents.vectors_1 v USING genie_documents.passages_1 p"
        " WHERE p.key = '7' AND p.field = 'question' AND v.content_hash = p.content_hash"
    )
    site.launch("genie_documents_verify")
    reader.sees_the_symptom()
    reader.does()
    reader.sees_that_it_is_over()


def test_disk_full(site: Site, volume: Volume) -> None:
    if volume.problem is not None:
        pytest.skip(f"A FULL DISK IS NOT TESTED: {volume.problem}")
    reader = Reader(site, "disk-full")
    volume.fill(leaving=MEGABYTE)
    site.add_rows(40_001, 250, os.urandom(3_000).hex(" ", 4))
    try:
        reader.sees_the_symptom()
        reader.does("room")
    finally:
        volume.make_room()
    reader.does()
    reader.sees_that_it_is_over()
