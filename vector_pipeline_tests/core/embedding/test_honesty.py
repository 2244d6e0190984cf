"""Which vectors may enter the database."""

from __future__ import annotations

import numpy as np
import pytest

from vector_pipeline.core.embedding.honesty import VectorSpaceLength, judge
from vector_pipeline.core.embedding.provider import EmbeddedBatch
from vector_pipeline.core.errors import DimensionMismatchError

FOUR = VectorSpaceLength(native=4, stored=4)


def batch_of(*rows: list[float], lengths: list[int] | None = None) -> EmbeddedBatch:
    vectors = np.array(rows, np.float32)
    told = lengths if lengths is not None else [vectors.shape[1]] * len(rows)
    return EmbeddedBatch(vectors, np.array(told, np.int32), None)


def test_honest_vectors_pass_without_a_copy() -> None:
    batch = batch_of([1, 0, 0, 0], [0, 0.5, 0, -2])
    judgement = judge(batch, FOUR)
    assert judgement.honest.tolist() == [True, True]
    assert judgement.reasons == {}
    assert judgement.vectors is batch.vectors


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([1, float("nan"), 0, 0], "contains NaN or infinity"),
        ([1, float("inf"), 0, 0], "contains NaN or infinity"),
        ([1, float("-inf"), float("inf"), 0], "contains NaN or infinity"),
        ([0, 0, 0, 0], "is all zeros"),
        ([0, -0.0, 0, 0], "is all zeros"),
        ([1e-30, 0, 0, 0], "is so small that its norm counts as zero"),
        ([1e-42, 0, 0, 0], "is so small that its norm counts as zero"),
        ([3e38, 3e38, 0, 0], "is so large that its norm is infinite"),
    ],
)
def test_a_vector_without_a_cosine_is_kept_out_and_its_neighbours_go_in(row: list[float], reason: str) -> None:
    judgement = judge(batch_of([1, 2, 3, 4], row, [4, 3, 2, 1]), FOUR)
    assert judgement.honest.tolist() == [True, False, True]
    assert judgement.reasons == {1: reason}
    np.testing.assert_array_equal(judgement.vectors, np.array([[1, 2, 3, 4], [4, 3, 2, 1]], np.float32))


def test_a_vector_of_another_length_is_told_by_both_lengths() -> None:
    judgement = judge(batch_of([1, 2, 3, 4], [np.nan] * 4, lengths=[4, 3]), FOUR)
    assert judgement.reasons == {1: "has 3 numbers instead of 4"}


@pytest.mark.parametrize("length", [3, 5])
def test_a_model_of_another_length_is_an_error_that_names_both(length: int) -> None:
    with pytest.raises(DimensionMismatchError, match=f"vectors of {length} numbers.*made for 4"):
        judge(batch_of([1.0] * length, [2.0] * length), FOUR)


def test_other_lengths_that_differ_are_the_texts_own_trouble() -> None:
    judgement = judge(batch_of([1, 2, 3], [np.nan] * 3, [np.nan] * 3, lengths=[3, 5, 4]), FOUR)
    assert judgement.reasons == {
        0: "has 3 numbers instead of 4",
        1: "has 5 numbers instead of 4",
        2: "came in an answer whose other vectors have 3 numbers instead of 4",
    }
    assert judgement.vectors.shape == (0, 4)


def test_a_missing_vector_is_not_taken_for_another_model() -> None:
    judgement = judge(EmbeddedBatch(np.empty((1, 0), np.float32), np.zeros(1, np.int32), None), FOUR)
    assert judgement.reasons == {0: "has 0 numbers instead of 4"}


def test_vectors_are_padded_with_zeros_to_a_larger_stored_length() -> None:
    judgement = judge(batch_of([1, 2, 3, 4], [0, 0, 0, 0]), VectorSpaceLength(native=4, stored=6))
    np.testing.assert_array_equal(judgement.vectors, np.array([[1, 2, 3, 4, 0, 0]], np.float32))
    assert judgement.vectors.flags.c_contiguous


@pytest.mark.parametrize("length", [2001, 4000])
def test_a_number_that_the_ann_index_of_the_length_cannot_hold_is_kept_out(length: int) -> None:
    batch = batch_of([1, 65_504.0], [1, -65_505.0])
    judgement = judge(batch, VectorSpaceLength(native=2, stored=length))
    assert judgement.honest.tolist() == [True, False]
    assert judgement.reasons == {
        1: f"has a number of 65505, and vectors of {length} numbers are indexed as halfvec, which holds up to 65504"
    }


@pytest.mark.parametrize("length", [2000, 4001])
def test_large_numbers_are_fine_in_lengths_that_are_indexed_otherwise(length: int) -> None:
    assert judge(batch_of([1, 1e9]), VectorSpaceLength(native=2, stored=length)).honest.all()


def test_an_empty_batch_is_honest() -> None:
    judgement = judge(EmbeddedBatch(np.empty((0, 0), np.float32), np.empty(0, np.int32), None), FOUR)
    assert judgement.vectors.shape == (0, 4)


def test_a_vector_cannot_be_stored_shorter_than_it_is() -> None:
    with pytest.raises(ValueError, match="4 numbers cannot be stored with 3"):
        VectorSpaceLength(native=4, stored=3)


@pytest.mark.parametrize("numbers", [[70_000.0, 1.0], [1e-5, -1e-5]], ids=["too large", "too small"])
def test_a_vector_that_float16_cannot_hold_is_kept_out_of_rounded_storage(numbers: list[float]) -> None:
    assert judge(batch_of(numbers), VectorSpaceLength(2, 2)).honest.all()
    assert not judge(batch_of(numbers), VectorSpaceLength(2, 2, "halfvec")).honest.any()
