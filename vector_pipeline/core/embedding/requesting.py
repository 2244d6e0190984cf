"""Getting vectors out of a provider that is sometimes down, sometimes wrong, and sometimes right to refuse.

Two ideas. *Patience*: what may pass is asked again, after a growing pause. *Halving*: a batch that is
refused is cut in two until the bad text is alone, so that it costs its 127 neighbours nothing but a few
requests. Before a text is blamed where nothing at all has succeeded, a harmless word is sent: if the
provider refuses that too, the trouble is not in the texts, and the caller gets the error instead of a
quarantine full of innocent rows.
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
) -> EmbeddedBatch:
    """Embeds the texts, asking again while the provider is unavailable or its answer unusable.

    Args:
        attempts: requests in all, at most.
        sleep: waits that many seconds.
        attempts_at_dishonesty: gives up earlier than `attempts` if the answer is unusable.

    Raises:
        ProviderError: the last one, or the first that asking again cannot help.
    """
    patience = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((ProviderUnavailableError, DishonestAnswerError)),
        stop=_StopAfter(attempts, attempts_at_dishonesty or attempts),
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
    waiting = deque([range(len(texts))] if texts else [])
    failures, trusted = 0, False
    while waiting:
        positions = waiting.popleft()
        batch = _embed_part(provider, [texts[i] for i in positions], attempts, on_request, sleep)
        if isinstance(batch, EmbeddedBatch):
            trusted = True
            yield Embedded(positions, batch)
            continue
        failures += 1
        if not trusted and (len(positions) == 1 or failures >= _FAILURES_BEFORE_PROBING):
            _probe(provider, attempts, on_request, sleep)
            trusted = True
        if len(positions) == 1:
            yield Refused(positions[0], str(batch))
        else:
            middle = (len(positions) + 1) // 2
            waiting += (positions[:middle], positions[middle:])


def _embed_part(
    provider: EmbeddingProvider,
    texts: list[str],
    attempts: int,
    on_request: OnRequest | None,
    sleep: Callable[[float], None],
) -> EmbeddedBatch | ProviderError:
    """The vectors, or the error that the texts may be the reason of."""
    at_dishonesty = min(attempts, _ATTEMPTS_AT_A_DISHONEST_BATCH) if len(texts) > 1 else attempts
    try:
        return request_with_patience(provider, texts, attempts, sleep, on_request, attempts_at_dishonesty=at_dishonesty)
    except (ProviderRefusedError, DishonestAnswerError) as error:
        return error


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


class _StopAfter(tenacity.stop.stop_base):
    """Stops after `attempts`, or after fewer where the last answer was dishonest."""

    def __init__(self, attempts: int, at_dishonesty: int) -> None:
        self._attempts = attempts
        self._at_dishonesty = at_dishonesty

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        dishonest = isinstance(_last_error(retry_state), DishonestAnswerError)
        return retry_state.attempt_number >= (self._at_dishonesty if dishonest else self._attempts)


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
