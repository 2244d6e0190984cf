"""What the pipeline asks of an embedding provider, whichever it is.

A provider turns a batch of texts into one row of float32 numbers each, or raises one of the `ProviderError`s.
It makes no judgement on single vectors: `honesty` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from vector_pipeline.core.embedding.allowance import Allowance

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Limits:
    """What a provider takes at once.

    Attributes:
        texts_per_request: the most texts in one request.
        tokens_per_request: the most tokens of all texts of a request together.
        tokens_per_text: the most tokens of one text; a longer one is split or cut before it comes here.
        requests_in_flight: how many requests may be under way at once.
    """

    texts_per_request: int
    requests_in_flight: int
    tokens_per_request: int = 300_000
    tokens_per_text: int = 8_192


@dataclass(frozen=True)
class EmbeddedBatch:
    """The answer to one request.

    Attributes:
        vectors: shape (texts, dimensions), C-contiguous float32, in the order of the texts. A text whose
            vector came with another length than the rest is a row of NaN, and `lengths` tells the true one.
        lengths: the length of each vector as the provider sent it, shape (texts,).
        tokens: what the provider counted, None where it did not say.
        allowance: what the provider says is left of its rate limit, None where it did not say.
    """

    vectors: Vectors
    lengths: npt.NDArray[np.int32]
    tokens: int | None
    allowance: Allowance | None = None


class EmbeddingProvider(Protocol):
    """One model behind one provider. Safe to call from several threads at once.

    A provider may also have the properties `limits` (a `Limits`, where the defaults of its token limits are not right)
    and `endpoint` (a string without secrets: providers with the same share one pace and one circuit breaker within a
    process); see `limits_of` and `traffic`.
    """

    @property
    def name(self) -> str:
        """Provider and model for people, without secrets: `openai:Qwen3-Embedding-8B`."""

    @property
    def model(self) -> str:
        """The model's name, as part of the vector space's fingerprint."""

    @property
    def texts_per_request(self) -> int:
        """The most texts that `embed` takes at once."""

    @property
    def requests_in_flight(self) -> int:
        """How many calls of `embed` may run at once."""

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embeds the texts with a single request, without retrying.

        Raises:
            ProviderUnavailableError: overloaded, down, or too slow; the same call may succeed later.
            ProviderRefusedError: refused as it is; `str(error)` has the provider's words.
            DishonestAnswerError: the answer cannot be matched to the texts.
        """

    def close(self) -> None:
        """Releases connections."""


@dataclass(frozen=True)
class Examination:
    """A request looked at.

    Attributes:
        batch: what `embed` gives.
        asked: the encoding that was asked for, `base64` or `float`; empty where there is no such choice.
        written: how the vectors came, `base64` or `list`; several if they were mixed.
        headers: those of the response, their names in lower case.
    """

    batch: EmbeddedBatch
    asked: str
    written: frozenset[str]
    headers: Mapping[str, str]


@runtime_checkable
class Examinable(Protocol):
    """A provider that can tell how it is spoken to."""

    def examine(self, texts: Sequence[str]) -> Examination:
        """Embeds the texts as `embed` does and tells how it went. Raises the same errors."""


def limits_of(provider: EmbeddingProvider) -> Limits:
    """The provider's own limits, or the usual limits in tokens."""
    limits = getattr(provider, "limits", None)
    if isinstance(limits, Limits):
        return limits
    return Limits(provider.texts_per_request, provider.requests_in_flight)
