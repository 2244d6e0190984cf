"""What a deployment does before it starts: tables, and limits of pools."""

from __future__ import annotations

from contextlib import closing

import dagster as dg
import pytest

from vector_pipeline.core.errors import TargetRefusedError, TargetUnavailableError
from vector_pipeline.core.settings import EmbeddingSettings, Settings, SourceSettings, TargetSettings
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store.schema import REGISTRY_VERSION
from vector_pipeline.orchestration.pools import EMBEDDING_POOL
from vector_pipeline.orchestration.preparing import prepare
from vector_pipeline_tests.privileges.accounts import role
from vector_pipeline_tests.servers import postgres

NOWHERE = SourceSettings("127.0.0.1", 1, "nobody", "", "nothing")


def test_an_empty_database_gets_our_tables_and_the_instance_its_limits(
    bare_pg_database: TargetSettings, instance: dg.DagsterInstance
) -> None:
    told: list[str] = []
    settings = Settings(NOWHERE, bare_pg_database, EmbeddingSettings())  # MySQL is not asked
    prepare(settings, told.append)
    assert f"tables of vector-pipeline: version {REGISTRY_VERSION}" in told
    assert EMBEDDING_POOL in {pool.name for pool in instance.event_log_storage.get_pool_limits()}

    instance.event_log_storage.set_concurrency_slots(EMBEDDING_POOL, 7)
    prepare(settings, told.append)
    limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    assert limits[EMBEDDING_POOL] == 7


@pytest.mark.usefixtures("instance")
def test_a_database_of_a_newer_version_is_refused(pg_database: TargetSettings) -> None:
    with closing(store_connection.connect(pg_database)) as connection:
        connection.execute("INSERT INTO vector_pipeline.schema_version (version) VALUES (%s)", (REGISTRY_VERSION + 1,))
        connection.commit()
    with pytest.raises(TargetUnavailableError, match=f"this program knows version {REGISTRY_VERSION}"):
        prepare(Settings(NOWHERE, pg_database, EmbeddingSettings()), lambda _: None)


@pytest.mark.usefixtures("instance")
def test_a_role_that_may_not_make_the_tables_is_told_what_it_lacks(bare_pg_database: TargetSettings) -> None:
    with role(bare_pg_database) as nobody:
        with postgres(bare_pg_database) as connection:
            connection.execute(f"GRANT CONNECT ON DATABASE {bare_pg_database.database} TO {nobody.user}".encode())
        with pytest.raises(TargetRefusedError, match=f"{nobody.user}.*privileges.md"):
            prepare(Settings(NOWHERE, nobody, EmbeddingSettings()), print)
