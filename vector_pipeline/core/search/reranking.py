"""Ordering hits anew by a cross-encoder behind an HTTP endpoint, which reads the query and each text together.

Cohere's shape, which Jina, vLLM and others share: POST {model, query, documents, top_n} → {results: [{index,
relevance_score}]}; or that of text-embeddings-inference: {query, texts} → [{index, score}]. It is an improvement, not a
condition: whatever goes wrong, the hits stay as they were, and the answer says so. Neither the key nor what was sent
shows in what it says.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from vector_pipeline.core.embedding.keys import usable_key
from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.search.answer import Hit
from vector_pipeline.core.spec import RerankSpec

# A cross-encoder reads some five hundred tokens, query included.
_MOST_CHARACTERS = 4000
_MOST_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024


class RerankingError(Exception):
    """The endpoint gave no usable order. Its message is for people, and carries no secret and no text."""


NOT_RERANKED = "not reranked"
"""What a note begins with, followed by the error."""


@dataclass(frozen=True)
class Reranked:
    """Hits, best first; `note` says why they are in the order in which they came, None where they were reranked."""

    hits: tuple[Hit, ...]
    note: str | None


def rerank(
    declared: RerankSpec, query: str, hits: Sequence[Hit], environment: Mapping[str, str] | None = None
) -> Reranked:
    """The hits by their relevance to the query, which becomes their score.

    Args:
        environment: where the key's variable is looked up; `os.environ` if left out.
    """
    if not hits:
        return Reranked((), None)
    try:
        scores = relevances(declared, query, [_text_of(hit) for hit in hits], environment)
    except RerankingError as error:
        return Reranked(tuple(hits), f"{NOT_RERANKED}: {error}")
    order = sorted(range(len(hits)), key=lambda place: -scores[place])
    return Reranked(tuple(replace(hits[place], score=scores[place]) for place in order), None)


def _text_of(hit: Hit) -> str:
    """What the document is judged by: the passage that was found, where it is a part of a text; else its texts."""
    if hit.passage is not None and hit.passage.is_a_part:
        return hit.passage.text[:_MOST_CHARACTERS]
    return "\n".join(text for text in hit.texts.values() if text)[:_MOST_CHARACTERS]


def relevances(
    declared: RerankSpec, query: str, texts: Sequence[str], environment: Mapping[str, str] | None = None
) -> list[float]:
    """How relevant each of the texts is, in their order. One request.

    Raises:
        RerankingError: there was no usable answer in time.
    """
    body: dict[str, Any] = {"query": query, declared.texts_field: list(texts)}
    if declared.texts_field == "documents":
        body["top_n"] = len(texts)
    if declared.model is not None:
        body["model"] = declared.model
    headers = {"Content-Type": "application/json", **_authorization(declared, environment)}
    request = urllib.request.Request(declared.url, json.dumps(body).encode("utf-8", "replace"), headers, method="POST")
    return _read_scores(_answer(request, declared.timeout_seconds), len(texts))


def _authorization(declared: RerankSpec, environment: Mapping[str, str] | None) -> dict[str, str]:
    variable = declared.api_key_variable
    if variable is None:
        return {}
    try:
        key = usable_key((os.environ if environment is None else environment).get(variable), variable)
    except ConfigurationError as error:
        raise RerankingError(str(error)) from None
    if key is None:
        raise RerankingError(f"{variable} is not set, which search.rerank.api_key_variable names")
    return {"Authorization": f"Bearer {key}"}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Another address is another server: it is not to be sent the key."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def _answer(request: urllib.request.Request, seconds: float) -> bytes:
    where = urlsplit(request.full_url).netloc.rpartition("@")[2]
    deadline = time.monotonic() + seconds
    problem: str
    try:
        with _OPENER.open(request, timeout=seconds) as response:
            return _read(response, deadline, where, seconds)
    except urllib.error.HTTPError as error:
        problem = f"the reranker at {where} answered HTTP {error.code}"
        error.close()
    except TimeoutError:
        problem = _too_slow(where, seconds)
    except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            problem = _too_slow(where, seconds)
        else:
            problem = f"the reranker at {where} cannot be reached or broke off ({type(reason).__name__})"
    # Raised here, where no other exception is being handled that might show what was sent.
    raise RerankingError(problem)


def _read(response: http.client.HTTPResponse, deadline: float, where: str, seconds: float) -> bytes:
    # The time limit of a socket is for each read: a server that drips bytes would keep within it for ever.
    answer = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        answer += chunk
        if time.monotonic() > deadline:
            raise RerankingError(_too_slow(where, seconds))
        if len(answer) > _MOST_BYTES:
            raise RerankingError(f"the reranker at {where} answered more than {_MOST_BYTES} bytes")
    return bytes(answer)


def _too_slow(where: str, seconds: float) -> str:
    return f"the reranker at {where} gave no whole answer in {seconds:g} s"


def _read_scores(answer: bytes, count: int) -> list[float]:
    try:
        read = json.loads(answer)
        results = read["results"] if isinstance(read, dict) else read
        scores = {
            int(result["index"]): float(result["relevance_score"] if "relevance_score" in result else result["score"])
            for result in results
        }
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise RerankingError("the reranker's answer is no list of results with index and score") from None
    if len(results) != count or scores.keys() != set(range(count)):
        raise RerankingError("the reranker did not judge each text once")
    if not all(map(math.isfinite, scores.values())):
        raise RerankingError("the reranker gave a score that is no number")
    return [scores[place] for place in range(count)]
