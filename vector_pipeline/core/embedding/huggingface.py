"""The provider that is Hugging Face inference: a model on the hub's router, or an endpoint of one's own.

It speaks through `huggingface_hub.InferenceClient.feature_extraction` (extra `huggingface`). What the client leaves
open is added here: a time limit for the answer as a whole, errors by what the caller can do about them, and answers in
which texts differ in their number of tokens, of which the client can make no array.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
import numpy as np
from huggingface_hub import InferenceClient, get_session
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError

from vector_pipeline.core.embedding.deadline import limit_client, time_limit
from vector_pipeline.core.embedding.features import Pooling, read_features
from vector_pipeline.core.embedding.keys import NO_KEY, account_of, usable_key
from vector_pipeline.core.embedding.provider import EmbeddedBatch, Examination
from vector_pipeline.core.embedding.refusals import explain_status
from vector_pipeline.core.errors import (
    DishonestAnswerError,
    ProviderError,
    ProviderRefusedError,
    ProviderRejectsUsError,
    ProviderUnavailableError,
    without_secrets,
)

# The hub's router serves other providers too; this is the one that runs feature-extraction for any model.
_ROUTED_TO: Literal["hf-inference"] = "hf-inference"


@dataclass
class _Call:
    """One request under way: the response as soon as it is there."""

    response: httpx2.Response | None = None


# The client shares one HTTP session with everything else in the process that talks to the hub.
_call: ContextVar[_Call | None] = ContextVar("embedding_call", default=None)


class HuggingFaceProvider:
    """A model of the hub, or behind an endpoint. Safe to call from several threads at once.

    Args:
        model: its name on the hub; with an endpoint only a name.
        endpoint: the URL that takes the texts; None for the hub's router.
        token: None for an endpoint that wants none.
        token_variable: where the token came from, for messages to people.
        dimensions: sent only if given.
        pooling: what becomes of a vector a token.
        timeout_seconds: for one request as a whole, from connecting to the last byte of the answer.
    """

    def __init__(
        self,
        model: str,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        token_variable: str = "HF_TOKEN",
        dimensions: int | None = None,
        pooling: Pooling = "refuse",
        texts_per_request: int = 32,
        requests_in_flight: int = 8,
        timeout_seconds: float = 60.0,
    ) -> None:
        self._model = model
        self._endpoint = endpoint
        key = usable_key(token, token_variable)
        self._secrets = (key,)
        self._token_variable = token_variable
        self._dimensions = dimensions
        self._pooling: Pooling = pooling
        self._texts_per_request = texts_per_request
        self._requests_in_flight = requests_in_flight
        self._timeout_seconds = timeout_seconds
        # Without a token the client would take that of the environment or of `hf auth login`, whatever the endpoint.
        self._client = InferenceClient(
            model=None if endpoint else model,
            base_url=endpoint,
            provider=_ROUTED_TO,
            token=key or NO_KEY,
            timeout=timeout_seconds,
        )

    def __repr__(self) -> str:
        return f"HuggingFaceProvider(model={self._model!r}, endpoint={self._endpoint!r})"

    @property
    def name(self) -> str:
        """Provider and model for people."""
        return f"huggingface:{self._model}"

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
        """Equal for providers that ask the same model of the same endpoint with the same token."""
        return f"{self._endpoint or _ROUTED_TO} {self._model} {account_of(self._secrets[0])}"

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embeds the texts with a single request, without retrying.

        Raises:
            ProviderUnavailableError: overloaded, down, still loading the model, or too slow.
            ProviderRefusedError: refused as it is; `str(error)` has the provider's words.
            ProviderRejectsUsError: the token, the model or the address is wrong, or the model gives a vector a token.
            DishonestAnswerError: the answer cannot be matched to the texts.
        """
        return self.examine(texts).batch

    def examine(self, texts: Sequence[str]) -> Examination:
        """Embeds the texts as `embed` does and tells how it went. Raises the same errors."""
        if not texts:
            return Examination(
                EmbeddedBatch(np.empty((0, 0), np.float32), np.empty(0, np.int32), None), "", frozenset(), {}
            )
        call = _Call()
        answer = self._request(texts, call)
        if isinstance(answer, ProviderError):
            # Raised here, where no other exception is being handled, which might show the token.
            raise answer
        headers = dict(call.response.headers) if call.response is not None else {}
        counted = headers.get("x-compute-tokens", "")  # text-embeddings-inference says so
        try:
            batch = read_features(answer, len(texts), self._pooling, int(counted) if counted.isdecimal() else None)
        except DishonestAnswerError as error:
            problem = without_secrets(str(error), self._secrets)
        except ProviderRejectsUsError as error:
            raise ProviderRejectsUsError(f"{self._who}: {error}") from None
        else:
            return Examination(batch, "", frozenset(), headers)
        raise DishonestAnswerError(f"{self._who}: {problem}")

    def close(self) -> None:
        """Nothing to release: the HTTP session belongs to huggingface_hub."""

    @property
    def _who(self) -> str:
        where = self._endpoint or "Hugging Face's router"
        return f"embedding provider at {where} (model {self._model})"

    def _request(self, texts: Sequence[str], call: _Call) -> Any:
        """The client's array, lists where it can make none, or the error to raise."""
        _watch_session()
        context = _call.set(call)
        try:
            with time_limit(self._timeout_seconds):
                return self._client.feature_extraction(list(texts), dimensions=self._dimensions)
        except (httpx2.HTTPError, ValueError, TypeError) as error:
            return self._explained(error, call)
        finally:
            _call.reset(context)

    def _explained(self, error: Exception, call: _Call) -> Any:
        if isinstance(error, HfHubHTTPError):
            return self._refusal(error.response)
        if isinstance(error, InferenceTimeoutError | httpx2.TimeoutException):
            return ProviderUnavailableError(
                f"{self._who} gave no whole answer in {self._timeout_seconds:g} s", too_slow=True
            )
        if isinstance(error, httpx2.HTTPError):
            words = without_secrets(str(error), self._secrets) or type(error).__name__
            return ProviderUnavailableError(f"{self._who} cannot be reached or broke off: {words}")
        if isinstance(error, UnicodeEncodeError):
            return ProviderRefusedError("the text holds half a surrogate pair, so it cannot be sent as UTF-8")
        return self._rejection(error) if call.response is None else self._read_unequal(call.response)

    def _rejection(self, error: Exception) -> ProviderRejectsUsError:
        words = without_secrets(str(error), self._secrets)
        return ProviderRejectsUsError(f"{self._who} cannot be asked: {words}; check the model's name")

    def _read_unequal(self, response: httpx2.Response) -> Any:
        """The answer as lists: texts that differ in their number of tokens make no array."""
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError):
            beginning = without_secrets(response.text[:120], self._secrets)
            return DishonestAnswerError(f"{self._who}: the answer is no JSON: {' '.join(beginning.split())!r}")

    def _refusal(self, response: httpx2.Response) -> ProviderError:
        try:
            body: object = response.json()
        except (ValueError, httpx2.HTTPError, httpx2.StreamError):
            body = _text_of(response)
        return explain_status(
            response.status_code, body, None, response.headers, self._who, self._token_variable, self._secrets
        )


def _text_of(response: httpx2.Response) -> str:
    try:
        return response.text
    except (httpx2.HTTPError, httpx2.StreamError):
        return ""


def _watch_session() -> None:
    """Puts the time limit on the session, and keeps its responses; it may be a new one since the last request."""
    session = get_session()
    limit_client(session)
    hooks = session.event_hooks["response"]
    if _keep_response not in hooks:
        hooks.append(_keep_response)


def _keep_response(response: httpx2.Response) -> None:
    call = _call.get()
    if call is not None and response.request.method == "POST":  # before it, the client may ask for the model's task
        call.response = response
