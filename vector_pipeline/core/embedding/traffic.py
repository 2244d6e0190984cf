"""All requests of this process to one endpoint: they share one pace and one circuit breaker.

An endpoint is a base URL, a model and a key. Whoever wants to embed there waits for a turn, however many threads and
syncs there are. While the endpoint is down all wait, and one of them at a time sends a harmless word to see whether it
is up again: a batch would be paid for at once by whoever comes up, and might be the very reason of the trouble.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress

from vector_pipeline.core.embedding.breaker import Breaker
from vector_pipeline.core.embedding.pace import Pace
from vector_pipeline.core.embedding.provider import EmbeddedBatch, EmbeddingProvider, limits_of
from vector_pipeline.core.embedding.requesting import HARMLESS_TEXT, OnRequest
from vector_pipeline.core.errors import (
    BudgetInUseError,
    DishonestAnswerError,
    ProviderDownError,
    ProviderError,
    ProviderUnavailableError,
    SyncAbandonedError,
)

DEFAULT_PATIENCE_SECONDS = 300.0
# How long it takes at most until one that waits notices that its sync is over.
_LONGEST_NAP_SECONDS = 0.5


class Traffic:
    """The pace and the breaker of one endpoint, safe to use from several threads."""

    def __init__(self, most_in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pace = Pace(most_in_flight, clock())
        self._breaker = Breaker()
        self._turn = threading.Condition()
        self._last_words = ""

    def allow(self, in_flight: int) -> None:
        """Lets at least so many requests be under way at once, if the pace allows it."""
        with self._turn:
            self._pace.most_in_flight = max(self._pace.most_in_flight, in_flight)

    @property
    def is_down(self) -> bool:
        """Whether the endpoint is taken for down."""
        with self._turn:
            return self._breaker.is_open

    def wait_for_turn(self, who: str, patience_seconds: float, abandoned: Callable[[], bool]) -> float | None:
        """Waits until a request may be sent. Returns the moment of its sending, or None if a probe is due instead.

        Raises:
            ProviderDownError: it has been down for longer than the patience.
            SyncAbandonedError: the sync that wants to send is over.
        """
        with self._turn:
            while True:
                if abandoned():
                    raise SyncAbandonedError(f"{who} was not asked any more, since the sync is over")
                now = self._clock()
                if not self._breaker.is_open:
                    wait = self._pace.wait_seconds(now)
                    if wait <= 0:
                        self._pace.sent(now)
                        return now
                else:
                    until_probe = self._breaker.seconds_until_probe(now)
                    if until_probe == 0:
                        # However long it has been down: who comes after an outage in this process finds out so.
                        self._breaker.begin_probe()
                        return None
                    patience_left = patience_seconds - self._breaker.open_seconds(now)
                    if until_probe is not None and patience_left <= 0:
                        raise self._down(who, now)
                    wait = _LONGEST_NAP_SECONDS if until_probe is None else min(until_probe, patience_left)
                self._turn.wait(min(wait, _LONGEST_NAP_SECONDS))

    def _down(self, who: str, now: float) -> ProviderDownError:
        return ProviderDownError(
            f"{who} has been down for {self._breaker.open_seconds(now):.0f} s ({self._breaker.failures} requests in a "
            f"row failed, the last one so: {self._last_words}); what it embedded before is stored, and the next sync "
            "goes on from there"
        )

    def give_back_turn(self) -> None:
        """The request whose turn it was is not sent after all."""
        with self._turn:
            self._pace.not_sent()
            self._turn.notify_all()

    def note_answer(self, sent_at: float, batch: EmbeddedBatch) -> None:
        """A request has brought vectors."""
        with self._turn:
            self._breaker.answered()
            self._pace.answered(sent_at, self._clock(), batch.allowance, batch.tokens)
            self._turn.notify_all()

    def note_error(self, sent_at: float, error: BaseException) -> None:
        """A request has brought none."""
        with self._turn:
            now = self._clock()
            if not isinstance(error, ProviderUnavailableError):
                if isinstance(error, ProviderError) and not isinstance(error, DishonestAnswerError):
                    self._breaker.answered()
                self._pace.failed()
            elif error.status == 429:
                self._breaker.answered()
                self._pace.refused(sent_at, now, error.retry_after_seconds, error.allowance)
            else:
                self._last_words = str(error)
                self._breaker.failed(now)
                if error.too_slow or error.status == 503:
                    self._pace.too_slow(sent_at, now)
                else:
                    self._pace.failed()
                self._pace.pause(now, error.retry_after_seconds or 0.0)
            self._turn.notify_all()

    def note_probe(self, error: BaseException | None) -> None:
        """How the probe ended: None if it was answered."""
        with self._turn:
            now = self._clock()
            if isinstance(error, (ProviderUnavailableError, DishonestAnswerError)) and not _is_refusal(error):
                self._last_words = str(error)
                self._breaker.failed(now, probe=True)
            elif error is None or isinstance(error, ProviderError):
                self._breaker.answered()
            else:
                self._breaker.abandon_probe()
            self._turn.notify_all()


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, ProviderUnavailableError) and error.status == 429


_shared: dict[str, Traffic] = {}
_own: weakref.WeakKeyDictionary[EmbeddingProvider, Traffic] = weakref.WeakKeyDictionary()
_sharing = threading.Lock()


def traffic_of(provider: EmbeddingProvider) -> Traffic:
    """The traffic of the provider's endpoint in this process; of a provider without `endpoint`: its own."""
    endpoint = getattr(provider, "endpoint", None)
    most = limits_of(provider).requests_in_flight
    with _sharing:
        if isinstance(endpoint, str):
            traffic = _shared.setdefault(endpoint, Traffic(most))
        else:
            traffic = _own.setdefault(provider, Traffic(most))
    traffic.allow(most)
    return traffic


