"""Providers of one's own, found by a Python entry point.

A distribution names a factory in the group `vector_pipeline.embedding_providers`; the factory gets a `ProviderRequest`
and returns an `Embedder`, which need do no more than turn texts into an array. docs/providers.md has a whole example.
Whatever such a foreign provider raises is told as one of our errors, without the secrets that it asked for.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vector_pipeline.core.embedding.provider import EmbeddedBatch, Vectors
from vector_pipeline.core.errors import (
    ConfigurationError,
    DishonestAnswerError,
    ProviderError,
    ProviderRefusedError,
    ProviderUnavailableError,
    VectorPipelineError,
    without_secrets,
)

GROUP = "vector_pipeline.embedding_providers"


@dataclass(frozen=True)
class ProviderRequest:
    """What an index declares, for the factory of a provider.

    Attributes:
        model: `embedding.model`, or the entry point's name where that is left out.
        dimensions: `embedding.dimensions`, None if the model's own length is wanted.
        options: `embedding.provider.options` as declared; they are shown in the UI, so no place for secrets.
        variable: the value of an environment variable, None if it is unset. What it has given is taken out of error
            messages.
    """

    model: str
    dimensions: int | None
    options: Mapping[str, Any]
    variable: Callable[[str], str | None] = field(repr=False)


class Embedder(Protocol):
    """What a factory returns. `close()` is called if it is there. Called from several threads if
    `requests_in_flight` is declared above 1.
    """

    def embed(self, texts: Sequence[str]) -> Vectors | EmbeddedBatch:
        """One vector a text, shape (texts, dimensions), float32; an `EmbeddedBatch` can tell the tokens, too.

        May raise the `ProviderError`s of `vector_pipeline.core.errors`: `ProviderUnavailableError` for what may pass,
        `ProviderRefusedError` for a text that can't be embedded, `ProviderRejectsUsError` for a wrong key or model.
        `OSError` and `TimeoutError` count as the first, any other exception as the second.
        """


class CustomProvider:
    """An `Embedder` as the pipeline takes it.

    Raises:
        ConfigurationError: there is no such entry point, or it can't be loaded or makes no embedder.
    """

    def __init__(
        self,
        entry_point: str,
        model: str,
        *,
        dimensions: int | None,
        options: Mapping[str, Any],
        environment: Mapping[str, str],
        texts_per_request: int,
        requests_in_flight: int,
    ) -> None:
        self._entry_point = entry_point
        self._model = model
        self._texts_per_request = texts_per_request
        self._requests_in_flight = requests_in_flight
        self._options = json.dumps(options, sort_keys=True, default=str)
        self._secrets: list[str] = []

        def variable(name: str) -> str | None:
            value = environment.get(name)
            if value:
                self._secrets.append(value)
            return value

        self._embedder = self._make(ProviderRequest(model, dimensions, dict(options), variable))

    def _make(self, request: ProviderRequest) -> Embedder:
        try:
            embedder = _find(self._entry_point).load()(request)
        except VectorPipelineError:
            raise
        except Exception as error:
            problem = self._told(error)
        else:
            if callable(getattr(embedder, "embed", None)):
                made: Embedder = embedder
                return made
            problem = f"its factory returns a {type(embedder).__name__} without `embed`"
        raise ConfigurationError(
            f"embedding provider {self._entry_point!r} cannot be made: {problem}; see its documentation, and "
            "embedding.provider.options"
        )

    def __repr__(self) -> str:
        return f"CustomProvider(entry_point={self._entry_point!r}, model={self._model!r})"

    @property
    def name(self) -> str:
        """Provider and model for people."""
        return f"custom:{self._entry_point}:{self._model}"

    @property
    def model(self) -> str:
        """The model's name, as part of the vector space's fingerprint."""
        return self._model

    @property
    def texts_per_request(self) -> int:
        """The most texts that `embed` takes at once."""
        return self._texts_per_request

    @property
    def requests_in_flight(self) -> int:
        """How many calls of `embed` may run at once."""
        return self._requests_in_flight

    @property
    def endpoint(self) -> str:
        """Equal for providers of the same entry point, model and options."""
        return f"{self.name} {self._options}"

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embeds the texts with a single call.

        Raises:
            ProviderUnavailableError: it says so, or raised an OSError or a TimeoutError.
            ProviderRefusedError: it says so, or raised anything else.
            DishonestAnswerError: it returned something else than a vector a text.
        """
        answer = self._call(list(texts))
        if isinstance(answer, ProviderError):
            # Raised here, where no other exception is being handled, which might show a secret.
            raise answer
        return _read(answer, len(texts), self.name)

    def close(self) -> None:
        """Closes the embedder, if it can be closed."""
        close = getattr(self._embedder, "close", None)
        if callable(close):
            close()

    def _call(self, texts: list[str]) -> Any:
        try:
            return self._embedder.embed(texts)
        except ProviderError as error:
            error.args = tuple(without_secrets(str(part), self._secrets) for part in error.args)
            return error
        except OSError as error:  # TimeoutError is one
            return ProviderUnavailableError(f"{self.name}: {self._told(error)}")
        except Exception as error:
            return ProviderRefusedError(f"{self.name}: {self._told(error)}")

    def _told(self, error: Exception) -> str:
        """The foreign error in a line, with the place where its author has to look."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        return without_secrets(f"{type(error).__name__}: {error}{place}", self._secrets)


def _find(name: str) -> EntryPoint:
    known = {point.name: point for point in entry_points(group=GROUP)}
    if name not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(
            f"no installed package has an embedding provider {name!r} (there are: {listed}); install its package where "
            f"this runs; it has to name {name!r} in the entry points {GROUP!r}"
        )
    return known[name]


def _read(answer: Any, texts: int, who: str) -> EmbeddedBatch:
    if isinstance(answer, EmbeddedBatch):
        if len(answer.lengths) != texts or answer.vectors.shape[:1] != (texts,):
            raise DishonestAnswerError(f"{who}: {len(answer.lengths)} vectors came for {texts} texts")
        return answer
    try:
        vectors: Vectors = np.ascontiguousarray(answer, np.float32)
    except (ValueError, TypeError) as error:
        raise DishonestAnswerError(f"{who}: what came is no array of numbers: {error}") from None
    if vectors.ndim != 2 or len(vectors) != texts:
        raise DishonestAnswerError(f"{who}: an array of the shape {vectors.shape} came for {texts} texts")
    return EmbeddedBatch(vectors, np.full(texts, vectors.shape[1], np.int32), None)
