"""The provider that is any server speaking the OpenAI embeddings protocol.

One call of `embed` is one request, but for the first to a server that refuses base64: that one is repeated with lists
of numbers, and lists are asked for from then on. The answer is read raw within one deadline and goes from JSON straight
into numpy (`answers`): the client's own models would make a Python list of each vector.
What goes wrong is told apart by what the caller can do about it: ask again later, leave the text out, or
call a person. The key appears in no message, whatever the server echoes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import openai

from vector_pipeline.core.embedding.allowance import read_allowance
from vector_pipeline.core.embedding.answers import MissingIndex, encodings, read_answer
from vector_pipeline.core.embedding.batch_api import OpenAIBatches
from vector_pipeline.core.embedding.deadline import limit_client, time_limit
from vector_pipeline.core.embedding.hosts import normalise_host
from vector_pipeline.core.embedding.http_library import HTTP_ERRORS, authorities
from vector_pipeline.core.embedding.keys import NO_KEY, account_of, usable_key
from vector_pipeline.core.embedding.provider import EmbeddedBatch, Examination, Limits
from vector_pipeline.core.embedding.refusals import explain_refusal, is_about_encoding
from vector_pipeline.core.errors import (
    DishonestAnswerError,
    ProviderError,
    ProviderRefusedError,
    ProviderUnavailableError,
    without_secrets,
)

Encoding = Literal["auto", "base64", "float"]
DimensionsField = Literal["dimensions", "output_dimension", "none"]


@dataclass(frozen=True)
class _Answer:
    """The body of a response with status 200, and its headers, their names in lower case."""

    body: bytes
    headers: Mapping[str, str]


class OpenAICompatibleProvider:
    """A model behind an OpenAI-compatible base URL. Safe to call from several threads at once.

    Args:
        host: base URL, see `normalise_host`.
        model: the model's name, as the server knows it.
        api_key: None for a server that wants none.
        api_key_variable: where the key came from, for messages to people.
        dimensions: sent to the server only if given, in `dimensions_field`.
        texts_per_request, tokens_per_request, tokens_per_text, requests_in_flight: see `Limits`.
        encoding: how vectors are asked for; `auto` is base64 until the server refuses it.
        missing_index: what an answer means in which no vector has an index.
        timeout_seconds: for one request as a whole, from connecting to the last byte of the answer.
    """

    def __init__(
        self,
        host: str,
        model: str,
        api_key: str | None = None,
        *,
        api_key_variable: str = "EMBEDDING_API_KEY",
        dimensions: int | None = None,
        texts_per_request: int = 128,
        tokens_per_request: int = 300_000,
        tokens_per_text: int = 8_192,
        requests_in_flight: int = 8,
        timeout_seconds: float = 60.0,
        encoding: Encoding = "auto",
        dimensions_field: DimensionsField = "dimensions",
        missing_index: MissingIndex = "refuse",
    ) -> None:
        self._base_url = normalise_host(host)
        self._model = model
        key = usable_key(api_key, api_key_variable)
        self._secrets = (key,)
        self._api_key_variable = api_key_variable
        self._dimensions = dimensions
        self._dimensions_field = dimensions_field
        self._encoding: Literal["base64", "float"] = "float" if encoding == "float" else "base64"
        self._may_fall_back = encoding == "auto"
        self._missing_index: MissingIndex = missing_index
        self._limits = Limits(texts_per_request, requests_in_flight, tokens_per_request, tokens_per_text)
        self._timeout_seconds = timeout_seconds
        http_client = openai.DefaultHttpxClient(verify=authorities())
        limit_client(http_client)
        self._client = openai.OpenAI(
            api_key=key or NO_KEY,
            base_url=self._base_url,
            timeout=timeout_seconds,
            max_retries=0,
            http_client=http_client,
        )

    def __repr__(self) -> str:
        return f"OpenAICompatibleProvider(host={self._base_url!r}, model={self._model!r})"

    @property
    def name(self) -> str:
        """Provider and model for people."""
        return f"openai:{self._model}"

    @property
    def model(self) -> str:
        """The model's name, as part of the vector space's fingerprint."""
        return self._model

    @property
    def texts_per_request(self) -> int:
        """The most texts that `embed` takes at once."""
        return self._limits.texts_per_request

    @property
    def requests_in_flight(self) -> int:
        """How many calls of `embed` may run at once."""
        return self._limits.requests_in_flight

    @property
    def limits(self) -> Limits:
        """What it takes at once."""
        return self._limits

    @property
    def endpoint(self) -> str:
        """Equal for providers that ask the same model of the same server with the same key."""
        return f"{self._base_url} {self._model} {account_of(self._secrets[0])}"

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embeds the texts with a single request, without retrying.

        Raises:
            ProviderUnavailableError: overloaded, down, or too slow; the same call may succeed later.
            ProviderRefusedError: refused as it is; `str(error)` has the provider's words.
            ProviderRejectsUsError: the key, the model or the address is wrong.
            DishonestAnswerError: the answer cannot be matched to the texts.
        """
        if not texts:
            return EmbeddedBatch(np.empty((0, 0), np.float32), np.empty(0, np.int32), None)
        return self._read_vectors(self._request(texts), len(texts))

    def examine(self, texts: Sequence[str]) -> Examination:
        """Embeds the texts as `embed` does and tells how the server took it. Raises the same errors."""
        answer = self._request(texts)
        batch = self._read_vectors(answer, len(texts))
        assert isinstance(answer, _Answer)
        return Examination(batch, self._encoding, encodings(answer.body), answer.headers)

    def batches(self) -> OpenAIBatches:
        """The server's offline Batch API, if it has one."""
        body = {"model": self._model, "encoding_format": self._encoding} | self._length_asked_for
        return OpenAIBatches(self._client, body, self._who, self._api_key_variable, self._secrets)

    def close(self) -> None:
        """Releases connections."""
        self._client.close()

    @property
    def _length_asked_for(self) -> dict[str, object]:
        asked = self._dimensions is not None and self._dimensions_field != "none"
        return {self._dimensions_field: self._dimensions} if asked else {}

    @property
    def _who(self) -> str:
        return f"embedding provider at {self._base_url} (model {self._model})"

    def _read_vectors(self, answer: _Answer | ProviderError, texts: int) -> EmbeddedBatch:
        if isinstance(answer, ProviderError):
            # Raised here, where no other exception is being handled: the client's own holds the server's
            # words unabridged, key included, and must not show as this one's cause or context.
            raise answer
        try:
            batch = read_answer(answer.body, texts, self._dimensions, self._missing_index)
            return replace(batch, allowance=read_allowance(answer.headers))
        except DishonestAnswerError as error:
            problem, tokens = without_secrets(str(error), self._secrets), error.tokens
        raise DishonestAnswerError(f"{self._who}: {problem}", tokens)

    def _request(self, texts: Sequence[str]) -> _Answer | ProviderError:
        answer = self._send(texts, self._encoding)
        if answer is not None:
            return answer
        answer = self._send(texts, "float")
        assert answer is not None
        if isinstance(answer, _Answer):
            # Only now: the words that seemed to be about base64 may have been a text's, repeated by the server.
            self._encoding = "float"
        return answer

    def _send(self, texts: Sequence[str], encoding: Literal["base64", "float"]) -> _Answer | ProviderError | None:
        """None if base64 seems to be what is refused, and lists may be asked for instead."""
        # The texts go as `extra_body`, which replaces `input`: the client looks at every text of `input` to
        # find files in it, a fifth of the CPU time of a request.
        body = {"input": list(texts)} | self._length_asked_for
        try:
            with (
                time_limit(self._timeout_seconds),
                self._client.embeddings.with_streaming_response.create(
                    input="", model=self._model, encoding_format=encoding, extra_body=body
                ) as response,
            ):
                return _Answer(b"".join(response.iter_bytes()), dict(response.headers))
        except openai.APITimeoutError:
            return self._too_slow()
        except openai.APIConnectionError as error:
            return self._unreachable(error.__cause__ or error)
        except openai.APIStatusError as error:
            return self._refusal(error, encoding)
        except UnicodeEncodeError:
            return ProviderRefusedError("the text holds half a surrogate pair, so it cannot be sent as UTF-8")
        except HTTP_ERRORS as error:  # the body is read past the client, which would translate it
            return self._too_slow() if "Timeout" in type(error).__name__ else self._unreachable(error)

    def _refusal(self, error: openai.APIStatusError, encoding: str) -> ProviderError | None:
        if encoding == "base64" and self._may_fall_back and is_about_encoding(error):
            return None
        return explain_refusal(error, self._who, self._api_key_variable, self._secrets)

    def _too_slow(self) -> ProviderUnavailableError:
        return ProviderUnavailableError(
            f"{self._who} gave no whole answer in {self._timeout_seconds:g} s", too_slow=True
        )

    def _unreachable(self, cause: BaseException) -> ProviderUnavailableError:
        words = without_secrets(str(cause), self._secrets) or type(cause).__name__
        return ProviderUnavailableError(f"{self._who} cannot be reached or broke off: {words}")