class PacedProvider:
    """A provider that is asked when it is its turn. To its callers it is the provider itself, only slower.

    Args:
        patience_seconds: how long a provider may be down before waiting for it ends.
        abandoned: whether nobody wants the answer any more.
        on_request: called after each probe, as `requesting` does after each request.
    """

    def __init__(
        self,
        provider: EmbeddingProvider,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
        abandoned: Callable[[], bool] = lambda: False,
        on_request: OnRequest | None = None,
    ) -> None:
        self._provider = provider
        self._patience_seconds = patience_seconds
        self._abandoned = abandoned
        self._on_request = on_request
        self._traffic = traffic_of(provider)
        self.name = provider.name
        self.model = provider.model
        self.texts_per_request = provider.texts_per_request
        self.requests_in_flight = provider.requests_in_flight

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embeds the texts when it is their turn.

        Raises:
            ProviderDownError: it is down, and patience is at its end.
            SyncAbandonedError: nobody wants the answer any more.
            ProviderError: see `EmbeddingProvider.embed`.
        """
        while True:
            sent_at = self._traffic.wait_for_turn(self.name, self._patience_seconds, self._abandoned)
            try:
                if sent_at is None:
                    with suppress(ProviderError):
                        self._probe()
                    continue
                batch = self._provider.embed(texts)
            except BudgetInUseError as in_use:
                # Without the turn, which others may need to come to their end.
                if sent_at is not None:
                    self._traffic.give_back_turn()
                in_use.wait(_LONGEST_NAP_SECONDS)
                continue
            except BaseException as error:
                if sent_at is not None:
                    self._traffic.note_error(sent_at, error)
                raise
            self._traffic.note_answer(sent_at, batch)
            return batch

    def _probe(self) -> None:
        tokens: int | None = None
        error: BaseException | None = None
        try:
            tokens = self._provider.embed([HARMLESS_TEXT]).tokens
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._traffic.note_probe(error)
            if self._on_request is not None and not isinstance(error, BudgetInUseError):
                self._on_request(tokens)

    def close(self) -> None:
        """Nothing: the provider belongs to whoever made it."""
