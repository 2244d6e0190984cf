"""What a deployment does once before anything of it starts: our tables and Dagster's own are brought to this version,
and the pools get their limits. Doing it again changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import dagster as dg
import psycopg

from vector_pipeline.core.settings import Settings
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import schema
from vector_pipeline.declarations import well_formed_declarations
from vector_pipeline.orchestration.pools import set_pool_limits


def prepare(settings: Settings, progress: Callable[[str], None]) -> None:
    """Prepares the target's database, and the Dagster instance of DAGSTER_HOME.

    Raises:
        TargetUnavailableError: PostgreSQL can't be reached, or a newer version has made its tables.
        TargetRefusedError: this role may not make or change them.
    """
    with closing(store_connection.connect(settings.target, "vector-pipeline prepare")) as connection:
        try:
            schema.create_registry(connection)
        except psycopg.Error as error:
            raise store_connection.target_error(settings.target, error) from None
    progress(f"tables of vector-pipeline: version {schema.REGISTRY_VERSION}")
    with dg.DagsterInstance.get() as instance:
        instance.upgrade(progress)
        set_pool_limits(instance, specs=[declaration.spec for declaration in well_formed_declarations()])
    progress("limits of the pools: set where nobody has set them yet")
