"""Getting vectors out of a provider that is sometimes down, sometimes wrong, and sometimes right to refuse.

Two ideas. *Patience*: what may pass is asked again, after a growing pause. *Halving*: a batch that is
refused is cut in two until the bad text is alone, so that it costs its 127 neighbours nothing but a few
requests. Before a text is blamed where nothing at all has succeeded, a harmless word is sent: if the
provider refuses that too, the trouble is not in the texts, and the caller gets the error instead of a
quarantine full of innocent rows. A batch at which the server stumbles again and again (HTTP 5xx, but not 503)
is treated alike: some servers do so over a text that is too long. As they also do it when they are down, the
harmless word is sent each time.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import tenacity

from vector_pipeline.core.embedding.provider import EmbeddedBatch, EmbeddingProvider
from vector_pipeline.core.errors import (
    DishonestAnswerError,
    ProviderDownError,
    ProviderError,
    ProviderRefusedError,
    ProviderRejectsUsError,
    ProviderUnavailableError,
)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
LONGEST_ASKED_PAUSE_SECONDS = 120.0

HARMLESS_TEXT = "probe"

# An answer that broke on its way is likely whole the second time. While a batch can still be halved, more
# tries would only delay finding the text that provokes it.
_ATTEMPTS_AT_A_DISHONEST_BATCH = 2
# The parts of a batch at which a server stumbled that is up.
_ATTEMPTS_AT_A_STUMBLING_BLOCK = 2
# 1 batch and its 2 halves: with a single bad text, one of these succeeds.
_FAILURES_BEFORE_PROBING = 3

OnRequest = Callable[[int | None], None]
"""Called after each request, from the thread that made it: its tokens, None if it failed or did not say."""


@dataclass(frozen=True)
class Embedded:
    """Texts that have vectors: row i of the batch is the text at `positions[i]`."""

    positions: range
    batch: EmbeddedBatch


@dataclass(frozen=True)
class Refused:
    """The one text that the provider refuses, with its words."""

    position: int
    message: str


Outcome = Embedded | Refused


def request_with_patience(
    provider: EmbeddingProvider,
    texts: Sequence[str],
    attempts: int,
    sleep: Callable[[float], None] = time.sleep,
    on_request: OnRequest | None = None,
    *,
    attempts_at_dishonesty: int | None = None,
    attempts_at_stumbling: int | None = None,
) -> EmbeddedBatch:
    """Embeds the texts, asking again while the provider is unavailable or its answer unusable.

    Args:
        attempts: requests in all, at most.
        sleep: waits that many seconds.
        attempts_at_dishonesty: gives up earlier than `attempts` if the answer is unusable.
        attempts_at_stumbling: gives up earlier than `attempts` if the server answers with an error of its own.

    Raises:
        ProviderError: the last one, or the first that asking again cannot help.
    """
    patience = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=_StopAfter(attempts, attempts_at_dishonesty or attempts, attempts_at_stumbling or attempts),
        wait=_pause,
        sleep=sleep,
        reraise=True,
    )
    return patience(_request, provider, texts, on_request)


def request_halving(
    provider: EmbeddingProvider,
    texts: Sequence[str],
    attempts: int,
    on_request: OnRequest | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Outcome]:
    """Embeds what the provider accepts and names each text that it does not. Every text is in one outcome.

    Outcomes come as soon as they are known, in no particular order. One bad text among 128 costs 15 requests.

    Raises:
        ProviderUnavailableError: still down after `attempts`; outcomes that came before stand.
        ProviderRejectsUsError: the key, model or address is wrong, or even a harmless text is refused.
        DishonestAnswerError: even a harmless text gets an unusable answer.
    """
    waiting = deque([_Part(range(len(texts)))] if texts else [])
    failures, trusted = 0, False
    while waiting:
        part = waiting.popleft()
        batch = _embed_part(provider, [texts[i] for i in part.positions], part.suspect, attempts, on_request, sleep)
        if isinstance(batch, EmbeddedBatch):
            trusted = True
            yield Embedded(part.positions, batch)
            continue
        failures += 1
        stumbled = isinstance(batch, ProviderUnavailableError)
        if stumbled:
            _require_up(provider, batch, on_request)
            trusted = True
        elif not trusted and (len(part.positions) == 1 or failures >= _FAILURES_BEFORE_PROBING):
            _probe(provider, attempts, on_request, sleep)
            trusted = True
        if len(part.positions) > 1:
            waiting += part.halves(suspect=part.suspect or stumbled)
        elif stumbled and not part.suspect:
            # It may have come up again just before the harmless text.
            waiting.append(_Part(part.positions, suspect=True))
        else:
            yield Refused(part.positions[0], str(batch))


@dataclass(frozen=True)
class _Part:
    """A part of the texts; `suspect` if the server stumbled over what it was cut from, though it is up."""

    positions: range
    suspect: bool = False

    def halves(self, *, suspect: bool) -> tuple[_Part, _Part]:
        middle = (len(self.positions) + 1) // 2
        return _Part(self.positions[:middle], suspect), _Part(self.positions[middle:], suspect)


def _embed_part(
    provider: EmbeddingProvider,
    texts: list[str],
    suspect: bool,
    attempts: int,
    on_request: OnRequest | None,
    sleep: Callable[[float], None],
) -> EmbeddedBatch | ProviderError:
    """The vectors, or the error that the texts may be the reason of."""
    at_dishonesty = min(attempts, _ATTEMPTS_AT_A_DISHONEST_BATCH) if len(texts) > 1 else attempts
    at_stumbling = min(attempts, _ATTEMPTS_AT_A_STUMBLING_BLOCK) if suspect else attempts
    try:
        return request_with_patience(
            provider,
            texts,
            attempts,
            sleep,
            on_request,
            attempts_at_dishonesty=at_dishonesty,
            attempts_at_stumbling=at_stumbling,
        )
    except (ProviderRefusedError, DishonestAnswerError) as error:
        return error
    except ProviderUnavailableError as error:
        if error.may_be_due_to_a_text:
            return error
        raise


def _require_up(provider: EmbeddingProvider, error: ProviderError, on_request: OnRequest | None) -> None:
    """Raises the error, unless the provider embeds a harmless text at once: it was patiently asked already."""
    try:
        _request(provider, [HARMLESS_TEXT], on_request)
    except ProviderError:
        raise error from None


def _probe(
    provider: EmbeddingProvider,
    attempts: int,
    on_request: OnRequest | None,
    sleep: Callable[[float], None],
) -> None:
    try:
        request_with_patience(provider, [HARMLESS_TEXT], attempts, sleep, on_request)
    except ProviderRefusedError as error:
        raise ProviderRejectsUsError(
            f"{provider.name} refuses every text, even {HARMLESS_TEXT!r}: {error}; "
            "check the model's name and the declared dimensions"
        ) from None


def _request(provider: EmbeddingProvider, texts: Sequence[str], on_request: OnRequest | None) -> EmbeddedBatch:
    tokens = None
    try:
        batch = provider.embed(texts)
        tokens = batch.tokens
        return batch
    finally:
        if on_request is not None:
            on_request(tokens)


def _may_pass(error: BaseException) -> bool:
    """A provider that was waited for as long as patience goes is not asked again."""
    return isinstance(error, (ProviderUnavailableError, DishonestAnswerError)) and not isinstance(
        error, ProviderDownError
    )


class _StopAfter(tenacity.stop.stop_base):
    """Stops after `attempts`, or after fewer where the last answer was dishonest or an error of the server's own."""

    def __init__(self, attempts: int, at_dishonesty: int, at_stumbling: int) -> None:
        self._attempts = attempts
        self._at_dishonesty = at_dishonesty
        self._at_stumbling = at_stumbling

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        error = _last_error(retry_state)
        enough = self._attempts
        if isinstance(error, DishonestAnswerError):
            enough = self._at_dishonesty
        elif isinstance(error, ProviderUnavailableError) and error.may_be_due_to_a_text:
            enough = self._at_stumbling
        return retry_state.attempt_number >= enough


_growing = tenacity.wait_exponential(
    multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS - FIRST_PAUSE_SECONDS
) + tenacity.wait_random(0, FIRST_PAUSE_SECONDS)


def _pause(state: tenacity.RetryCallState) -> float:
    error = _last_error(state)
    asked = error.retry_after_seconds if isinstance(error, ProviderUnavailableError) else None
    if not asked:
        return _growing(state)
    # The jitter keeps requests that were refused together from coming back together.
    return min(asked, LONGEST_ASKED_PAUSE_SECONDS) + random.uniform(0, 0.1)


def _last_error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
