"""Reading the source gently: so many rows a second, and not while a replica is behind.

Rows are paid for after they have been read, between statements and outside of transactions: a pause inside would hold
the snapshot and its metadata lock, and count towards the statement's limit (see `connection`). So the unit is a key
range, as it is of digests, and the rate holds on average over more than one. What is owed is kept for all processes of
the index together, beyond their end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from vector_pipeline.core.errors import SourceUnavailableError
from vector_pipeline.core.source.replicas import Lag
from vector_pipeline.core.spec import ThrottleSpec

# What was not read in this time before may be read at once, so that work between two reads is not paused for as well.
_CREDIT_SECONDS = 1.0
# More is not carried on: a look reads a range even in debt, so that it never stands still, and a debt that grew with
# each look would stop the next run for hours.
_LONGEST_DEBT_SECONDS = 600.0
_SECONDS_BETWEEN_QUESTIONS = 1.0
_PATIENCE_SECONDS = 60.0


class LagSource(Protocol):
    """What is asked how far replicas are behind."""

    def furthest_behind(self) -> Lag | None:
        """None where no server is a replica."""


class Ledger(Protocol):
    """Where all processes of an index keep until when their reading is paid for."""

    def charge(self, seconds: float, credit_seconds: float, longest_debt_seconds: float) -> float | None:
        """Adds to what is owed. Returns seconds until all is paid; None where nothing can be kept.

        Args:
            credit_seconds: what was saved up before counts up to this.
            longest_debt_seconds: what was owed before counts up to this.
        """

    def owed(self) -> float | None:
        """Seconds until all is paid, none or less where it is; None where nothing can be kept."""


class Throttle:
    """Keeps the reads of one index below its limits. `clock` and `sleep` are in seconds.

    Without a ledger, or where it can't keep anything, what is owed is this object's own.
    """

    def __init__(
        self,
        spec: ThrottleSpec,
        replicas: LagSource,
        ledger: Ledger | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = spec.rows_per_second
        self._longest_lag = spec.longest_lag_seconds
        self._replicas = replicas
        self._ledger = ledger
        self._clock = clock
        self._sleep = sleep
        self._paid_until = -math.inf
        self._asked_at = -math.inf

    def spend(self, rows: int, deadline: float | None = None) -> None:
        """Call after reading rows, outside of transactions: sleeps until they are paid for.

        Args:
            deadline: a moment of the clock past which nobody waits; what is unpaid then is paid for with the next rows.
        """
        if self._rate is None:
            return
        self._sleep_off(self._charge(rows / self._rate), deadline)

    def _charge(self, seconds: float) -> float:
        if self._ledger is not None:
            owed = self._ledger.charge(seconds, _CREDIT_SECONDS, _LONGEST_DEBT_SECONDS)
            if owed is not None:
                return owed
        now = self._clock()
        self._paid_until = min(max(self._paid_until, now - _CREDIT_SECONDS), now + _LONGEST_DEBT_SECONDS) + seconds
        return self._paid_until - now

    def _owed(self) -> float:
        owed = None if self._ledger is None else self._ledger.owed()
        return self._paid_until - self._clock() if owed is None else owed

    def _sleep_off(self, owed: float, deadline: float | None) -> None:
        pause = owed if deadline is None else min(owed, deadline - self._clock())
        if pause > 0:
            self._sleep(pause)

    def wait_for_replicas(self, deadline: float | None = None) -> None:
        """Call before reading, outside of transactions: returns when no replica is too far behind.

        What is owed is paid for first, also that of other processes, for as long as the deadline allows. Replicas are
        asked at most once a second, so that it may be called before each range.

        Raises:
            SourceUnavailableError: one still was after a minute, or at the deadline; names it and its lag.
        """
        if self._rate is not None:
            self._sleep_off(self._owed(), deadline)
        if self._longest_lag is None:
            return
        started = self._clock()
        if started - self._asked_at < _SECONDS_BETWEEN_QUESTIONS:
            return
        give_up = min(started + _PATIENCE_SECONDS, math.inf if deadline is None else deadline)
        while (lag := self._replicas.furthest_behind()) is not None and not lag.within(self._longest_lag):
            if self._clock() >= give_up:
                raise SourceUnavailableError(
                    f"{lag}, and source.throttle.longest_lag_seconds is {self._longest_lag:g}: nothing was read for "
                    f"{self._clock() - started:.0f} s to let it catch up; reading goes on by itself once it has, else "
                    "see to its replication, or raise the limit"
                )
            self._sleep(_SECONDS_BETWEEN_QUESTIONS)
        self._asked_at = self._clock()
