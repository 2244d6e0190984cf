"""OpenAI's offline Batch API, on whichever server speaks it.

A file is uploaded, a batch made of it and asked after until it is over; its answers lie in one file, its errors in
another. What goes wrong is told in the words of `openai_compatible`, and the key shows in no message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from typing import BinaryIO, TypeVar

import openai
from openai.types import Batch

from vector_pipeline.core.embedding.http_library import HTTP_ERRORS
from vector_pipeline.core.embedding.offline import RemoteBatch
from vector_pipeline.core.embedding.refusals import explain_refusal, explain_status
from vector_pipeline.core.errors import DishonestAnswerError, ProviderError, ProviderUnavailableError, without_secrets

T = TypeVar("T")

# The clocks of two machines differ by less.
_CLOCKS = timedelta(hours=1)
_LISTED_AT_ONCE = 100
_MOST_PROBLEMS = 5
# A vector of 4,096 numbers takes some 100,000 bytes, a text of 8,192 tokens in an error no more.
_LONGEST_LINE = 16_000_000
_MARK = "vector_pipeline"
_BROKEN_OFF: tuple[type[Exception], ...] = (openai.APIError, *HTTP_ERRORS)


class OpenAIBatches:
    """The Batch API of one server, for one model.

    Args:
        body: what each request has beside its text.
        who: the provider, for people.
        secrets: what must not show even if the server repeats it.
    """

    def __init__(
        self,
        client: openai.OpenAI,
        body: Mapping[str, object],
        who: str,
        api_key_variable: str,
        secrets: tuple[str | None, ...],
    ) -> None:
        self._client = client
        self.body = body
        self._who = who
        self._api_key_variable = api_key_variable
        self._secrets = secrets

    def upload(self, lines: BinaryIO, name: str) -> str:
        """Uploads a file of requests. Returns its id."""
        file_id: object = self._ask(lambda: self._client.files.create(file=(name, lines), purpose="batch").id)
        if not isinstance(file_id, str):
            raise DishonestAnswerError(f"{self._who} has no Batch API: it names no file")
        return file_id

    def create(self, file_id: str, mark: str) -> RemoteBatch:
        """Makes a batch of an uploaded file; `find` finds it by the mark."""
        return self._ask(
            lambda: self._told(
                self._client.batches.create(
                    input_file_id=file_id,
                    endpoint="/v1/embeddings",
                    completion_window="24h",
                    metadata={_MARK: mark},
                )
            )
        )

    def find(self, mark: str, since: datetime) -> RemoteBatch | None:
        """The batch with this mark, if it was made after that moment."""
        oldest = (since - _CLOCKS).timestamp()

        def look() -> RemoteBatch | None:
            seen: set[str] = set()
            for batch in self._client.batches.list(limit=_LISTED_AT_ONCE):  # the newest first
                if batch.id in seen:  # a server that knows no pages gives the first one for ever
                    return None
                seen.add(batch.id)
                if (batch.metadata or {}).get(_MARK) == mark:
                    return self._told(batch)
                if batch.created_at < oldest:
                    return None
            return None

        return self._ask(look)

    def retrieve(self, batch_id: str) -> RemoteBatch:
        """How a batch stands."""
        return self._ask(lambda: self._told(self._client.batches.retrieve(batch_id)))

    def cancel(self, batch_id: str) -> RemoteBatch:
        """Has a batch end early; what it has done by then is paid for and answered."""
        return self._ask(lambda: self._told(self._client.batches.cancel(batch_id)))

    def read_lines(self, file_id: str) -> Iterator[bytes]:
        """The lines of a file, as they come.

        Raises:
            ProviderUnavailableError: it breaks off; the lines before were whole.
            DishonestAnswerError: it has no lines.
        """
        rest = b""
        with ExitStack() as closing:
            content = self._client.files.with_streaming_response.content(file_id)
            pieces = self._ask(lambda: closing.enter_context(content)).iter_bytes()
            while (piece := self._ask(lambda: next(pieces, None))) is not None:
                *lines, rest = (rest + piece).split(b"\n")
                yield from (line for line in lines if line.strip())
                if len(rest) > _LONGEST_LINE:
                    raise DishonestAnswerError(f"{self._who} gives what is no file of lines for {file_id}")
        if rest.strip():
            yield rest

    def delete_file(self, file_id: str | None) -> None:
        """Removes a file at the provider, which else removes it itself after 30 days: no reason for an error."""
        if file_id is not None:
            with suppress(ProviderError):
                self._ask(lambda: self._client.files.delete(file_id))

    def explain(self, status: int, body: object) -> ProviderError:
        """What the answer to a single request of a batch means, if it is no success."""
        error = body.get("error") if isinstance(body, Mapping) else None
        code = error.get("code") if isinstance(error, Mapping) else None
        return explain_status(status, error or body, code, {}, self._who, self._api_key_variable, self._secrets)

    def without_secrets(self, text: str) -> str:
        """Words of the provider's, without the key."""
        return without_secrets(text, self._secrets)

    def _told(self, batch: Batch) -> RemoteBatch:
        # The client gives what is no JSON as text, and asks for no field that it declares.
        if not isinstance(batch, Batch) or not all(
            isinstance(getattr(batch, name, None), str) for name in ("id", "status")
        ):
            raise DishonestAnswerError(f"{self._who} has no Batch API: its answer is no batch")
        errors = (batch.errors.data or []) if batch.errors else []
        problems = [
            f"{f'line {error.line}: ' if error.line is not None else ''}{error.message or error.code}"
            for error in errors[:_MOST_PROBLEMS]
        ]
        completed = getattr(batch.request_counts, "completed", None)
        return RemoteBatch(
            batch.id,
            batch.status,
            batch.input_file_id,
            batch.output_file_id,
            batch.error_file_id,
            completed if type(completed) is int else 0,
            self.without_secrets("; ".join(problems)),
        )

    def _ask(self, call: Callable[[], T]) -> T:
        """Raises:
        ProviderError: raised where no other exception is handled: the client's own holds the server's words unabridged.
        """
        try:
            return call()
        except openai.APITimeoutError:
            problem: ProviderError = ProviderUnavailableError(f"{self._who} gave no answer in time", too_slow=True)
        except openai.APIStatusError as error:
            problem = explain_refusal(error, self._who, self._api_key_variable, self._secrets)
        except _BROKEN_OFF as error:
            words = self.without_secrets(str(error.__cause__ or error)) or type(error).__name__
            problem = ProviderUnavailableError(f"{self._who} cannot be reached or broke off: {words}")
        except (AttributeError, TypeError, ValueError) as error:  # how the client takes an answer of another shape
            problem = DishonestAnswerError(f"{self._who} answered what can't be read ({type(error).__name__})")
        raise problem
