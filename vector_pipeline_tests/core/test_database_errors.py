"""What the databases say is told in our words: where, what and what to do, without secrets and without rows."""

from __future__ import annotations

import traceback

import psycopg
import pytest

from vector_pipeline.core.errors import (
    SourceRefusedError,
    TargetFullError,
    TargetRefusedError,
    TargetUnavailableError,
    VectorPipelineError,
)
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store.connection import target_error
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all


def _break_connections(workbench: Workbench) -> None:
    workbench.postgres(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'vector-pipeline faq%' AND pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )


def _dirty_partitions(index: VectorIndex) -> list[str]:
    index.detect()
    return [state.partition for state in index.due_ranges()]


def _assert_it_names_the_target(error: VectorPipelineError, workbench: Workbench) -> None:
    target = workbench.target
    assert f"PostgreSQL at {target.host}:{target.port}, database {target.database!r}" in str(error)
    assert "check that it runs and that PG_HOST" in str(error)


def test_a_lost_connection_to_postgresql_is_told_with_its_address_and_the_remedy(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync(question_only())
    with workbench.index(question_only()) as index:
        index.prepare()
        _break_connections(workbench)
        with pytest.raises(TargetUnavailableError) as lost:
            index.status()
    _assert_it_names_the_target(lost.value, workbench)


def test_a_connection_lost_between_two_ranges_is_told_in_our_words(workbench: Workbench) -> None:
    workbench.create_faq(200)
    with workbench.index(question_only()) as index:
        ranges = index.sync_documents(_dirty_partitions(index))
        next(ranges)
        _break_connections(workbench)
        with pytest.raises(TargetUnavailableError) as lost:
            next(ranges)
    _assert_it_names_the_target(lost.value, workbench)


def test_a_connection_lost_while_vectors_are_written_is_told_in_our_words(workbench: Workbench) -> None:
    workbench.create_faq(300)
    spec = question_only(embedding={"provider": {"type": "openai", "texts_per_request": 10}})
    with workbench.index(spec) as index:
        partitions = _dirty_partitions(index)
        list(index.sync_documents(partitions))
        with pytest.raises(TargetUnavailableError) as lost:
            index.embed(partitions, lambda done, _: _break_connections(workbench) if done >= 50 else None)
    _assert_it_names_the_target(lost.value, workbench)
    with workbench.index(spec) as index:
        sync_all(index)
        assert index.verify().equal


def test_an_error_of_postgresql_does_not_quote_the_row(workbench: Workbench) -> None:
    workbench.create_faq(3)
    with workbench.index(question_only()) as index:
        index.prepare()
        workbench.postgres("ALTER TABLE faq.documents ADD CONSTRAINT polite CHECK (question NOT LIKE '%private%')")
        workbench.mysql("UPDATE faq SET question = 'a private matter' WHERE id = 2")
        with pytest.raises(
            TargetRefusedError, match=r"violates check constraint \"polite\".*SQLSTATE 23514"
        ) as refused:
            sync_all(index)
    assert "private matter" not in "".join(traceback.format_exception(refused.value))


def test_an_error_of_mysqls_in_the_statement_does_not_blame_the_address(workbench: Workbench) -> None:
    workbench.create_faq(3)
    with workbench.index(question_only()) as index:
        index.prepare()
        workbench.mysql("ALTER TABLE faq RENAME COLUMN link TO address")
        with pytest.raises(SourceRefusedError) as refused:
            sync_all(index)
    assert "DB_HOST" not in str(refused.value)
    assert f"asked to read {workbench.source.database}.faq" in str(refused.value)
    assert "Unknown column" in str(refused.value)
    assert "error 1054" in str(refused.value)


def test_a_full_disk_is_told_as_such_with_what_has_become_of_the_work() -> None:
    told = target_error(TargetSettings("pg", 5432, "ada", "", "vectors"), psycopg.errors.DiskFull("no space left"))
    assert isinstance(told, TargetFullError)
    assert "no space left (SQLSTATE 53100); make room on its disk: what was under way was undone" in str(told)
