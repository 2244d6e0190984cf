"""Fixtures of the tests on a real Dagster instance."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import Location
from vector_pipeline_tests.workbench import Workbench


@pytest.fixture
def provider() -> Iterator[MisbehavingProvider]:
    """A well-behaved provider of short vectors, until a test tells it otherwise."""
    with MisbehavingProvider(dimensions=8) as server:
        yield server


@pytest.fixture
def workbench(
    mysql_database: SourceSettings,
    pg_database: TargetSettings,
    provider: MisbehavingProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> Workbench:
    """Databases and provider, and an environment that leads to them."""
    for prefix, settings, database in (("DB", mysql_database, "DB_NAME"), ("PG", pg_database, "PGVECTOR_DB_NAME")):
        monkeypatch.setenv(f"{prefix}_HOST", settings.host)
        monkeypatch.setenv(f"{prefix}_PORT", str(settings.port))
        monkeypatch.setenv(f"{prefix}_USER", settings.user)
        monkeypatch.setenv(f"{prefix}_PASSWORD", settings.password)
        monkeypatch.setenv(database, settings.database)
    monkeypatch.setenv("EMBEDDING_MODEL_HOST", provider.url)
    monkeypatch.setenv("EMBEDDING_MODEL_NAME", "numbers")
    for name in ("EMBEDDING_API_KEY", "EMBEDDING_EXPECTED_DIM", "SIMILARITY_THRESHOLD"):
        monkeypatch.delenv(name, raising=False)
    return Workbench(mysql_database, pg_database, EmbeddingSettings(host=provider.url, model="numbers"))


@pytest.fixture
def location(workbench: Workbench, instance: dg.DagsterInstance) -> Location:
    """The index `faq`, whose ranges hold some 100 rows, in a code location."""
    return Location(workbench, instance)
