"""The pools that limit how many runs ask an embedding provider at once: one for each provider.

So runs of all indexes share what their provider bears, and those that wait for one that is down hold up no index of
another. `python -m vector_pipeline.orchestration.pools` sets the limits on the instance of DAGSTER_HOME for all
declared indexes, and is to be run when a deployment starts; `dagster instance concurrency set POOL LIMIT` changes one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable

import dagster as dg

from vector_pipeline.core.embedding.hosts import checked_url, normalise_host
from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.spec import CustomProviderSpec, HuggingFaceProviderSpec, IndexSpec, OpenAIProviderSpec
from vector_pipeline.declarations import read_declarations

EMBEDDING_POOL = "embedding_provider"
"""Of the environment's provider."""
# Building a generation takes hours where the served one's changes take seconds: neither waits for the other.
NEXT_GENERATION_POOL = "embedding_provider_next_generation"
RUNS_AT_ONCE = 2


def pool_of(spec: IndexSpec) -> str:
    """The pool of the index's provider: that of its host, whichever its model and key are."""
    block = spec.embedding.provider
    match block:
        case None | OpenAIProviderSpec(host=None):
            return EMBEDDING_POOL
        case OpenAIProviderSpec():
            where = _address(normalise_host, block.host or "")
        case HuggingFaceProviderSpec():
            where = _address(lambda url: checked_url(url, ""), block.endpoint) if block.endpoint else "huggingface"
        case CustomProviderSpec():
            where = block.entry_point
        case _:
            where = "local"
    # Dagster takes letters, digits and underscores; what they leave out is told apart by the hash.
    readable = re.sub(r"\W+", "_", where.split("://")[-1], flags=re.ASCII).strip("_")[:40]
    return f"{EMBEDDING_POOL}_{readable}_{hashlib.sha256(f'{block.type} {where}'.encode()).hexdigest()[:6]}"


def _address(normalised: Callable[[str], str], written: str) -> str:
    """The address as it is asked, however it is written; nothing of one that is refused, which may hold a password."""
    try:
        return normalised(written)
    except ConfigurationError:
        return "unusable address"


def set_pool_limits(
    instance: dg.DagsterInstance, runs_at_once: int = RUNS_AT_ONCE, specs: Iterable[IndexSpec] = ()
) -> None:
    """Sets the limits on an instance: limits of named pools live in its storage, not in dagster.yaml."""
    for pool in sorted({EMBEDDING_POOL, *map(pool_of, specs)}):
        instance.event_log_storage.set_concurrency_slots(pool, runs_at_once)
    instance.event_log_storage.set_concurrency_slots(NEXT_GENERATION_POOL, 1)


def set_pool_limits_of_declared_indexes() -> None:
    """Sets them on the instance of DAGSTER_HOME."""
    with dg.DagsterInstance.get() as instance:
        set_pool_limits(instance, specs=[declaration.spec for declaration in read_declarations()])


if __name__ == "__main__":
    set_pool_limits_of_declared_indexes()
