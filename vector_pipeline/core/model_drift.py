"""Whether a vector space's model is still the one that made its vectors, and what follows if it is not.

Embedding stops, so that vectors of two models never lie side by side; documents go on, and so does search, with what is
stored. It starts again by itself if the model is put back, or when somebody accepts the vectors of now as the measure.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, cast

import psycopg

from vector_pipeline.core.embedding.canaries import CANARY_TEXTS, embed_canaries, least_similarity
from vector_pipeline.core.embedding.provider import EmbeddedBatch, EmbeddingProvider
from vector_pipeline.core.errors import (
    DishonestAnswerError,
    ModelDriftedError,
    ProviderError,
    ProviderRefusedError,
    TargetUnavailableError,
)
from vector_pipeline.core.reports import ModelDrift
from vector_pipeline.core.store import canaries
from vector_pipeline.core.store.canaries import StoredCanaries
from vector_pipeline.core.store.registry import RegisteredIndex

_log = logging.getLogger(__name__)

OpenConnection = Callable[[], AbstractContextManager[psycopg.Connection]]

# A run compares before it stores vectors, but not each of many runs in an hour: a comparison is some forty tokens.
_COMPARED_LATELY_SECONDS = 3600.0


def look_at_model(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    provider: EmbeddingProvider,
    threshold: float,
    attempts: int,
) -> ModelDrift:
    """Embeds the canary texts of the index's vector space again and compares; the first time it keeps them.

    Args:
        threshold: the cosine below which the model counts as another one.

    Raises:
        ProviderError: the provider is down, or gives no honest vectors.
    """
    stored = canaries.load(connection, index)
    if stored is None:
        accept_model(connection, index, provider, threshold, attempts)
    else:
        similarity = least_similarity(stored.vectors, embed_canaries(provider, attempts, stored.texts))
        canaries.note_comparison(connection, index, similarity, drifted=similarity < threshold)
    return report(connection, index, threshold)


def accept_model(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    provider: EmbeddingProvider,
    threshold: float,
    attempts: int,
) -> ModelDrift:
    """Takes the vectors that the model gives now as the measure. Raises what `look_at_model` raises."""
    vectors = embed_canaries(provider, attempts)
    native = index.generation.space.native_dimensions
    if vectors.shape[1] != native:
        raise DishonestAnswerError(
            f"{provider.name} gives vectors of {vectors.shape[1]} numbers, and the index is made for {native}"
        )
    canaries.keep(connection, index, CANARY_TEXTS, vectors)
    return report(connection, index, threshold)


def report(connection: psycopg.Connection, index: RegisteredIndex, threshold: float) -> ModelDrift:
    """How the last look at the model went, without asking it."""
    return _report(index, threshold, canaries.load(connection, index))


def _report(index: RegisteredIndex, threshold: float, stored: StoredCanaries | None) -> ModelDrift:
    space = index.generation.space
    if stored is None:
        return ModelDrift(index.name, space.provider, space.model, threshold, None, None, None, None, None)
    return ModelDrift(
        index.name,
        space.provider,
        space.model,
        threshold,
        stored.similarity,
        stored.taken_at,
        stored.compared_at,
        stored.alike_at,
        stored.drifted_since,
    )


def first_drifted(looks: Iterable[ModelDrift]) -> ModelDrift:
    """Of looks at several vector spaces the one to tell of; all are taken."""
    taken = list(looks)
    return next((drift for drift in taken if drift.drifted), taken[0])


def describe(drift: ModelDrift) -> str:
    """What to know and what to do, a sentence each."""
    if drift.taken_at is None:
        return "no text was embedded yet"
    if not drift.drifted:
        if drift.similarity is None:
            return f"the canary texts' vectors were taken on {_day(drift.taken_at)}"
        return f"the canary texts have the vectors that they had: cosine {drift.similarity:.6f} at least"
    return (
        f"Model {drift.model} of index {drift.index} has changed under its name: a canary text's vector has the cosine "
        f"{drift.similarity:.4f} to that of {_day(drift.taken_at)}, and {drift.threshold:g} is the least. "
        f"It was found on {_day(drift.drifted_since)}, and was still well on {_day(drift.alike_at)}. "
        "No text is embedded until this is settled; documents and search go on, queries with the changed model. "
        "Put the model back, and embedding goes on by itself; or name the new one in embedding.model (a version, not "
        "an alias), so that all is embedded anew; or, if the difference is meant: "
        f"vector-pipeline canary {drift.index} --accept, or the job {drift.index}_accept_model"
    )


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "an unknown day"


class WatchedProvider:
    """A provider whose model is looked at once before vectors of it are given out.

    The look goes on beside the first requests, since a run is not to wait for it: of a model that has just changed at
    most what is in flight is paid in vain; of one that is known to have changed, nothing. All else that the provider
    has is passed through. Safe to call from several threads at once. A provider that takes one call at a time is looked
    at before them: it may be one that bears no second thread.

    Args:
        looked_at: the same model to look at, where that is not to go the way of the texts.
    """

    def __init__(
        self,
        provider: EmbeddingProvider,
        open_connection: OpenConnection,
        index: RegisteredIndex,
        threshold: float,
        looked_at: EmbeddingProvider | None = None,
    ) -> None:
        self._provider = provider
        self._looked_at = looked_at or provider
        self._open_connection = open_connection
        self._index = index
        self._threshold = threshold
        self._verdict: Future[None] | None = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embeds the texts.

        Raises:
            ModelDriftedError: the model is not the one that made the vectors.
            ProviderError: as the provider's own.
        """
        verdict = self._awaited_verdict()
        batch = self._provider.embed(texts)
        try:
            verdict.result()
        except ModelDriftedError:
            raise
        except (ProviderError, psycopg.Error, TargetUnavailableError) as error:
            # No reason to give away what is paid for.
            self._note_failed_look(verdict, error)
        return batch

    def _awaited_verdict(self) -> Future[None]:
        with self._lock:
            if self._verdict is None:
                self._verdict = self._begin()
            return self._verdict

    def _note_failed_look(self, verdict: Future[None], error: Exception) -> None:
        """The next batch tries again, unless it is in vain."""
        with self._lock:
            if self._verdict is verdict:
                _log.warning("index %s: no look at the model: %s", self._index.name, error)
                in_vain = isinstance(error, ProviderRefusedError | DishonestAnswerError)
                self._verdict = _settled() if in_vain else None

    def _begin(self) -> Future[None]:
        with self._open_connection() as connection:
            stored = canaries.load(connection, self._index)
        if stored is not None and stored.drifted_since is not None:
            self._look()
        elif stored is None or stored.seconds_since_compared > _COMPARED_LATELY_SECONDS:
            return self._look_first() if self._provider.requests_in_flight == 1 else self._look_beside()
        return _settled()

    def _look_beside(self) -> Future[None]:
        executor = ThreadPoolExecutor(1, "look-at-model")
        looking = executor.submit(self._look)
        executor.shutdown(wait=False)
        return looking

    def _look_first(self) -> Future[None]:
        looked: Future[None] = Future()
        try:
            self._look()
        except ModelDriftedError:
            raise
        except ProviderError as error:
            looked.set_exception(error)
        else:
            looked.set_result(None)
        return looked

    def _look(self) -> None:
        with self._open_connection() as connection:
            drift = look_at_model(connection, self._index, self._looked_at, self._threshold, attempts=1)
        if drift.drifted:
            raise ModelDriftedError(describe(drift))


def _settled() -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future


def watched(
    provider: EmbeddingProvider,
    open_connection: OpenConnection,
    index: RegisteredIndex,
    threshold: float,
    looked_at: EmbeddingProvider | None = None,
) -> EmbeddingProvider:
    """The provider, its model looked at before its vectors are given out."""
    return cast(EmbeddingProvider, WatchedProvider(provider, open_connection, index, threshold, looked_at))
