"""The tables and indexes of an index."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest

from vector_pipeline.core.errors import TargetRefusedError, TargetUnavailableError
from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store import locks, schema
from vector_pipeline.core.store.connection import connect
from vector_pipeline.core.store.schema import REGISTRY_VERSION, create_registry
from vector_pipeline_tests.privileges.accounts import role
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.workbench import Workbench, faq_spec


def _declaring(unique_on: str | None) -> dict[str, Any]:
    return {"document": {"text": {"question": "question", "answer": "answer"}, "unique_on": unique_on}}


def _indexes_of_twins(workbench: Workbench) -> list[tuple[Any, ...]]:
    return workbench.postgres(
        "SELECT pg_get_indexdef(indexrelid, 1, true), indisvalid FROM pg_index"
        " WHERE indrelid = 'faq.documents'::regclass AND pg_get_indexdef(indexrelid, 1, true) LIKE 'md5%'"
        " ORDER BY 1"
    )


@pytest.fixture
def pg_database(bare_pg_database: TargetSettings) -> TargetSettings:
    """Our own tables are made by what is tested."""
    return bare_pg_database


def test_the_index_for_unique_on_is_made_also_where_it_is_declared_later(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync(faq_spec(**_declaring(None)))
    assert _indexes_of_twins(workbench) == []
    workbench.sync(faq_spec(**_declaring("question")))
    assert _indexes_of_twins(workbench) == [("md5(question)", True)]
    workbench.sync(faq_spec(**_declaring("answer")))
    assert _indexes_of_twins(workbench) == [("md5(answer)", True), ("md5(question)", True)]


def test_a_broken_index_for_unique_on_is_made_anew(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync(faq_spec(**_declaring("question")))
    workbench.postgres(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'faq.documents_unique_on_question'::regclass"
    )
    workbench.sync(faq_spec(**_declaring("question")))
    assert _indexes_of_twins(workbench) == [("md5(question)", True)]


def test_processes_that_declare_unique_on_at_the_same_time_make_one_index(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync(faq_spec(**_declaring(None)))

    def prepare(_: int) -> None:
        with workbench.index(faq_spec(**_declaring("question"))) as index:
            index.prepare()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(prepare, range(4)))
    assert _indexes_of_twins(workbench) == [("md5(question)", True)]


def test_processes_that_make_the_registry_at_the_same_time_make_it_once(workbench: Workbench) -> None:
    with ExitStack() as closing:
        connections = [closing.enter_context(connect(workbench.target)) for _ in range(6)]
        for connection in connections:
            # From here on each remembers that there is no registry.
            connection.execute("SELECT to_regclass('vector_pipeline.schema_version')")
        with ThreadPoolExecutor(len(connections)) as pool:
            list(pool.map(create_registry, connections))
    versions = workbench.postgres("SELECT version FROM vector_pipeline.schema_version ORDER BY version")
    assert versions == [(version,) for version in range(1, REGISTRY_VERSION + 1)]


# What takes the tables of an index `faq` back to version 1, the newest change first.
BACK_TO_VERSION_1 = (
    "ALTER TABLE vector_pipeline.embedding_indexes DROP search_refreshed_for",
    "DROP TABLE vector_pipeline.unanswered_queries",
    "DROP TABLE vector_pipeline.golden_results",
    "DROP TABLE vector_pipeline.open_runs",
    "DROP TABLE vector_pipeline.declared_indexes",
    "DROP TABLE vector_pipeline.api_keys",
    "DROP TABLE vector_pipeline.offline_batch_texts, vector_pipeline.offline_batches",
    "DROP TABLE vector_pipeline.ann_indexes",
    "ALTER TABLE vector_pipeline.vector_spaces DROP storage",
    "DROP TABLE vector_pipeline.spending, vector_pipeline.budget_days",
    "DROP TABLE vector_pipeline.text_claims",
    "DROP SEQUENCE vector_pipeline.claim_holders",
    "DROP TABLE vector_pipeline.canaries, vector_pipeline.canary_looks",
    "ALTER TABLE vector_pipeline.quarantine DROP CONSTRAINT quarantine_of_a_space",
    "ALTER TABLE vector_pipeline.embedding_indexes ADD declaration jsonb",
    "UPDATE vector_pipeline.embedding_indexes SET declaration = (SELECT declaration FROM vector_pipeline.generations)",
    "ALTER TABLE vector_pipeline.embedding_indexes ALTER declaration SET NOT NULL, DROP building_generation,"
    " DROP generations_made, DROP spaces_made",
    "ALTER TABLE vector_pipeline.generations DROP declaration, DROP completed_at, DROP approved_at, DROP retired_at,"
    " DROP rolled_back_at, DROP behind_since",
    "ALTER TABLE vector_pipeline.vector_spaces DROP query_prefix, DROP document_prefix",
    "ALTER TABLE faq.passages_1 DROP char_start, DROP char_end",
    "ALTER TABLE vector_pipeline.key_ranges DROP suspected_at, DROP dirty_since, DROP refused_digest,"
    " DROP refused_deletions",
    "ALTER TABLE vector_pipeline.embedding_indexes DROP source_columns, DROP reading_paid_until",
    "DROP TABLE vector_pipeline.detector_states, vector_pipeline.deletion_guards",
    "DELETE FROM vector_pipeline.schema_version WHERE version > 1",
)


def test_a_registry_of_the_first_version_is_brought_to_this_one(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync()
    for statement in BACK_TO_VERSION_1:
        workbench.postgres(statement)
    with workbench.index() as index:
        assert index.search("question number 3?").hits[0].key == "3"
    workbench.mysql("DELETE FROM faq WHERE id = 2")
    workbench.add_faq([4])
    synced = workbench.sync()
    assert (synced.deleted, synced.inserted) == (1, 1)
    with workbench.index() as index:
        assert index.verify().equal


def test_a_registry_of_a_newer_version_is_refused(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync()
    workbench.postgres("INSERT INTO vector_pipeline.schema_version (version) VALUES (99)")
    with pytest.raises(TargetUnavailableError, match="have version 99"):
        workbench.sync()


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes this program one whose tables are a version further, by the given migration."""

    def program(migration: str) -> None:
        monkeypatch.setattr(schema, "_MIGRATIONS", (*schema._MIGRATIONS, migration))
        monkeypatch.setattr(schema, "REGISTRY_VERSION", REGISTRY_VERSION + 1)

    return program


