"""From a row to the texts that are embedded. A text is known by the SHA-256 of its UTF-8 form.

The same row gives the same texts, whether its values come from MySQL or from the documents that PostgreSQL
stores: that is what lets the proof of parity render them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NewType

ContentHash = NewType("ContentHash", bytes)

CONCATENATED_FIELD = "text"


@dataclass(frozen=True, slots=True)
class Passage:
    """One text to embed: the `ordinal`-th of a field of a document."""

    field: str
    ordinal: int
    text: str

    @property
    def content_hash(self) -> ContentHash:
        return hash_text(self.text)


@dataclass(frozen=True)
class Rendering:
    """How a row becomes texts: the declared strategy over the served names of its text columns."""

    strategy: Literal["separate", "concat"]
    names: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that passages can have."""
        return self.names if self.strategy == "separate" else (CONCATENATED_FIELD,)

    def passages(self, texts: Sequence[str | None]) -> Iterator[Passage]:
        """The texts of a row, `texts` in the order of `names`. A text of nothing but white space has no passage."""
        stored = [storable(text) for text in texts]
        if self.strategy == "concat":
            together = "\n".join(text or "" for text in stored)
            if together.strip():
                yield Passage(CONCATENATED_FIELD, 0, together)
            return
        for name, text in zip(self.names, stored, strict=True):
            if text and text.strip():
                yield Passage(name, 0, text)


def hash_text(text: str) -> ContentHash:
    """The identity of a text."""
    return ContentHash(hashlib.sha256(text.encode()).digest())


def storable(text: str | None) -> str | None:
    """The text as PostgreSQL can store it: without NUL characters."""
    return text.replace("\0", "") if text else text
