"""The environment, as Dagster's resources hand it to the core."""

from __future__ import annotations

import pytest

from vector_pipeline.core.settings import TLSMode
from vector_pipeline.orchestration.resources import indexes_from_environment


def test_tls_to_mysql_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DB_HOST", "DB_USER", "DB_NAME", "PG_HOST", "PG_USER", "PGVECTOR_DB_NAME"):
        monkeypatch.setenv(name, "somewhere")
    monkeypatch.setenv("DB_SSL_MODE", "verify_identity")
    monkeypatch.setenv("DB_SSL_CA", "ca.pem")
    with indexes_from_environment().process_config_and_initialize_cm() as indexes:
        tls = indexes.settings().source.tls
    assert (tls.mode, tls.ca) == (TLSMode.VERIFY_IDENTITY, "ca.pem")