def _stands(target: TargetSettings) -> tuple[object, ...] | None:
    """The version of the tables, and whether what the next migration makes is there."""
    with postgres(target) as connection:
        return connection.execute(
            "SELECT (SELECT max(version) FROM vector_pipeline.schema_version),"
            " to_regclass('vector_pipeline.made') IS NOT NULL"
        ).fetchone()


def test_a_migration_that_fails_leaves_nothing_behind(
    pg_database: TargetSettings, next_version: Callable[[str], None]
) -> None:
    with closing(connect(pg_database)) as connection:
        create_registry(connection)
        next_version("CREATE TABLE vector_pipeline.made (n integer); SELECT 1 / 0")
        with pytest.raises(psycopg.errors.DivisionByZero):
            create_registry(connection)
        assert not locks.is_held(connection, locks.Lock.SCHEMA, 0)
    assert _stands(pg_database) == (REGISTRY_VERSION, False)


def test_nobody_waits_behind_a_migration_that_waits_for_a_long_reader(
    pg_database: TargetSettings, next_version: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LONGEST_TABLE_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(schema, "_PAUSE_SECONDS", 0.0)
    with closing(connect(pg_database)) as connection, closing(postgres(pg_database)) as dump:
        create_registry(connection)
        next_version(
            "CREATE TABLE vector_pipeline.made (n integer);"
            " ALTER TABLE vector_pipeline.embedding_indexes ADD made integer"
        )
        with dump.transaction():
            dump.execute("SELECT FROM vector_pipeline.embedding_indexes")
            with pytest.raises(TargetUnavailableError, match=r"reading them for long .* Nothing is changed"):
                create_registry(connection)
            assert _stands(pg_database) == (REGISTRY_VERSION, False)
        create_registry(connection)
    assert _stands(pg_database) == (REGISTRY_VERSION + 1, True)


def test_a_role_that_may_not_migrate_is_told_who_does(
    pg_database: TargetSettings, next_version: Callable[[str], None]
) -> None:
    with closing(connect(pg_database)) as owner, role(pg_database) as searcher:
        create_registry(owner)
        owner.execute(f"GRANT CONNECT ON DATABASE {pg_database.database} TO {searcher.user}".encode())
        owner.execute(f"GRANT USAGE ON SCHEMA vector_pipeline TO {searcher.user}".encode())
        owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA vector_pipeline TO {searcher.user}".encode())
        next_version("CREATE TABLE vector_pipeline.made (n integer)")
        with (
            closing(connect(searcher)) as connection,
            pytest.raises(
                TargetRefusedError,
                match=f"needs version {REGISTRY_VERSION + 1}, .*{searcher.user}.*vector-pipeline prepare",
            ),
        ):
            create_registry(connection)
    assert _stands(pg_database) == (REGISTRY_VERSION, False)
