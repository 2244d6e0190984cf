"""Cutting a text that is longer than a declared number of tokens, or than its model takes, into pieces.

Pieces end where paragraphs, sentences or words do (semantic-text-splitter), and each knows its place in the text. A
text of few enough bytes is whole without being counted.

The same text must be cut alike whenever it is rendered again, or the proof of parity finds differences: the splitter's
version is pinned for that.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from semantic_text_splitter import TextSplitter

from vector_pipeline.core.embedding.tokens import counter_for, most_tokens

TooLong = Literal["split", "cut"]

# The splitter knows vocabularies by models; this one has cl100k.
_COUNTED_EXACTLY = "text-embedding-3-small"
# Of pieces that fit on average some are denser: this much room lets most of them fit, and the rest is cut again.
_ROOM = 0.9


@dataclass(frozen=True)
class Span:
    """A piece's place in its text, in characters: from `start` up to but without `end`."""

    start: int
    end: int


@dataclass(frozen=True)
class Splitting:
    """How a text of more than `tokens` tokens of the model is made shorter.

    `overlap` is how many tokens of a piece the next one repeats, about. With `cut` only the first piece is kept.
    """

    tokens: int
    model: str
    overlap: int = 0
    too_long: TooLong = "split"

    def pieces(self, text: str) -> Iterator[Span]:
        """The places of the pieces, in order; one place, that of the whole text, where it is short enough.

        None of several is blank: the splitter takes U+001C to U+001F for words, which Python takes for white space.
        """
        if most_tokens(text) <= self.tokens or self._fits(text):
            yield Span(0, len(text))
            return
        for span in self._cut(text):
            if not text[span.start : span.end].strip():
                continue
            yield span
            if self.too_long == "cut":
                return

    def _fits(self, text: str) -> bool:
        return counter_for(self.model)(text) <= self.tokens

    def _cut(self, text: str) -> Iterator[Span]:
        """By cl100k's tokens, of which a model has so many more as it has for the whole text."""
        ours, counted = counter_for(_COUNTED_EXACTLY)(text), counter_for(self.model)(text)
        share = 1.0 if ours == counted else _ROOM * ours / counted
        for start, piece in _splitter(max(1, int(self.tokens * share)), int(self.overlap * share)).chunk_indices(text):
            yield from self._fitting(piece, start)

    def _fitting(self, piece: str, offset: int) -> Iterator[Span]:
        """The piece, or its halves where it has more tokens than others of its length."""
        if len(piece) == 1 or self._fits(piece):
            yield Span(offset, offset + len(piece))
            return
        for start, half in TextSplitter((len(piece) + 1) // 2).chunk_indices(piece):
            yield from self._fitting(half, offset + start)


@functools.lru_cache(maxsize=16)
def _splitter(tokens: int, overlap: int) -> TextSplitter:
    return TextSplitter.from_tiktoken_model(_COUNTED_EXACTLY, tokens, min(overlap, tokens - 1))
