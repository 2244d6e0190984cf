"""Declared indexes, opened for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vector_pipeline.core.index import VectorIndex, open_index
from vector_pipeline.core.search.query_cache import QueryCache
from vector_pipeline.core.settings import read_settings
from vector_pipeline.declarations import Declaration, find_declaration


@contextmanager
def opened_index(index: str) -> Iterator[VectorIndex]:
    """The declared index of that name."""
    with opened_declaration(find_declaration(index)) as opened:
        yield opened


@contextmanager
def opened_declaration(declaration: Declaration, query_cache: QueryCache | None = None) -> Iterator[VectorIndex]:
    """The index; refused with the reasons where its declaration is wrong."""
    declaration.refuse_if_wrong()
    with open_index(
        declaration.spec,
        read_settings(),
        origin=declaration.origin,
        folder=declaration.folder,
        query_cache=query_cache,
    ) as opened:
        yield opened
