"""Which vectors may enter the database: finite, not zero, and of the model's length.

pgvector computes a cosine with float32 sums of squares. A vector whose sum overflows or underflows would
have the distance NaN, which sorts before every real distance, so the norm is judged with the same
arithmetic. Lengths that are indexed as `halfvec` take only numbers that a float16 can hold: a single larger one
would break the building of the field's ANN index, and every search that casts the query.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vector_pipeline.core.embedding.provider import EmbeddedBatch, Vectors
from vector_pipeline.core.errors import DimensionMismatchError
from vector_pipeline.core.store.ann_index import Method, suitable_method

# Below the smallest normal float32 a sum of squares has lost its digits or is zero.
_SMALLEST_SQUARED_NORM = float(np.finfo(np.float32).tiny)


_LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class VectorSpaceLength:
    """`native`: numbers that the model must return; `stored`: numbers kept, zeros added on purpose."""

    native: int
    stored: int

    def __post_init__(self) -> None:
        if not 0 < self.native <= self.stored:
            raise ValueError(f"a vector of {self.native} numbers cannot be stored with {self.stored}")

    @property
    def largest_number(self) -> float:
        """The largest that a component may be, by the type that the ANN index of this length has."""
        return _LARGEST_HALF if suitable_method(self.stored) is Method.HNSW_HALFVEC else math.inf


@dataclass(frozen=True)
class Judgement:
    """The vectors of a batch, told apart.

    Attributes:
        honest: shape (texts,), True where the text's vector may enter.
        vectors: shape (honest texts, stored), C-contiguous float32, in the order of the honest texts.
        reasons: for each other text, by its position, what is wrong with its vector.
    """

    honest: npt.NDArray[np.bool_]
    vectors: Vectors
    reasons: Mapping[int, str]


def judge(batch: EmbeddedBatch, expected: VectorSpaceLength) -> Judgement:
    """Tells the vectors that may enter the database from those that may not.

    Raises:
        DimensionMismatchError: all vectors have one other length: the model is not the one declared.
    """
    _refuse_other_model(batch.lengths, expected.native)
    if batch.vectors.shape[1] == expected.native:
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.einsum("ij,ij->i", batch.vectors, batch.vectors)
        honest = (batch.lengths == expected.native) & np.isfinite(squares) & (squares >= _SMALLEST_SQUARED_NORM)
        if math.isfinite(expected.largest_number):
            honest &= np.abs(batch.vectors).max(axis=1) <= expected.largest_number
    else:
        honest = np.zeros(len(batch.lengths), np.bool_)
    reasons = {int(row): _reason(batch, int(row), expected) for row in np.flatnonzero(~honest)}
    return Judgement(honest, _padded(batch.vectors, honest, expected), reasons)


def _refuse_other_model(lengths: npt.NDArray[np.int32], native: int) -> None:
    # A length of 0 is a vector that is missing, which says nothing about the model.
    if len(lengths) and lengths[0] not in (0, native) and (lengths == lengths[0]).all():
        raise DimensionMismatchError(
            f"the model returns vectors of {lengths[0]} numbers, but the index is made for {native}; "
            "put back the model that the index was made with, or declare its new length"
        )


def _reason(batch: EmbeddedBatch, row: int, expected: VectorSpaceLength) -> str:
    native, length, vector = expected.native, int(batch.lengths[row]), batch.vectors[row]
    if length != native:
        return f"has {length} numbers instead of {native}"
    if len(vector) != native:
        return f"came in an answer whose other vectors have {len(vector)} numbers instead of {native}"
    if not np.isfinite(vector).all():
        return "contains NaN or infinity"
    if not vector.any():
        return "is all zeros"
    if np.abs(vector).max() < 1:
        return "is so small that its norm counts as zero"
    return _too_large(float(np.abs(vector).max()), expected)


def _too_large(largest: float, expected: VectorSpaceLength) -> str:
    if largest > expected.largest_number:
        return (
            f"has a number of {largest:g}, and vectors of {expected.stored} numbers are indexed as halfvec, "
            f"which holds up to {expected.largest_number:g}"
        )
    return "is so large that its norm is infinite"


def _padded(vectors: Vectors, honest: npt.NDArray[np.bool_], expected: VectorSpaceLength) -> Vectors:
    if expected.stored == expected.native and honest.all() and vectors.shape[1] == expected.native:
        return np.ascontiguousarray(vectors, np.float32)
    padded = np.zeros((int(honest.sum()), expected.stored), np.float32)
    if len(padded):
        padded[:, : expected.native] = vectors[honest]
    return padded
