"""A provider without a network that counts what is paid for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vector_pipeline.core.embedding.canaries import CANARY_TEXTS
from vector_pipeline.core.embedding.provider import EmbeddedBatch
from vector_pipeline.core.embedding.requesting import HARMLESS_TEXT
from vector_pipeline.core.errors import ProviderRefusedError
from vector_pipeline_tests.misbehaving_answers import POISON, vectors_of

DIMENSIONS = 8
NOT_COUNTED = {HARMLESS_TEXT, *CANARY_TEXTS}


class CountingProvider:
    """Refuses poison, and keeps how often each other text was embedded. Probes and canaries are not counted."""

    name = "counting:numbers"
    model = "numbers"
    requests_in_flight = 2

    def __init__(self, texts_per_request: int = 3) -> None:
        self.texts_per_request = texts_per_request
        self.paid: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def paid_again(self) -> list[str]:
        """Texts that were embedded more than once."""
        return [text for text, times in self.paid.items() if times > 1]

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embeds the texts, or none of them if one is poison."""
        if any(POISON in text for text in texts):
            raise ProviderRefusedError("poison")
        with self._lock:
            self.paid.update(text for text in texts if text not in NOT_COUNTED)
        return EmbeddedBatch(vectors_of(texts, DIMENSIONS), np.full(len(texts), DIMENSIONS, np.int32), len(texts))

    def close(self) -> None:
        """There is no connection."""
