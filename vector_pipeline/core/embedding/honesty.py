"""Which vectors may enter the database: finite, not zero, and of the model's length.

pgvector computes a cosine with float32 sums of squares. A vector whose sum overflows or underflows would
have the distance NaN, which sorts before every real distance, so the norm is judged with the same
arithmetic. Lengths that are indexed as `halfvec` take only numbers that a float16 can hold: a single larger one
would break the building of the field's ANN index, and every search that casts the query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vector_pipeline.core.embedding.provider import EmbeddedBatch, Vectors
from vector_pipeline.core.errors import DimensionMismatchError
from vector_pipeline.core.spec import Storage
from vector_pipeline.core.store.ann_method import Method, suitable_method
from vector_pipeline.core.store.registry import VectorSpace

# Below the smallest normal float32 a sum of squares has lost its digits or is zero.
_SMALLEST_SQUARED_NORM = float(np.finfo(np.float32).tiny)


_LARGEST_HALF = float(np.finfo(np.float16).max)
# A vector whose numbers are all smaller loses its digits as float16, or is zero.
_SMALLEST_HALF = float(np.finfo(np.float16).tiny)


@dataclass(frozen=True)
class VectorSpaceLength:
    """`native`: numbers that the model must return; `stored`: numbers kept, zeros added on purpose."""

    native: int
    stored: int
    storage: Storage = "vector"

    def __post_init__(self) -> None:
        if not 0 < self.native <= self.stored:
            raise ValueError(f"a vector of {self.native} numbers cannot be stored with {self.stored}")

    @classmethod
    def of(cls, space: VectorSpace) -> VectorSpaceLength:
        """The lengths of the vectors of a space."""
        return cls(space.native_dimensions, space.stored_dimensions, space.storage)

    @property
    def is_rounded(self) -> bool:
        """Whether the vectors are stored as float16, or may have been indexed so: padding once was indexed as well."""
        return self.storage == "halfvec" or Method.HALFVEC in map(suitable_method, (self.native, self.stored))


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
        if expected.is_rounded:
            largest = np.abs(batch.vectors).max(axis=1)
            honest &= (largest >= _SMALLEST_HALF) & (largest <= _LARGEST_HALF)
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
    return _out_of_bounds(float(np.abs(vector).max()), expected)


def _out_of_bounds(largest: float, expected: VectorSpaceLength) -> str:
    if largest < 1:
        return "is so small that its norm counts as zero"
    if expected.is_rounded and largest > _LARGEST_HALF:
        done = "stored" if expected.storage == "halfvec" else "indexed"
        return (
            f"has a number of {largest:g}, and vectors of {expected.stored} numbers are {done} as halfvec, "
            f"which holds up to {_LARGEST_HALF:g}"
        )
    return "is so large that its norm is infinite"


def _padded(vectors: Vectors, honest: npt.NDArray[np.bool_], expected: VectorSpaceLength) -> Vectors:
    if expected.stored == expected.native and honest.all() and vectors.shape[1] == expected.native:
        return np.ascontiguousarray(vectors, np.float32)
    padded = np.zeros((int(honest.sum()), expected.stored), np.float32)
    if len(padded):
        padded[:, : expected.native] = vectors[honest]
    return padded
