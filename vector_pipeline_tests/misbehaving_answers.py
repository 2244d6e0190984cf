"""What `misbehaving_provider` answers: the vectors of texts, and the JSON around them, right or wrong.

Vectors depend on the text alone: four rows of a fixed random table, chosen by the text's SHA-256, are added
and brought to unit length, so equal texts have equal vectors and a thousand texts take milliseconds.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import random
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

POISON = "poison"
"""A batch with a text that contains this is refused with 400."""

OVERLONG = "overlong"
"""A batch with a text that contains this is refused with 413, as by TEI if one is longer than the model takes."""

STUMBLE = "stumble"
"""A batch with a text that contains this is answered with 500, as llama.cpp and Ollama do if one is too long."""

GIVE_NAN = "give-nan"
GIVE_INFINITY = "give-infinity"
GIVE_ZERO = "give-zero"
GIVE_SHORT = "give-short"
GIVE_NOTHING = "give-nothing"
"""A text that contains one of these gets such a vector; GIVE_NOTHING makes the whole answer unreadable."""

Manner = Literal[
    "well",  # as it should
    "status",  # an HTTP error: `status`, `retry_after`, `retry_after_ms`, `message`
    "echo key",  # an HTTP error `status` whose message repeats the Authorization header
    "reset",  # the connection is reset
    "hang",  # no answer for `seconds`
    "drip",  # the answer comes in small pieces, over `seconds`
    "drip headers",  # the same before the answer itself begins
    "truncate",  # half of the JSON
    "cut",  # the connection ends in the middle of the announced body
    "html",  # a web page with status 200
    "error in 200",  # an error object with status 200
    "fewer",  # one vector less
    "more",  # one vector more, with an index past the end
    "shuffle",  # in another order, with the right indexes
    "duplicate",  # two vectors have the same index
    "no index",  # the vectors have no index
    "wrong length",  # every vector has 3 numbers
    "broken base64",  # bytes that are no float32
    "lists",  # plain lists of numbers, whatever was asked
    "mixed",  # lists and base64 by turns
    "no usage",  # no count of tokens
    "zeros",  # every vector is zero
    "other model",  # the vectors of another model with the same length
    "jitter",  # each vector a little off, and never twice the same, as quantised servers on busy GPUs give them
]

Shape = Literal[
    "flat",  # the vector of the only text
    "nested",  # a vector a text
    "tokens",  # a vector a token, as many for each text
    "unequal tokens",  # a vector a word
    "wrapped tokens",  # as transformers' pipeline: a vector a word, within a list of one
]
"""How a `feature-extraction` pipeline answers."""

_TABLE_ROWS = 4096
_ROWS_PER_TEXT = 4


@functools.cache
def _table(dimensions: int) -> Vectors:
    return np.random.default_rng(20240607).standard_normal((_TABLE_ROWS, dimensions), dtype=np.float32)


def vectors_of(texts: Sequence[str], dimensions: int, table_dimensions: int | None = None) -> Vectors:
    """The vectors that the server gives: unit length, shape (texts, dimensions).

    A shorter vector asked for by `dimensions` is the beginning of the long one, at unit length again.
    """
    table = _table(table_dimensions or dimensions)[:, :dimensions]
    digests = b"".join(hashlib.sha256(text.encode()).digest()[: 2 * _ROWS_PER_TEXT] for text in texts)
    rows = np.frombuffer(digests, "<u2").reshape(-1, _ROWS_PER_TEXT) % _TABLE_ROWS
    vectors = table[rows[:, 0]]
    for column in range(1, _ROWS_PER_TEXT):
        vectors += table[rows[:, column]]
    vectors /= np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return np.ascontiguousarray(vectors, np.float32)


def answer(request: dict[str, Any], texts: list[str], dimensions: int, manner: Manner) -> bytes:
    """The body of the answer to a request that is not refused."""
    if manner == "html":
        return b"<!doctype html><html><body><h1>Down for maintenance</h1></body></html>"
    if manner == "error in 200":
        return to_json({"error": {"message": "upstream failed"}})
    wanted = request.get("dimensions") or dimensions
    named = [f"other model: {text}" for text in texts] if manner == "other model" else texts
    vectors = vectors_of(named, wanted, dimensions)
    if manner == "zeros":
        vectors[:] = 0
    if manner == "jitter":
        vectors += np.random.default_rng().normal(0, 0.003 / np.sqrt(wanted), vectors.shape).astype(np.float32)
    rows = _with_markers(vectors, texts)
    if manner == "wrong length":
        rows = [row[:3] for row in rows]
    items = _items(rows, request.get("encoding_format", "float"), manner)
    tokens = sum(len(text.split()) for text in texts)
    usage = {} if manner == "no usage" else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    head = to_json({"object": "list", "model": request.get("model"), **usage})[:-1]
    body = head + b',"data":[' + b",".join(items) + b"]}"
    broken = manner == "truncate" or any(GIVE_NOTHING in text for text in texts)
    return body[: len(body) // 2] if broken else body


def token_vectors(text: str, dimensions: int, tokens: int | None = None) -> Vectors:
    """A vector for each word of the text, or for so many tokens."""
    count = len(text.split()) if tokens is None else tokens
    return vectors_of([f"{text} #{position}" for position in range(count)], dimensions)


def features(texts: list[str], dimensions: int, shape: Shape, manner: Manner) -> bytes:
    """The body of the answer of a `feature-extraction` pipeline."""
    if manner == "html":
        return b"<!doctype html><html><body><h1>Down for maintenance</h1></body></html>"
    if manner == "error in 200":
        return to_json({"error": "upstream failed"})
    if shape in ("flat", "nested"):
        vectors = [row.tolist() for row in _with_markers(vectors_of(texts, dimensions), texts)]
        body = vectors[0] if shape == "flat" else vectors
    else:
        body = [token_vectors(text, dimensions, 5 if shape == "tokens" else None).tolist() for text in texts]
        if shape == "wrapped tokens":
            body = [[tokens] for tokens in body]
    answer = to_json(body[:-1] if manner == "fewer" else body)
    return answer[: len(answer) // 2] if manner == "truncate" else answer


def to_json(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def _with_markers(vectors: Vectors, texts: list[str]) -> list[Vectors]:
    rows = list(vectors)
    for row, text in enumerate(texts):
        if "give-" not in text:
            continue
        if GIVE_NAN in text:
            rows[row][0] = np.nan
        elif GIVE_INFINITY in text:
            rows[row][-1] = np.inf
        elif GIVE_ZERO in text:
            rows[row][:] = 0
        elif GIVE_SHORT in text:
            rows[row] = rows[row][:3]
    return rows


def _items(rows: list[Vectors], encoding: str, manner: Manner) -> list[bytes]:
    indexes: list[int | None] = list(range(len(rows)))
    if manner == "fewer":
        rows = rows[:-1]
    elif manner == "more":
        rows, indexes = [*rows, rows[0]], [*indexes, len(rows)]
    elif manner == "duplicate":
        indexes[-1] = 0
    elif manner == "no index":
        indexes = [None] * len(rows)
    items = []
    for index, row in zip(indexes, rows, strict=False):
        as_list = encoding == "float" or manner == "lists" or (manner == "mixed" and (index or 0) % 2)
        if as_list:
            embedding = to_json(row.tolist())
        else:
            data = row.tobytes() + (b"!" if manner == "broken base64" else b"")
            embedding = b'"' + base64.b64encode(data) + b'"'
        number = b"" if index is None else b'"index":%d,' % index
        items.append(b'{"object":"embedding",%b"embedding":%b}' % (number, embedding))
    if manner == "shuffle":
        random.Random(1).shuffle(items)
    return items
