"""Filling batches by count and by tokens.

Texts keep their order; a batch is closed by the first text that does not fit. What counts is first the upper bound
that a text's length gives; only where a batch would be full by that are its texts counted, so that short texts, which
are nearly all, are never counted at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from vector_pipeline.core.embedding.provider import Limits
from vector_pipeline.core.embedding.tokens import TokenCounter, most_tokens

T = TypeVar("T")


class Packer(Generic[T]):
    """Cuts a stream of things that have a text into batches within a provider's limits.

    A text that alone has more tokens than a request may have becomes a batch of its own: the provider has to judge it.

    Args:
        text_of: the text of a thing, as it is sent.
        count: the tokens of a text; called only for texts that could be too long together.
    """

    def __init__(self, limits: Limits, text_of: Callable[[T], str], count: TokenCounter) -> None:
        self._limits = limits
        self._text_of = text_of
        self._count = count
        self._batch: list[T] = []
        self._tokens: list[int] = []
        self._total = 0
        self._counted = 0
        """So many of the batch's first texts are counted, the others only estimated by their length."""

    def add(self, thing: T) -> list[T] | None:
        """Takes the thing in; gives the batch that is full by it, which may or may not hold the thing itself."""
        full = None
        tokens = most_tokens(self._text_of(thing))
        if self._batch and self._total + tokens > self._limits.tokens_per_request:
            self._count_batch()
            tokens = self._count(self._text_of(thing))
            if self._total + tokens > self._limits.tokens_per_request:
                full = self.rest()
            self._counted += 1
        self._batch.append(thing)
        self._tokens.append(tokens)
        self._total += tokens
        if full is None and len(self._batch) >= self._limits.texts_per_request:
            full = self.rest()
        return full

    def rest(self) -> list[T]:
        """Gives the batch that is not full, and begins a new one."""
        batch, self._batch, self._tokens = self._batch, [], []
        self._total = self._counted = 0
        return batch

    def _count_batch(self) -> None:
        for position in range(self._counted, len(self._batch)):
            counted = self._count(self._text_of(self._batch[position]))
            self._total += counted - self._tokens[position]
            self._tokens[position] = counted
        self._counted = len(self._batch)
