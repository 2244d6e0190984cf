"""Cutting a text that is longer than a declared number of tokens, or than its model takes, into pieces.

Pieces end where paragraphs, sentences or words do (semantic-text-splitter), and each knows its place in the text. A
text of few enough bytes is whole without being counted.

The same text must be cut alike whenever it is rendered again, or the proof of parity finds differences: the splitter's
version is pinned for that.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from semantic_text_splitter import TextSplitter

from vector_pipeline.core.embedding.tokens import counter_for, most_tokens

# For each piece the splitter looks at all that is left of a run without white space and punctuation, such as digits in
# hexadecimal, or Chinese without a full stop: minutes for 100 kB. A text with such a run it is shown in windows. Others
# it is shown whole: a window moves the end of a piece now and then, and an ordinary text would be paid again.
_RUN_CHARACTERS = 2000
# What ends no word between letters or digits, such as . and , belongs to a run.
_RUN = re.compile(r"[^\s!-&(-+\-/<-@\[-^`{-~\u00a0-\u00bf\u2000-\u206f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20]+")
# Characters of a window for each token of a piece, and at least. A token has some four, of Chinese one.
_WINDOW, _LEAST_WINDOW = 12, 1000
# What follows a piece in its window decides where it ends.
_FOLLOWING = 2

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
        tokens, overlap = max(1, int(self.tokens * share)), int(self.overlap * share)
        for start, piece in _chunks(text, tokens, overlap):
            yield from self._fitting(piece, start)

    def _fitting(self, piece: str, offset: int) -> Iterator[Span]:
        """The piece, or its halves where it has more tokens than others of its length."""
        if len(piece) == 1 or self._fits(piece):
            yield Span(offset, offset + len(piece))
            return
        for start, half in TextSplitter((len(piece) + 1) // 2).chunk_indices(piece):
            yield from self._fitting(half, offset + start)


def _chunks(text: str, tokens: int, overlap: int) -> Iterator[tuple[int, str]]:
    """The pieces as the splitter makes them, and where each begins."""
    splitter = _splitter(tokens, overlap)
    if has_long_run(text):
        yield from through_windows(splitter, text, max(_LEAST_WINDOW, _WINDOW * tokens))
    else:
        yield from splitter.chunk_indices(text)


def has_long_run(text: str) -> bool:
    """Whether the splitter would take long, unless it is shown the text in windows."""
    return any(run.end() - run.start() >= _RUN_CHARACTERS for run in _RUN.finditer(text))


def through_windows(splitter: TextSplitter, text: str, window: int) -> Iterator[tuple[int, str]]:
    """The pieces, and where each begins, in time that grows with the text's length rather than with its square.

    Args:
        window: how many characters the splitter is shown at once; more where they are too few for some pieces.
    """
    start, shown = 0, window
    while start < len(text):
        pieces = splitter.chunk_indices(text[start : start + shown])
        is_last = start + shown >= len(text)
        if not is_last and len(pieces) <= _FOLLOWING:
            shown *= 2
            continue
        known = pieces if is_last else pieces[:-_FOLLOWING]
        yield from ((start + offset, piece) for offset, piece in known)
        if is_last:
            return
        start, shown = start + pieces[-_FOLLOWING][0], window


@functools.lru_cache(maxsize=16)
def _splitter(tokens: int, overlap: int) -> TextSplitter:
    return TextSplitter.from_tiktoken_model(_COUNTED_EXACTLY, tokens, min(overlap, tokens - 1))
