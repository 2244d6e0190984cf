"""When to stop asking a provider that is down, and when to look whether it is up again.

After some failures in a row with no answer between them the breaker opens: nobody asks any more, but for a single
probe at growing intervals. The first probe that is answered closes it. With eight requests in flight an outage of a
minute costs those eight and five probes.

The rules alone: clocks are read and threads are kept waiting by `traffic`.
"""

from __future__ import annotations

FAILURES_BEFORE_OPENING = 5
FIRST_PROBE_SECONDS = 2.0
LONGEST_PROBE_SECONDS = 30.0


class Breaker:
    """Closed while the provider answers. Times are of any clock that never goes back, in seconds."""

    def __init__(self) -> None:
        self._failures = 0
        self._opened_at: float | None = None
        self._pause = FIRST_PROBE_SECONDS
        self._probe_at = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether nothing may be sent but a probe."""
        return self._opened_at is not None

    @property
    def failures(self) -> int:
        """Failures since the last answer, those of probes included."""
        return self._failures

    def open_seconds(self, now: float) -> float:
        """How long the provider has been taken for down."""
        return 0.0 if self._opened_at is None else now - self._opened_at

    def seconds_until_probe(self, now: float) -> float | None:
        """When the next probe is due; None while one is under way."""
        return None if self._probing else max(self._probe_at - now, 0.0)

    def begin_probe(self) -> None:
        """Somebody sends the probe that is due; `answered` or `failed` ends it."""
        self._probing = True

    def abandon_probe(self) -> None:
        """The probe was not sent after all, or nothing is known of how it ended."""
        self._probing = False

    def answered(self) -> None:
        """The provider answered, in whatever words: it is up."""
        self._failures = 0
        self._opened_at = None
        self._probing = False

    def failed(self, now: float, *, probe: bool = False) -> None:
        """A request was not answered, or with an error of the server's own.

        Requests that were under way when the breaker opened and fail after it say nothing new.
        """
        self._failures += 1
        if probe:
            self._probing = False
            self._pause = min(2 * self._pause, LONGEST_PROBE_SECONDS)
            self._probe_at = now + self._pause
        elif self._opened_at is None and self._failures >= FAILURES_BEFORE_OPENING:
            self._opened_at = now
            self._pause = FIRST_PROBE_SECONDS
            self._probe_at = now + self._pause
