"""The pool that limits how many runs ask the embedding provider at once."""

import dagster as dg

EMBEDDING_POOL = "embedding_provider"
RUNS_AT_ONCE = 2


def set_pool_limits(instance: dg.DagsterInstance, runs_at_once: int = RUNS_AT_ONCE) -> None:
    """Sets the limit on an instance: limits of named pools live in its storage, not in dagster.yaml."""
    instance.event_log_storage.set_concurrency_slots(EMBEDDING_POOL, runs_at_once)
