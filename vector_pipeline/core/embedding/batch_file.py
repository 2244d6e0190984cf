"""The lines of offline batches: requests as they go in, answers and errors as they come out.

Each line is of one text, known by its content hash (`custom_id`), so that an error is of one text alone. Lines come in
no particular order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vector_pipeline.core.documents.rendering import ContentHash
from vector_pipeline.core.embedding.answers import read_parsed_answer
from vector_pipeline.core.embedding.provider import Vectors
from vector_pipeline.core.errors import DishonestAnswerError, ProviderError, ProviderRefusedError

Explain = Callable[[int, object], ProviderError]
"""What an HTTP status and the body that came with it mean."""


@dataclass(frozen=True)
class Outcome:
    """What became of one text: its vector; or why it gets none (`refused`, `dishonest`); or why it was not tried.

    `tokens` is None where the provider doesn't say how many it has used, which for a refused text is none.
    """

    content_hash: ContentHash
    vector: Vectors | None = None
    tokens: int | None = None
    refused: str = ""
    dishonest: str = ""
    not_tried: str = ""


def request_line(content_hash: ContentHash, text: str, body: Mapping[str, object]) -> bytes:
    """The request for the vector of one text, with its line feed."""
    request = {
        "custom_id": content_hash.hex(),
        "method": "POST",
        "url": "/v1/embeddings",
        "body": {**body, "input": text},
    }
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_outcome(line: bytes, explain: Explain) -> Outcome | None:
    """What a line of an output or error file says; None where it speaks of no text of ours.

    Raises:
        DishonestAnswerError: it is no such line.
    """
    try:
        told = json.loads(line)
        custom_id = told["custom_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DishonestAnswerError("a line of a batch's file can't be read") from None
    try:
        content_hash = ContentHash(bytes.fromhex(custom_id))
    except (ValueError, TypeError):
        return None
    response, error = told.get("response"), told.get("error")
    if not isinstance(response, Mapping):
        return Outcome(content_hash, not_tried=_words(error))
    status, body = response.get("status_code"), response.get("body")
    if status == 200:
        return _answered(content_hash, body)
    problem = explain(status if isinstance(status, int) else 500, body)
    if isinstance(problem, ProviderRefusedError):
        return Outcome(content_hash, refused=str(problem))
    return Outcome(content_hash, not_tried=str(problem))


def _answered(content_hash: ContentHash, body: object) -> Outcome:
    try:
        vector, tokens = read_parsed_answer(body)
    except DishonestAnswerError as error:
        return Outcome(content_hash, tokens=error.tokens, dishonest=str(error))
    return Outcome(content_hash, vector, tokens)


def _words(error: object) -> str:
    if isinstance(error, Mapping):
        return str(error.get("message") or error.get("code") or "no reason is given")
    return str(error or "no reason is given")
