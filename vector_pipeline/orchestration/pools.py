"""The pool that limits how many runs ask the embedding provider at once."""

import dagster as dg

EMBEDDING_POOL = "embedding_provider"
# Building a generation takes hours where the served one's changes take seconds: neither waits for the other.
NEXT_GENERATION_POOL = "embedding_provider_next_generation"
RUNS_AT_ONCE = 2


def set_pool_limits(instance: dg.DagsterInstance, runs_at_once: int = RUNS_AT_ONCE) -> None:
    """Sets the limit on an instance: limits of named pools live in its storage, not in dagster.yaml."""
    instance.event_log_storage.set_concurrency_slots(EMBEDDING_POOL, runs_at_once)
    instance.event_log_storage.set_concurrency_slots(NEXT_GENERATION_POOL, 1)
