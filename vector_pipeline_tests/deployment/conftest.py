"""Fixtures of the tests of deployments."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench


@pytest.fixture
def provider() -> Iterator[MisbehavingProvider]:
    """A well-behaved provider of short vectors, until a test tells it otherwise."""
    with MisbehavingProvider(dimensions=8) as server:
        yield server


@pytest.fixture
def workbench(mysql_database: SourceSettings, pg_database: TargetSettings, provider: MisbehavingProvider) -> Workbench:
    return Workbench(mysql_database, pg_database, EmbeddingSettings(host=provider.url, model="numbers"))
