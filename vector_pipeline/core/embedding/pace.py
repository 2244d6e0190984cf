"""How fast a provider may be asked: learned from how it answers, told by its headers, and never above what is declared.

Three things hold a request back, and the strictest counts:

- *Concurrency*: additive increase, multiplicative decrease, as TCP does it. It begins at half of what is declared, or
  at four, is doubled with every round of answers until something goes wrong, and halved by timeouts, overload and the
  first storm of 429.
- *Rate*: unknown, so unlimited, until the first 429. Then it is what the provider let through until then. From there
  it climbs until the next 429 shows the ceiling, falls back by a twentieth and stays there, but for a gentle look above
  the ceiling now and then. So nearly all of what is allowed is used, and few requests are refused.
- *Pauses*: `Retry-After`, and the `x-ratelimit-…` headers where nothing is left.

The rules alone: clocks are read and threads are kept waiting by `traffic`.
"""

from __future__ import annotations

import math

from vector_pipeline.core.embedding.allowance import Allowance, Remaining

LONGEST_ASKED_PAUSE_SECONDS = 120.0

_FIRST_CONCURRENCY = 4
_SHORTEST_MEASUREMENT_SECONDS = 1.0
_FIRST_RATE = 0.5
# The provider's window, where it doesn't say how long to wait, is most often a second.
_PAUSE_AFTER_A_STORM_SECONDS = 1.0
# A 429 so soon after a cut means that the rate was far above what is allowed, and not that a look above it failed.
_SOON_SECONDS = 1.5
_FALL_BACK, _SOON_FALL_BACK, _FALL_BACK_WITHOUT_SUCCESS = 0.95, 0.8, 0.5
# Growth of the rate in shares of it a second: while no ceiling is known, and in a look above the one that is. Both
# are doubled as long as nothing is refused.
_SEARCHING, _LOOKING = 0.05, 0.01
_DOUBLING_SECONDS = 10.0
_FIRST_STAY_SECONDS = 15.0
_LONGEST_STAY_SECONDS = 120.0
_REQUESTS_OF_A_SECOND = 12
_MADE_UP_FOR = 0.25  # of an interval


class Pace:
    """The pace of one endpoint. Times are of any clock that never goes back, in seconds."""

    def __init__(self, most_in_flight: int, now: float) -> None:
        self.most_in_flight = most_in_flight
        self._in_flight = 0
        self._limit = float(max(most_in_flight / 2, min(most_in_flight, _FIRST_CONCURRENCY)))
        self._doubling_below = math.inf
        self._limit_cut_at = -math.inf
        self._rate = _Rate(now)
        self._paused_until = -math.inf
        self._requests = _Left()
        self._tokens = _Left()
        self._usual_tokens = 0.0

    @property
    def in_flight(self) -> int:
        """Requests that are sent and not answered."""
        return self._in_flight

    @property
    def concurrency(self) -> int:
        """How many requests may be under way now."""
        return max(1, min(int(self._limit), self.most_in_flight))

    def wait_seconds(self, now: float) -> float:
        """How long the next request has to wait; infinite where it has to wait for an answer."""
        if self._in_flight >= self.concurrency:
            return math.inf
        return max(
            self._paused_until - now,
            self._rate.next_at(now) - now,
            self._requests.wait_seconds(now, 1),
            self._tokens.wait_seconds(now, self._usual_tokens),
            0.0,
        )

    def sent(self, now: float) -> None:
        """A request goes out; exactly one of `answered`, `refused`, `too_slow`, `failed` and `not_sent` follows."""
        self._in_flight += 1
        self._rate.sent(now)
        self._requests.spend(1)
        self._tokens.spend(self._usual_tokens)

    def answered(
        self, sent_at: float, now: float, allowance: Allowance | None = None, tokens: int | None = None
    ) -> None:
        """The provider did its work, whatever it was."""
        self._in_flight -= 1
        if self._limit < min(self._doubling_below, self.most_in_flight):
            self._limit += 1
        elif self._limit < self.most_in_flight:
            self._limit += 1 / self._limit
        if tokens:
            self._usual_tokens = tokens if not self._usual_tokens else 0.8 * self._usual_tokens + 0.2 * tokens
        self._take_in(sent_at, now, allowance)

    def refused(
        self, sent_at: float, now: float, retry_after: float | None, allowance: Allowance | None = None
    ) -> None:
        """A 429."""
        self._in_flight -= 1
        pause = retry_after or (0.0 if self._rate.is_let_through else _PAUSE_AFTER_A_STORM_SECONDS)
        if self._rate.refused(sent_at, now, pause):
            self._halve(now)
        self.pause(now, pause)
        self._take_in(sent_at, now, allowance)

    def too_slow(self, sent_at: float, now: float) -> None:
        """No answer in time, or an overloaded server's answer (503)."""
        self._in_flight -= 1
        if sent_at > self._limit_cut_at:
            self._halve(now)

    def failed(self) -> None:
        """No answer for a reason that has nothing to do with the pace."""
        self._in_flight -= 1

    def not_sent(self) -> None:
        """It did not go out after all. Its place in the rate is lost, which is a moment."""
        self._in_flight -= 1
        self._rate.not_sent()
        self._requests.spend(-1)
        self._tokens.spend(-self._usual_tokens)

    def pause(self, now: float, seconds: float) -> None:
        """Nobody sends for so long, since the provider asked for it."""
        self._paused_until = max(self._paused_until, now + min(seconds, LONGEST_ASKED_PAUSE_SECONDS))

    def _halve(self, now: float) -> None:
        self._limit = max(1.0, min(self._limit, self.most_in_flight) / 2)
        self._doubling_below = self._limit
        self._limit_cut_at = now

    def _take_in(self, sent_at: float, now: float, allowance: Allowance | None) -> None:
        if allowance is not None:
            # What is under way may be counted already or not: taken as not, so that nothing is sent in vain.
            self._requests.take_in(sent_at, now, allowance.requests, self._in_flight)
            self._tokens.take_in(sent_at, now, allowance.tokens, self._in_flight * self._usual_tokens)


