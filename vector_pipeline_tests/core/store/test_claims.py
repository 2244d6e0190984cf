"""Of several runs that need the same text at the same moment, one pays for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store import claims, registry
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store.claims import Claimed, Claims
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline_tests.workbench import Workbench, question_only

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


@pytest.fixture
def index(workbench: Workbench) -> RegisteredIndex:
    """With three rows that have one of these texts each."""
    workbench.create_faq()
    with workbench.index(question_only()) as opened:
        opened.prepare()
    for text in (A, B, C):
        key = text[:1].decode()
        workbench.postgres(
            "INSERT INTO faq.documents (key, sort_key, range_id, metadata) VALUES (%s, %s, 1, '{}')", [key, text]
        )
        workbench.postgres(
            "INSERT INTO faq.passages_1 (key, field, ordinal, content_hash) VALUES (%s, 'q', 0, %s)", [key, text]
        )
    with store_connection.connect(workbench.target) as connection:
        registered = registry.load(connection, "faq")
    assert registered is not None
    return registered


@contextmanager
def run_of(target: TargetSettings, index: RegisteredIndex) -> Iterator[tuple[psycopg.Connection, Claims]]:
    with store_connection.connect(target) as connection:
        yield connection, Claims(connection, index)


def test_a_text_is_claimed_by_one_of_the_runs_that_live(workbench: Workbench, index: RegisteredIndex) -> None:
    with run_of(workbench.target, index) as (_, first), run_of(workbench.target, index) as (_, second):
        assert first.claim([A, B]).mine == {A, B}
        assert second.claim([B, C]).mine == {C}
        assert first.claim([A, C]).mine == set()


def test_a_text_that_no_row_has_any_more_is_claimed_by_nobody(workbench: Workbench, index: RegisteredIndex) -> None:
    with run_of(workbench.target, index) as (_, run):
        workbench.postgres("DELETE FROM faq.documents WHERE key = 'a'")
        assert run.claim([A, B]) == Claimed({B}, set())


def test_a_dead_runs_claims_are_taken_over_by_one(workbench: Workbench, index: RegisteredIndex) -> None:
    with run_of(workbench.target, index) as (_, first), run_of(workbench.target, index) as (_, second):
        with run_of(workbench.target, index) as (connection, dead):
            assert dead.claim([A, B]).mine == {A, B}
            assert first.claim([A]).mine == set()
            pid = connection.info.backend_pid
            workbench.postgres("SELECT pg_terminate_backend(%s, 10000)", (pid,))
        assert first.claim([A]).mine == {A}
        assert second.claim([A, B]).mine == {B}


def test_a_claim_ends_with_the_transaction_that_stores_what_became_of_the_text(
    workbench: Workbench, index: RegisteredIndex
) -> None:
    with run_of(workbench.target, index) as (connection, first), run_of(workbench.target, index) as (_, second):
        first.claim([A, B])
        with connection.transaction():
            claims.release(connection, index.index_id, index.generation.space.number, first.holder, [A])
        assert second.claim([A, B]).mine == {A}


def test_nobody_ends_the_claim_of_another(workbench: Workbench, index: RegisteredIndex) -> None:
    with run_of(workbench.target, index) as (_, first), run_of(workbench.target, index) as (_, second):
        first.claim([A])
        second.release([A])
        second.end()
        with run_of(workbench.target, index) as (_, third):
            assert third.claim([A]).mine == set()


def test_what_dead_runs_have_left_is_removed_by_the_next(workbench: Workbench, index: RegisteredIndex) -> None:
    with run_of(workbench.target, index) as (connection, dead):
        dead.claim([A, B])
        connection.close()
    with run_of(workbench.target, index):
        assert workbench.postgres("SELECT count(*) FROM vector_pipeline.text_claims") == [(0,)]
