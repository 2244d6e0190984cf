"""The tables and indexes of an index."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store.connection import connect
from vector_pipeline.core.store.schema import REGISTRY_VERSION, create_registry
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