class _Left:
    """What is left of one rate limit until it is renewed."""

    def __init__(self) -> None:
        self._count: float | None = None
        self._reset_at = -math.inf
        self._told_by = -math.inf

    def take_in(self, sent_at: float, now: float, told: Remaining | None, under_way: float) -> None:
        """Believes the answer to the latest request."""
        if told is not None and sent_at >= self._told_by:
            self._told_by = sent_at
            self._reset_at = now + min(told.reset_seconds, LONGEST_ASKED_PAUSE_SECONDS)
            # At least what it takes to ask again where nothing is under way: an answer tells more than a wait.
            self._count = told.count - under_way if told.count else 0.0

    def spend(self, count: float) -> None:
        if self._count is not None:
            self._count -= count

    def wait_seconds(self, now: float, count: float) -> float:
        if self._count is None or self._count >= count or now >= self._reset_at:
            return 0.0
        return self._reset_at - now


class _Rate:
    """Requests a second: `value` is None until a 429 shows that there is a limit."""

    def __init__(self, now: float) -> None:
        self.value: float | None = None
        self._ceiling: float | None = None
        self._cut_at = self._resumed_at = now
        self._let_through = 0
        self._measured_seconds: float | None = None
        self._last_at = -math.inf
        self._stay_until = now
        self._stay_seconds = _FIRST_STAY_SECONDS

    @property
    def is_let_through(self) -> bool:
        """Whether a rate is known at which something was not refused."""
        return self.value is not None and self._let_through > 1

    def next_at(self, now: float) -> float:
        if self.value is None:
            return now
        interval = 1 / self.value
        # One that comes late doesn't delay all that follow, but little is made up for, lest a window be overrun.
        return max(self._last_at + interval, now - _MADE_UP_FOR * interval)

    def sent(self, now: float) -> None:
        self._let_through += 1
        if self.value is None:
            return
        slot = self.next_at(now)
        elapsed, self._last_at = slot - self._last_at, slot
        if elapsed * self.value < 1.5:  # a rate that isn't used proves nothing, so it doesn't grow
            self._grow(now, min(elapsed, 1 / _REQUESTS_OF_A_SECOND))

    def not_sent(self) -> None:
        self._let_through -= 1

    def refused(self, sent_at: float, now: float, pause_seconds: float) -> bool:
        """Cuts the rate, once for all requests of before the cut. Returns whether there was none before."""
        if sent_at <= self._cut_at:
            self._correct_first_measurement()
            return False
        self._let_through -= 1
        storm = self.value is None
        if self.value is None:
            self._measured_seconds = max(now - self._resumed_at, _SHORTEST_MEASUREMENT_SECONDS)
            self.value = max(self._let_through / self._measured_seconds, _FIRST_RATE)
        elif self._let_through <= 0:
            self._measured_seconds = None
            if self._resumed_at > self._cut_at:  # without a pause before, one may be all that it takes
                self.value *= _FALL_BACK_WITHOUT_SUCCESS
                self._ceiling, self._stay_until = None, now
        elif self._ceiling is None and now - self._resumed_at < _SOON_SECONDS * self._slowness:
            self.value *= _SOON_FALL_BACK
        else:
            self._measured_seconds = None
            self._ceiling = self.value
            self.value *= _FALL_BACK
            self._stay_until = now + self._stay_seconds * self._slowness
            self._stay_seconds = min(2 * self._stay_seconds, _LONGEST_STAY_SECONDS)
        self._cut_at, self._resumed_at = now, now + pause_seconds
        self._last_at = max(now, self._last_at)
        self._let_through = 0
        return storm

    def _correct_first_measurement(self) -> None:
        """One that was under way when the rate was measured, and was taken for let through, is refused as well."""
        if self.value is not None and self._measured_seconds is not None:
            self.value = max(self.value - 1 / self._measured_seconds, _FIRST_RATE)

    @property
    def _slowness(self) -> float:
        """What is counted in seconds at a usual rate takes longer at a low one, which has fewer requests to lose."""
        return max(1.0, _REQUESTS_OF_A_SECOND / (self.value or math.inf))

    def _grow(self, now: float, elapsed: float) -> None:
        assert self.value is not None
        if self._ceiling is not None and now < self._stay_until:
            return
        # The longer nothing is refused, the further away the limit must be.
        well_for = (now - max(self._stay_until, self._resumed_at)) / (_DOUBLING_SECONDS * self._slowness)
        growth = (_SEARCHING if self._ceiling is None else _LOOKING) * 2 ** min(max(well_for, 0.0), 3.0)
        self.value *= 1 + growth * elapsed
