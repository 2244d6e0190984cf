"""What a search answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MetadataValue = str | int | float | bool | None


@dataclass(frozen=True)
class FoundPassage:
    """The text by whose vector a document was found, as it was embedded: without mark-up, say, or put together.

    It is the part of its field's text from `start` up to but without `end`, in characters; `length` is that of the
    whole.
    """

    text: str
    start: int
    end: int
    length: int

    @property
    def is_a_part(self) -> bool:
        return self.end - self.start < self.length


@dataclass(frozen=True)
class Hit:
    """One found document, by its best passage. `score` is 1 − cosine distance of that one; `vector_behind` says that
    this vector is of an earlier text than the one shown, because the new one has no vector yet. `passage` is None where
    the vector is behind, or is a mean of several."""

    key: str
    score: float
    field: str
    texts: Mapping[str, str | None]
    metadata: Mapping[str, MetadataValue]
    vector_behind: bool
    passage: FoundPassage | None = None


@dataclass(frozen=True)
class SearchAnswer:
    """The hits of a query, best first, all strictly above the threshold; not `complete` where the time was over before
    all of them were surely found."""

    index: str
    query: str
    hits: tuple[Hit, ...]
    limit: int
    threshold: float
    seconds: float
    complete: bool = True
