"""Counting what requests use, and sending none that the day's budget does not cover.

What an answer has used is in the ledger before its vectors are given out: whatever becomes of them, it is paid for. A
provider that doesn't count tokens is counted for (`tokens`), and so is an answer that is of no use: its sender will
have charged for it. A request that was turned away costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from types import TracebackType
from typing import Any, cast

import psycopg

from vector_pipeline.core.embedding.prices import TOKENS_PER_PRICE, cost_of
from vector_pipeline.core.embedding.provider import EmbeddedBatch, EmbeddingProvider, Limits, limits_of
from vector_pipeline.core.embedding.tokens import counter_for
from vector_pipeline.core.errors import BudgetSpentError, DishonestAnswerError
from vector_pipeline.core.store import spending
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.spending import Usage

OpenConnection = Callable[[], AbstractContextManager[psycopg.Connection]]

# Of a day's budget so much can remain unused, since batches are sent whole.
_LARGEST_SHARE_OF_A_BUDGET = 10


@dataclass(frozen=True)
class _Reservation:
    cost: Decimal
    day: date


class Meter:
    """Counts for one vector space of an index; `used` is what was counted here. Safe to use from several threads.

    Args:
        price: USD per million tokens, None if unknown.
        budget: USD a day, None for none; only together with a price.
    """

    def __init__(
        self, open_connection: OpenConnection, index: RegisteredIndex, price: Decimal | None, budget: float | None
    ) -> None:
        self._open_connection = open_connection
        self._index = index
        self.price = price
        self.budget = Decimal(str(budget)) if budget is not None and price is not None else None
        self.used = Usage(cost=None if price is None else Decimal(0))
        self._closing = ExitStack()
        self._connection: psycopg.Connection | None = None
        self._under_way = 0
        self._lock = threading.Condition()

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def reserve(self, tokens: Callable[[], int]) -> _Reservation | None:
        """Sets the cost of a request aside, if there is a budget.

        A request under way here may turn out to cost less than was set aside for it, so its end is waited for before
        another one is held to be too dear.

        Raises:
            BudgetSpentError: today's budget doesn't cover it.
        """
        if self.budget is None or self.price is None:
            return None
        cost = cost_of(tokens(), self.price)
        with self._lock:
            while (day := spending.reserve(self._connected(), self._index, cost, self.budget)) is None:
                if not self._under_way:
                    raise BudgetSpentError(
                        f"today's budget of {self.budget:f} USD (embedding.budget_per_day) does not cover the next "
                        f"request of index {self._index.name!r} ({cost:.6f} USD)"
                    )
                self._lock.wait()
            self._under_way += 1
        return _Reservation(cost, day)

    def settle(self, reservation: _Reservation | None, usage: Usage) -> None:
        """Enters what a request has used."""
        with self._lock:
            self.used += usage
            if reservation is not None:
                self._under_way -= 1
                self._lock.notify_all()
                spending.settle(self._connected(), self._index, reservation.cost, reservation.day, usage)
            else:
                spending.add(self._connected(), self._index, usage)

    def note_pace(self, texts: int, seconds: float) -> None:
        """Remembers how long a run has taken over so many texts."""
        with self._lock:
            spending.note_pace(self._connected(), self._index, texts, seconds)

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = self._closing.enter_context(self._open_connection())
            # Requests must not wait for a disk. A commit is seen by others at once all the same, and lost only if the
            # server's machine dies within the second.
            self._connection.execute("SET synchronous_commit = off")
        return self._connection


class MeteredProvider:
    """A provider whose requests are counted. All else that it has is passed through."""

    def __init__(self, provider: EmbeddingProvider, meter: Meter) -> None:
        self._provider = provider
        self._meter = meter
        self._count = counter_for(provider.model)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    @property
    def limits(self) -> Limits:
        """The provider's own; batches are small beside the budget."""
        limits = limits_of(self._provider)
        if not self._meter.budget or not self._meter.price:
            return limits
        affordable = int(self._meter.budget / self._meter.price * TOKENS_PER_PRICE) // _LARGEST_SHARE_OF_A_BUDGET
        return replace(limits, tokens_per_request=max(1, min(limits.tokens_per_request, affordable)))

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embeds the texts.

        Raises:
            BudgetSpentError: today's budget doesn't cover it; nothing was sent.
            ProviderError: as the provider's own.
        """
        reservation = self._meter.reserve(lambda: self._estimate(texts))
        usage = self._usage_of_nothing()
        try:
            batch = self._provider.embed(texts)
            usage = self._usage(texts, batch.tokens)
        except DishonestAnswerError as error:
            usage = self._usage(texts, error.tokens)
            raise
        finally:
            self._meter.settle(reservation, usage)
        return batch

    def _estimate(self, texts: Sequence[str]) -> int:
        return sum(map(self._count, texts))

    def _usage_of_nothing(self) -> Usage:
        return Usage(requests=1, cost=None if self._meter.price is None else Decimal(0))

    def _usage(self, texts: Sequence[str], counted: int | None) -> Usage:
        tokens = self._estimate(texts) if counted is None else counted
        price = self._meter.price
        return Usage(
            requests=1,
            texts=len(texts),
            tokens=tokens,
            tokens_estimated=tokens if counted is None else 0,
            cost=None if price is None else cost_of(tokens, price),
        )


def metered(provider: EmbeddingProvider, meter: Meter) -> EmbeddingProvider:
    """The provider, its requests counted and held within the budget."""
    return cast(EmbeddingProvider, MeteredProvider(provider, meter))
