"""Counting what requests use, and sending none that the day's budget does not cover.

What an answer has used goes into the ledger before its vectors are given out: whatever becomes of them, it is paid for.
Where the ledger can't be written they are given out all the same, lest they be paid for twice: what is owed to it is
entered before anything more is sent, or at the end. A provider that doesn't count tokens is counted for (`tokens`), and
so is an answer that is of no use: its sender will have charged for it. A request that was turned away costs nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from types import TracebackType
from typing import Any, cast

import psycopg

from vector_pipeline.core.embedding.prices import TOKENS_PER_PRICE, cost_of
from vector_pipeline.core.embedding.provider import EmbeddedBatch, EmbeddingProvider, Limits, limits_of
from vector_pipeline.core.embedding.tokens import counter_for
from vector_pipeline.core.errors import (
    BudgetInUseError,
    BudgetSpentError,
    DishonestAnswerError,
    TargetUnavailableError,
)
from vector_pipeline.core.money import in_usd
from vector_pipeline.core.store import spending
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.spending import Usage

_log = logging.getLogger(__name__)

OpenConnection = Callable[[], AbstractContextManager[psycopg.Connection]]

# Of a day's budget so much can remain unused, since batches are sent whole.
_LARGEST_SHARE_OF_A_BUDGET = 10


@dataclass(frozen=True)
class _Reservation:
    cost: Decimal
    day: date


@dataclass(frozen=True)
class _Entry:
    """What a request has used, and what was set aside for it."""

    reservation: _Reservation | None
    usage: Usage


_LedgerError = (psycopg.Error, TargetUnavailableError)


class Meter:
    """Counts for one vector space of an index; `used` is what was counted here. Safe to use from several threads.

    Its end raises what keeps the ledger from being written, unless another error is on its way.

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
        self._owed: list[_Entry] = []
        self._under_way = 0
        self._settled = 0
        self._lock = threading.Condition()

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._lock:
                self._enter_owed()
        except _LedgerError:
            owed = sum((entry.usage for entry in self._owed), Usage())
            _log.error(
                "the ledger of index %s can't be written and lacks %d tokens that are paid for (%s USD)",
                self._index.name,
                owed.tokens,
                "unknown" if owed.cost is None else f"{owed.cost:.6f}",
            )
            if error is None:
                raise
        finally:
            self._closing.close()

    def reserve(self, tokens: Callable[[], int]) -> _Reservation | None:
        """Sets the cost of a request aside, if there is a budget.

        Raises:
            BudgetSpentError: today's budget doesn't cover it.
            BudgetInUseError: neither, until a request under way here turns out to cost less than was set aside for it.
            psycopg.Error, TargetUnavailableError: the ledger can't be written.
        """
        cost = None if self.budget is None or self.price is None else cost_of(tokens(), self.price)
        with self._lock:
            self._enter_owed()
            if cost is None or self.budget is None:
                return None
            day = spending.reserve(self._connected(), self._index, cost, self.budget)
            if day is not None:
                self._under_way += 1
                return _Reservation(cost, day)
            too_dear = (
                f"today's budget of {in_usd(float(self.budget))} (embedding.budget_per_day) does not cover the next "
                f"request of index {self._index.name!r} ({in_usd(float(cost))})"
            )
            if not self._under_way:
                raise BudgetSpentError(too_dear)
            settled = self._settled
        raise BudgetInUseError(too_dear, lambda seconds: self._wait_for_settlement(settled, seconds))

    def settle(self, reservation: _Reservation | None, usage: Usage) -> None:
        """Enters what a request has used, now or, where the ledger can't be written, later."""
        with self._lock:
            self.used += usage
            self._owed.append(_Entry(reservation, usage))
            with suppress(*_LedgerError):
                self._enter_owed()
            if reservation is not None:
                self._under_way -= 1
            self._settled += 1
            self._lock.notify_all()

    def note_pace(self, texts: int, seconds: float) -> None:
        """Remembers how long a run has taken over so many texts."""
        with self._lock:
            self._enter_owed()
            spending.note_pace(self._connected(), self._index, texts, seconds)

    def _wait_for_settlement(self, settled: int, seconds: float) -> None:
        """Waits, so long at most, until more requests are settled than so many."""
        with self._lock:
            self._lock.wait_for(lambda: self._settled > settled, seconds)

    def _enter_owed(self) -> None:
        while self._owed:
            entry = self._owed[0]
            if entry.reservation is None:
                spending.add(self._connected(), self._index, entry.usage)
            else:
                reserved = entry.reservation
                spending.settle(self._connected(), self._index, reserved.cost, reserved.day, entry.usage)
            del self._owed[0]

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
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
            BudgetSpentError, BudgetInUseError: today's budget doesn't cover it; nothing was sent.
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
