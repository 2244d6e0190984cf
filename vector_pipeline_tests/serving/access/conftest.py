"""Fixtures of the tests of access."""

from __future__ import annotations

import pytest

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline_tests.workbench import Workbench


@pytest.fixture
def bench_without_index(pg_database: TargetSettings) -> Workbench:
    """A fresh PostgreSQL database; no test of access needs MySQL."""
    return Workbench(SourceSettings("127.0.0.1", 1, "nobody", "", "nothing"), pg_database)
