"""Providers whose requests are measured and traced."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

from vector_pipeline.core.embedding.provider import EmbeddedBatch, EmbeddingProvider
from vector_pipeline.core.errors import (
    DishonestAnswerError,
    ProviderRefusedError,
    ProviderRejectsUsError,
    ProviderUnavailableError,
)
from vector_pipeline.serving.observing import metrics
from vector_pipeline.serving.observing.tracing import span

_OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (ProviderUnavailableError, "unavailable"),
    (ProviderRefusedError, "refused"),
    (ProviderRejectsUsError, "rejected"),
    (DishonestAnswerError, "dishonest"),
)


class ObservedProvider:
    """A provider; all else that it has is passed through."""

    def __init__(self, provider: EmbeddingProvider) -> None:
        self._provider = provider

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embeds the texts; raises what the provider raises."""
        started, outcome = time.perf_counter(), "answered"
        name, model = self._provider.name, self._provider.model
        with span("embeddings", {"gen_ai.request.model": model, "vector_pipeline.texts": len(texts)}):
            try:
                return self._provider.embed(texts)
            except Exception as error:
                outcome = next((said for kind, said in _OUTCOMES if isinstance(error, kind)), "failed")
                raise
            finally:
                metrics.PROVIDER_SECONDS.labels(name, outcome).observe(time.perf_counter() - started)


def observed(provider: EmbeddingProvider) -> EmbeddingProvider:
    """The provider, its requests measured and traced."""
    return cast(EmbeddingProvider, ObservedProvider(provider))
