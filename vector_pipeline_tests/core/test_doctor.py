"""What `doctor` says of the databases, and how indexes share a look at their provider."""

from __future__ import annotations

import pytest

from vector_pipeline.core.doctor import diagnose
from vector_pipeline.core.findings import Verdict
from vector_pipeline.core.settings import EmbeddingSettings, Settings, SourceSettings, TargetSettings
from vector_pipeline.core.store.server_versions import judge_pgvector
from vector_pipeline_tests.environments import variables_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import faq_spec


def test_servers_are_told_with_their_versions_and_indexes_share_a_look_at_their_provider(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    with MisbehavingProvider(8) as server:
        variables = variables_of(Settings(mysql_database, pg_database, EmbeddingSettings(server.url, model="m")))
        found = diagnose([faq_spec("one"), faq_spec("two"), faq_spec("own", embedding={"model": "own"})], variables)
    assert found.healthy
    assert [finding.what for finding in found.servers] == ["MySQL", "PostgreSQL", "pgvector"]
    assert "MariaDB" in found.servers[0].found
    assert [(provider.provider, provider.indexes) for provider in found.providers] == [
        ("openai:m", ("one", "two")),
        ("openai:own", ("own",)),
    ]


def test_a_database_that_is_down_keeps_nothing_else_from_being_looked_at(pg_database: TargetSettings) -> None:
    nowhere = SourceSettings("127.0.0.1", 1, "nobody", "a-secret-password", "nothing")
    with MisbehavingProvider(8) as server:
        variables = variables_of(Settings(nowhere, pg_database, EmbeddingSettings(server.url, model="m")))
        found = diagnose([], variables)
    assert not found.healthy
    assert [finding.verdict for finding in found.servers[:2]] == [Verdict.WRONG, Verdict.OK]
    assert "a-secret-password" not in repr(found)
    assert found.providers[0].dimensions == 8


def test_variables_that_are_missing_are_named_and_the_provider_is_looked_at_all_the_same() -> None:
    with MisbehavingProvider(8) as server:
        found = diagnose([], {"EMBEDDING_MODEL_HOST": server.url, "EMBEDDING_MODEL_NAME": "m"})
    assert "DB_HOST" in found.servers[0].found
    assert found.providers[0].dimensions == 8


@pytest.mark.parametrize(
    ("created", "installed", "verdict", "words"),
    [
        ("0.7.4", "0.7.4", Verdict.WRONG, "0.8.0"),
        ("0.8.0", "0.8.0", Verdict.WARNING, "VACUUM"),
        ("0.8.3", "0.8.3", Verdict.WARNING, "REINDEX"),
        ("0.8.4", "0.8.4", Verdict.OK, "0.8.4"),
        ("0.8.10", "0.8.10", Verdict.OK, "0.8.10"),
        ("0.8.2", "0.8.5", Verdict.NOTE, "ALTER EXTENSION"),
        ("0.9.0", "0.9.0", Verdict.OK, "0.9.0"),
    ],
)
def test_pgvector_is_judged_by_the_version_of_its_code(
    created: str, installed: str, verdict: Verdict, words: str
) -> None:
    finding = judge_pgvector(created, installed)
    assert finding.verdict is verdict
    assert words in f"{finding.found} {finding.remedy}"
