"""One index, opened: what every shell (Dagster, command line, API) calls. Its modules are what can be done with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.index.declared import DeclaredIndex
from vector_pipeline.core.index.described import DescribedIndex
from vector_pipeline.core.index.guarded import GuardedIndex
from vector_pipeline.core.index.tended import TendedIndex
from vector_pipeline.core.search.query_cache import QueryCache
from vector_pipeline.core.settings import Settings
from vector_pipeline.core.spec import IndexSpec

__all__ = ["VectorIndex", "open_index"]


class VectorIndex(DeclaredIndex, GuardedIndex, DescribedIndex, TendedIndex):
    """One declared index over its source, its target and its provider."""


@contextmanager
def open_index(
    spec: IndexSpec,
    settings: Settings,
    *,
    origin: str = "declaration",
    provider: EmbeddingProvider | None = None,
    folder: Path | None = None,
    query_cache: QueryCache | None = None,
) -> Iterator[VectorIndex]:
    """Opens an index.

    Args:
        origin: is named in errors.
        provider: replaces the one that the declaration chooses.
        folder: where the declaration stands; files that it names are looked for there first.
        query_cache: keeps the vectors of queries, for several indexes; one of its own as the settings say, if left out.
    """
    with ExitStack() as closing:
        yield VectorIndex(spec, settings, origin, provider, closing, folder, query_cache)
