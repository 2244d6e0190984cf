"""The pools that limit how many runs ask an embedding provider at once: one for each provider.

So runs of all indexes share what their provider bears, and those that wait for one that is down hold up no index of
another. The same holds for the runs that build next generations: they have one more pool for each provider.
`python -m vector_pipeline.orchestration.pools` sets the limits on the instance of DAGSTER_HOME for all declared
indexes, and is to be run when a deployment starts; `dagster instance concurrency set POOL LIMIT` changes one, for good.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import dagster as dg

from vector_pipeline.core.embedding.choose import provider_block
from vector_pipeline.core.embedding.hosts import checked_url, normalise_host
from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.settings import EmbeddingSettings, read_embedding_host
from vector_pipeline.core.spec import (
    CustomProviderSpec,
    HuggingFaceProviderSpec,
    IndexSpec,
    LocalProviderSpec,
    OpenAIProviderSpec,
    ProviderSpec,
)
from vector_pipeline.declarations import well_formed_declarations

EMBEDDING_POOL = "embedding_provider"
"""Of the environment's provider, also where an index names it itself."""
RUNS_AT_ONCE = 2


def pool_of(spec: IndexSpec, settings: EmbeddingSettings | None = None) -> str:
    """The pool of the index's provider: that of its host, whichever its model and key are.

    Args:
        settings: the environment's; read from it if left out.
    """
    settings = EmbeddingSettings(host=read_embedding_host()) if settings is None else settings
    block = provider_block(spec.embedding, settings)
    found = _provider(block, settings)
    environments = _provider(OpenAIProviderSpec() if settings.host else LocalProviderSpec(), settings)
    if found == environments or (isinstance(block, OpenAIProviderSpec) and block.host is None):
        return EMBEDDING_POOL
    # Dagster takes letters, digits and underscores; what they leave out is told apart by the hash.
    readable = re.sub(r"\W+", "_", found.where.split("://")[-1], flags=re.ASCII).strip("_")[:40]
    return f"{EMBEDDING_POOL}_{readable}_{hashlib.sha256(f'{found.kind} {found.where}'.encode()).hexdigest()[:6]}"


def next_generation_pool_of(spec: IndexSpec, settings: EmbeddingSettings | None = None) -> str:
    """The pool in which the next generation is built, which takes hours where the served one's changes take seconds:
    neither waits for the other, nor for those of another provider."""
    return f"{pool_of(spec, settings)}_next_generation"


@dataclass(frozen=True)
class _Provider:
    kind: str
    where: str


def _provider(block: ProviderSpec, settings: EmbeddingSettings) -> _Provider:
    match block:
        case OpenAIProviderSpec():
            where = _address(normalise_host, block.host or settings.host or "")
        case HuggingFaceProviderSpec():
            where = _address(lambda url: checked_url(url, ""), block.endpoint) if block.endpoint else "huggingface"
        case CustomProviderSpec():
            where = block.entry_point
        case _:
            where = "local"
    return _Provider(block.type, where)


def _address(normalised: Callable[[str], str], written: str) -> str:
    """The address as it is asked, however it is written; nothing of one that is refused, which may hold a password."""
    try:
        return normalised(written)
    except ConfigurationError:
        return "unusable address"


def set_pool_limits(
    instance: dg.DagsterInstance, runs_at_once: int = RUNS_AT_ONCE, specs: Iterable[IndexSpec] = ()
) -> None:
    """Sets the limits on an instance: limits of named pools live in its storage, not in dagster.yaml.

    A limit that somebody has set already stays.
    """
    specs = list(specs)
    limits = {f"{EMBEDDING_POOL}_next_generation": 1, EMBEDDING_POOL: runs_at_once}
    limits |= dict.fromkeys(map(next_generation_pool_of, specs), 1) | dict.fromkeys(map(pool_of, specs), runs_at_once)
    storage = instance.event_log_storage
    present = {pool.name for pool in storage.get_pool_limits() if not pool.from_default}
    for pool in sorted(limits.keys() - present):
        storage.set_concurrency_slots(pool, limits[pool])


def set_pool_limits_of_declared_indexes() -> None:
    """Sets them on the instance of DAGSTER_HOME."""
    with dg.DagsterInstance.get() as instance:
        set_pool_limits(instance, specs=[declaration.spec for declaration in well_formed_declarations()])


if __name__ == "__main__":
    set_pool_limits_of_declared_indexes()
