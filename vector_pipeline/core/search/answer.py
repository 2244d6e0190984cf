"""What a search answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MetadataValue = str | int | float | bool | None


@dataclass(frozen=True)
class Hit:
    """One found document. `score` is 1 − cosine distance of its best field; `vector_behind` says that this vector
    is of an earlier text than the one shown, because the new one has no vector yet."""

    key: str
    score: float
    field: str
    texts: Mapping[str, str | None]
    metadata: Mapping[str, MetadataValue]
    vector_behind: bool


@dataclass(frozen=True)
class SearchAnswer:
    """The hits of a query, best first, all strictly above the threshold."""

    index: str
    query: str
    hits: tuple[Hit, ...]
    limit: int
    threshold: float
    seconds: float
