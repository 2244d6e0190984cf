"""Connections of the service to a database whose tables are another version's: what is wrong is told, at once."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store.schema import REGISTRY_VERSION
from vector_pipeline.serving.target_pool import TargetPool
from vector_pipeline_tests.servers import postgres

_LONGER_THAN_ANYBODY_WAITS = 600.0


def _refused(target: TargetSettings) -> str:
    with (
        closing(TargetPool(target, "test", 2, _LONGER_THAN_ANYBODY_WAITS)) as pool,
        pytest.raises(TargetUnavailableError) as raised,
        pool.connection(),
    ):
        pass
    return str(raised.value)


def test_tables_of_a_newer_version_are_refused_by_both_versions(pg_database: TargetSettings) -> None:
    with postgres(pg_database) as connection:
        connection.execute("INSERT INTO vector_pipeline.schema_version (version) VALUES (%s)", (REGISTRY_VERSION + 1,))
    told = _refused(pg_database)
    assert f"have version {REGISTRY_VERSION + 1}, this program knows version {REGISTRY_VERSION}" in told


def test_nothing_is_migrated_by_way_of_a_pooler_that_shares_sessions(pg_database: TargetSettings) -> None:
    with postgres(pg_database) as connection:
        connection.execute("DELETE FROM vector_pipeline.schema_version WHERE version > 1")
    told = _refused(replace(pg_database, pooled=True))
    assert "have version 1," in told
    assert "run `vector-pipeline prepare`" in told
