"""Each runbook of docs/operations.md on real servers: the fault is injected, one sees what it says, types what it says,
and the symptom is gone."""

from __future__ import annotations

import os
import signal

import dagster as dg
import psycopg
import pytest

from vector_pipeline.core.store import connection as store_connection
from vector_pipeline_tests.operations.following import Reader
from vector_pipeline_tests.operations.runbooks import block_of
from vector_pipeline_tests.operations.site import Site
from vector_pipeline_tests.operations.volume import MEGABYTE, Volume
from vector_pipeline_tests.orchestration.test_daemon import process_of

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


def test_lag_grows(site: Site) -> None:
    reader = Reader(site, "lag-grows")
    site.switch_sensor_off()
    site.add_rows(50_001, 20, "lag")
    # Ten minutes pass.
    site.bench.postgres("UPDATE vector_pipeline.key_ranges SET source_checked_at = now() - interval '10 minutes'")
    reader.sees_the_symptom()
    reader.does()
    reader.sees_that_it_is_over()


def test_a_mass_deletion_is_held(site: Site) -> None:
    reader = Reader(site, "a-mass-deletion-is-held")
    site.add_rows(60_001, 200, "deleted")
    site.sync()
    site.bench.mysql("DELETE FROM tbl_genie_genie WHERE id BETWEEN 60001 AND 60200")
    reader.sees_the_symptom()
    reader.does()
    reader.sees_that_it_is_over()


def test_a_declaration_is_wrong(site: Site) -> None:
    reader = Reader(site, "a-declaration-is-wrong")
    site.bench.mysql("ALTER TABLE tbl_genie_genie MODIFY genie_questiondate DATE NULL")
    reader.sees_the_symptom()
    reader.does()
    reader.sees_that_it_is_over()


def test_a_run_was_killed(site: Site) -> None:
    reader = Reader(site, "a-run-was-killed")
    with site.a_run_at_work(70_001):
        [run] = site.ui.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        os.kill(process_of(site.ui.instance, run.run_id), signal.SIGKILL)
    reader.sees_the_symptom()
    reader.sees_that_it_is_over()


def test_a_run_hangs(site: Site) -> None:
    reader = Reader(site, "a-run-hangs")
    with store_connection.connect(site.bench.target, "somebody") as somebody, pytest.raises(psycopg.OperationalError):
        somebody.execute("BEGIN")
        somebody.execute("LOCK TABLE genie_documents.documents IN SHARE MODE")
        site.add_rows(71_001, 20, "behind a lock")
        reader.sees_the_symptom()
        reader.does()
        somebody.execute("SELECT 1")
    Reader(site, "a-run-was-killed").sees_that_it_is_over()


def test_model_drift(site: Site) -> None:
    reader = Reader(site, "model-drift")
    site.provider.behave("other model")
    site.type("vector-pipeline canary $INDEX")
    site.add_rows(90_001, 20, "drift")
    try:
        reader.sees_the_symptom()
    finally:
        site.provider.behave("well")
    reader.does()
    reader.sees_that_it_is_over()


def test_model_drift_that_is_meant(site: Site) -> None:
    reader = Reader(site, "model-drift")
    for manner in ("other model", "well"):
        site.provider.behave(manner)
        assert "exit status 1" in site.type('vector-pipeline canary $INDEX; echo "exit status $?"')
        reader.does("accept")
        reader.sees_that_it_is_over()


def test_model_change(site: Site) -> None:
    reader = Reader(site, "model-change")
    usual = site.declaration.read_text()
    editing = block_of("model-change", "mend").commands[0].line
    site.hands[editing] = lambda: site.write_declaration(
        usual.replace("embedding:", "embedding:\n    model: another-1")
    )
    reader.does()
    reader.sees_that_it_is_over()
    reader.does("back")
    site.write_declaration(usual)
    site.type("vector-pipeline reload")
    site.sync()


def test_search_is_slow(site: Site) -> None:
    reader = Reader(site, "search-is-slow")
    site.provider.delay_seconds = 2.2
    try:
        reader.sees_the_symptom()
    finally:
        site.provider.delay_seconds = 0.0
    reader.sees_that_it_is_over()


def test_answers_get_worse(site: Site) -> None:
    reader = Reader(site, "answers-get-worse")
    with site.declared_otherwise("search", {"ann_from_vectors": 50}):
        with site.declared_otherwise("search", {"ann_prefix": 2}):
            site.type("vector-pipeline sync $INDEX")
            reader.sees_the_symptom()
        reader.does()
        reader.sees_that_it_is_over()
    site.type("vector-pipeline sync $INDEX")


def test_restore_mysql(site: Site) -> None:
    reader = Reader(site, "restore-mysql")
    site.bench.mysql("CREATE TABLE kept LIKE tbl_genie_genie")
    site.bench.mysql("INSERT INTO kept SELECT * FROM tbl_genie_genie")
    site.add_rows(85_001, 20, "after the backup")
    site.sync()
    site.bench.mysql("DROP TABLE tbl_genie_genie")
    site.bench.mysql("RENAME TABLE kept TO tbl_genie_genie")
    reader.does()
    reader.sees_that_it_is_over()


def test_upgrade_of_pgvector(site: Site) -> None:
    reader = Reader(site, "upgrade-pgvector")
    # As after the package was exchanged: library and scripts are new, the database has the old version's.
    site.bench.postgres("UPDATE pg_extension SET extversion = '0.8.2' WHERE extname = 'vector'")
    reader.sees_the_symptom()
    reader.does()
    reader.does("reindex")
    reader.sees_that_it_is_over()


def test_restore_postgresql(site: Site) -> None:
    reader = Reader(site, "restore-postgresql")
    site.hands["docker compose stop code daemon"] = site.switch_sensor_off
    site.hands["docker compose start code daemon"] = site.switch_sensor_on
    reader.does("backup")
    site.add_rows(80_001, 20, "after the backup")
    site.sync()
    reader.does("stop")
    for schema in ("genie_documents", "vector_pipeline"):
        site.bench.postgres(f"DROP SCHEMA {schema} CASCADE")
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
