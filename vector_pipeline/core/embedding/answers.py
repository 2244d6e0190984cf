"""From the bytes of an OpenAI-compatible answer to numpy, without trusting the server.

Answers are matched to texts by their `index`. A vector comes as base64 of little-endian float32 or, from
servers that ignore the wish, as a list of numbers; one answer may mix both. Whatever makes the answer as a
whole unusable is a `DishonestAnswerError`; single vectors are left for `honesty` to judge.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Literal, TypeGuard

import numpy as np
import numpy.typing as npt

from vector_pipeline.core.embedding.provider import EmbeddedBatch, Vectors
from vector_pipeline.core.errors import DishonestAnswerError

_SHOWN_CHARACTERS = 120
# Far above what any request may have; a count that is not meant so must not break the sums that it enters.
_MOST_TOKENS = 1_000_000_000

MissingIndex = Literal["refuse", "in_order"]


def read_answer(
    answer: bytes, texts: int, dimensions: int | None, missing_index: MissingIndex = "refuse"
) -> EmbeddedBatch:
    """The vectors of `texts` texts, in their order.

    Args:
        answer: the body of the response.
        texts: how many texts were sent.
        dimensions: the length that was asked for, if one was; it decides which vectors are the odd ones.
        missing_index: whether an answer in which no vector has an index is taken to be in order.

    Raises:
        DishonestAnswerError: no JSON, no embeddings, not one for each text, or broken encoding.
    """
    parsed = _parse(answer)
    tokens = _tokens(parsed.get("usage"))
    try:
        items = _in_order(parsed["data"], texts, missing_index)
        vectors = [_decode(item, position) for position, item in enumerate(items)]
    except DishonestAnswerError as error:
        raise DishonestAnswerError(str(error), tokens) from None
    lengths = np.fromiter((len(vector) for vector in vectors), np.int32, texts)
    return EmbeddedBatch(stack_vectors(vectors, lengths, dimensions), lengths, tokens)


def read_parsed_answer(answer: object) -> tuple[Vectors, int | None]:
    """The vector of the only text of a request, and the tokens that the provider counted, from parsed JSON.

    Raises:
        DishonestAnswerError: no embedding, more than one, or broken encoding.
    """
    if not _has_embeddings(answer):
        raise DishonestAnswerError("the answer has no embeddings")
    tokens = _tokens(answer.get("usage"))
    try:
        [item] = _in_order(answer["data"], 1, "in_order")
        return _decode(item, 0), tokens
    except DishonestAnswerError as error:
        raise DishonestAnswerError(str(error), tokens) from None


def _has_embeddings(parsed: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(parsed, dict) and isinstance(parsed.get("data"), list)


def _parse(answer: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(answer)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise DishonestAnswerError(f"the answer is no JSON: {_beginning(answer)}") from None
    if not _has_embeddings(parsed):
        raise DishonestAnswerError(f"the answer has no embeddings: {_beginning(answer)}")
    return parsed


def _beginning(answer: bytes) -> str:
    if not answer:
        return "it is empty"
    shown = " ".join(answer[:_SHOWN_CHARACTERS].decode("utf-8", "replace").split())
    return f"{len(answer)} bytes that begin with {shown!r}"


def encodings(answer: bytes) -> frozenset[str]:
    """How the vectors of an answer are written: `base64`, `list`, or both; nothing of an unreadable answer."""
    try:
        items = _parse(answer)["data"]
    except DishonestAnswerError:
        return frozenset()
    written = (item.get("embedding") for item in items if isinstance(item, dict))
    return frozenset("base64" if isinstance(embedding, str) else "list" for embedding in written)


def _in_order(items: list[Any], texts: int, missing_index: MissingIndex) -> list[Any]:
    if len(items) != texts:
        raise DishonestAnswerError(f"{len(items)} vectors came for {texts} texts")
    if missing_index == "in_order" and all(isinstance(item, dict) and "index" not in item for item in items):
        return items
    ordered: list[Any] = [None] * texts
    for item in items:
        index = item.get("index") if isinstance(item, dict) else None
        if type(index) is not int or not 0 <= index < texts:
            remedy = "; if the server gives them in order, set missing_index: in_order" if index is None else ""
            raise DishonestAnswerError(f"a vector has the index {index!r}: it belongs to none of {texts} texts{remedy}")
        if ordered[index] is not None:
            raise DishonestAnswerError(f"two vectors have the index {index}")
        ordered[index] = item
    return ordered


def _decode(item: dict[str, Any], position: int) -> Vectors:
    embedding = item.get("embedding")
    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
        with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite: honesty sees it
            # A null in the list (how some servers write NaN) becomes NaN; a null for the list has no numbers.
            vector: Vectors = np.asarray([] if embedding is None else embedding, np.float32)
    except (binascii.Error, ValueError, TypeError, OverflowError) as error:
        raise DishonestAnswerError(f"the vector with the index {position} cannot be decoded: {error}") from None
    if vector.ndim != 1:
        raise DishonestAnswerError(f"the vector with the index {position} is no flat list of numbers")
    return vector


def stack_vectors(vectors: list[Vectors], lengths: npt.NDArray[np.int32], dimensions: int | None) -> Vectors:
    """The vectors as rows, those of another length than `dimensions`, or than most, as rows of NaN."""
    length = _usual_length(lengths, dimensions)
    stacked = np.empty((len(vectors), length), np.float32)
    for row, vector in zip(stacked, vectors, strict=True):
        row[:] = vector if len(vector) == length else np.nan
    return stacked


def _usual_length(lengths: npt.NDArray[np.int32], dimensions: int | None) -> int:
    if dimensions is not None and (lengths == dimensions).any():
        return dimensions
    values, counts = np.unique(lengths, return_counts=True)
    return int(values[counts == counts.max()].max())


def _tokens(usage: object) -> int | None:
    if isinstance(usage, dict):
        for name in ("prompt_tokens", "total_tokens"):
            if type(count := usage.get(name)) is int and 0 <= count <= _MOST_TOKENS:
                return count
    return None
